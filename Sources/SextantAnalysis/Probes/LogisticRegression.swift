import Glibc
import SextantTensor

/// Logistic regression with a quadratic penalty: the minimum over w and b of
///
///     1/N Σ log(1 + e^(-y z)) + penalty · ‖w‖²,   z = w·x + b,   y = ±1
///
/// It is convex, with one minimum; the bias bears no penalty. L-BFGS starts from zero, and from the
/// curvature that bounds the loss's: a quarter of the covariance plus twice the penalty.
struct LogisticRegression {
  /// The penalty of elk-generalization.
  static let penalty = 1e-3
  /// Above this number of elements the inverse of the curvature's bound costs more time than it
  /// saves.
  private static let preconditionLimit = 2048

  /// The fitted parameters.
  struct Fit {
    var weights: [Double]
    var bias: Double
    /// The minimum of the loss with the penalty.
    var loss: Double
    var iterations: Int
    var converged: Bool
  }

  /// Fits rows, [N, n], to labels.
  ///
  /// - Parameter moments: of the rows; with covariances or variances.
  static func fit(
    _ rows: Tensor, _ labels: [Bool], moments: MomentAccumulator, penalty: Double = penalty
  ) -> Fit {
    let (count, n) = (rows.rowCount, rows.columnCount)
    let targets = labels.map { $0 ? 1.0 : 0 }
    // Centred: weights and bias then hardly depend on each other. Moving the rows moves the bias only.
    let mean = moments.mean
    var search = LBFGS()
    let fewRows = FewRows(rows, means: [mean], classOfRow: { _ in 0 })
    search.preconditioner =
      fewRows.flatMap { lowRankPreconditioner($0, penalty) } ?? preconditioner(moments, n, penalty)
    let minimum = search.minimise(from: [Double](repeating: 0, count: n + 1)) { point in
      let weights = Array(point[..<n])
      let offset = point[n] - LBFGS.dot(weights, mean)
      var (losses, residuals) = (targets, targets)
      let sums = losses.withUnsafeMutableBufferPointer { losses in
        residuals.withUnsafeMutableBufferPointer { residuals in
          nonisolated(unsafe) let (losses, residuals) = (losses, residuals)
          return RowProducts.transposedProduct(rows, times: weights) { range, z in
            for (index, row) in range.enumerated() {
              let (value, target) = (z[index] + offset, targets[row])
              let decay = exp(-abs(value))
              losses[row] = max(value, 0) - target * value + log1p(decay)
              let probability = (value >= 0 ? 1 : decay) / (1 + decay)
              z[index] = (probability - target) / Double(count)
              residuals[row] = z[index]
            }
          }
        }
      }
      let residual = residuals.reduce(0, +)
      var gradient = [Double](repeating: 0, count: n + 1)
      for index in 0..<n {
        gradient[index] = sums[index] - residual * mean[index] + 2 * penalty * weights[index]
      }
      gradient[n] = residual
      let loss = losses.reduce(0, +) / Double(count)
      return (loss + penalty * LBFGS.dot(weights, weights), gradient)
    }
    let weights = Array(minimum.point[..<n])
    return Fit(
      weights: weights, bias: minimum.point[n] - LBFGS.dot(weights, mean), loss: minimum.value,
      iterations: minimum.iterations, converged: minimum.converged)
  }

  /// The same inverse for few rows X, whose bound has a low rank. By the identity of Woodbury it is
  /// (I - Xᵀ (8 N penalty I + X Xᵀ)⁻¹ X) / (2 penalty): a system of N unknowns.
  private static func lowRankPreconditioner(
    _ rows: FewRows, _ penalty: Double
  ) -> (([Double]) -> [Double])? {
    let (count, n) = (rows.count, rows.elementCount)
    var matrix = rows.gram
    var identity = [Double](repeating: 0, count: count * count)
    for index in 0..<count {
      matrix[index * count + index] += 8 * Double(count) * penalty
      identity[index * count + index] = 1
    }
    let inverse = LinearAlgebra.solve(
      positiveDefinite: matrix, size: count, rightSides: identity, count: count)
    guard let inverse else { return nil }
    return { gradient in
      let own = Array(gradient[..<n])
      let inner = LinearAlgebra.product(
        inverse, rows.product(own), rows: count, inner: count, columns: 1)
      return zip(own, rows.transposedProduct(inner)).map { ($0 - $1) / (2 * penalty) }
        + [4 * gradient[n]]
    }
  }

  /// The inverse of the bound on the curvature, of weights and bias.
  private static func preconditioner(
    _ moments: MomentAccumulator, _ n: Int, _ penalty: Double
  ) -> ([Double]) -> [Double] {
    let spread = moments.spread
    let diagonal = { (index: Int) -> Double in
      moments.order == .covariance ? spread[index * n + index] : spread[index]
    }
    let inverses = (0..<n).map { 1 / (diagonal($0) / 4 + 2 * penalty) }
    guard moments.order == .covariance, n <= preconditionLimit else {
      return { gradient in zip(gradient, inverses + [4]).map { $0 * $1 } }
    }
    var bound = spread.map { $0 / 4 }
    var identity = [Double](repeating: 0, count: n * n)
    for index in 0..<n {
      bound[index * n + index] += 2 * penalty
      identity[index * n + index] = 1
    }
    let inverse = LinearAlgebra.solve(
      positiveDefinite: bound, size: n, rightSides: identity, count: n)
    guard let inverse else {
      return { gradient in zip(gradient, inverses + [4]).map { $0 * $1 } }
    }
    return { gradient in
      LinearAlgebra.product(inverse, Array(gradient[..<n]), rows: n, inner: n, columns: 1)
        + [4 * gradient[n]]
    }
  }
}
