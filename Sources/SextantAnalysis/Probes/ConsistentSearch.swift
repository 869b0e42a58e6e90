import Glibc
import SextantArtifacts
import SextantTensor

/// Contrast-consistent search (Burns et al., arXiv 2212.03827): a direction after which the two
/// choices of a pair have probabilities that add up to 1 and are far from 1/2. With p± = σ(w · x± + b),
/// the loss is the mean of (p₊ - (1 - p₋))² + min(p₊, p₋)², plus decay/2 · ‖w‖².
///
/// The direction that only distinguishes which choice was read is erased first. Of several random
/// starts, the one with the lowest loss is kept. With many pairs, the starts are tried on some of
/// them, and the best one continues with all.
struct ConsistentSearch {
  /// The decay and the number of starts of elk-generalization.
  var (decay, tries) = (0.01, 10)
  /// Steps of each start at most.
  var iterationLimit = 200
  /// Pairs that the starts are tried on.
  var trialLimit = 2000

  /// The result of the search.
  struct Fit {
    var weights: [Double]
    var bias: Double
    var loss: Double
  }

  /// Fits pairs, [N, 2n], the false choice first.
  func fit(_ pairs: Tensor, _ moments: PairMoments, _ random: inout SeededRandom) -> Fit {
    let count = pairs.rowCount
    let n = pairs.columnCount / 2
    // Evenly spread over the pairs.
    let trial =
      count <= trialLimit
      ? pairs : Kernels.gather(pairs, rows: (0..<trialLimit).map { $0 * count / trialLimit })
    var best = LBFGS.Minimum(
      point: [Double](repeating: 0, count: n + 1), value: .infinity, iterations: 0,
      converged: false)
    for _ in 0..<tries {
      let start = start(moments, random.unitVector(n))
      let minimum = minimise(trial, moments.eraser, from: start)
      if minimum.value < best.value { best = minimum }
    }
    if count > trialLimit { best = minimise(pairs, moments.eraser, from: best.point) }
    return Fit(weights: Array(best.point[..<n]), bias: best.point[n], loss: best.value)
  }

  private func minimise(
    _ pairs: Tensor, _ eraser: ProbeEntry.Eraser, from start: [Double]
  ) -> LBFGS.Minimum {
    let count = pairs.rowCount
    // [2N, n], false and true by turns.
    let rows = pairs.reshaped([2 * count, pairs.columnCount / 2])
    var search = LBFGS()
    (search.iterationLimit, search.tolerance) = (iterationLimit, 1e-7)
    return search.minimise(from: start) { point in loss(rows, count, eraser, point) }
  }

  /// A direction at a scale at which probabilities differ, and the bias that centres them.
  private func start(_ moments: PairMoments, _ direction: [Double]) -> [Double] {
    let n = direction.count
    let own = moments.eraser.transposedErasing(direction)
    let spread = moments.joint.spread
    var variance = 0.0
    for row in 0..<n {
      for column in 0..<n {
        variance += own[row] * own[column] * spread[row * 2 * n + column]
      }
    }
    let scale = variance > 0 ? 1 / variance.squareRoot() : 1
    let weights = direction.map { $0 * scale }
    return weights + [-LBFGS.dot(weights, moments.eraser.mean)]
  }

  private func loss(
    _ rows: Tensor, _ count: Int, _ eraser: ProbeEntry.Eraser, _ point: [Double]
  ) -> (value: Double, gradient: [Double]) {
    let n = rows.columnCount
    let weights = Array(point[..<n])
    let amount = LBFGS.dot(eraser.left, weights)
    let rightMean = LBFGS.dot(eraser.right, eraser.mean)
    // w · erased x = (I - P)ᵀw · x + (left · w)(right · mean).
    let offset = point[n] + amount * rightMean
    var (losses, residuals) = (
      [Double](repeating: 0, count: count), [Double](repeating: 0, count: 2 * count)
    )
    let sums = losses.withUnsafeMutableBufferPointer { losses in
      residuals.withUnsafeMutableBufferPointer { residuals in
        nonisolated(unsafe) let (losses, residuals) = (losses, residuals)
        return RowProducts.transposedProduct(
          rows, times: eraser.transposedErasing(weights)
        ) { range, z in
          // Blocks have an even number of rows: both choices of a pair are here.
          for index in stride(from: 0, to: range.count, by: 2) {
            let (p, q) = (
              1 / (1 + exp(-z[index + 1] - offset)), 1 / (1 + exp(-z[index] - offset))
            )
            let (gap, least) = (p + q - 1, min(p, q))
            losses[(range.lowerBound + index) / 2] = gap * gap + least * least
            let slopes = (
              p: 2 * gap + (p < q ? 2 * p : 0), q: 2 * gap + (p < q ? 0 : 2 * q)
            )
            z[index + 1] = slopes.p * p * (1 - p) / Double(count)
            z[index] = slopes.q * q * (1 - q) / Double(count)
            residuals[range.lowerBound + index] = z[index]
            residuals[range.lowerBound + index + 1] = z[index + 1]
          }
        }
      }
    }
    let residual = residuals.reduce(0, +)
    let taken = LBFGS.dot(eraser.right, sums) - rightMean * residual
    var gradient = zip(sums, eraser.left).map { $0 - $1 * taken }
    for index in 0..<n { gradient[index] += decay * weights[index] }
    gradient.append(residual)
    let value = losses.reduce(0, +) / Double(count) + decay / 2 * LBFGS.dot(weights, weights)
    return (value, gradient)
  }
}
