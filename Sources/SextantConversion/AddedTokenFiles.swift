import SextantBytes
import SextantTokenizers

/// The tokenizer's data in the files next to a `tokenizer.model`: `tokenizer_config.json`,
/// `added_tokens.json` and `special_tokens_map.json`.
///
/// Added tokens are those that transformers adds. `added_tokens_decoder` of `tokenizer_config.json`
/// has them with their flags, `added_tokens.json` their ids alone. The named special tokens
/// (`bos_token` and others) that are pieces of the model count as added tokens too.
struct AddedTokenFiles {
  private let configuration: JSONNode?
  private let ids: JSONNode?
  private let special: JSONNode?
  /// The declarations, by their ids.
  private var tokens: [Int: JSONObject] = [:]
  private var texts: Set<ExactString> = []
  /// Notes on the files for the user.
  private(set) var notes: [String] = []

  private static let names = [
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
  ]

  /// Reads the files of a folder.
  ///
  /// - Throws: `file.*`, `json.*`; `model.tokenizer` for members of another form.
  init(_ folder: String) throws(Refusal) {
    configuration = try SideFile.read("tokenizer_config.json", in: folder)
    ids = try SideFile.read("added_tokens.json", in: folder)
    special = try SideFile.read("special_tokens_map.json", in: folder)
    try readDecoder()
    try readIDs()
  }

  /// The texts of the declared tokens.
  var contents: [String] {
    tokens.sorted { $0.key < $1.key }.compactMap {
      if case .string(let text)? = $0.value["content"] { text } else { nil }
    }
  }

  /// The additions to a `tokenizer.model` (`Tokenizers.sentencePiece`).
  ///
  /// - Throws: `model.tokenizer`.
  func additions(to model: any Tokenizer) throws(Refusal) -> JSONObject {
    var all = self
    for name in specialTexts {
      if let id = model.id(ofToken: name) { all.add(id, name, isSpecial: true) }
    }
    var result = JSONObject()
    if !all.tokens.isEmpty {
      result["added_tokens"] = .array(
        all.tokens.sorted { $0.key < $1.key }.map { .object($0.value) })
      if try configuration?.optionalMember("legacy")?.boolean() == true { result["legacy"] = true }
    }
    if try beginsTexts, let name = try beginningName {
      let added = all.tokens.first { $0.value["content"] == .string(name.text) }?.key
      if let id = added ?? model.id(ofToken: name.text) {
        result["begin_of_text"] = [.integer(Int64(id))]
      }
    }
    return result
  }

  /// Whether a token is put before a text. By default, transformers 5.24 does so for one class.
  private var beginsTexts: Bool {
    get throws(Refusal) {
      let named = try configuration?.optionalMember("add_bos_token")?.boolean()
      return named ?? ["CodeLlamaTokenizer", "CodeLlamaTokenizerFast"].contains(tokenizerClass)
    }
  }

  /// The name of the token that is put before a text: `<s>` if no file names one. null names none.
  private var beginningName: SpecialTokenName? {
    get throws(Refusal) {
      let key = "bos_token"
      if let name = SpecialTokenName(configuration, key) ?? SpecialTokenName(special, key) {
        return name
      }
      return try configuration?.object()[key] == nil ? SpecialTokenName("<s>") : nil
    }
  }

  /// The note that texts begin without a token because no file requires one: versions of
  /// transformers differ on it.
  var notesOnBeginning: [String] {
    guard let name = tokenizerClass, ["LlamaTokenizer", "LlamaTokenizerFast"].contains(name),
      (try? configuration?.optionalMember("add_bos_token")) == nil
    else { return [] }
    return [
      "no token is put before a text: tokenizer_config.json has no add_bos_token. transformers 5 does the "
        + "same, and transformers 4 puts <s> there; \"add_bos_token\": true asks for it"
    ]
  }

  private var tokenizerClass: String? {
    try? configuration?.optionalMember("tokenizer_class")?.string()
  }

  /// The texts of the tokens that are named as special.
  private var specialTexts: [String] {
    var texts: [String] = []
    for node in [configuration, special] {
      texts += Self.names.compactMap { SpecialTokenName(node, $0)?.text }
      for key in ["additional_special_tokens", "extra_special_tokens"] {
        let list = (try? node?.optionalMember(key)?.elements()) ?? nil
        texts += (list ?? []).compactMap { SpecialTokenName($0)?.text }
      }
    }
    return texts
  }

  private mutating func readDecoder() throws(Refusal) {
    guard let decoder = try configuration?.optionalMember("added_tokens_decoder") else { return }
    let members = try decoder.members().map { key, node throws(Refusal) in
      guard let id = Int(key), id >= 0 else {
        throw node.refusal(found: "\"\(key)\"", expected: "the id of a token")
      }
      return (id, try node.member("content").string(), node)
    }
    for (id, text, node) in lastOfEachID(members, "added_tokens_decoder") {
      func flag(_ name: String) throws(Refusal) -> Bool {
        try node.optionalMember(name)?.boolean() ?? false
      }
      add(
        id, text, isSpecial: try flag("special"),
        singleWord: try flag("single_word"), stripsLeft: try flag("lstrip"),
        stripsRight: try flag("rstrip"))
    }
  }

  private mutating func readIDs() throws(Refusal) {
    guard let ids else { return }
    let special = Set(specialTexts.map { ExactString($0) })
    let members = try ids.members().map { text, node throws(Refusal) in
      (try node.integer(), text, node)
    }
    for (id, text, _) in lastOfEachID(members, "added_tokens.json") {
      add(id, text, isSpecial: special.contains(ExactString(text)))
    }
  }

  /// The tokens without those whose id another one has further on in the file: transformers takes the last.
  private mutating func lastOfEachID(
    _ members: [(id: Int, text: String, node: JSONNode)], _ file: String
  ) -> [(id: Int, text: String, node: JSONNode)] {
    let last = Dictionary(
      members.enumerated().map { ($1.id, $0) }, uniquingKeysWith: { max($0, $1) })
    for (place, member) in members.enumerated() where last[member.id] != place {
      notes.append(
        "not used: the token \(member.text) of \(file), because a later one has its id, \(member.id)"
      )
    }
    return members.enumerated().filter { last[$1.id] == $0 }.map(\.element)
  }

  /// Adds a declaration, unless there is one with its id or its text.
  private mutating func add(
    _ id: Int, _ text: String, isSpecial: Bool, singleWord: Bool = false, stripsLeft: Bool = false,
    stripsRight: Bool = false
  ) {
    guard !text.isEmpty, tokens[id] == nil, texts.insert(ExactString(text)).inserted else { return }
    // Tokens are looked for in the unchanged text; `normalized` has no effect.
    tokens[id] = JSONObject([
      ("id", .integer(Int64(id))), ("content", .string(text)), ("special", .boolean(isSpecial)),
      ("single_word", .boolean(singleWord)), ("lstrip", .boolean(stripsLeft)),
      ("rstrip", .boolean(stripsRight)), ("normalized", false),
    ])
  }
}
