import SextantArtifacts
import SextantTensor

/// The values of contrast pairs that the methods without labels need: joint moments of the
/// activations after the false and the true choice, and the eraser of the direction that only
/// distinguishes which choice was read.
struct PairMoments {
  /// Elements of one activation.
  let n: Int
  /// The moments of both activations joined, false first, [2n].
  let joint: MomentAccumulator
  /// Takes out which of the choices was read.
  let eraser: ProbeEntry.Eraser

  /// - Parameter joint: moments of the pairs, with covariances.
  /// - Returns: nil if a number is not finite.
  init?(_ joint: MomentAccumulator) {
    self.joint = joint
    let n = joint.mean.count / 2
    self.n = n
    let spread = joint.spread
    let accumulators = [0, n].map { start in
      MomentAccumulator(
        order: .covariance, count: joint.count, mean: Array(joint.mean[start..<start + n]),
        spread: Self.block(spread, n, start, start))
    }
    guard
      let eraser = LEACE.eraser(
        ClassMoments(negative: accumulators[0], positive: accumulators[1]))
    else { return nil }
    self.eraser = eraser
  }

  private static func block(_ a: [Double], _ n: Int, _ row: Int, _ column: Int) -> [Double] {
    (0..<n).flatMap { index -> ArraySlice<Double> in
      let start = (row + index) * 2 * n + column
      return a[start..<start + n]
    }
  }

  /// The covariance between the activations after the false and the true choice, made symmetric.
  private var contrast: [Double] {
    let block = Self.block(joint.spread, n, 0, n)
    let other = LinearAlgebra.transposed(block, rows: n, columns: n)
    return zip(block, other).map { ($0 + $1) / 2 }
  }

  /// The covariance of the differences, true minus false, after erasing.
  private var differences: [Double] {
    let spread = joint.spread
    let own = zip(Self.block(spread, n, 0, 0), Self.block(spread, n, n, n)).map { $0 + $1 }
    return eraser.erasing(both: zip(own, contrast).map { $0 - 2 * $1 })
  }

  /// Whether the pairs' differences differ, by more than rounding makes of equal ones.
  var differencesVary: Bool {
    let (spread, differences) = (joint.spread, differences)
    let trace = (0..<n).reduce(0) { $0 + differences[$1 * n + $1] }
    let whole = (0..<2 * n).reduce(0) { $0 + spread[$1 * 2 * n + $1] }
    return joint.count > 1 && trace > LinearAlgebra.rounding(size: 2 * n) * whole
  }

  /// The direction of contrastive representation clustering: the first principal component of the
  /// differences, true minus false, after erasing.
  func clustering() -> [Double]? { top(of: differences) }

  /// The direction of VINC: the first eigenvector of
  /// var · Cov_inter - (1 - nc) · Cov_intra - nc · XCov, after erasing. With one variant of each
  /// prompt Cov_intra is zero.
  func negativeCovariance(variance: Double = 0, contrastWeight: Double = 0.5) -> [Double]? {
    let spread = joint.spread
    let between =
      variance == 0
      ? [Double](repeating: 0, count: n * n)
      : zip(Self.block(spread, n, 0, 0), Self.block(spread, n, n, n)).map { ($0 + $1) / 2 }
    let objective = zip(between, contrast).map { variance * $0 - contrastWeight * $1 }
    return top(of: eraser.erasing(both: objective))
  }

  private func top(of matrix: [Double]) -> [Double]? {
    // Rounding may leave a matrix that is not quite symmetric.
    let other = LinearAlgebra.transposed(matrix, rows: n, columns: n)
    let symmetric = zip(matrix, other).map { ($0 + $1) / 2 }
    return LinearAlgebra.eigen(symmetric: symmetric, size: n).map { Array($0.vectors.suffix(n)) }
  }
}
