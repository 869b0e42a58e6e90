/// Finds added tokens in a text: the leftmost first, of several at one place the longest.
///
/// What the flags do in odd cases is what the `tokenizers` package does. For example, a
/// single-word token that is rejected still hides shorter ones inside it.
struct AddedTokenMatcher: Sendable {
  /// A part of a text.
  enum Piece: Equatable {
    /// Text between tokens: a range of bytes, never empty.
    case text(Range<Int>)
    /// A token's id.
    case token(Int)
  }

  // A trie: (node << 8 | byte) to node, where node 0 is the root.
  private var edges: [Int: Int] = [:]
  private var tokenAt: [Int: AddedToken] = [:]
  private var isFirstByte = [Bool](repeating: false, count: 256)
  private var nodeCount = 1

  /// Whether nothing can be found.
  var isEmpty: Bool { tokenAt.isEmpty }

  /// Adds a token under the bytes by which it is looked for; false where they are taken or none.
  mutating func insert(_ token: AddedToken, spelled bytes: [UInt8]) -> Bool {
    guard let first = bytes.first else { return false }
    var node = 0
    for byte in bytes {
      let edge = node << 8 | Int(byte)
      if let next = edges[edge] {
        node = next
      } else {
        edges[edge] = nodeCount
        node = nodeCount
        nodeCount += 1
      }
    }
    isFirstByte[Int(first)] = true
    return tokenAt.updateValue(token, forKey: node) == nil
  }

  /// Splits a text at the tokens in it.
  func pieces(of bytes: [UInt8]) -> [Piece] {
    var pieces: [Piece] = []
    var textStart = 0
    var searchStart = 0
    // Where the last white space swallowed to the right ends: matches inside it need not look again,
    // and so the search stays linear.
    var spaceEnd = 0
    while !isEmpty, let match = nextMatch(in: bytes, from: searchStart) {
      searchStart = match.range.upperBound
      let token = match.token
      if token.singleWord && touchesWord(match.range, in: bytes) { continue }
      var start = match.range.lowerBound
      var end = match.range.upperBound
      if token.stripsLeft {
        start = max(start, textStart)
        while start > textStart, case let scalar = bytes.scalar(before: start),
          ScalarClass.of(scalar.value).kind == .space
        { start -= scalar.byteCount }
      }
      if token.stripsRight {
        end = max(end, spaceEnd)
        while end < bytes.count, case let scalar = bytes.scalar(at: end),
          ScalarClass.of(scalar.value).kind == .space
        { end += scalar.byteCount }
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

  private func nextMatch(
    in bytes: [UInt8], from searchStart: Int
  ) -> (range: Range<Int>, token: AddedToken)? {
    for start in searchStart..<bytes.count where isFirstByte[Int(bytes[start])] {
      var longest: (Range<Int>, AddedToken)?
      var node = 0
      for position in start..<bytes.count {
        guard let next = edges[node << 8 | Int(bytes[position])] else { break }
        node = next
        if let token = tokenAt[node] { longest = (start..<position + 1, token) }
      }
      if let longest { return longest }
    }
    return nil
  }

  private func touchesWord(_ range: Range<Int>, in bytes: [UInt8]) -> Bool {
    let start = range.lowerBound
    let end = range.upperBound
    return start > 0 && ScalarClass.isWord(bytes.scalar(before: start).value)
      || end < bytes.count && ScalarClass.isWord(bytes.scalar(at: end).value)
  }
}
