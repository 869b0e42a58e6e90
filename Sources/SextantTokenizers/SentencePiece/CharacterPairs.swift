/// Byte-pair encoding that starts from characters instead of bytes, as in SentencePiece (Kudo &
/// Richardson 2018): text without a token of its own falls back to bytes or to one unknown token.
///
/// Symbols are token ids, and from `tokenCount` on numbers for characters without a token.
struct CharacterPairs: Sendable {
  /// The encoding of a character without a token.
  enum Fallback: Sendable {
    /// The tokens of its bytes, which may merge as any other.
    case mergingBytes([Int32])
    /// The tokens of its bytes, when no merge is left.
    case bytes([Int32])
    /// The unknown token, once for each run of such characters.
    case token(Int32)
  }

  /// The merges.
  let merges: MergeTable
  /// The symbols of single characters.
  let characters: CharacterSymbols
  /// Symbols from here on are not tokens.
  let tokenCount: Int32
  /// The result of the merge.
  let fallback: Fallback
  /// The text for a space.
  let marker: [UInt8]
  /// Whether no merge joins a marker to something before it other than markers: texts can then be
  /// cut there, and most words are merged only once.
  let splitsAtMarker: Bool

  /// Whether a token has a marker after something else than markers.
  static func crossesWords(_ token: some Collection<UInt8>, marker: [UInt8]) -> Bool {
    var rest = token[...]
    while rest.starts(with: marker) { rest = rest.dropFirst(marker.count) }
    while let first = rest.first {
      if first == marker[0], rest.starts(with: marker) { return true }
      rest = rest.dropFirst()
    }
    return false
  }
}

/// The symbols of single characters.
struct CharacterSymbols: Sendable {
  private var ascii = [Int32](repeating: Self.none, count: 128)
  private var others: [UInt32: Int32] = [:]
  private static let none: Int32 = -1

  /// The symbol of a scalar value.
  subscript(scalar: UInt32) -> Int32? {
    get {
      guard scalar < 128 else { return others[scalar] }
      let symbol = ascii[Int(scalar)]
      return symbol == Self.none ? nil : symbol
    }
    set {
      if scalar < 128 {
        ascii[Int(scalar)] = newValue ?? Self.none
      } else {
        others[scalar] = newValue
      }
    }
  }
}

/// Writes the ids of texts, each word merged once.
struct CharacterPairWriter {
  /// The ids so far.
  private(set) var ids: [Int] = []
  private let pairs: CharacterPairs
  private var merger: PairMerger
  private var cache: WordCache
  private var symbols: [Int32] = []
  // The position of each symbol's character in the text.
  private var offsets: [Int] = []
  private var endsUnknown = false

  /// A writer for a text of this many bytes.
  init(_ pairs: CharacterPairs, textByteCount: Int) {
    self.pairs = pairs
    merger = PairMerger(merges: pairs.merges)
    cache = WordCache(textByteCount: textByteCount)
    ids.reserveCapacity(textByteCount / 3)
  }

  /// Writes a token.
  mutating func append(_ id: Int) {
    ids.append(id)
    endsUnknown = false
  }

  /// Writes a text that no neighbour merges with.
  mutating func write(_ bytes: [UInt8], _ range: Range<Int>) {
    var start = range.lowerBound
    while start < range.upperBound {
      let end =
        pairs.splitsAtMarker ? wordEnd(bytes, from: start, to: range.upperBound) : range.upperBound
      writeWord(bytes, start..<end)
      start = end
    }
  }

  /// The end of a run of markers and of everything else up to the next one.
  private func wordEnd(_ bytes: [UInt8], from start: Int, to end: Int) -> Int {
    var position = start
    while isMarker(bytes, at: position, to: end) { position += pairs.marker.count }
    while position < end, !isMarker(bytes, at: position, to: end) { position += 1 }
    return position
  }

  private func isMarker(_ bytes: [UInt8], at position: Int, to end: Int) -> Bool {
    guard end - position >= pairs.marker.count else { return false }
    for (offset, byte) in pairs.marker.enumerated() where bytes[position + offset] != byte {
      return false
    }
    return true
  }

  private mutating func writeWord(_ bytes: [UInt8], _ range: Range<Int>) {
    let (known, place) = cache.find(bytes, range)
    if let known {
      // Not `append(contentsOf: ids[known])`: the slice would share the storage and force a copy.
      for place in known { ids.append(ids[place]) }
      endsUnknown = false
      return
    }
    let start = ids.count
    fillSymbols(bytes, range)
    merger.merge(&symbols)
    let isWhole = writeSymbols(bytes)
    if isWhole, let place { cache.remember(bytes, range, at: place, ids: start..<ids.count) }
  }

  private mutating func fillSymbols(_ bytes: [UInt8], _ range: Range<Int>) {
    symbols.removeAll(keepingCapacity: true)
    offsets.removeAll(keepingCapacity: true)
    var position = range.lowerBound
    while position < range.upperBound {
      let scalar = bytes.scalar(at: position)
      let next = position + scalar.byteCount
      if let symbol = pairs.characters[scalar.value] {
        symbols.append(symbol)
        offsets.append(position)
      } else if case .mergingBytes(let byteIDs) = pairs.fallback {
        for offset in position..<next {
          symbols.append(byteIDs[Int(bytes[offset])])
          offsets.append(offset)
        }
      } else {
        symbols.append(pairs.tokenCount)
        offsets.append(position)
      }
      position = next
    }
  }

  /// Writes the symbols after the merges; false if they depend on earlier output.
  private mutating func writeSymbols(_ bytes: [UInt8]) -> Bool {
    var isWhole = true
    for (index, symbol) in symbols.enumerated() where symbol != PairMerger.absent {
      switch pairs.fallback {
      case .bytes(let byteIDs) where symbol >= pairs.tokenCount:
        let offset = offsets[index]
        for byte in bytes[offset..<offset + bytes.scalar(at: offset).byteCount] {
          ids.append(Int(byteIDs[Int(byte)]))
        }
      case .token(let unknown) where symbol >= pairs.tokenCount:
        isWhole = false
        if !endsUnknown { ids.append(Int(unknown)) }
        endsUnknown = true
      default:
        append(Int(symbol))
      }
    }
    return isWhole
  }
}
