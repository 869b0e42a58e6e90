/// Byte strings, to be followed byte by byte.
///
/// The children of a node are adjacent, sorted by their bytes: nine bytes per node, for any
/// strings.
struct ByteTrie: Sendable {
  // The children of node i are those from firstChild[i] up to firstChild[i + 1]; node 0 is the root.
  private var firstChild: [Int32] = []
  private var labels: [UInt8] = [0]
  // The place of the string that ends at a node; -1 for none.
  private var places: [Int32] = []
  private var rootChildren = [Int32](repeating: Self.none, count: 256)
  private static let none: Int32 = -1

  /// The places of two strings that are equal, if any are.
  private(set) var duplicate: (first: Int, second: Int)?

  /// A trie of the strings `bytes[range]`, one for each range, fewer than 2^31 bytes together.
  init(_ strings: [Range<Int>], in bytes: [UInt8]) {
    var groups = StringGroups(strings, in: bytes)
    // Node by node in the order of depth: a node's strings are a range of `groups.order`.
    var ranges = [strings.indices]
    var depth = 0
    var levelEnd = 1
    var node = 0
    while node < ranges.count {
      if node == levelEnd {
        depth += 1
        levelEnd = ranges.count
      }
      firstChild.append(Int32(ranges.count))
      var range = ranges[node]
      groups.sort(range, byByteAt: depth)
      let ended = groups.endedCount(in: range, at: depth)
      places.append(ended == 0 ? Self.none : Int32(groups.order[range.lowerBound]))
      if ended > 1, duplicate == nil {
        duplicate = (groups.order[range.lowerBound], groups.order[range.lowerBound + 1])
      }
      range = range.lowerBound + ended..<range.upperBound
      while !range.isEmpty {
        let (label, end) = groups.firstGroup(in: range, at: depth)
        if node == 0 { rootChildren[Int(label)] = Int32(ranges.count) }
        labels.append(label)
        ranges.append(range.lowerBound..<end)
        range = end..<range.upperBound
      }
      node += 1
    }
    firstChild.append(Int32(ranges.count))
  }

  /// The node that a byte leads to, from the root (node 0) on.
  @inline(__always)
  func child(of node: Int32, by byte: UInt8) -> Int32? {
    if node == 0 {
      let child = rootChildren[Int(byte)]
      return child == Self.none ? nil : child
    }
    var low = firstChild[Int(node)]
    var high = firstChild[Int(node) + 1]
    let end = high
    while low < high {
      let middle = (low + high) / 2
      if labels[Int(middle)] < byte { low = middle + 1 } else { high = middle }
    }
    return low < end && labels[Int(low)] == byte ? low : nil
  }

  /// The place of the string that ends at a node.
  @inline(__always)
  func place(at node: Int32) -> Int? {
    let place = places[Int(node)]
    return place == Self.none ? nil : Int(place)
  }

  /// The count of nodes. A node comes after all nodes of smaller depth.
  var nodeCount: Int { places.count }

  /// The children of a node.
  func children(of node: Int32) -> Range<Int32> {
    firstChild[Int(node)]..<firstChild[Int(node) + 1]
  }

  /// The byte that leads to a node, which is not the root.
  func label(of node: Int32) -> UInt8 { labels[Int(node)] }
}

/// Strings in an order that is refined byte by byte.
private struct StringGroups {
  /// The places of the strings.
  private(set) var order: [Int]
  private let strings: [Range<Int>]
  private let bytes: [UInt8]
  private var scratch: [Int] = []
  private static let insertionCount = 24

  init(_ strings: [Range<Int>], in bytes: [UInt8]) {
    order = Array(strings.indices)
    self.strings = strings
    self.bytes = bytes
  }

  /// One more than the byte at a depth of a string; 0 if it has ended.
  @inline(__always)
  private func key(_ string: Int, _ depth: Int) -> Int {
    let range = strings[string]
    return range.count <= depth ? 0 : Int(bytes[range.lowerBound + depth]) + 1
  }

  /// Sorts a part of the order, whose strings are equal up to `depth`; stable.
  mutating func sort(_ range: Range<Int>, byByteAt depth: Int) {
    if range.count > Self.insertionCount { return countingSort(range, depth) }
    for index in range.dropFirst() {
      let string = order[index]
      let key = key(string, depth)
      var place = index
      while place > range.lowerBound, self.key(order[place - 1], depth) > key {
        order[place] = order[place - 1]
        place -= 1
      }
      order[place] = string
    }
  }

  private mutating func countingSort(_ range: Range<Int>, _ depth: Int) {
    var starts = [Int](repeating: 0, count: 258)
    for index in range { starts[key(order[index], depth) + 1] += 1 }
    for key in 1..<starts.count { starts[key] += starts[key - 1] }
    scratch.removeAll(keepingCapacity: true)
    scratch.append(contentsOf: order[range])
    for string in scratch {
      let key = key(string, depth)
      order[range.lowerBound + starts[key]] = string
      starts[key] += 1
    }
  }

  /// How many strings of a sorted part end at `depth`.
  func endedCount(in range: Range<Int>, at depth: Int) -> Int {
    range.prefix { strings[order[$0]].count <= depth }.count
  }

  /// The byte of the first strings of a sorted part and where those with another one start.
  func firstGroup(in range: Range<Int>, at depth: Int) -> (byte: UInt8, end: Int) {
    let first = key(order[range.lowerBound], depth)
    var end = range.lowerBound + 1
    while end < range.upperBound, key(order[end], depth) == first { end += 1 }
    return (UInt8(first - 1), end)
  }
}
