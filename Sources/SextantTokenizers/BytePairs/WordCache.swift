/// Stores the places of words' ids in the output, within one text.
///
/// Natural text repeats few words, so that most need no merging. The table is direct-mapped: a
/// collision only repeats work, for any words that an adversary chooses. Memory is limited by the
/// text's own size, and nothing is shared between calls, so that no lock is needed.
struct WordCache {
  private struct Entry {
    var keyStart = 0
    var keyCount = 0
    var ids = 0..<0
  }

  private var entries: [Entry]
  private var keys: [UInt8] = []

  // Longer words hardly ever come twice.
  private static let wordByteCount = 64
  private static let entryCounts = 16...32_768

  /// A cache for a text of this many bytes.
  init(textByteCount: Int) {
    let wanted = min(
      max(textByteCount / 8, Self.entryCounts.lowerBound), Self.entryCounts.upperBound)
    entries = Array(
      repeating: Entry(), count: 1 << (Int.bitWidth - (wanted - 1).leadingZeroBitCount))
  }

  /// The range of the output with the ids of the word `bytes[range]`, if the cache has it.
  /// Otherwise `place` is its place in the cache, nil for a word that is too long.
  func find(_ bytes: [UInt8], _ range: Range<Int>) -> (ids: Range<Int>?, place: Int?) {
    guard range.count <= Self.wordByteCount else { return (nil, nil) }
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325  // FNV-1a
    for position in range { hash = (hash ^ UInt64(bytes[position])) &* 0x100_0000_01B3 }
    let place = Int(truncatingIfNeeded: (hash ^ hash >> 32) & UInt64(entries.count - 1))
    let entry = entries[place]
    guard entry.keyCount == range.count else { return (nil, place) }
    for offset in 0..<entry.keyCount
    where keys[entry.keyStart + offset] != bytes[range.lowerBound + offset] {
      return (nil, place)
    }
    return (entry.ids, place)
  }

  /// Remembers a word.
  mutating func remember(_ bytes: [UInt8], _ range: Range<Int>, at place: Int, ids: Range<Int>) {
    entries[place] = Entry(keyStart: keys.count, keyCount: range.count, ids: ids)
    keys += bytes[range]
  }
}
