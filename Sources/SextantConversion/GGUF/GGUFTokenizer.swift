import SextantBytes
import SextantCheckpoints

/// The tokenizer in a GGUF file's metadata, as the `tokenizer.json` that it was made from.
///
/// The format names the pattern that splits a text into words (`tokenizer.ggml.pre`) and does not
/// spell it; names whose pattern is not certain refuse. Normalizers and the flags of added tokens
/// beyond their kind are lost in the format.
struct GGUFTokenizer {
  private let file: GGUFFile

  init(_ file: GGUFFile) {
    self.file = file
  }

  /// Patterns that are GPT-2's, and those that cut out single digits before it.
  private static let plainNames = ["gpt-2", "phi-2", "mpt", "olmo"]
  private static let digitNames = ["smollm", "starcoder", "refact", "command-r", "codeshell"]

  /// Kinds of tokens, by the format's numbers: a word or part of one, one that takes no part in
  /// merging and stands for itself, one that controls, and one that only fills a gap.
  private enum Kind: Int64 {
    case normal = 1
    case unknown = 2
    case control = 3
    case userDefined = 4
    case unused = 5
  }

  /// The root object.
  ///
  /// - Throws: `tokenizer.unsupported`, `tokenizer.invalid`.
  func json() throws(FormatError) -> JSONValue {
    let model = try string("model")
    guard model == "gpt2" else {
      throw unsupported("tokenizer.ggml.model \"\(model)\"", expected: "\"gpt2\"")
    }
    let steps = try preTokenizer()
    let tokens = try strings("tokens")
    let kinds = try self.kinds(tokens.count)
    var vocabulary: [(String, JSONValue)] = []
    var added: [JSONValue] = []
    for (id, (token, number)) in zip(tokens, kinds).enumerated() {
      switch Kind(rawValue: number) {
      case .normal: vocabulary.append((token, .integer(Int64(id))))
      case .unknown, .control: added.append(addedToken(token, id, isSpecial: true))
      case .userDefined: added.append(addedToken(token, id, isSpecial: false))
      case .unused: break
      case nil: throw invalid("token \(id) of type \(number)", expected: "a type from 1 to 5")
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
      "post_processor": nil, "decoder": Self.byteLevel(prefixSpace: false),
      "model": [
        "type": "BPE", "vocab": .object(words),
        "merges": .array(try strings("merges").map { .string($0) }),
      ],
    ]
  }

  private func preTokenizer() throws(FormatError) -> [JSONValue] {
    let name = file.values["tokenizer.ggml.pre"] == nil ? "default" : try string("pre")
    let addsSpace = file.values["tokenizer.ggml.add_space_prefix"] == .boolean(true)
    let last = Self.byteLevel(prefixSpace: addsSpace)
    if Self.plainNames.contains(name) { return [last] }
    if Self.digitNames.contains(name) {
      return [["type": "Digits", "individual_digits": true], last]
    }
    throw unsupported(
      "tokenizer.ggml.pre \"\(name)\"",
      expected: "one of \((Self.plainNames + Self.digitNames).joined(separator: ", "))")
  }

  private static func byteLevel(prefixSpace: Bool) -> JSONValue {
    [
      "type": "ByteLevel", "add_prefix_space": .boolean(prefixSpace), "trim_offsets": true,
      "use_regex": true,
    ]
  }

  private func addedToken(_ content: String, _ id: Int, isSpecial: Bool) -> JSONValue {
    [
      "id": .integer(Int64(id)), "content": .string(content), "special": .boolean(isSpecial),
      "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
    ]
  }

  // MARK: Values

  private func string(_ key: String) throws(FormatError) -> String {
    guard case .string(let value)? = file.values["tokenizer.ggml.\(key)"] else {
      throw invalid("no text as tokenizer.ggml.\(key)", expected: "a string")
    }
    return value
  }

  private func strings(_ key: String) throws(FormatError) -> [String] {
    guard case .array(let array)? = file.values["tokenizer.ggml.\(key)"],
      let strings = try file.strings(of: array)
    else { throw invalid("no texts as tokenizer.ggml.\(key)", expected: "an array of strings") }
    return strings
  }

  /// The kind of each token; all are normal where the file does not say.
  private func kinds(_ count: Int) throws(FormatError) -> [Int64] {
    let key = "tokenizer.ggml.token_type"
    guard let value = file.values[key] else {
      return Array(repeating: Kind.normal.rawValue, count: count)
    }
    guard case .array(let array) = value, array.count == count,
      let kinds = try file.integers(of: array)
    else { throw invalid("another \(key)", expected: "\(count) integers, one for each token") }
    return kinds
  }

  private func invalid(_ found: String, expected: String) -> FormatError {
    FormatError(.tokenizerInvalid, file: file.path, found: found, expected: expected)
  }

  private func unsupported(_ found: String, expected: String) -> FormatError {
    FormatError(
      .tokenizerUnsupported, file: file.path, found: found, expected: expected,
      remedy: "Give the model's tokenizer.json with --tokenizer.")
  }
}
