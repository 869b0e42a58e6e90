import SextantAnalysis
import SextantTensor
import SextantTestSupport
import Testing

/// Moments of the data in any pieces are compared with a plain two-pass computation.
@Suite struct MomentAccumulatorTests {
  /// Seeded rows with the mean and spread of a case, correlated between columns.
  struct Data: Sendable, CustomTestStringConvertible {
    var mean: Double
    var spread: Double
    var rowCount = 501
    var width = 6

    var testDescription: String { "\(rowCount) × \(width), mean \(mean), spread \(spread)" }

    var rows: Tensor {
      var generator = SplitMix64(seed: 7)
      var values: [Float] = []
      for _ in 0..<rowCount {
        let noise = generator.floats(width + 1).map(Double.init)
        for column in 0..<width {
          let deviation = noise[column] + 0.5 * noise[column + 1] * Double(column % 3)
          values.append(Float(mean * Double(column - 2) + spread * deviation))
        }
      }
      return Tensor(values, shape: [rowCount, width])
    }
  }

  static let data = [
    Data(mean: 0, spread: 1), Data(mean: 1e4, spread: 1), Data(mean: -3, spread: 1e-3),
    Data(mean: 1e6, spread: 100), Data(mean: 0, spread: 1e15),
    Data(mean: 1e4, spread: 1, rowCount: 1),
    // Wider than a tile of the covariance kernel, and than a block of its rows.
    Data(mean: 1e4, spread: 1, rowCount: 260, width: 131),
  ]

  /// The results of two plain passes for each case, computed once.
  static let references = Dictionary(
    uniqueKeysWithValues: data.map { ($0.testDescription, PlainMoments($0.rows)) })

  /// Sizes of chunks that add up to `count`.
  static func cuts(of count: Int) -> [[Int]] {
    var generator = SplitMix64(seed: 3)
    var random: [Int] = []
    while random.reduce(0, +) < count {
      random.append(min(generator.int(below: 90), count - random.reduce(0, +)))
    }
    return [
      [count], [count - 1, 1].filter { $0 > 0 }, [1, count - 1].filter { $0 > 0 }, [0, count, 0],
      Array(repeating: 1, count: count), random,
    ]
  }

  private func expectEqual(
    _ computed: MomentAccumulator, _ data: Data, _ what: String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let reference = try #require(Self.references[data.testDescription])
    #expect(computed.count == data.rowCount, "\(what)", sourceLocation: sourceLocation)
    let largest = reference.largest
    for (found, expected) in zip(computed.mean, reference.mean) {
      #expect(abs(found - expected) <= 1e-14 * largest, "\(what)", sourceLocation: sourceLocation)
    }
    let expected =
      switch computed.order {
      case .mean: [Double]()
      case .variance: reference.variance
      case .covariance: reference.covariance
      }
    #expect(computed.spread.count == expected.count, sourceLocation: sourceLocation)
    // A mean is known to about one unit in its last place, which a merge multiplies with deviations.
    let deviation = (reference.variance.max() ?? 0).squareRoot()
    let bound = 8 * 0x1p-53 * (largest + deviation) * deviation + 0x1p-100 * largest * largest
    let worst = zip(computed.spread, expected).map { abs($0 - $1) }.max() ?? 0
    #expect(worst <= bound, "\(what): \(worst), not \(bound)", sourceLocation: sourceLocation)
  }

  @Test(arguments: data, [MomentOrder.mean, .variance, .covariance])
  func chunksGiveTheMomentsOfOnePass(data: Data, order: MomentOrder) throws {
    let rows = data.rows
    for cut in Self.cuts(of: data.rowCount) {
      var computed = MomentAccumulator(elementCount: data.width, order: order)
      var start = 0
      for count in cut {
        computed.add(rows.slice(rows: start..<start + count))
        start += count
      }
      try expectEqual(computed, data, "\(cut.count) chunks")
    }
  }

  @Test(arguments: data, [MomentOrder.mean, .variance, .covariance])
  func shardsMergeToTheMomentsOfOnePassInAnyOrder(data: Data, order: MomentOrder) throws {
    let rows = data.rows
    for cut in Self.cuts(of: data.rowCount).filter({ $0.count < 50 }) {
      var start = 0
      let shards = cut.map { count in
        defer { start += count }
        var shard = MomentAccumulator(elementCount: data.width, order: order)
        shard.add(rows.slice(rows: start..<start + count))
        return shard
      }
      for parts in [shards, shards.reversed()] {
        var merged = MomentAccumulator(elementCount: data.width, order: order)
        for part in parts { merged.merge(part) }
        try expectEqual(merged, data, "\(cut.count) shards")
      }
      try expectEqual(tree(shards), data, "a tree of \(cut.count) shards")
    }
  }

  /// Merges in pairs, then pairs of pairs.
  private func tree(_ parts: [MomentAccumulator]) -> MomentAccumulator {
    guard parts.count > 1 else { return parts[0] }
    let half = parts.count / 2
    var left = tree(Array(parts[..<half]))
    left.merge(tree(Array(parts[half...])))
    return left
  }

  @Test func mergingIsAssociativeUpToRounding() {
    let rows = Data(mean: 1e4, spread: 1).rows
    let parts = [0..<13, 13..<200, 200..<501].map { range in
      var part = MomentAccumulator(elementCount: 6, order: .covariance)
      part.add(rows.slice(rows: range))
      return part
    }
    var (left, right) = (parts[0], parts[1])
    left.merge(parts[1])
    left.merge(parts[2])
    right.merge(parts[2])
    var whole = parts[0]
    whole.merge(right)
    #expect(left.count == whole.count)
    for (a, b) in zip(left.mean, whole.mean) { #expect(abs(a - b) <= 1e-14 * 4e4) }
    for (a, b) in zip(left.spread, whole.spread) { #expect(abs(a - b) <= 1e-12) }
  }

  @Test func mergingNothingChangesNoBit() {
    let empty = MomentAccumulator(elementCount: 6, order: .covariance)
    var some = empty
    some.add(Data(mean: 1e4, spread: 1).rows)
    var merged = some
    merged.merge(empty)
    #expect(merged == some)
    merged = empty
    merged.merge(some)
    #expect(merged == some)
    #expect(empty.spread.allSatisfy { $0 == 0 })
  }

  @Test func momentsThatWereKeptGoOn() throws {
    let data = Data(mean: 1e4, spread: 1)
    let rows = data.rows
    for order in [MomentOrder.mean, .variance, .covariance] {
      var first = MomentAccumulator(elementCount: 6, order: order)
      first.add(rows.slice(rows: 0..<300))
      var again = MomentAccumulator(
        order: order, count: first.count, mean: first.mean, spread: first.spread)
      again.add(rows.slice(rows: 300..<501))
      try expectEqual(again, data, "continued")
    }
  }
}

/// Mean, variance and covariance of rows, of the population, by two plain passes with compensated
/// sums (Kahan 1965, as Neumaier improved it).
struct PlainMoments {
  let mean: [Double]
  let variance: [Double]
  let covariance: [Double]
  let largest: Double

  /// - Parameter hasCovariance: compute the covariance too, which takes long for many columns.
  init(_ rows: Tensor, hasCovariance: Bool = true) {
    let (height, width) = (rows.shape[0], rows.shape[1])
    let values = rows.values.map(Double.init)
    let mean = (0..<width).map { column in
      Self.sum((0..<height).map { values[$0 * width + column] }) / Double(height)
    }
    var products = [Double](repeating: 0, count: height)
    func covariance(_ a: Int, _ b: Int) -> Double {
      for row in 0..<height {
        products[row] = (values[row * width + a] - mean[a]) * (values[row * width + b] - mean[b])
      }
      return Self.sum(products) / Double(height)
    }
    var matrix = [Double](repeating: 0, count: hasCovariance ? width * width : 0)
    for a in 0..<width where hasCovariance {
      for b in a..<width {
        matrix[a * width + b] = covariance(a, b)
        matrix[b * width + a] = matrix[a * width + b]
      }
    }
    self.mean = mean
    variance = (0..<width).map { covariance($0, $0) }
    self.covariance = matrix
    largest = values.map(abs).max() ?? 0
  }

  private static func sum(_ values: [Double]) -> Double {
    var (sum, rest) = (0.0, 0.0)
    for value in values {
      let next = sum + value
      rest += abs(sum) >= abs(value) ? (sum - next) + value : (value - next) + sum
      sum = next
    }
    return sum + rest
  }
}
