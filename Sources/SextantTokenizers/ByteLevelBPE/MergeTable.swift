/// The merges of a byte-pair vocabulary, by the pair of ids that they join.
///
/// The right-hand ids of each left-hand id lie together, sorted: small, faster to search than a
/// hash table, and as fast for a file that was made to be slow.
struct MergeTable: Sendable {
  // The merges of left-hand id i are those from starts[i] to starts[i + 1].
  private let starts: [Int32]
  private let rights: [Int32]
  // Rank << 32 | resulting id; ranks and ids are below 2^31.
  private let results: [UInt64]

  /// The count of merges.
  var count: Int { results.count }

  /// A table of merges in the order of their ranks, best first; no pair may come twice.
  ///
  /// - Parameter merges: two ids and the id of what they become, all below `vocabularySize`.
  init(_ merges: [(left: Int32, right: Int32, result: Int32)], vocabularySize: Int) {
    let order = merges.indices.sorted {
      (merges[$0].left, merges[$0].right) < (merges[$1].left, merges[$1].right)
    }
    var starts = [Int32](repeating: 0, count: vocabularySize + 1)
    for merge in merges { starts[Int(merge.left) + 1] += 1 }
    for id in 0..<vocabularySize { starts[id + 1] += starts[id] }
    self.starts = starts
    rights = order.map { merges[$0].right }
    results = order.map { UInt64($0) << 32 | UInt64(UInt32(bitPattern: merges[$0].result)) }
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
    return (results[low] >> 32, Int32(bitPattern: UInt32(truncatingIfNeeded: results[low])))
  }
}
