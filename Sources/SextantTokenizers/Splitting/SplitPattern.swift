/// A regular expression by which text is split before bytes are merged.
///
/// The pattern is a deterministic automaton over classes of scalars. Of several matches at one place
/// it takes the one that a backtracking engine takes: the first by the order of alternatives and the
/// greed of quantifiers. It reads the next scalar before it decides, so that one character of
/// lookahead costs nothing.
struct SplitPattern: Sendable {
  private let partition: ScalarPartition
  /// For each state and class (the last one is the end of the text): the place of the next state's
  /// row, twice, plus one if a match ends before the scalar. Row 0 has no way out.
  private let table: [UInt16]
  /// The count of classes, with the end of the text.
  private let width: Int
  /// Whether every text consists of matches.
  let matchesEverywhere: Bool

  /// The pattern of a spelling.
  init(spelling: String) throws(PatternProblem) { try self.init(PatternParser.parse(spelling)) }

  /// A text, as it is.
  init(text: String) throws(PatternProblem) {
    try self.init(.sequence(text.unicodeScalars.map { .scalar(.scalar($0)) }))
  }

  /// A pattern of parts.
  init(_ node: PatternNode) throws(PatternProblem) {
    var builder = PatternAutomaton()
    let start = try builder.add(node)
    guard let partition = ScalarPartition(by: builder.sets) else {
      throw PatternProblem(found: "a pattern with too many different characters")
    }
    self.partition = partition
    width = partition.members.count + 1
    (table, matchesEverywhere) = try builder.table(from: start, members: partition.members)
    guard !table[width..<2 * width].contains(where: { $0 & 1 != 0 }) else {
      throw PatternProblem(found: "a pattern that matches between characters")
    }
  }

  /// Calls `body` with the parts of the text `bytes[range]` in order, and with whether they are
  /// matches.
  @inline(__always)
  func forEachPart(
    in bytes: [UInt8], range: Range<Int>, _ body: (_ part: Range<Int>, _ isMatch: Bool) -> Void
  ) {
    var steps = 0
    forEachPart(in: bytes, range: range, steps: &steps, body)
  }

  /// The same, and adds the bytes that were looked at to `steps`.
  @inline(__always)
  func forEachPart(
    in bytes: [UInt8], range: Range<Int>, steps: inout Int,
    _ body: (_ part: Range<Int>, _ isMatch: Bool) -> Void
  ) {
    var scan = Scan()
    var rest = range.lowerBound
    var position = rest
    while position < range.upperBound {
      if let end = matchEnd(in: bytes, from: position, to: range.upperBound, &scan) {
        if rest < position { body(rest..<position, false) }
        body(position..<end, true)
        position = end
        rest = end
      } else {
        position += bytes.scalar(at: position).byteCount
      }
    }
    if rest < range.upperBound { body(rest..<range.upperBound, false) }
    steps += scan.steps
  }

  /// What is known about a text that is being split.
  private struct Scan {
    /// States at places from which no match ends: rows and places in one number.
    var dead: Set<UInt64> = []
    var steps = 0
  }

  // Reading further than a match could take quadratic time. Longer vain ways are remembered, so that
  // none is gone twice; published patterns have no such ways in natural texts.
  private static let vainLimit = 64

  /// The end of the match that starts at `start`, where the text ends at `end`; nil if there is none.
  @inline(__always)
  private func matchEnd(
    in bytes: [UInt8], from start: Int, to end: Int, _ scan: inout Scan
  ) -> Int? {
    var found = start
    var position = start
    var row = width
    while row != 0 {
      let (place, next) = place(in: bytes, at: position, to: end)
      let entry = table[row + place]
      if entry & 1 != 0 { found = position }
      row = Int(entry >> 1)
      position = next
      if !scan.dead.isEmpty, scan.dead.contains(Self.key(row, position)) { break }
    }
    scan.steps += position - start
    if position - found > Self.vainLimit {
      remember(in: bytes, from: start, found: found, to: position, end: end, &scan)
    }
    return found > start ? found : nil
  }

  @inline(__always)
  private func place(in bytes: [UInt8], at position: Int, to end: Int) -> (Int, next: Int) {
    guard position < end else { return (width - 1, position) }
    let scalar = bytes.scalar(at: position)
    return (partition.place(of: scalar.value), position + scalar.byteCount)
  }

  private static func key(_ row: Int, _ position: Int) -> UInt64 {
    UInt64(position) << 16 | UInt64(row)
  }

  /// Goes the same way again and remembers what follows the match.
  private func remember(
    in bytes: [UInt8], from start: Int, found: Int, to stop: Int, end: Int, _ scan: inout Scan
  ) {
    var position = start
    var row = width
    while row != 0, position < stop {
      if position > found { scan.dead.insert(Self.key(row, position)) }
      let (place, next) = place(in: bytes, at: position, to: end)
      row = Int(table[row + place] >> 1)
      position = next
    }
    scan.steps += stop - start
  }
}

/// Two patterns are equal if they have the same matches in every text.
extension SplitPattern: Equatable {
  static func == (left: SplitPattern, right: SplitPattern) -> Bool {
    var pairs = left.partition.commonPlaces(with: right.partition)
    pairs.insert([left.width - 1, right.width - 1])
    var seen: Set<[Int]> = [[left.width, right.width]]
    var waiting = Array(seen)
    while let rows = waiting.popLast() {
      for pair in pairs {
        let entries = [left.table[rows[0] + pair[0]], right.table[rows[1] + pair[1]]]
        guard entries[0] & 1 == entries[1] & 1 else { return false }
        let next = entries.map { Int($0 >> 1) }
        if seen.insert(next).inserted { waiting.append(next) }
      }
    }
    return true
  }
}
