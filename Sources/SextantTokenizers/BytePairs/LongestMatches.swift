/// Finds at each place of a text the longest of many strings that begins there, in time linear in
/// the text for any strings.
///
/// The automaton of Aho and Corasick (1975) over the reversed strings reads the text backwards: its
/// matches at a place are the strings that begin at that place. A text is read in windows, so that
/// memory does not grow with it.
struct LongestMatches: Sendable {
  private let trie: ByteTrie
  private let lengths: [Int32]
  /// For each node, the node of the longest proper suffix that is in the trie.
  private var failures: [Int32] = []
  /// For each node, the place of the longest string that is a suffix of it; -1 for none.
  private var longest: [Int32] = []
  /// Bytes of the longest string.
  let maximum: Int

  /// The places of two strings that are equal, if any are.
  var duplicate: (first: Int, second: Int)? { trie.duplicate }
  /// Whether there are no strings.
  var isEmpty: Bool { lengths.isEmpty }

  /// Nothing is found.
  init() { self.init([], in: []) }

  /// Finds the strings `bytes[range]`, one for each range; none is empty.
  init(_ strings: [Range<Int>], in bytes: [UInt8]) {
    var reversed: [UInt8] = []
    var ranges: [Range<Int>] = []
    for string in strings {
      ranges.append(reversed.count..<reversed.count + string.count)
      reversed += bytes[string].reversed()
    }
    trie = ByteTrie(ranges, in: reversed)
    lengths = strings.map { Int32($0.count) }
    maximum = strings.reduce(0) { max($0, $1.count) }
    failures = [Int32](repeating: 0, count: trie.nodeCount)
    longest = [Int32](repeating: -1, count: trie.nodeCount)
    // Nodes come in the order of depth, so that a shorter suffix is known before it is needed.
    var steps = 0
    for node in 0..<Int32(trie.nodeCount) {
      if let place = trie.place(at: node) {
        longest[Int(node)] = Int32(place)
      } else {
        longest[Int(node)] = longest[Int(failures[Int(node)])]
      }
      for child in trie.children(of: node) where node != 0 {
        failures[Int(child)] = next(
          failures[Int(node)], by: trie.label(of: child), steps: &steps)
      }
    }
  }

  /// The node after one more byte. A step goes down by one node or up by at least one, so that a text of
  /// n bytes takes at most 2n steps.
  @inline(__always)
  private func next(_ node: Int32, by byte: UInt8, steps: inout Int) -> Int32 {
    var node = node
    while true {
      steps += 1
      if let child = trie.child(of: node, by: byte) { return child }
      if node == 0 { return 0 }
      node = failures[Int(node)]
    }
  }

  /// Reads one text, at places that never decrease.
  struct Reader {
    private let matches: LongestMatches
    private let bytes: [UInt8]
    /// The place of the longest string at each place of the window; -1 for none.
    private var window: [Int32] = []
    private var windowStart = 0
    /// Steps of the automaton so far.
    private(set) var steps = 0

    private static let windowByteCount = 1 << 14

    /// A reader of a text.
    init(_ matches: LongestMatches, _ bytes: [UInt8]) {
      self.matches = matches
      self.bytes = bytes
    }

    /// The longest string that begins at a place of the text, and where it ends.
    @inline(__always)
    mutating func match(at position: Int) -> (place: Int, end: Int)? {
      if matches.isEmpty { return nil }
      if position >= windowStart + window.count { fill(from: position) }
      let place = window[position - windowStart]
      return place < 0 ? nil : (Int(place), position + Int(matches.lengths[Int(place)]))
    }

    private mutating func fill(from start: Int) {
      // A window that is much longer than the strings, so that only a small share is read twice.
      let count = min(max(Self.windowByteCount, 8 * matches.maximum), bytes.count - start)
      windowStart = start
      window = [Int32](repeating: -1, count: count)
      var node: Int32 = 0
      let end = min(start + count + matches.maximum, bytes.count)
      for position in stride(from: end - 1, through: start, by: -1) {
        node = matches.next(node, by: bytes[position], steps: &steps)
        if position < start + count { window[position - start] = matches.longest[Int(node)] }
      }
    }
  }
}
