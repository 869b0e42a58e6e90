import SextantBytes
import SextantTokenizers

/// What the files beside a `tokenizer.model` say of the tokenizer: `tokenizer_config.json`,
/// `added_tokens.json` and `special_tokens_map.json`.
///
/// Added tokens are those that transformers adds. `added_tokens_decoder` of `tokenizer_config.json` has
/// them with their flags, `added_tokens.json` their ids alone. The named special tokens (`bos_token` and its
/// like) that are pieces of the model count as added tokens too.
struct AddedTokenFiles {
  private let configuration: JSONNode?
  private let ids: JSONNode?
  private let special: JSONNode?
  /// The declarations, by their ids.
  private var tokens: [Int: JSONObject] = [:]
  private var texts: Set<ExactString> = []

  private static let names = [
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
  ]

  /// Reads the files of a folder.
  ///
  /// - Throws: `file.*`, `json.*`; `model.tokenizer` for members of another form.
  init(_ folder: String) throws(FormatError) {
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

  /// What is added to a `tokenizer.model` (`Tokenizers.sentencePiece`).
  ///
  /// - Throws: `model.tokenizer`.
  func additions(to model: any Tokenizer) throws(FormatError) -> JSONObject {
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
    if try configuration?.optionalMember("add_bos_token")?.boolean() == true,
      let name = SpecialTokenName(configuration, "bos_token")
        ?? SpecialTokenName(special, "bos_token")
    {
      let added = all.tokens.first { $0.value["content"] == .string(name.text) }?.key
      if let id = added ?? model.id(ofToken: name.text) {
        result["begin_of_text"] = [.integer(Int64(id))]
      }
    }
    return result
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

  private mutating func readDecoder() throws(FormatError) {
    guard let decoder = try configuration?.optionalMember("added_tokens_decoder") else { return }
    for (key, node) in try decoder.members() {
      guard let id = Int(key), id >= 0 else {
        throw node.refusal(found: "\"\(key)\"", expected: "the id of a token")
      }
      func flag(_ name: String) throws(FormatError) -> Bool {
        try node.optionalMember(name)?.boolean() ?? false
      }
      add(
        id, try node.member("content").string(), isSpecial: try flag("special"),
        singleWord: try flag("single_word"), stripsLeft: try flag("lstrip"),
        stripsRight: try flag("rstrip"))
    }
  }

  private mutating func readIDs() throws(FormatError) {
    guard let ids else { return }
    let special = Set(specialTexts.map { ExactString($0) })
    for (text, node) in try ids.members() where !texts.contains(ExactString(text)) {
      add(try node.integer(), text, isSpecial: special.contains(ExactString(text)))
    }
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
