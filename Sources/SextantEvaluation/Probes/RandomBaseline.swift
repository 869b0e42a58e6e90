import SextantGeneration
import SextantTensor

/// How well random directions predict a label: probes must do better than the best of as many
/// random directions.
package enum RandomBaseline {
  /// The areas of random directions, whichever way each points, ascending.
  ///
  /// - Parameters:
  ///   - rows: [N, n].
  ///   - count: directions.
  package static func areas(
    _ rows: Tensor, _ labels: [Bool], count: Int = 200, seed: UInt64 = 0
  ) -> [Double] {
    var random = SeededRandom(seed: seed)
    let n = rows.columnCount
    // Normal numbers: the length of a direction does not change its area.
    let vectors = (0..<count * n).map { _ in random.gaussian() }
    let scores = RowProducts.product(rows, vectors: vectors, count: count)  // [N, count]
    return (0..<count).compactMap { direction in
      let own = labels.indices.map { scores[$0 * count + direction] }
      return ROC(own, labels).map { max($0.area, 1 - $0.area) }
    }.sorted()
  }
}
