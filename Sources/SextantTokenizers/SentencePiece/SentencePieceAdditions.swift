import SextantBytes

/// The tokenizer's data in the files next to a `tokenizer.model`, for which that file has no field:
/// added tokens, and the tokens that begin a text.
///
/// They are kept in a field of the file that Sextant defines. Numbers from 200 on are free for that, and
/// other readers pass over them.
package struct SentencePieceAdditions: Sendable {
  /// The number of the field.
  static let field = 21_336

  /// The added tokens.
  var tokens: [AddedToken] = []
  /// The ids that are put before a whole text.
  var beginOfTextIDs: [Int] = []
  /// Whether each part between added tokens is a text of its own, with a space before it. Otherwise
  /// only the first part gets one.
  var separatesParts = false

  private static let idLimit = 1 << 30

  /// Nothing is added.
  init() {}

  /// Reads the field's JSON.
  ///
  /// - Throws: `tokenizer.invalid`, `tokenizer.unsupported`, `json.*`.
  init(_ file: SentencePieceFile) throws(Refusal) {
    if file.additions.isEmpty { return }
    let node = try JSONNode(
      parsing: Array(file.bytes[file.additions]),
      limits: JSONLimits(byteCount: Tokenizers.byteCountLimit, depth: 8), code: .tokenizerInvalid,
      file: file.path)
    try node.supportOnly(["added_tokens", "begin_of_text", "legacy"])
    let nodes = try node.optionalMember("added_tokens")?.elements() ?? []
    tokens = try AddedToken.read(nodes)
    for id in try node.optionalMember("begin_of_text")?.elements() ?? [] {
      beginOfTextIDs.append(try id.integer())
    }
    separatesParts = try node.optionalMember("legacy")?.boolean() ?? false
    try check(nodes, file)
  }

  /// Each id belongs to one text. A text occurs once, and may be that of the file's own piece.
  private func check(_ nodes: [JSONNode], _ file: SentencePieceFile) throws(Refusal) {
    let limit = Vocabulary.idLimit(count: file.pieces.count + tokens.count)
    let places = try file.places()
    var texts: [Int: ExactString] = [:]
    var contents: Set<ExactString> = []
    for (token, node) in zip(tokens, nodes) {
      let text = ExactString(token.content)
      guard 0..<limit ~= token.id, !token.content.isEmpty, contents.insert(text).inserted else {
        throw node.refusal(
          found: "\"\(token.content)\" with id \(token.id)",
          expected: "each text once, with an id below \(limit)")
      }
      let own = file.pieces.indices.contains(token.id) ? file.text(file.pieces[token.id]) : nil
      let other = texts.updateValue(text, forKey: token.id) ?? own.map { ExactString($0) }
      guard other ?? text == text, places[text] ?? token.id == token.id else {
        throw node.refusal(
          found: "\"\(token.content)\" with id \(token.id), which contradicts another token",
          expected: "one id for each token")
      }
    }
    for id in beginOfTextIDs where !file.pieces.indices.contains(id) && texts[id] == nil {
      throw Refusal(
        .tokenizerInvalid, file: file.path, found: "id \(id) before a text",
        expected: "the ids of tokens")
    }
  }
}

extension Tokenizers {
  /// A `tokenizer.model` with the additions from other files.
  ///
  /// - Parameters:
  ///   - model: the file's bytes, without additions.
  ///   - additions: an object with some of `added_tokens` (as a `tokenizer.json` declares them),
  ///     `begin_of_text` (ids) and `legacy` (whether each part between added tokens gets a space
  ///     before it). An empty one changes nothing.
  package static func sentencePiece(_ model: [UInt8], with additions: JSONObject) -> [UInt8] {
    guard !additions.members.isEmpty else { return model }
    var writer = ProtobufWriter()
    writer.add(SentencePieceAdditions.field, JSONValue.object(additions).canonicalBytes)
    return model + writer.bytes
  }

  /// Whether the file of a tokenizer is a `tokenizer.model`.
  package static func isSentencePieceModel(_ bytes: [UInt8]) -> Bool {
    guard let source = try? TokenizerSource(bytes: bytes, file: nil), source.json == nil else {
      return false
    }
    return !RWKVWorld.recognizes(source) && SentencePieceModel.recognizes(source)
  }

  /// A `tokenizer.model` as it came in, and the additions that it got here.
  ///
  /// - Throws: `tokenizer.*`, `json.*` for a file that does not read.
  package static func partsOfSentencePiece(
    _ bytes: [UInt8]
  ) throws(Refusal) -> (model: [UInt8], additions: JSONObject) {
    let file = try SentencePieceFile(TokenizerSource(bytes: bytes, file: nil))
    guard !file.additions.isEmpty else { return (bytes, JSONObject()) }
    let text = Array(bytes[file.additions])
    let object = try JSONNode(
      parsing: text, limits: JSONLimits(byteCount: byteCountLimit, depth: 8),
      code: .tokenizerInvalid, file: nil
    ).object()
    var writer = ProtobufWriter()
    writer.add(SentencePieceAdditions.field, text)
    let start = file.additions.upperBound - writer.bytes.count
    return (Array(bytes[..<start] + bytes[file.additions.upperBound...]), object)
  }
}
