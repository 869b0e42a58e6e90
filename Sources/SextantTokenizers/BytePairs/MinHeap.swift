/// A binary heap of integers, smallest first.
struct MinHeap {
  private var keys: [UInt64] = []

  /// Empties the heap and keeps its memory.
  mutating func removeAll() { keys.removeAll(keepingCapacity: true) }

  /// Adds a key out of order; `restoreOrder` must follow.
  mutating func append(_ key: UInt64) { keys.append(key) }

  /// Makes a heap of keys that were appended, in linear time.
  mutating func restoreOrder() {
    for index in stride(from: keys.count / 2 - 1, through: 0, by: -1) { siftDown(from: index) }
  }

  /// Adds a key.
  mutating func push(_ key: UInt64) {
    keys.append(key)
    var index = keys.count - 1
    while index > 0 {
      let parent = (index - 1) / 2
      guard key < keys[parent] else { break }
      keys[index] = keys[parent]
      index = parent
    }
    keys[index] = key
  }

  /// Takes the smallest key.
  mutating func popFirst() -> UInt64? {
    guard let first = keys.first, let last = keys.popLast() else { return nil }
    if !keys.isEmpty {
      keys[0] = last
      siftDown(from: 0)
    }
    return first
  }

  private mutating func siftDown(from start: Int) {
    let key = keys[start]
    var index = start
    while true {
      var child = 2 * index + 1
      guard child < keys.count else { break }
      if child + 1 < keys.count, keys[child + 1] < keys[child] { child += 1 }
      guard keys[child] < key else { break }
      keys[index] = keys[child]
      index = child
    }
    keys[index] = key
  }
}
