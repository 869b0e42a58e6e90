extension Kernels {
  /// Groups of neighbouring columns that compete before their columns do.
  package struct ChoiceGroups: Sendable {
    /// The number of groups; they are equally wide.
    package let count: Int
    /// How many of them take part in the choice.
    package let chosen: Int

    /// `chosen` of `count` groups.
    package init(count: Int, chosen: Int) {
      self.count = count
      self.chosen = chosen
    }
  }

  /// The columns of the largest numbers in each row, the largest first.
  ///
  /// Of equal numbers the one with the lower column comes first. NaN comes last. With `groups`, only
  /// columns of the best groups are chosen, and a group is as good as the sum of its two largest
  /// numbers (DeepSeek-V3, arXiv 2412.19437).
  ///
  /// - Parameters:
  ///   - scores: `[M, X]`.
  ///   - count: the number of columns for each row, k; at most X, or as many as the chosen groups have.
  ///   - groups: nil if all columns compete.
  /// - Returns: k columns for each row, one row after the other.
  package static func largest(
    _ scores: some MatrixRows, count: Int, groups: ChoiceGroups? = nil, pool: WorkerPool = .shared
  ) -> [Int] {
    let (rows, width) = (scores.rowCount, scores.columnCount)
    let parts = groups ?? ChoiceGroups(count: 1, chosen: 1)
    precondition(
      parts.count >= 1 && (1...parts.count).contains(parts.chosen) && width % parts.count == 0
        && (0...parts.chosen * (width / parts.count)).contains(count),
      "\(count) of \(width) columns in \(parts.count) groups")
    return scores.withRows { scores, stride in
      [Int](unsafeUninitializedCapacity: rows * count) { buffer, initialized in
        buffer.initialize(repeating: 0)
        nonisolated(unsafe) let (scores, buffer) = (scores, buffer)
        pool.split(rows, by: rowGrain(width: width * max(count, 1))) { range in
          for row in range {
            let scores = UnsafeBufferPointer(start: scores + row * stride, count: width)
            let chosen = UnsafeMutableBufferPointer(
              rebasing: buffer[row * count..<(row + 1) * count])
            choose(scores, parts, into: chosen)
          }
        }
        initialized = rows * count
      }
    }
  }

  /// Fills `chosen` with the places of the largest scores in the best groups.
  private static func choose(
    _ scores: UnsafeBufferPointer<Float>, _ groups: ChoiceGroups,
    into chosen: UnsafeMutableBufferPointer<Int>
  ) {
    let width = scores.count / groups.count
    guard groups.chosen < groups.count else {
      return insert(0..<scores.count, scores, into: chosen, from: 0)
    }
    withUnsafeTemporaryAllocation(of: Float.self, capacity: groups.count) { merits in
      withUnsafeTemporaryAllocation(of: Int.self, capacity: groups.chosen) { best in
        for group in 0..<groups.count {
          let own = UnsafeBufferPointer(rebasing: scores[group * width..<(group + 1) * width])
          merits.initializeElement(at: group, to: sumOfTwoLargest(own))
        }
        best.initialize(repeating: 0)
        insert(0..<groups.count, UnsafeBufferPointer(merits), into: best, from: 0)
        // By their places, so that of equal scores the first is met first.
        var ordered = best
        ordered.sort()
        var found = 0
        for group in ordered {
          let range = group * width..<(group + 1) * width
          insert(range, scores, into: chosen, from: found)
          found = min(found + width, chosen.count)
        }
      }
    }
  }

  /// Inserts places into `chosen`, which has `count` places in order already and keeps the best.
  private static func insert(
    _ places: Range<Int>, _ scores: UnsafeBufferPointer<Float>,
    into chosen: UnsafeMutableBufferPointer<Int>, from count: Int
  ) {
    var count = count
    for place in places {
      var slot = count
      while slot > 0 && precedes(scores[place], scores[chosen[slot - 1]]) { slot -= 1 }
      guard slot < chosen.count else { continue }
      for later in Swift.stride(from: min(count, chosen.count - 1), to: slot, by: -1) {
        chosen[later] = chosen[later - 1]
      }
      chosen[slot] = place
      count = min(count + 1, chosen.count)
    }
  }

  /// Whether score `a` comes before a score `b` that has a lower place.
  private static func precedes(_ a: Float, _ b: Float) -> Bool { a > b || (b.isNaN && !a.isNaN) }

  /// The sum of the two largest scores, or the only one; NaN is one only if there are too few others.
  private static func sumOfTwoLargest(_ scores: UnsafeBufferPointer<Float>) -> Float {
    var (first, second) = (scores[0], Float.nan)
    for score in scores.dropFirst() {
      if precedes(score, first) {
        (first, second) = (score, first)
      } else if precedes(score, second) {
        second = score
      }
    }
    return scores.count == 1 ? first : first + second
  }
}
