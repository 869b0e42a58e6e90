import SextantBytes

/// SentencePiece's byte-pair encoding as a list of pieces with scores, independent of a file's
/// format: the common content of a `tokenizer.model` and the metadata of a GGUF file.
package struct ScoredPieces: Sendable {
  /// A token.
  package struct Piece: Sendable, Equatable {
    /// Its text, with "▁" for a space.
    package var text: String
    /// Its rank among merges: higher scores come first.
    package var score: Float
    /// Its purpose.
    package var kind: Kind

    /// A token.
    package init(_ text: String, score: Float, kind: Kind) {
      self.text = text
      self.score = score
      self.kind = kind
    }
  }

  /// The purpose of a piece, by the numbers of `tokenizer.model` and GGUF.
  package enum Kind: Int, Sendable {
    case normal = 1
    /// Stands for text without a piece.
    case unknown
    /// Steers a model and is never found in a text.
    case control
    /// Found in a text before anything is merged.
    case userDefined
    /// Fills a gap, or is merged and then taken apart again.
    case unused
    /// Stands for one byte.
    case byte
  }

  /// The tokens, by their ids.
  package var pieces: [Piece]
  /// Whether a space is put before a text.
  package var addsPrefix = true
  /// Whether spaces at both ends are removed, and runs of them joined.
  package var removesExtraSpaces = false
  /// SentencePiece's compiled map of characters; empty if texts stay as they are.
  package var characterMap: [UInt8] = []
  /// The token that begins a text, if one is named.
  package var beginID: Int?
  /// The token that ends a text, if one is named.
  package var endID: Int?
  /// The changes of texts that no member describes, for notes to users.
  package internal(set) var otherChanges: [String] = []

  /// Pieces, with the options that Llama has.
  package init(_ pieces: [Piece]) { self.pieces = pieces }

  /// The one piece for everything unknown, if there is one.
  package var unknownID: Int? { pieces.firstIndex { $0.kind == .unknown } }

  /// Whether characters without a piece become the pieces of their bytes.
  package var fallsBackToBytes: Bool { pieces.contains { $0.kind == .byte } }
}
