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
    let few = FewRows(rows, means: [mean], classOfRow: { _ in 0 })
    if let few, let fit = fit(few, targets, mean, penalty) { return fit }
    var search = LBFGS()
    search.preconditioner = preconditioner(moments, n, penalty)
    let minimum = search.minimise(from: [Double](repeating: 0, count: n + 1)) { point in
      let weights = Array(point[..<n])
      let offset = point[n] - LBFGS.dot(weights, mean)
      var (losses, residuals) = (targets, targets)
      let sums = losses.withUnsafeMutableBufferPointer { losses in
        residuals.withUnsafeMutableBufferPointer { residuals in
          nonisolated(unsafe) let (losses, residuals) = (losses, residuals)
          return RowProducts.transposedProduct(rows, times: weights) { range, z in
            for (index, row) in range.enumerated() {
              let (loss, residual) = logistic(z[index] + offset, targets[row])
              losses[row] = loss
              z[index] = residual / Double(count)
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

  /// log(1 + e^(-y z)) for a target of 1 or 0, and its derivative by z.
  private static func logistic(_ z: Double, _ target: Double) -> (value: Double, residual: Double) {
    let decay = exp(-abs(z))
    return (
      max(z, 0) - target * z + log1p(decay), (z >= 0 ? 1 : decay) / (1 + decay) - target
    )
  }

  /// The same minimum for few rows X. The weights are Xᵀ a for N coefficients a, because every gradient is
  /// such a sum of rows. With K = X Xᵀ the values z are K a, and ‖w‖² is aᵀ K a: a step needs products with
  /// matrices [N, N] only.
  ///
  /// A vector of the search is (a, K a, bias), and its inner product with (c, K c, d) is aᵀ K c + bias · d. The
  /// bound on the curvature has, by the identity of Woodbury, the inverse
  /// (I - Xᵀ (8 N penalty I + K)⁻¹ X) / (2 penalty).
  ///
  /// - Returns: nil if the bound cannot be inverted in f64.
  private static func fit(
    _ rows: FewRows, _ targets: [Double], _ mean: [Double], _ penalty: Double
  ) -> Fit? {
    let count = rows.count
    let gram = rows.gram  // [N, N]
    var bound = gram
    var identity = [Double](repeating: 0, count: count * count)
    for index in 0..<count {
      bound[index * count + index] += 8 * Double(count) * penalty
      identity[index * count + index] = 1
    }
    let inverse = LinearAlgebra.solve(
      positiveDefinite: bound, size: count, rightSides: identity, count: count)
    guard let inverse else { return nil }
    let times = { (matrix: [Double], vector: [Double]) in
      LinearAlgebra.product(matrix, vector, rows: count, inner: count, columns: 1)
    }
    var search = LBFGS()
    search.dot = { a, c in
      var sum = a[2 * count] * c[2 * count]
      for index in 0..<count { sum += a[index] * c[count + index] }
      return sum
    }
    search.preconditioner = { gradient in
      let inner = times(inverse, Array(gradient[count..<2 * count]))
      return zip(gradient, inner).map { ($0 - $1) / (2 * penalty) }
        + inner.map { 4 * Double(count) * $0 } + [4 * gradient[2 * count]]
    }
    let start = [Double](repeating: 0, count: 2 * count + 1)
    let minimum = search.minimise(from: start) { point in
      var (total, sum) = (0.0, 0.0)
      var gradient = [Double](repeating: 0, count: count)
      for row in 0..<count {
        let (loss, residual) = logistic(point[count + row] + point[2 * count], targets[row])
        total += loss
        sum += residual
        gradient[row] = residual / Double(count) + 2 * penalty * point[row]
        total += Double(count) * penalty * point[row] * point[count + row]
      }
      return (
        total / Double(count), gradient + times(gram, gradient) + [sum / Double(count)]
      )
    }
    let weights = rows.transposedProduct(Array(minimum.point[..<count]))  // [n]
    return Fit(
      weights: weights, bias: minimum.point[2 * count] - LBFGS.dot(weights, mean),
      loss: minimum.value, iterations: minimum.iterations, converged: minimum.converged)
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
