import SextantBytes
import SextantCheckpoints
import SextantTokenizers

/// The ids that end a text, as the files of a model name them.
///
/// The first file that names one decides, as in transformers: `generation_config.json`,
/// `config.json`; and if neither does, the token that `tokenizer_config.json` or
/// `special_tokens_map.json` names; and in presets of keras-hub the tokens that the tokenizer's class ends
/// texts with. A GGUF file decides alone. Where no file names one, the tokenizer's own file is asked (`Tokenizer.endOfTextID`).
struct EndOfText {
  /// The ids, the most usual first; empty if no file names one.
  private(set) var ids: [Int] = []
  /// Which named ids are not used, and why.
  private(set) var notes: [String] = []
  private let rowCount: Int
  /// The folder of the checkpoint.
  private let folder: String

  /// Looks for the ids.
  ///
  /// - Parameters:
  ///   - options: the paths of a configuration and a tokenizer outside the checkpoint's folder.
  ///     Files in their folders have priority over those in the checkpoint's folder.
  ///   - configuration: the model's configuration.
  ///   - tokenizer: the tokenizer that the model takes along.
  ///   - rowCount: rows of the embedding; ids are below.
  init(
    _ source: CheckpointSource, _ options: ConversionOptions, configuration: JSONNode?,
    tokenizer: (any Tokenizer)?, rowCount: Int
  ) {
    self.rowCount = rowCount
    folder = source.folder
    if let description = GGUFDescription(source.checkpoint) {
      let found = description.endOfText
      ids = valid(found.ids, in: "the file")
      notes += found.unusable.map { "not used: \($0), which is not an id or an array of ids" }
      return
    }
    read(
      sideFile("generation_config.json", beside: options.configuration), "generation_config.json")
    if ids.isEmpty { read(configuration, "config.json") }
    if ids.isEmpty { read(member("text_config", of: configuration), "config.json") }
    for name in ["tokenizer_config.json", "special_tokens_map.json"] where ids.isEmpty {
      guard let tokenizer,
        let token = SpecialTokenName(
          sideFile(name, beside: options.tokenizerPath), "eos_token")
      else { continue }
      guard let id = tokenizer.id(ofToken: token.text) else {
        notes.append(
          "not used: \"\(token.text)\", the end of a text in \(name), which is not a token")
        continue
      }
      ids = valid([Int64(id)], in: name)
    }
    if ids.isEmpty { readKerasHub(beside: options.tokenizerPath, tokenizer) }
  }

  /// Takes the ends of texts that a tokenizer's class in keras-hub has.
  private mutating func readKerasHub(beside path: String?, _ tokenizer: (any Tokenizer)?) {
    let folder = path.map { SideFile.folder(of: $0) } ?? "\(folder)/assets/tokenizer"
    guard let tokenizer, let keras = (try? KerasTokenizer(in: folder)) ?? nil else { return }
    let found = (keras.known?.ends ?? []).compactMap { tokenizer.id(ofToken: $0) }
    ids = valid(found.map { Int64($0) }, in: "the class of the tokenizer in keras-hub")
  }

  /// The content of the attachment; nil if there is none.
  var content: [UInt8]? {
    if ids.isEmpty { return nil }
    let object = JSONObject([("ids", .array(ids.map { .integer(Int64($0)) }))])
    return JSONValue.object(object).canonicalBytes
  }

  /// A file in the folder of another one that the user named, or else in the folder of the
  /// checkpoint; nil if there is none.
  private mutating func sideFile(_ name: String, beside path: String?) -> JSONNode? {
    do throws(Refusal) {
      if let path, let file = try SideFile.read(name, in: SideFile.folder(of: path)) { return file }
      return try SideFile.read(name, in: folder)
    } catch {
      notes.append("not used: \(name), which cannot be read (found: \(error.found))")
      return nil
    }
  }

  private func member(_ key: String, of node: JSONNode?) -> JSONNode? {
    (try? node?.optionalMember(key)) ?? nil
  }

  /// Reads `eos_token_id`, which is an id, a list of them, or null.
  private mutating func read(_ node: JSONNode?, _ name: String) {
    switch member("eos_token_id", of: node)?.value {
    case nil, .null?: return
    case .integer(let id)?: ids = valid([id], in: name)
    case .array(let elements)?:
      ids = valid(elements.map { if case .integer(let id) = $0 { id } else { -1 } }, in: name)
    default: notes.append("not used: eos_token_id of \(name), which is not an id")
    }
  }

  private mutating func valid(_ found: [Int64], in name: String) -> [Int] {
    var result: [Int] = []
    for id in found where !result.contains(Int(id)) {
      if 0..<Int64(rowCount) ~= id {
        result.append(Int(id))
      } else {
        notes.append(
          "not used: \(id), an end of a text in \(name), which is not an id from 0 to \(rowCount - 1)"
        )
      }
    }
    return result
  }
}

/// The name of a special token in `tokenizer_config.json` and its like: its text, or an object with it.
struct SpecialTokenName {
  /// The token's text.
  let text: String

  /// Reads the member of a file; nil if it is absent or something else.
  init?(_ node: JSONNode?, _ key: String) {
    guard let member = try? node?.optionalMember(key) else { return nil }
    self.init(member)
  }

  /// A token of that text.
  init(_ text: String) { self.text = text }

  /// Reads a name.
  init?(_ node: JSONNode) {
    if let text = try? node.string() {
      self.text = text
    } else if let text = try? node.member("content").string() {
      self.text = text
    } else {
      return nil
    }
  }
}

/// Small files in the folder of weights or a tokenizer.
enum SideFile {
  private static let byteCountLimit = 64 << 20

  /// Reads a JSON file of a folder; nil if there is none.
  ///
  /// - Throws: `file.*`, `json.*`.
  static func read(_ name: String, in folder: String) throws(Refusal) -> JSONNode? {
    let path = folder.isEmpty ? name : "\(folder)/\(name)"
    guard hasEntry(path) else { return nil }
    let bytes = try content(of: path, limit: byteCountLimit)
    let limits = JSONLimits(byteCount: byteCountLimit, stringByteCount: 4 << 20)
    return try JSONNode(
      parsing: bytes, limits: limits, code: .modelTokenizer, file: path, acceptsInfinity: true)
  }

  /// The bytes of a file beside the weights.
  ///
  /// - Throws: `file.*`: `file.html` for a page or a Git LFS pointer in the place of the file.
  static func content(of path: String, limit: Int) throws(Refusal) -> [UInt8] {
    let file = try InputFile(path)
    _ = try FileKind(of: file)
    return try file.readAll(limit: limit)
  }

  /// The folder that contains a file.
  static func folder(of path: String) -> String {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }
}
