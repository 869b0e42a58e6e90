/// The merges that the pieces of a SentencePiece model imply.
///
/// The model lists no merges: two neighbours merge whenever together they are a piece, the piece of
/// the highest score first. So each way to cut a piece into two, each a piece or a character, is a
/// merge of that piece's rank. Pieces of equal score have equal ranks.
struct PieceMerges {
  /// The merges.
  private(set) var merges: [Merge] = []
  /// The symbols of characters: the ids of their pieces, or numbers from `tokenCount` on for
  /// characters that only longer pieces have.
  private(set) var characters = CharacterSymbols()
  /// One more than the highest symbol.
  private(set) var symbolCount: Int

  /// Works the merges out, in time and memory that the pieces' bytes bound.
  ///
  /// Only normal and unused pieces are merged; single characters have a symbol only if they are
  /// normal.
  init(_ pieces: [SentencePieceFile.Piece], in bytes: [UInt8]) {
    // Among symbols that are not tokens, the first stands for every character without a piece.
    symbolCount = pieces.count + 1
    var merged: [Int] = []
    for (id, piece) in pieces.enumerated() {
      let first = bytes.scalar(at: piece.text.lowerBound)
      switch piece.kind {
      case .normal where first.byteCount == piece.text.count:
        characters[first.value] = Int32(id)
      case .normal, .unused:
        if first.byteCount < piece.text.count { merged.append(id) }
      case .unknown, .control, .userDefined, .byte: break
      }
    }
    let ranks = Self.ranks(of: pieces.map(\.score))
    let parts = PieceParts(merged.map { pieces[$0].text }, in: bytes)
    for (place, id) in merged.enumerated() {
      for cut in parts.cuts(of: place) {
        guard let left = symbol(cut.left, merged, bytes),
          let right = symbol(cut.right, merged, bytes)
        else { continue }
        merges.append(Merge(left: left, right: right, result: Int32(id), rank: ranks[id]))
      }
    }
  }

  private mutating func symbol(
    _ part: PieceParts.Part, _ merged: [Int], _ bytes: [UInt8]
  ) -> Int32? {
    switch part {
    case .piece(let place): return Int32(merged[place])
    case .character(let scalar):
      if let symbol = characters[scalar] { return symbol }
      characters[scalar] = Int32(symbolCount)
      symbolCount += 1
      return characters[scalar]
    case .neither: return nil
    }
  }

  /// For each score, the number of different higher ones.
  private static func ranks(of scores: [Float]) -> [Int] {
    var ranks = [Int](repeating: 0, count: scores.count)
    var rank = 0
    var previous: Float?
    for id in scores.indices.sorted(by: { scores[$0] > scores[$1] }) {
      if let previous, previous != scores[id] { rank += 1 }
      previous = scores[id]
      ranks[id] = rank
    }
    return ranks
  }
}

/// Finds which parts of pieces are pieces themselves: beginnings by a trie, and ends by a trie of
/// the pieces backwards.
private struct PieceParts {
  /// A part of a piece.
  enum Part {
    /// The piece at a place.
    case piece(Int)
    /// A single character, by its scalar value.
    case character(UInt32)
    /// Nothing that a merge could have made.
    case neither
  }

  private let pieces: [Range<Int>]
  private let bytes: [UInt8]
  private let forwards: ByteTrie
  private let backwards: ByteTrie
  private let backwardBytes: [UInt8]

  init(_ pieces: [Range<Int>], in bytes: [UInt8]) {
    self.pieces = pieces
    self.bytes = bytes
    forwards = ByteTrie(pieces, in: bytes)
    var reversed: [UInt8] = []
    var ranges: [Range<Int>] = []
    for piece in pieces {
      ranges.append(reversed.count..<reversed.count + piece.count)
      reversed += bytes[piece].reversed()
    }
    backwards = ByteTrie(ranges, in: reversed)
    backwardBytes = reversed
  }

  /// The two parts at each place between two characters of a piece.
  func cuts(of place: Int) -> [(left: Part, right: Part)] {
    let piece = pieces[place]
    // The ends of each part that is a piece, from the front and from the back.
    let beginnings = parts(forwards, bytes[piece])
    let ends = parts(backwards, ArraySlice(bytes[piece].reversed()))
    var cuts: [(Part, Part)] = []
    var position = piece.lowerBound
    while true {
      let first = bytes.scalar(at: position)
      position += first.byteCount
      guard position < piece.upperBound else { return cuts }
      let before = position - piece.lowerBound
      let after = piece.upperBound - position
      let last = bytes.scalar(at: position)
      cuts.append(
        (
          before == first.byteCount ? .character(first.value) : beginnings[before],
          after == last.byteCount ? .character(last.value) : ends[after]
        ))
    }
  }

  /// For each length of a text's beginning, the piece that it is.
  private func parts(_ trie: ByteTrie, _ text: ArraySlice<UInt8>) -> [Part] {
    var parts: [Part] = [.neither]
    var node: Int32 = 0
    for byte in text {
      guard let next = trie.child(of: node, by: byte) else { break }
      node = next
      parts.append(trie.place(at: node).map { .piece($0) } ?? .neither)
    }
    return parts
  }
}
