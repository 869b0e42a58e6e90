import SextantBytes
import SextantCheckpoints
import SextantTokenizers

/// SentencePiece's byte-pair encoding in a GGUF file, which has its pieces, scores and options under
/// `tokenizer.ggml.model` `llama`: as a `tokenizer.model` that gives the same ids.
extension GGUFTokenizer {
  /// The bytes of the `tokenizer.model`.
  ///
  /// - Throws: `tokenizer.invalid`, `tokenizer.unsupported`.
  func sentencePieceModel() throws(Refusal) -> [UInt8] {
    let pieces = try scoredPieces()
    let model = try beginningTexts(pieces.model, count: pieces.pieces.count)
    do throws(Refusal) {
      _ = try Tokenizers.load(bytes: model, file: file.path)
    } catch {
      // An offset would refer to bytes that do not exist.
      var refusal = error
      refusal.place = nil
      throw refusal
    }
    return model
  }

  private func scoredPieces() throws(Refusal) -> ScoredPieces {
    let texts = try strings("tokens")
    guard file.values["tokenizer.ggml.token_type"] != nil else {
      throw invalid("no tokenizer.ggml.token_type", expected: "one integer for each token")
    }
    let kinds = try kinds(texts.count)
    let scores = try scores(texts.count)
    var pieces: [ScoredPieces.Piece] = []
    pieces.reserveCapacity(texts.count)
    for (id, text) in texts.enumerated() {
      guard let kind = Kind(rawValue: kinds[id]) else {
        throw invalid("token \(id) of type \(kinds[id])", expected: "a type from 1 to 6")
      }
      // Tokens that are looked for in the text itself have its spaces.
      let text = kind == .userDefined ? Self.marked(text) : text
      pieces.append(ScoredPieces.Piece(text, score: Float(scores[id]), kind: kind))
    }
    var result = ScoredPieces(pieces)
    if let unknown = try id("unknown_token_id", of: result) {
      // Some converters give the type to tokens that only fill the rows of the embedding.
      for id in pieces.indices where pieces[id].kind == .unknown {
        result.pieces[id].kind = .unused
      }
      result.pieces[unknown].kind = .unknown
    }
    // The last token is followed by those that fill the rows of the embedding.
    while result.pieces.last?.kind == .unused { result.pieces.removeLast() }
    result.beginID = try control("bos_token_id", of: result)
    result.endID = try control("eos_token_id", of: result)
    result.addsPrefix = try flag("add_space_prefix") ?? true
    result.removesExtraSpaces = try flag("remove_extra_whitespaces") ?? false
    if case .array(let array)? = file.values["tokenizer.ggml.precompiled_charsmap"] {
      guard let map = try file.bytes(of: array) else {
        throw invalid("another tokenizer.ggml.precompiled_charsmap", expected: "an array of bytes")
      }
      result.characterMap = map
    }
    return result
  }

  private static func marked(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.map { $0 == " " ? "\u{2581}" : $0 }))
  }

  private func scores(_ count: Int) throws(Refusal) -> [Double] {
    let key = "tokenizer.ggml.scores"
    guard case .array(let array)? = file.values[key], array.count == count,
      let scores = try file.numbers(of: array), scores.allSatisfy(\.isFinite)
    else {
      throw invalid("no \(key), or another value", expected: "\(count) finite numbers of 32 bits")
    }
    return scores
  }

  /// The token that a key names; nil if the key is absent.
  private func id(_ key: String, of pieces: ScoredPieces) throws(Refusal) -> Int? {
    guard let value = file.values["tokenizer.ggml.\(key)"] else { return nil }
    guard case .integer(let number) = value, let id = Int(exactly: number),
      pieces.pieces.indices.contains(id)
    else {
      throw invalid("tokenizer.ggml.\(key) \(value)", expected: "the id of a token")
    }
    return id
  }

  /// The same, but only for a control token, so that no text can encode to a token that begins or
  /// ends a text.
  private func control(_ key: String, of pieces: ScoredPieces) throws(Refusal) -> Int? {
    try id(key, of: pieces).flatMap { pieces.pieces[$0].kind == .control ? $0 : nil }
  }
}
