import SextantTensor

/// The moments to collect in addition to count and mean.
package enum MomentOrder: String, Sendable {
  /// Count and mean: all that a difference of means needs.
  case mean
  /// The variance of each element.
  case variance
  /// The whole covariance matrix, n² numbers.
  case covariance
}

/// Count, mean and spread of vectors, in f64, built up chunk by chunk.
///
/// Chunks and shards merge by the pairwise update of Chan, Golub and LeVeque (1979). The result depends
/// on the chunks and their order in the last bits, so both are given by the data alone.
package struct MomentAccumulator: Sendable, Equatable {
  /// The collected orders.
  package let order: MomentOrder
  /// The number of vectors.
  package private(set) var count = 0
  /// The mean, [n].
  package private(set) var mean: [Double]
  /// Σ (x - mean)² per element, [n], or Σ (x - mean)(x - mean)ᵀ, [n, n]; empty for `.mean`.
  package private(set) var scatter: [Double]

  /// Moments of no vectors of n elements.
  package init(elementCount n: Int, order: MomentOrder) {
    self.order = order
    mean = Array(repeating: 0, count: n)
    scatter = Array(repeating: 0, count: Self.scatterCount(n, order))
  }

  /// Moments that were collected earlier, bit for bit.
  ///
  /// - Parameter scatter: the sums of squared deviations [n], of their products [n, n], or empty.
  package init(order: MomentOrder, count: Int, mean: [Double], scatter: [Double]) {
    precondition(scatter.count == Self.scatterCount(mean.count, order))
    (self.order, self.count, self.mean, self.scatter) = (order, count, mean, scatter)
  }

  /// Moments of a known spread.
  ///
  /// - Parameter spread: variance [n] or covariance [n, n] of the population, or empty.
  package init(order: MomentOrder, count: Int, mean: [Double], spread: [Double]) {
    self.init(
      order: order, count: count, mean: mean, scatter: spread.map { $0 * Double(count) })
  }

  private static func scatterCount(_ n: Int, _ order: MomentOrder) -> Int {
    switch order {
    case .mean: 0
    case .variance: n
    case .covariance: n * n
    }
  }

  /// The variance [n] or covariance [n, n] of the population, depending on `order`; empty for
  /// `.mean`.
  package var spread: [Double] { scatter.map { $0 / Double(max(count, 1)) } }

  /// The variance of each element, [n], from a covariance.
  var diagonal: [Double] {
    let n = mean.count
    return (0..<n).map { scatter[$0 * n + $0] / Double(max(count, 1)) }
  }

  /// Whether the vectors differ by more than the rounding of their f64 sums; true if spreads are
  /// not collected and there are two vectors.
  ///
  /// Vectors of f32 that differ at all have a variance far above 2⁻⁸⁰ of their mean square.
  var varies: Bool {
    guard count > 1 else { return false }
    let variance = order == .covariance ? diagonal : spread
    guard order != .mean else { return true }
    return zip(variance, mean).contains { $0 > 0x1p-80 * $1 * $1 }
  }

  /// Adds the rows of a chunk, [M, n].
  package mutating func add(_ rows: some MatrixRows) {
    guard rows.rowCount > 0 else { return }
    var chunk = MomentAccumulator(elementCount: mean.count, order: order)
    chunk.count = rows.rowCount
    CrossProducts.addRows(rows, to: &chunk.mean)
    for index in chunk.mean.indices { chunk.mean[index] /= Double(chunk.count) }
    switch order {
    case .mean: break
    case .variance:
      rows.withRows { first, stride in
        for row in 0..<rows.rowCount {
          for index in chunk.mean.indices {
            let deviation = Double(first[row * stride + index]) - chunk.mean[index]
            chunk.scatter[index] += deviation * deviation
          }
        }
      }
    case .covariance:
      CrossProducts.add(of: rows, minus: chunk.mean, to: &chunk.scatter)
    }
    merge(chunk)
  }

  /// Adds the vectors of another accumulator.
  package mutating func merge(_ other: MomentAccumulator) {
    precondition(other.order == order && other.mean.count == mean.count)
    guard other.count > 0 else { return }
    let total = Double(count + other.count)
    let (share, weight) = (
      Double(other.count) / total, Double(count) * Double(other.count) / total
    )
    let delta = zip(other.mean, mean).map { $0 - $1 }
    switch order {
    case .mean: break
    case .variance:
      for index in delta.indices {
        scatter[index] += other.scatter[index] + weight * delta[index] * delta[index]
      }
    case .covariance:
      let n = delta.count
      for row in 0..<n {
        let factor = weight * delta[row]
        for column in 0..<n {
          scatter[row * n + column] +=
            other.scatter[row * n + column] + factor * delta[column]
        }
      }
    }
    for index in delta.indices { mean[index] += share * delta[index] }
    count += other.count
  }
}
