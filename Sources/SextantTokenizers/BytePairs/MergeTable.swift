/// A pair of symbols that may be joined.
struct Merge: Sendable {
  /// The symbol on the left.
  var left: Int32
  /// The symbol on the right.
  var right: Int32
  /// The result of the merge.
  var result: Int32
  /// Its turn: lower ranks come first. Several merges may share one, then the leftmost place is
  /// first.
  var rank: Int
}

/// The merges of a byte-pair vocabulary, by the pair of symbols that they join.
///
/// The right-hand symbols of each left-hand one are adjacent and sorted: small, faster to search
/// than a hash table, and as fast for a file that was made to be slow.
struct MergeTable: Sendable {
  // The merges of left-hand symbol i are those from starts[i] to starts[i + 1].
  private let starts: [Int32]
  private let rights: [Int32]
  // Rank << 32 | resulting symbol; ranks and symbols are below 2^31.
  private let results: [UInt64]

  /// The count of merges.
  var count: Int { results.count }

  /// A table of merges of symbols below `symbolCount`; no pair may come twice.
  init(_ merges: [Merge], symbolCount: Int) {
    var starts = [Int32](repeating: 0, count: symbolCount + 1)
    for merge in merges { starts[Int(merge.left) + 1] += 1 }
    for symbol in 0..<symbolCount { starts[symbol + 1] += starts[symbol] }
    // Sorting numbers is several times faster than sorting merges.
    let order = merges.indices.map { index in
      (UInt64(merges[index].left) << 32 | UInt64(merges[index].right), index)
    }.sorted { $0.0 < $1.0 }
    self.starts = starts
    rights = order.map { merges[$0.1].right }
    results = order.map { UInt64(merges[$0.1].rank) << 32 | UInt64(merges[$0.1].result) }
  }

  /// The rank and the result of merging a pair.
  @inline(__always)
  func merge(_ left: Int32, _ right: Int32) -> (rank: UInt64, id: Int32)? {
    var low = Int(starts[Int(left)])
    var high = Int(starts[Int(left) + 1])
    while low < high {
      let middle = (low + high) / 2
      if rights[middle] < right { low = middle + 1 } else { high = middle }
    }
    guard low < Int(starts[Int(left) + 1]), rights[low] == right else { return nil }
    return (results[low] >> 32, Int32(truncatingIfNeeded: results[low]))
  }
}
