import SextantBytes
import SextantCheckpoints
import SextantTokenizers

/// The tokenizer in a GGUF file's metadata, as the file that it was made from.
///
/// Files that Sextant wrote contain that file itself. Others name the pattern that splits a text
/// into words (`tokenizer.ggml.pre`) and do not contain it; names whose pattern is not certain are
/// refused. The format loses normalizers, and the flags of added tokens except their kind.
struct GGUFTokenizer {
  let file: GGUFFile

  init(_ file: GGUFFile) {
    self.file = file
  }

  /// The key of the tokenizer's file, an array of bytes.
  static let fileKey = "sextant.tokenizer"

  /// A pattern by which text is split, as the format names it and a `tokenizer.json` spells it.
  struct Pattern {
    /// Its names; the first is the one to write.
    let names: [String]
    /// The pre-tokenizers.
    let steps: [JSONValue]
    /// Whether a word that is a token is not merged.
    var ignoresMerges = false

    /// The same as one pre-tokenizer.
    var preTokenizer: JSONValue { ["type": "Sequence", "pretokenizers": .array(steps)] }
  }

  /// The patterns that are certain. A name means the pattern of the tokenizers that llama.cpp's
  /// converter gives it to, where that is published, or else the pattern that llama.cpp uses.
  static let patterns = [
    Pattern(
      names: [
        "gpt-2", "phi-2", "mpt", "olmo", "jina-es", "jina-de", "gigachat", "jais", "trillion",
      ],
      steps: [byteLevel()]),
    Pattern(
      names: [
        "smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b",
      ],
      steps: [["type": "Digits", "individual_digits": true], byteLevel()]),
    Pattern(
      names: [
        "llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
      ],
      steps: [split(llama3), byteLevel(usesRegex: false)], ignoresMerges: true),
    Pattern(
      names: ["dbrx", "smaug-bpe", "glm4", "chatglm-bpe"],
      steps: [split(llama3), byteLevel(usesRegex: false)]),
    Pattern(
      names: ["qwen2", "stablelm2", "deepseek-r1-qwen", "hunyuan", "megrez", "kormo"],
      steps: [split(qwen2), byteLevel(usesRegex: false)]),
    Pattern(names: ["qwen35"], steps: [split(qwen35), byteLevel(usesRegex: false)]),
    Pattern(
      names: ["tekken"], steps: [split(tekken), byteLevel(usesRegex: false)], ignoresMerges: true),
    Pattern(
      names: ["gpt-4o", "llama4", "kanana2"], steps: [split(o200k), byteLevel(usesRegex: false)]),
    Pattern(
      names: ["falcon"],
      steps: [
        ["type": "Punctuation", "behavior": "Contiguous"], byteLevel(),
        ["type": "Digits", "individual_digits": false], split("[0-9][0-9][0-9]"),
      ]),
    Pattern(
      names: ["deepseek-v3", "hunyuan-dense"],
      steps: [
        split(#"\p{N}{1,3}"#), split("[一-龥぀-ゟ゠-ヿ]+"), split(deepseek3),
        byteLevel(usesRegex: false),
      ]),
    Pattern(
      names: ["bloom", "poro-chat", "gpt3-finnish"],
      steps: [split(" ?[^(\\s|[.,!?…。，、।۔،])]+"), byteLevel(usesRegex: false)]),
  ]

  private static let contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
  private static let spaces = #"|\s*[\r\n]+|\s+(?!\S)|\s+"#
  private static let words = #"|[^\r\n\p{L}\p{N}]?\p{L}+"#
  private static let others = #"| ?[^\s\p{L}\p{N}]+[\r\n]*"#
  private static let llama3 = contractions + words + #"|\p{N}{1,3}"# + others + spaces
  private static let qwen2 = contractions + words + #"|\p{N}"# + others + spaces
  private static let qwen35 =
    contractions + #"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"#
    + spaces
  private static let tekken = casedWords("") + #"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*"# + spaces
  private static let o200k =
    casedWords(contractions + "?") + #"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*"# + spaces
  private static let deepseek3 =
    ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"##
    + #"| ?[\p{P}\p{S}]+[\r\n]*"# + spaces

  /// Words that begin with capital letters or have only such, each with something behind.
  private static func casedWords(_ end: String) -> String {
    let before = #"[^\r\n\p{L}\p{N}]?"#
    let upper = #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"#
    let lower = #"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"#
    return "\(before)\(upper)*\(lower)+\(end)|\(before)\(upper)+\(lower)*\(end)"
  }

  private static func split(_ pattern: String) -> JSONValue {
    [
      "type": "Split", "pattern": ["Regex": .string(pattern)], "behavior": "Isolated",
      "invert": false,
    ]
  }

  private static func byteLevel(usesRegex: Bool = true) -> JSONValue {
    [
      "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
      "use_regex": .boolean(usesRegex),
    ]
  }

  /// Kinds of tokens, by the format's numbers, which are SentencePiece's.
  typealias Kind = ScoredPieces.Kind

  /// The tokenizer's file; nil if there is no tokenizer.
  ///
  /// - Throws: `tokenizer.unsupported`, `tokenizer.invalid`.
  func content() throws(Refusal) -> [UInt8]? {
    if case .array(let array)? = file.values[Self.fileKey], let own = try file.bytes(of: array) {
      return own
    }
    guard file.values["tokenizer.ggml.model"] != nil else { return nil }
    switch try string("model") {
    case "none", "no_vocab": return nil
    case "gpt2": return try json().canonicalBytes
    case "rwkv": return try worldVocabulary()
    case "llama": return try sentencePieceModel()
    case let model:
      throw unsupported(
        "tokenizer.ggml.model \"\(model)\"", expected: "\"gpt2\", \"llama\" or \"rwkv\"")
    }
  }

  // MARK: Byte-level byte pairs

  private func json() throws(Refusal) -> JSONValue {
    let (steps, ignoresMerges) = try preTokenizer()
    let tokens = try strings("tokens")
    let kinds = try self.kinds(tokens.count)
    var vocabulary: [(String, JSONValue)] = []
    var added: [JSONValue] = []
    for (id, (token, number)) in zip(tokens, kinds).enumerated() {
      // The package gives other ids to added tokens that the vocabulary lacks.
      let kind = Kind(rawValue: number)
      if kind != .unused { vocabulary.append((token, .integer(Int64(id)))) }
      switch kind {
      case .normal, .unused: break
      case .unknown, .control: added.append(addedToken(token, id, isSpecial: true))
      case .userDefined: added.append(addedToken(token, id, isSpecial: false))
      case nil, .byte:
        throw invalid("token \(id) of type \(number)", expected: "a type from 1 to 5")
      }
    }
    let words = JSONObject(vocabulary)
    guard words.members.count == vocabulary.count else {
      throw invalid("a token twice", expected: "each token once")
    }
    return [
      "version": "1.0", "truncation": nil, "padding": nil, "added_tokens": .array(added),
      "normalizer": nil,
      "pre_tokenizer": ["type": "Sequence", "pretokenizers": .array(steps)],
      "post_processor": try beginOfText(tokens, kinds), "decoder": Self.byteLevel(),
      "model": [
        "type": "BPE", "ignore_merges": .boolean(ignoresMerges), "vocab": .object(words),
        "merges": .array(try strings("merges").map { .string($0) }),
      ],
    ]
  }

  private func preTokenizer() throws(Refusal) -> (steps: [JSONValue], ignoresMerges: Bool) {
    let name = file.values["tokenizer.ggml.pre"] == nil ? "default" : try string("pre")
    guard let pattern = Self.patterns.first(where: { $0.names.contains(name) }) else {
      let known = Self.patterns.flatMap(\.names).joined(separator: ", ")
      throw unsupported("tokenizer.ggml.pre \"\(name)\"", expected: "one of \(known)")
    }
    var steps = pattern.steps
    if file.values["tokenizer.ggml.add_space_prefix"] == .boolean(true) {
      for index in steps.indices {
        guard case .object(var step) = steps[index], step["type"] == "ByteLevel" else { continue }
        step["add_prefix_space"] = true
        steps[index] = .object(step)
      }
    }
    return (steps, pattern.ignoresMerges)
  }

  /// Whether a token is put before a text. By default, llama.cpp does so for SentencePiece and for
  /// the patterns of Llama 3 and Tekken.
  private func beginsTexts(unlessTold: Bool) throws(Refusal) -> Bool {
    try flag("add_bos_token") ?? unlessTold
  }

  /// The template that puts the token before a text.
  private func beginOfText(_ tokens: [String], _ kinds: [Int]) throws(Refusal) -> JSONValue {
    let begins = try preTokenizer().ignoresMerges
    guard try beginsTexts(unlessTold: begins), let id = try beginOfTextID(tokens.count),
      Kind(rawValue: kinds[id]) != .unused
    else { return .null }
    let token = JSONValue.string(tokens[id])
    let sequence: JSONValue = ["Sequence": ["id": "A", "type_id": 0]]
    let second: JSONValue = ["Sequence": ["id": "B", "type_id": 1]]
    let special: JSONValue = [
      "id": token, "ids": [.integer(Int64(id))], "tokens": [token],
    ]
    return [
      "type": "TemplateProcessing",
      "single": [["SpecialToken": ["id": token, "type_id": 0]], sequence],
      "pair": [sequence, second],
      "special_tokens": .object(JSONObject([(tokens[id], special)])),
    ]
  }

  /// The token that begins a text; nil if none is named.
  private func beginOfTextID(_ count: Int) throws(Refusal) -> Int? {
    guard case .integer(let number)? = file.values["tokenizer.ggml.bos_token_id"],
      let id = Int(exactly: number), 0..<count ~= id
    else { return nil }
    return id
  }

  /// A `tokenizer.model` that puts the token before a text, if the metadata ask for it.
  func beginningTexts(_ model: [UInt8], count: Int) throws(Refusal) -> [UInt8] {
    guard try beginsTexts(unlessTold: true), let id = try beginOfTextID(count) else { return model }
    return Tokenizers.sentencePiece(
      model, with: JSONObject([("begin_of_text", [.integer(Int64(id))])]))
  }

  func flag(_ key: String) throws(Refusal) -> Bool? {
    switch file.values["tokenizer.ggml.\(key)"] {
    case nil: return nil
    case .boolean(let flag): return flag
    default: throw invalid("another tokenizer.ggml.\(key)", expected: "true or false")
    }
  }

  private func addedToken(_ content: String, _ id: Int, isSpecial: Bool) -> JSONValue {
    [
      "id": .integer(Int64(id)), "content": .string(content), "special": .boolean(isSpecial),
      "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
    ]
  }

  // MARK: RWKV

  /// The lines of an RWKV vocabulary: each token as a literal of bytes.
  private func worldVocabulary() throws(Refusal) -> [UInt8] {
    let tokens = try strings("tokens")
    let kinds = try self.kinds(tokens.count)
    var lines: [UInt8] = []
    for (id, (token, kind)) in zip(tokens, kinds).enumerated()
    where kind == Kind.normal.rawValue {
      guard let bytes = RWKVToken.bytes(of: token), !bytes.isEmpty else {
        throw invalid("token \(id), \"\(token)\"", expected: "bytes, with escapes as in Python")
      }
      let literal = bytes.map { RWKVToken.escape($0) }.joined()
      lines += Array("\(id) b'\(literal)' \(bytes.count)\n".utf8)
    }
    return lines
  }

  // MARK: Values

  func string(_ key: String) throws(Refusal) -> String {
    guard case .string(let value)? = file.values["tokenizer.ggml.\(key)"] else {
      throw invalid("no text as tokenizer.ggml.\(key)", expected: "a string")
    }
    return value
  }

  func strings(_ key: String) throws(Refusal) -> [String] {
    guard case .array(let array)? = file.values["tokenizer.ggml.\(key)"],
      let strings = try file.strings(of: array)
    else { throw invalid("no texts as tokenizer.ggml.\(key)", expected: "an array of strings") }
    return strings
  }

  /// The kind of each token; all are normal if the file does not record kinds.
  func kinds(_ count: Int) throws(Refusal) -> [Int] {
    let key = "tokenizer.ggml.token_type"
    guard let value = file.values[key] else {
      return Array(repeating: Kind.normal.rawValue, count: count)
    }
    guard case .array(let array) = value, array.count == count,
      let kinds = try file.integers(of: array)
    else { throw invalid("another \(key)", expected: "\(count) integers, one for each token") }
    return kinds.map { Int($0) }
  }

  func invalid(_ found: String, expected: String) -> Refusal {
    Refusal(.tokenizerInvalid, file: file.path, found: found, expected: expected)
  }

  private func unsupported(_ found: String, expected: String) -> Refusal {
    Refusal(
      .tokenizerUnsupported, file: file.path, found: found, expected: expected,
      remedy: "Give the model's tokenizer.json with `tokenizer`.")
  }
}

/// The spelling of an RWKV token's bytes: visible ASCII represents itself, other bytes as in
/// Python.
enum RWKVToken {
  /// The spelling of a byte, inside single quotes too.
  static func escape(_ byte: UInt8) -> String {
    switch byte {
    case UInt8(ascii: "\t"): return "\\t"
    case UInt8(ascii: "\n"): return "\\n"
    case UInt8(ascii: "\r"): return "\\r"
    case UInt8(ascii: "\\"): return "\\\\"
    case UInt8(ascii: "'"): return "\\'"
    case 0x20...0x7E: return String(UnicodeScalar(byte))
    default:
      let digits = String(byte, radix: 16)
      return "\\x" + (digits.count == 1 ? "0" : "") + digits
    }
  }

  /// The bytes of a spelling; nil if an escape is none.
  static func bytes(of text: String) -> [UInt8]? {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "\\") else {
        bytes.append(byte)
        continue
      }
      switch rest.popFirst() {
      case UInt8(ascii: "t"): bytes.append(UInt8(ascii: "\t"))
      case UInt8(ascii: "n"): bytes.append(UInt8(ascii: "\n"))
      case UInt8(ascii: "r"): bytes.append(UInt8(ascii: "\r"))
      case UInt8(ascii: "x"):
        let digits = String(decoding: rest.prefix(2), as: UTF8.self)
        guard digits.utf8.count == 2, let value = UInt8(digits, radix: 16) else { return nil }
        bytes.append(value)
        rest = rest.dropFirst(2)
      case let other?: bytes.append(other)
      case nil: return nil
      }
    }
    return bytes
  }
}
