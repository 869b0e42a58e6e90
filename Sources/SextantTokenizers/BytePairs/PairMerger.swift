/// Merges the symbols of words, best rank first and leftmost first among equals.
///
/// Candidates wait in a heap and symbols form a linked list, so that a word of n symbols takes
/// O(n log n) however long it is. The value keeps its buffers from word to word.
struct PairMerger {
  /// The mark in the place of a symbol that was merged into its left neighbour.
  static let absent: Int32 = -1

  private let merges: MergeTable
  private var next: [Int] = []
  private var previous: [Int] = []
  private var heap = MinHeap()
  /// Candidates that were taken from the heap so far: at most three for each symbol.
  private(set) var steps = 0

  // A candidate is (rank << 36 | position): 2^36 symbols are more than fit into memory, and 2^28
  // merges are more than fit into a tokenizer's file.
  private static let positionBits: UInt64 = 36

  /// A merger by these merges.
  init(merges: MergeTable) {
    self.merges = merges
  }

  /// Merges the symbols of one word, each in the merges' table. The result of a merge is in the
  /// place of its first part; the places of its other parts become `absent`.
  mutating func merge(_ symbols: inout [Int32]) {
    guard symbols.count > 1 else { return }
    let end = symbols.count
    next.removeAll(keepingCapacity: true)
    previous.removeAll(keepingCapacity: true)
    heap.removeAll()
    for position in 0..<end {
      next.append(position + 1)
      previous.append(position - 1)
    }
    for position in 0..<end - 1 {
      if let key = candidate(symbols, position, position + 1) { heap.append(key) }
    }
    heap.restoreOrder()

    while let key = heap.popFirst() {
      steps += 1
      let left = Int(key & (1 << Self.positionBits - 1))
      guard symbols[left] != Self.absent, next[left] < end else { continue }
      let right = next[left]
      // A candidate whose symbols have changed since has another rank or none.
      guard let merge = merges.merge(symbols[left], symbols[right]),
        merge.rank == key >> Self.positionBits
      else { continue }
      symbols[left] = merge.id
      symbols[right] = Self.absent
      let after = next[right]
      next[left] = after
      if after < end {
        previous[after] = left
        if let key = candidate(symbols, left, after) { heap.push(key) }
      }
      let before = previous[left]
      if before >= 0, let key = candidate(symbols, before, left) { heap.push(key) }
    }
  }

  @inline(__always)
  private func candidate(_ symbols: [Int32], _ left: Int, _ right: Int) -> UInt64? {
    merges.merge(symbols[left], symbols[right]).map {
      $0.rank << Self.positionBits | UInt64(left)
    }
  }
}
