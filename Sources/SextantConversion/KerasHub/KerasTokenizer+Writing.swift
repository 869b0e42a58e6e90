import SextantBytes
import SextantTokenizers

/// The files of a tokenizer in a preset of keras-hub.
struct KerasTokenizerFiles {
  /// The class.
  let known: KerasTokenizer.Class
  /// The files, by their paths in the preset.
  private(set) var files: [(name: String, bytes: [UInt8])] = []
  /// Notes for the user.
  private(set) var notes: [String] = []

  /// Writes a tokenizer for models of a class.
  ///
  /// - Parameters:
  ///   - bytes: the tokenizer's file, as models take it along.
  ///   - backbones: the classes that may describe the model.
  /// - Returns: nil if keras-hub has no tokenizer of this kind for them, with the reason in `notes`.
  static func files(
    of bytes: [UInt8], for backbones: [String], _ notes: inout [String]
  ) throws(Refusal) -> KerasTokenizerFiles? {
    let tokenizer = try Tokenizers.load(bytes: bytes)
    let form: KerasTokenizer.Form
    var json: JSONNode?
    if Tokenizers.isSentencePieceModel(bytes) {
      form = .sentencePiece
    } else if bytes.first == UInt8(ascii: "{") {
      let limits = JSONLimits(
        byteCount: Tokenizers.byteCountLimit, depth: 32, stringByteCount: 4 << 20)
      let root = try JSONNode(parsing: bytes, limits: limits, code: .tokenizerInvalid, file: nil)
      guard try isByteLevel(root) else {
        notes.append("without a tokenizer: keras-hub has no file format for the model's")
        return nil
      }
      json = root
      form = .bytePairs
    } else {
      form = .world
    }
    let fitting = KerasTokenizer.classes.filter { row in
      backbones.contains(row.backbone) && row.form == form
    }
    guard let row = fitting.first else {
      notes.append(
        "without a tokenizer: keras-hub has no tokenizer of the model's kind for "
          + (backbones.first ?? ""))
      return nil
    }
    let needed = [row.start].compactMap { $0 } + row.ends + row.others
    if let missing = needed.first(where: { tokenizer.id(ofToken: $0) == nil }) {
      notes.append(
        "without a tokenizer: \(row.name) of keras-hub needs the token \(missing), which the model's does "
          + "not have")
      return nil
    }
    var result = KerasTokenizerFiles(known: row)
    try result.write(bytes, json)
    notes += result.notes
    return result
  }

  private init(known: KerasTokenizer.Class) { self.known = known }

  /// Whether a `tokenizer.json` is one of byte pairs over bytes.
  private static func isByteLevel(_ root: JSONNode) throws(Refusal) -> Bool {
    guard let decoder = try root.optionalMember("decoder"),
      let model = try root.optionalMember("model")
    else { return false }
    let types = (try decoder.object()["type"], try model.object()["type"])
    return types == ("ByteLevel", "BPE")
  }

  private mutating func write(_ bytes: [UInt8], _ json: JSONNode?) throws(Refusal) {
    let folder = "assets/tokenizer"
    var members: [(String, JSONValue)] = []
    switch known.form {
    case .sentencePiece:
      let (model, additions) = try Tokenizers.partsOfSentencePiece(bytes)
      files.append(("\(folder)/\(KerasTokenizer.modelName)", model))
      if case .array(let tokens)? = additions["added_tokens"], !tokens.isEmpty {
        notes.append(
          "added tokens are not written: keras-hub has only those of the SentencePiece model")
      }
      members = [("add_bos", false), ("add_eos", false)]
    case .bytePairs:
      if let json { members = try writeBytePairs(json, folder) }
    case .world:
      files.append(("\(folder)/vocabulary.txt", bytes))
    }
    if known.hasVisionSwitch { members.append(("has_vision_tokens", false)) }
    let module = "keras_hub.src.models.\(known.module)"
    let description = JSONObject([
      ("module", .string(module)), ("class_name", .string(known.name)),
      ("config", .object(JSONObject(members))),
      ("registered_name", .string("keras_hub>\(known.name)")),
    ])
    files.append(("tokenizer.json", JSONValue.object(description).canonicalBytes))
  }

  /// The vocabulary with the added tokens, and the merges.
  private mutating func writeBytePairs(
    _ json: JSONNode, _ folder: String
  ) throws(Refusal) -> [(String, JSONValue)] {
    let model = try json.member("model")
    var words = try model.member("vocab").object()
    var special: [JSONValue] = []
    for token in try json.optionalMember("added_tokens")?.elements() ?? [] {
      let content = try token.member("content").string()
      words[content] = .integer(Int64(try token.member("id").integer()))
      special.append(.string(content))
    }
    var lines = ""
    for merge in try model.member("merges").elements() {
      switch merge.value {
      case .array(let pair):
        let texts = pair.map { if case .string(let text) = $0 { text } else { "" } }
        lines += texts.joined(separator: " ") + "\n"
      default: lines += try merge.string() + "\n"
      }
    }
    files.append(
      ("\(folder)/\(KerasTokenizer.vocabularyName)", JSONValue.object(words).canonicalBytes))
    files.append(("\(folder)/\(KerasTokenizer.mergesName)", Array(lines.utf8)))
    if try json.optionalMember("normalizer") != nil {
      notes.append("the tokenizer's normalizer is not written: keras-hub has none")
    }
    notes.append(
      "keras-hub splits texts by a rule of its own before it joins byte pairs, so that some texts may get "
        + "other tokens")
    return [("add_prefix_space", false), ("unsplittable_tokens", .array(special))]
  }
}
