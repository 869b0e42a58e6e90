/// Sequences of one shape, which run together.
package struct RunBatch<Shape: Hashable & Comparable & Sendable>: Sendable, Equatable {
  /// The common value of the sequences, such as their length.
  package let shape: Shape
  /// Their places among all sequences, ascending; at least one.
  package let members: [Int]

  /// Puts sequences of equal shape together.
  ///
  /// - Parameters:
  ///   - shapes: of each sequence; only sequences of equal shape run together.
  ///   - limit: the number of sequences of a shape that run together at most; 1 or more.
  /// - Returns: batches ordered by shape, and within a shape in the order of the sequences. Each
  ///   sequence is in one of them.
  package static func batches(
    of shapes: some Sequence<Shape>, limit: (Shape) -> Int
  ) -> [RunBatch] {
    var members: [Shape: [Int]] = [:]
    for (place, shape) in shapes.enumerated() { members[shape, default: []].append(place) }
    return members.sorted { $0.key < $1.key }.flatMap { shape, members in
      let limit = max(limit(shape), 1)
      return stride(from: 0, to: members.count, by: limit).map {
        RunBatch(shape: shape, members: Array(members[$0..<min($0 + limit, members.count)]))
      }
    }
  }
}
