import SextantBytes
import SextantTokenizers

/// SentencePiece's byte-pair encoding as llama.cpp's `llama`.
extension GGUFTokenizerMetadata {
  /// - Parameters:
  ///   - begins: the token that the tokenizer's rule puts before a text.
  ///   - end: the token that ends a text.
  ///   - size: rows of the embedding.
  /// - Throws: `export.inexpressible` without tokens for bytes: llama.cpp ends at a character that
  ///   has no token.
  mutating func add(
    _ pieces: ScoredPieces, begins: Int?, end: Int?, _ size: Int
  ) throws(Refusal) {
    guard pieces.fallsBackToBytes else {
      throw Self.inexpressible("a tokenizer of characters, without tokens for bytes")
    }
    set("model", .string("llama"))
    set("pre", .string("default"))
    let fillers = pieces.pieces.count..<max(size, pieces.pieces.count)
    let all =
      pieces.pieces + fillers.map { ScoredPieces.Piece("[PAD\($0)]", score: 0, kind: .unused) }
    setTokens(
      all.map { $0.kind == .userDefined ? Self.unmarked($0.text) : $0.text },
      all.map(\.kind))
    set("scores", .float32s(all.map(\.score)))
    let begins = begins ?? pieces.beginID
    let ids = [
      ("unknown_token_id", pieces.unknownID), ("bos_token_id", begins),
      ("eos_token_id", end),
    ]
    for case (let key, let id?) in ids { set(key, .uint32(UInt32(id))) }
    // Models whose file has such a token were trained with it, and the file has no word on it.
    set("add_bos_token", .boolean(begins != nil))
    set("add_eos_token", .boolean(false))
    set("add_space_prefix", .boolean(pieces.addsPrefix))
    set("remove_extra_whitespaces", .boolean(pieces.removesExtraSpaces))
    if !pieces.characterMap.isEmpty { set("precompiled_charsmap", .bytes(pieces.characterMap)) }

    var changes = pieces.otherChanges
    if pieces.removesExtraSpaces { changes.append("joins spaces and drops those at the ends") }
    if !pieces.characterMap.isEmpty { changes.append("replaces characters by a map of its own") }
    if !changes.isEmpty {
      note("unlike llama.cpp, the model's tokenizer " + changes.joined(separator: ", "))
    }
  }

  /// Tokens that are looked for in the text itself have its spaces.
  private static func unmarked(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.map { $0 == "\u{2581}" ? " " : $0 }))
  }
}
