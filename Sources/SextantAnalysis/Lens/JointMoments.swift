import SextantModels
import SextantTensor

/// Moments of the residual stream of one site together with the stream that the model reads out, in
/// f64: all that a ridge lens needs. Two parts of the data merge exactly.
package struct JointMoments: Sendable, Equatable {
  /// The number of tokens.
  package private(set) var count = 0
  /// The mean of the site, [D].
  package private(set) var mean: [Double]
  /// The mean of the stream that is read out, [D].
  package private(set) var targetMean: [Double]
  /// Σ (x - mean)(x - mean)ᵀ, [D, D].
  package private(set) var scatter: [Double]
  /// Σ (x - mean)(y - target mean)ᵀ, [D, D].
  package private(set) var crossScatter: [Double]
  /// Σ |y - target mean|².
  package private(set) var targetScatter = 0.0

  /// Empty moments.
  package init(width: Int) {
    mean = Array(repeating: 0, count: width)
    targetMean = mean
    scatter = Array(repeating: 0, count: width * width)
    crossScatter = scatter
  }

  /// Adds rows of the site, [M, D], and the same tokens' rows of the stream that is read out.
  package mutating func add(_ x: some MatrixRows, _ y: some MatrixRows) {
    guard x.rowCount > 0 else { return }
    var part = JointMoments(width: mean.count)
    part.count = x.rowCount
    part.mean = Self.mean(of: x)
    part.targetMean = Self.mean(of: y)
    CrossProducts.add(of: x, minus: part.mean, to: &part.scatter)
    CrossProducts.add(
      of: x, minus: part.mean, and: y, minus: part.targetMean, to: &part.crossScatter)
    part.targetScatter = Self.scatter(of: y, around: part.targetMean)
    merge(part)
  }

  private static func mean(of x: some MatrixRows) -> [Double] {
    var sums = [Double](repeating: 0, count: x.columnCount)
    CrossProducts.addRows(x, to: &sums)
    return sums.map { $0 / Double(x.rowCount) }
  }

  private static func scatter(of y: some MatrixRows, around mean: [Double]) -> Double {
    let rows = y.rowCount
    return y.withRows { y, stride in
      var sum = 0.0
      for row in 0..<rows {
        for column in mean.indices {
          let deviation = Double(y[row * stride + column]) - mean[column]
          sum += deviation * deviation
        }
      }
      return sum
    }
  }

  /// The same with the stream that is read out in another unit.
  func scalingTarget(by scale: Double) -> JointMoments {
    var copy = self
    copy.targetMean = targetMean.map { $0 * scale }
    copy.crossScatter = crossScatter.map { $0 * scale }
    copy.targetScatter = targetScatter * scale * scale
    return copy
  }

  /// Adds the tokens of other moments (Chan, Golub and LeVeque, 1979).
  package mutating func merge(_ other: JointMoments) {
    precondition(other.mean.count == mean.count)
    guard other.count > 0 else { return }
    let total = Double(count + other.count)
    let share = Double(other.count) / total
    let weight = Double(count) * share
    let delta = zip(other.mean, mean).map { $0 - $1 }
    let targetDelta = zip(other.targetMean, targetMean).map { $0 - $1 }
    Self.add(other.scatter, delta, delta, weight, to: &scatter)
    Self.add(other.crossScatter, delta, targetDelta, weight, to: &crossScatter)
    targetScatter += other.targetScatter + weight * targetDelta.reduce(0) { $0 + $1 * $1 }
    for index in delta.indices {
      mean[index] += share * delta[index]
      targetMean[index] += share * targetDelta[index]
    }
    count += other.count
  }

  /// sums += other + weight · a bᵀ.
  private static func add(
    _ other: [Double], _ a: [Double], _ b: [Double], _ weight: Double, to sums: inout [Double]
  ) {
    let width = b.count
    sums.withUnsafeMutableBufferPointer { sums in
      other.withUnsafeBufferPointer { other in
        for row in a.indices {
          let factor = weight * a[row]
          for column in 0..<width {
            sums[row * width + column] += other[row * width + column] + factor * b[column]
          }
        }
      }
    }
  }
}
