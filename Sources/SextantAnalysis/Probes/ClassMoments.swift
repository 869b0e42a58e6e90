import SextantTensor

/// Means and covariances of two classes of examples, from which the closed forms follow.
struct ClassMoments {
  /// The examples without the label.
  let negative: MomentAccumulator
  /// The examples with the label.
  let positive: MomentAccumulator
  /// All examples.
  let total: MomentAccumulator

  /// Moments of the rows, [N, n], of each class.
  init(_ rows: Tensor, _ labels: [Bool], order: MomentOrder) {
    let n = rows.columnCount
    let read = { (label: Bool) -> MomentAccumulator in
      var moments = MomentAccumulator(elementCount: n, order: order)
      let own = labels.indices.filter { labels[$0] == label }
      // Chunks bound the memory that copies take.
      for start in stride(from: 0, to: own.count, by: 4096) {
        moments.add(
          Kernels.gather(rows, rows: Array(own[start..<min(start + 4096, own.count)])))
      }
      return moments
    }
    self.init(negative: read(false), positive: read(true))
  }

  /// Moments of classes that were read before.
  init(negative: MomentAccumulator, positive: MomentAccumulator) {
    self.negative = negative
    self.positive = positive
    var total = negative
    total.merge(positive)
    self.total = total
  }

  /// μ₁ - μ₀, [n].
  var difference: [Double] { zip(positive.mean, negative.mean).map { $0 - $1 } }

  /// The covariance within the classes, weighted by their counts, [n, n]; needs covariances.
  var within: [Double] {
    let (a, b) = (Double(negative.count), Double(positive.count))
    return zip(negative.spread, positive.spread).map { (a * $0 + b * $1) / (a + b) }
  }

  /// The direction of linear discriminant analysis, S⁺ (μ₁ - μ₀); nil if a number is not finite.
  var discriminant: [Double]? {
    let difference = difference
    let n = difference.count
    guard let inverse = LinearAlgebra.pseudoInverse(symmetric: within, size: n) else { return nil }
    return LinearAlgebra.product(inverse, difference, rows: n, inner: n, columns: 1)
  }
}
