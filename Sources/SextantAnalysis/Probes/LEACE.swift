import SextantArtifacts
import SextantTensor

/// Least-squares concept erasure for a label of two values (Belrose et al., arXiv 2306.03819,
/// theorem 4.3).
///
/// The erased x is x - W⁺ U Uᵀ W (x - μ), with the whitening W = (Σ⁺)^½ and U an orthonormal basis
/// of W Σ_xz. With two classes Σ_xz is a multiple of δ = μ₁ - μ₀, and the removed part is δ (Σ⁺δ)ᵀ
/// / (δᵀΣ⁺δ): no whitening is ever computed.
enum LEACE {
  /// The eraser of the direction between the classes; the identity if their means are equal.
  ///
  /// - Parameter moments: with covariances.
  /// - Returns: nil if a number is not finite.
  static func eraser(_ moments: ClassMoments) -> ProbeEntry.Eraser? {
    let n = moments.total.mean.count
    let difference = moments.difference
    guard
      let inverse = LinearAlgebra.pseudoInverse(symmetric: moments.total.spread, size: n)
    else { return nil }
    let solved = LinearAlgebra.product(inverse, difference, rows: n, inner: n, columns: 1)
    let length = LBFGS.dot(difference, solved)
    let right = length > 0 ? solved.map { $0 / length } : [Double](repeating: 0, count: n)
    return ProbeEntry.Eraser(mean: moments.total.mean, left: difference, right: right)
  }
}

extension ProbeEntry.Eraser {
  /// (I - P) v for the projection P that is taken out.
  func erasing(_ vector: [Double]) -> [Double] {
    let amount = LBFGS.dot(right, vector)
    return zip(vector, left).map { $0 - $1 * amount }
  }

  /// (I - P)ᵀ v: v · erased x is this vector · x, plus a constant.
  func transposedErasing(_ vector: [Double]) -> [Double] {
    let amount = LBFGS.dot(left, vector)
    return zip(vector, right).map { $0 - $1 * amount }
  }

  /// (I - P) A (I - P)ᵀ of a matrix A, [n, n].
  func erasing(both a: [Double]) -> [Double] {
    let n = mean.count
    let rightA = LinearAlgebra.product(right, a, rows: 1, inner: n, columns: n)
    let aRight = LinearAlgebra.product(a, right, rows: n, inner: n, columns: 1)
    let both = LBFGS.dot(rightA, right)
    var result = a
    for row in 0..<n {
      for column in 0..<n {
        result[row * n + column] +=
          left[row] * left[column] * both - left[row] * rightA[column]
          - aRight[row] * left[column]
      }
    }
    return result
  }
}
