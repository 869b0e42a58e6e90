import SextantTensor

/// Detects examples that are unlike the fitted ones, by the Mahalanobis distance of the probes'
/// scores across layers. An example in which the model answers against its knowledge may have a
/// large distance.
package struct AnomalyDetector: Sendable {
  private let mean: [Double]
  private let precision: [Double]

  /// Fits the normal examples.
  ///
  /// - Parameters:
  ///   - rows: [N][k], the scores of each example.
  ///   - ignoresCorrelation: use the variances only.
  /// - Returns: nil for fewer than two examples, or a number that is not finite.
  package init?(normal rows: [[Double]], ignoresCorrelation: Bool = false) {
    guard let k = rows.first?.count, rows.count > 1, k > 0 else { return nil }
    let count = Double(rows.count)
    let mean = (0..<k).map { column in rows.reduce(0) { $0 + $1[column] } / count }
    let centred = rows.flatMap { row in zip(row, mean).map { $0 - $1 } }
    var covariance = LinearAlgebra.product(
      centred, centred, rows: k, inner: rows.count, columns: k, transposingFirst: true
    ).map { $0 / count }
    if ignoresCorrelation {
      for row in 0..<k {
        for column in 0..<k where column != row { covariance[row * k + column] = 0 }
      }
    }
    guard let inverse = LinearAlgebra.pseudoInverse(symmetric: covariance, size: k) else {
      return nil
    }
    self.mean = mean
    precision = inverse
  }

  /// The squared distance of an example, [k].
  package func distance(_ row: [Double]) -> Double {
    let k = mean.count
    precondition(row.count == k)
    let centred = zip(row, mean).map { $0 - $1 }
    var sum = 0.0
    for a in 0..<k {
      for b in 0..<k { sum += centred[a] * precision[a * k + b] * centred[b] }
    }
    return sum
  }
}
