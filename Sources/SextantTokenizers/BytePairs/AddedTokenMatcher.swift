/// Finds added tokens in a text: the leftmost first, of several at one place the longest.
///
/// In odd cases the flags behave as in the `tokenizers` package. For example, a single-word token
/// that is rejected still hides shorter ones inside it.
struct AddedTokenMatcher: Sendable {
  /// A part of a text.
  enum Piece: Equatable {
    /// Text between tokens: a range of bytes, never empty.
    case text(Range<Int>)
    /// A token's id.
    case token(Int)
  }

  /// A token and the bytes by which it is looked for.
  struct Entry: Sendable {
    var token: AddedToken
    var spelling: [UInt8]
  }

  private var tokens: [AddedToken] = []
  private var matches = LongestMatches()

  /// No tokens.
  init() {}

  /// Finds these tokens; no spelling is empty or comes twice.
  init(_ entries: [Entry]) {
    tokens = entries.map(\.token)
    var bytes: [UInt8] = []
    var ranges: [Range<Int>] = []
    for entry in entries {
      ranges.append(bytes.count..<bytes.count + entry.spelling.count)
      bytes += entry.spelling
    }
    matches = LongestMatches(ranges, in: bytes)
  }

  /// Splits a text at the tokens in it.
  ///
  /// - Parameter literal: ranges of bytes in which special tokens are text.
  func pieces(of bytes: [UInt8], literally literal: [Range<Int>] = []) -> [Piece] {
    var steps = 0
    return pieces(of: bytes, literally: literal, steps: &steps)
  }

  /// The same, and adds the bytes that were looked at to `steps`.
  func pieces(
    of bytes: [UInt8], literally literal: [Range<Int>] = [], steps: inout Int
  ) -> [Piece] {
    if tokens.isEmpty { return bytes.isEmpty ? [] : [.text(bytes.indices)] }
    var reader = LongestMatches.Reader(matches, bytes)
    defer { steps += reader.steps }
    var pieces: [Piece] = []
    var textStart = 0
    var searchStart = 0
    // The end of the last white space that was removed to the right. Matches inside it are not
    // searched again, so that the search stays linear.
    var spaceEnd = 0
    while searchStart < bytes.count {
      guard let match = reader.match(at: searchStart) else {
        searchStart += 1
        continue
      }
      var start = searchStart
      var end = match.end
      let token = tokens[match.place]
      if token.special && literal.contains(where: { $0.overlaps(start..<end) }) {
        // Shorter tokens inside it may be none of the special ones.
        searchStart += 1
        continue
      }
      searchStart = end
      if token.singleWord && touchesWord(start..<end, in: bytes) { continue }
      if token.stripsLeft {
        start = max(start, textStart)
        while start > textStart, case let scalar = bytes.scalar(before: start),
          ScalarClass.of(scalar.value).isSpace
        {
          start -= scalar.byteCount
          steps += 1
        }
      }
      if token.stripsRight {
        end = max(end, spaceEnd)
        while end < bytes.count, case let scalar = bytes.scalar(at: end),
          ScalarClass.of(scalar.value).isSpace
        {
          end += scalar.byteCount
          steps += 1
        }
        spaceEnd = end
      }
      // Nothing is left of a token whose white space the one before has swallowed.
      guard start < end else { continue }
      if textStart < start { pieces.append(.text(textStart..<start)) }
      pieces.append(.token(token.id))
      textStart = end
    }
    if textStart < bytes.count { pieces.append(.text(textStart..<bytes.count)) }
    return pieces
  }

  private func touchesWord(_ range: Range<Int>, in bytes: [UInt8]) -> Bool {
    let start = range.lowerBound
    let end = range.upperBound
    return start > 0 && ScalarClass.isWord(bytes.scalar(before: start).value)
      || end < bytes.count && ScalarClass.isWord(bytes.scalar(at: end).value)
  }
}
