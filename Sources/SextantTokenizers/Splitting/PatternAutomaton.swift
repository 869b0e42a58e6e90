/// Turns a pattern into the table of a deterministic automaton (Thompson 1968; the order of threads
/// is that of a backtracking engine, as in Cox 2010).
struct PatternAutomaton {
  /// The sets that the pattern names, each once.
  private(set) var sets: [ScalarSet] = []
  private var states: [State] = [.match]

  /// A state of the automaton that is in several states at once.
  private enum State {
    /// Takes one scalar of a set.
    case scalar(set: Int, next: Int)
    /// Looks at the next scalar.
    case lookahead(set: Int, allowsEnd: Bool, next: Int)
    /// Tries one way and then the other.
    case fork(first: Int, second: Int)
    case match
  }

  private static let stateLimit = 1_000
  private static let tableLimit = 1 << 14

  /// Adds a pattern.
  ///
  /// - Returns: the state in which it starts.
  mutating func add(_ node: PatternNode) throws(PatternProblem) -> Int { try add(node, next: 0) }

  private mutating func add(_ node: PatternNode, next: Int) throws(PatternProblem) -> Int {
    switch node {
    case .scalar(let set): return try append(.scalar(set: place(of: set), next: next))
    case .lookahead(let set, let allowsEnd):
      return try append(.lookahead(set: place(of: set), allowsEnd: allowsEnd, next: next))
    case .sequence(let nodes):
      var start = next
      for node in nodes.reversed() { start = try add(node, next: start) }
      return start
    case .choice(let nodes):
      var start: Int?
      for node in nodes.reversed() {
        let way = try add(node, next: next)
        start = if let start { try append(.fork(first: way, second: start)) } else { way }
      }
      return start ?? next
    case .repetition(let node, let least, let most, let lazily):
      var start = next
      if let most {
        for _ in 0..<most - least {
          start = try appendFork(add(node, next: start), next, lazily: lazily)
        }
      } else {
        start = try append(.match)
        let body = try add(node, next: start)
        states[start] = Self.fork(body, next, lazily: lazily)
      }
      for _ in 0..<least { start = try add(node, next: start) }
      return start
    }
  }

  private mutating func appendFork(
    _ way: Int, _ other: Int, lazily: Bool
  ) throws(PatternProblem) -> Int {
    try append(Self.fork(way, other, lazily: lazily))
  }

  private static func fork(_ way: Int, _ other: Int, lazily: Bool) -> State {
    lazily ? .fork(first: other, second: way) : .fork(first: way, second: other)
  }

  private mutating func append(_ state: State) throws(PatternProblem) -> Int {
    guard states.count < Self.stateLimit else {
      throw PatternProblem(found: "a pattern with too many parts")
    }
    states.append(state)
    return states.count - 1
  }

  private mutating func place(of set: ScalarSet) -> Int {
    if let known = sets.firstIndex(of: set) { return known }
    sets.append(set)
    return sets.count - 1
  }

  /// The table, as `SplitPattern` describes it, and whether a match starts at every character of every
  /// text. Row 1 is the start.
  ///
  /// - Parameter members: the sets that contain each class, as bits by their places.
  func table(
    from start: Int, members: [UInt64]
  ) throws(PatternProblem) -> (entries: [UInt16], matchesEverywhere: Bool) {
    let width = members.count + 1
    var table = [UInt16](repeating: 0, count: width)
    var rows: [[Int]: Int] = [[]: 0, [start]: width]
    var waiting = [[start]]
    var index = 0
    while index < waiting.count {
      for place in 0..<width {
        let member = place < members.count ? members[place] : nil
        let (next, matches) = step(waiting[index], member)
        let row = rows[next] ?? (waiting.count + 1) * width
        if rows[next] == nil {
          guard row + width <= Self.tableLimit else {
            throw PatternProblem(found: "a pattern with too many states")
          }
          rows[next] = row
          waiting.append(next)
        }
        table.append(UInt16(row << 1 | (matches ? 1 : 0)))
      }
      index += 1
    }
    let sure = Self.sureRows(of: table, width: width)
    // A match that always becomes longer has no mark. Therefore patterns with the same matches have
    // the same marks, whether they are written with `+` or `++`.
    return (
      table.map { sure[Int($0 >> 1) / width] ? $0 & ~1 : $0 },
      table[width..<2 * width - 1].allSatisfy { sure[Int($0 >> 1) / width] }
    )
  }

  /// For each row whether a match ends in every text that leads on from it.
  private static func sureRows(of table: [UInt16], width: Int) -> [Bool] {
    // Each way on is marked or leads to a sure row. The end of the text leads to row 0, which is not
    // sure.
    var sure = [Bool](repeating: true, count: table.count / width)
    sure[0] = false
    var changes = true
    while changes {
      changes = false
      for row in sure.indices where sure[row] {
        let entries = table[row * width..<(row + 1) * width]
        if !entries.allSatisfy({ $0 & 1 != 0 || sure[Int($0 >> 1) / width] }) {
          sure[row] = false
          changes = true
        }
      }
    }
    return sure
  }

  /// The states after a scalar, best first, and whether a match ends before it.
  ///
  /// - Parameter member: the sets that contain the scalar; nil at the end of the text.
  private func step(_ current: [Int], _ member: UInt64?) -> (next: [Int], matches: Bool) {
    var next: [Int] = []
    var seen: Set<Int> = []
    var waiting = Array(current.reversed())
    while let state = waiting.popLast() {
      guard seen.insert(state).inserted else { continue }
      switch states[state] {
      case .match: return (next, true)  // what comes later is worse
      case .fork(let first, let second): waiting += [second, first]
      case .lookahead(let set, let allowsEnd, let follower):
        if member.map({ $0 & 1 << UInt64(set) != 0 }) ?? allowsEnd { waiting.append(follower) }
      case .scalar(let set, let follower):
        if let member, member & 1 << UInt64(set) != 0, !next.contains(follower) {
          next.append(follower)
        }
      }
    }
    return (next, false)
  }
}
