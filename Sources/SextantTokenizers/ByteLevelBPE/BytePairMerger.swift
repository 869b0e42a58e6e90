/// Merges the bytes of words, best rank first and leftmost first among equals.
///
/// Candidates wait in a heap and symbols form a linked list, so that a word of n bytes takes
/// O(n log n) however long it is. The value keeps its buffers from word to word.
struct BytePairMerger {
  private let merges: MergeTable
  private let byteIDs: [Int32]
  // One entry per byte of the word; a symbol merged into its left neighbour is `absent`.
  private var symbols: [Int32] = []
  private var next: [Int] = []
  private var previous: [Int] = []
  private var heap = MinHeap()

  private static let absent: Int32 = -1
  // A candidate is (rank << 36 | position): 2^36 bytes are more than fit into memory, and 2^28
  // merges are more than fit into a tokenizer's file.
  private static let positionBits: UInt64 = 36

  /// A merger by these merges, which start from one id per byte.
  init(merges: MergeTable, byteIDs: [Int32]) {
    self.merges = merges
    self.byteIDs = byteIDs
  }

  /// Appends the ids of the word `bytes[range]` to `ids`.
  mutating func merge(_ bytes: [UInt8], _ range: Range<Int>, into ids: inout [Int]) {
    symbols.removeAll(keepingCapacity: true)
    for position in range { symbols.append(byteIDs[Int(bytes[position])]) }
    if symbols.count > 1 { mergeAll() }
    for symbol in symbols where symbol != Self.absent { ids.append(Int(symbol)) }
  }

  private mutating func mergeAll() {
    let end = symbols.count
    next.removeAll(keepingCapacity: true)
    previous.removeAll(keepingCapacity: true)
    heap.removeAll()
    for position in 0..<end {
      next.append(position + 1)
      previous.append(position - 1)
    }
    for position in 0..<end - 1 {
      if let key = candidate(position, position + 1) { heap.append(key) }
    }
    heap.restoreOrder()

    while let key = heap.popFirst() {
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
        if let key = candidate(left, after) { heap.push(key) }
      }
      let before = previous[left]
      if before >= 0, let key = candidate(before, left) { heap.push(key) }
    }
  }

  @inline(__always)
  private func candidate(_ left: Int, _ right: Int) -> UInt64? {
    merges.merge(symbols[left], symbols[right]).map {
      $0.rank << Self.positionBits | UInt64(left)
    }
  }
}
