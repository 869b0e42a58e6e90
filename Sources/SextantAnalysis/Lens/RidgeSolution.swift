import SextantArtifacts
import SextantTensor

/// The ridge regression of the remaining change, y - x, on the stream x of one site.
///
/// W = C (S + λ I)⁻¹ and b = mean(y - x) - W mean(x), where S is the covariance of x and C the
/// cross-covariance of y - x with x. Large λ make W small: the lens becomes the logit lens with a
/// bias.
struct RidgeSolution {
  private let moments: JointMoments
  private let width: Int
  private let values: [Double]  // eigenvalues of S
  private let vectors: [Double]  // one eigenvector per row, Q
  private let rotated: [Double]  // C Qᵀ, [D, D]

  /// Prepares the solutions for every λ; nil if the moments are not finite.
  init?(_ moments: JointMoments) {
    let width = moments.mean.count
    let covariance = moments.covariance
    guard let (values, vectors) = LinearAlgebra.eigen(symmetric: covariance, size: width) else {
      return nil
    }
    self.moments = moments
    self.width = width
    self.values = values
    self.vectors = vectors
    rotated = LinearAlgebra.product(
      moments.remainderCovariance, vectors, rows: width, inner: width, columns: width,
      transposingSecond: true)
  }

  /// The unit in which λ is given: the mean variance of the stream's channels.
  var unit: Double { max(values.reduce(0, +) / Double(width), .leastNormalMagnitude) }

  /// C Qᵀ with column i divided by the eigenvalue i plus λ.
  private func scaled(_ lambda: Double) -> [Double] {
    // An eigenvalue that rounding made negative has no effect; a stream that never varies has W =
    // 0.
    let factors = values.map { 1 / (max($0, 0) + lambda) }.map { $0.isFinite ? $0 : 0 }
    return rotated.indices.map { rotated[$0] * factors[$0 % width] }
  }

  /// The mean squared error on tokens that need not be those of the regression.
  func error(lambda: Double, on other: JointMoments) -> Double {
    let weight = matrix(lambda)
    let (covariance, remainder) = (other.covariance, other.remainderCovariance)
    // E|r - W x|² around the means: tr(R) - 2 tr(W Cᵀ) + tr(W S Wᵀ).
    let product = LinearAlgebra.product(
      weight, covariance, rows: width, inner: width, columns: width)
    var sum = other.remainderVariance
    for index in weight.indices {
      sum += weight[index] * (product[index] - 2 * remainder[index])
    }
    let bias = bias(weight)
    let mean = LinearAlgebra.product(weight, other.mean, rows: width, inner: width, columns: 1)
    for index in 0..<width {
      let miss = other.targetMean[index] - other.mean[index] - mean[index] - bias[index]
      sum += miss * miss
    }
    return sum
  }

  /// W, [D, D].
  func matrix(_ lambda: Double) -> [Double] {
    LinearAlgebra.product(scaled(lambda), vectors, rows: width, inner: width, columns: width)
  }

  /// b, [D].
  func bias(_ weight: [Double]) -> [Double] {
    let moved = LinearAlgebra.product(
      weight, moments.mean, rows: width, inner: width, columns: 1)
    return (0..<width).map { moments.targetMean[$0] - moments.mean[$0] - moved[$0] }
  }

  /// The translator in f32.
  func translator(lambda: Double) -> Translator {
    let weight = matrix(lambda)
    return Translator(
      weight: Tensor(weight.map { Float($0) }, shape: [width, width]),
      bias: Tensor(bias(weight).map { Float($0) }, shape: [width]))
  }
}

extension JointMoments {
  /// S, [D, D].
  var covariance: [Double] { scatter.map { $0 / Double(max(count, 1)) } }

  /// C, the cross-covariance of y - x (rows) with x (columns), [D, D].
  var remainderCovariance: [Double] {
    let width = mean.count
    var result = [Double](repeating: 0, count: width * width)
    let share = 1 / Double(max(count, 1))
    for row in 0..<width {
      for column in 0..<width {
        result[row * width + column] =
          (crossScatter[column * width + row] - scatter[row * width + column]) * share
      }
    }
    return result
  }

  /// The summed variance of y - x.
  var remainderVariance: Double {
    let width = mean.count
    let trace = (0..<width).reduce(0.0) { sum, index in
      sum + scatter[index * width + index] - 2 * crossScatter[index * width + index]
    }
    return (targetScatter + trace) / Double(max(count, 1))
  }
}
