/// The added tokens of a tokenizer, and the normalizer, after which the text is searched again.
struct AddedTokens: Sendable {
  /// The tokens, as the file declares them.
  let tokens: [AddedToken]
  /// The normalisation of the text between them.
  let normalizer: TextNormalizer
  /// Finds tokens in the text as it is.
  private let raw: AddedTokenMatcher
  /// Finds tokens in normalised text.
  private let normalized: AddedTokenMatcher

  /// Tokens with their spellings, of which those in the text as it is, and those in normalised text, each
  /// come once.
  init(_ entries: [AddedTokenMatcher.Entry], normalizer: TextNormalizer) {
    tokens = entries.map(\.token)
    self.normalizer = normalizer
    raw = AddedTokenMatcher(entries.filter { !$0.token.normalized })
    normalized = AddedTokenMatcher(entries.filter(\.token.normalized))
  }

  /// The ids of the special ones.
  var specialTokenIDs: Set<Int> { Set(tokens.filter(\.special).map(\.id)) }

  /// The id of the special token that ends a text, found by its name.
  var endOfTextID: Int? {
    Self.endOfTextNames.lazy.compactMap { name in
      tokens.first { $0.special && $0.content.utf8.elementsEqual(name.utf8) }?.id
    }.first
  }

  /// The names under which special tokens end a text, the most telling first.
  private static let endOfTextNames = [
    "<|endoftext|>", "<|end_of_text|>", "<|end▁of▁sentence|>", "</s>", "<eos>", "[EOS]",
  ]

  /// A part of a text.
  enum Piece {
    /// A token's id.
    case token(Int)
    /// Normalised text between tokens: a range of `bytes`, never empty; and whether it is the start
    /// of the whole text.
    case text(bytes: [UInt8], range: Range<Int>, isStart: Bool)
  }

  /// Calls `body` with each part of a text, in order.
  ///
  /// - Parameter literal: ranges of bytes in which special tokens are text.
  func forEachPiece(
    of text: String, literally literal: [Range<Int>] = [], _ body: (Piece) -> Void
  ) {
    let bytes = Array(text.utf8)
    for piece in raw.pieces(of: bytes, literally: literal) {
      switch piece {
      case .token(let id): body(.token(id))
      case .text(let range):
        let part = range.count == bytes.count ? bytes : Array(bytes[range])
        let normal = normalizer.normalize(part) ?? part
        let inner = literal.filter { $0.overlaps(range) }.map {
          // Where normalisation moves bytes, the whole part counts as text.
          normal == part
            ? $0.clamped(to: range).shifted(by: -range.lowerBound) : normal.indices
        }
        for piece in normalized.pieces(of: normal, literally: inner) {
          switch piece {
          case .token(let id): body(.token(id))
          case .text(let inner):
            let isStart = range.lowerBound == 0 && inner.lowerBound == 0
            body(.text(bytes: normal, range: inner, isStart: isStart))
          }
        }
      }
    }
  }
}

extension Range<Int> {
  fileprivate func shifted(by distance: Int) -> Range<Int> {
    lowerBound + distance..<upperBound + distance
  }
}

/// A token that is found in a text before anything is split or merged.
struct AddedToken: Sendable, Equatable {
  var id: Int
  var content: String
  /// Whether it is a control token without text.
  var special = false
  /// Whether it counts only if no word character touches it.
  var singleWord = false
  /// Whether it swallows the white space before it.
  var stripsLeft = false
  /// Whether it swallows the white space after it.
  var stripsRight = false
  /// Whether it is looked for in the normalised text rather than in the original.
  var normalized = false
}
