import CSextantKernels
import SextantTensor
import SextantTestSupport
import Testing

@Suite struct LinearTests {
  static let types = [DataType.f32, .bf16, .f16]

  /// x · Wᵀ + bias in f64; also Σ|x·w|, to which the error of any order of summation is relative.
  static func reference(
    _ x: [Float], _ weight: [Float], _ bias: [Float]?, rows: Int, inner: Int
  ) -> (values: [Double], magnitudes: [Double]) {
    let outputs = weight.count / inner
    var values: [Double] = []
    var magnitudes: [Double] = []
    for m in 0..<rows {
      for n in 0..<outputs {
        var sum = Double(bias?[n] ?? 0)
        var magnitude = abs(sum)
        for k in 0..<inner {
          let term = Double(x[m * inner + k]) * Double(weight[n * inner + k])
          sum += term
          magnitude += abs(term)
        }
        values.append(sum)
        magnitudes.append(magnitude)
      }
    }
    return (values, magnitudes)
  }

  static func worstError(
    _ y: [Float], _ expected: (values: [Double], magnitudes: [Double])
  ) -> Double {
    guard y.count == expected.values.count else { return .infinity }
    return zip(y, zip(expected.values, expected.magnitudes)).reduce(0) { worst, item in
      let error = abs(Double(item.0) - item.1.0) / max(item.1.1, 1e-30)
      return error.isNaN ? .infinity : max(worst, error)
    }
  }

  /// The error of a level's product of random numbers, `shape` being M, K and N.
  static func worstError(
    of level: KernelLevel, _ type: DataType, _ shape: (rows: Int, inner: Int, outputs: Int),
    packed: Bool = false, _ random: inout SplitMix64
  ) throws -> Double {
    let x = random.floats(shape.rows * shape.inner)
    let full = Tensor(
      random.floats(shape.outputs * shape.inner), shape: [shape.outputs, shape.inner])
    let weight = try #require(full.converted(to: type))
    let stored = try #require(weight.converted(to: .f32)).values
    let y = level.linear(x, weight, rows: shape.rows, packed: packed)
    return worstError(y, reference(x, stored, nil, rows: shape.rows, inner: shape.inner))
  }

  /// So a row of a result does not depend on the number of rows.
  @Test(arguments: KernelLevel.available, types + [.q8])
  func fewRowsHaveTheBitsOfManyRows(_ level: KernelLevel, _ type: DataType) throws {
    var random = SplitMix64(seed: 5)
    for (inner, outputs) in [(1, 1), (15, 3), (33, 17), (64, 50), (1030, 33), (2080, 40)] {
      let inner = type == .q8 ? (inner + 31) / 32 * 32 : inner
      let full = Tensor(random.floats(outputs * inner), shape: [outputs, inner])
      let weight = try #require(full.converted(to: type))
      for rows in 1...Int(SXK_LINEAR_MAX_M) {
        let x = random.floats(rows * inner)
        let few = level.linear(x, weight, rows: rows)
        let many = level.linear(x, weight, rows: rows, packed: true)
        #expect(
          few.map { $0.bitPattern } == many.map { $0.bitPattern },
          "[\(rows), \(inner)] by \(outputs)")
      }
    }
  }

  @Test(arguments: types, [1, 2, 3, 4, 5, 6, 7, 8, 9, 64])
  func equalsTheF64Product(_ type: DataType, rows: Int) throws {
    var random = SplitMix64(seed: UInt64(rows))
    for (inner, outputs) in [(1, 1), (15, 3), (16, 17), (17, 300), (100, 31), (257, 64)] {
      let x = random.floats(rows * inner)
      let bias = random.floats(outputs)
      let full = Tensor(random.floats(outputs * inner), shape: [outputs, inner])
      let weight = try #require(full.converted(to: type))
      let stored = try #require(weight.converted(to: .f32)).values
      for bias in [nil, bias] {
        let y = Linear.apply(
          Tensor(x, shape: [rows, inner]), weight: weight,
          bias: bias.map { Tensor($0, shape: [outputs]) }, precision: .exact)
        let expected = Self.reference(x, stored, bias, rows: rows, inner: inner)
        #expect(y.shape == [rows, outputs])
        #expect(Self.worstError(y.values, expected) < 1e-6)
      }
    }
  }

  @Test(arguments: KernelLevel.available)
  func everyLevelEqualsTheF64Product(_ level: KernelLevel) throws {
    var random = SplitMix64(seed: 7)
    for type in Self.types {
      for rows in 1...8 {
        for inner in oddSizes {
          let error = try Self.worstError(of: level, type, (rows, inner, 5), &random)
          #expect(error < 1e-6, "\(type) [\(rows), \(inner)]")
        }
      }
    }
  }

  /// Rows so long that x leaves the cache and columns are multiplied part by part, the last one ragged.
  @Test(arguments: KernelLevel.available, types + [.q8])
  func longRowsAreReadInParts(_ level: KernelLevel, type: DataType) throws {
    var random = SplitMix64(seed: 9)
    for (rows, inner, outputs) in [(3, 2761, 2), (5, 1_651, 18), (8, 1_027, 17), (8, 3_100, 21)] {
      let inner = type == .q8 ? inner / 32 * 32 + 32 : inner
      let error = try Self.worstError(of: level, type, (rows, inner, outputs), &random)
      #expect(error < 1e-6, "[\(rows), \(inner)] by \(outputs)")
    }
  }

  @Test(arguments: KernelLevel.available, types)
  func everyLevelsPackedProductEqualsTheF64Product(_ level: KernelLevel, type: DataType) throws {
    var random = SplitMix64(seed: 8)
    // Panels that are full, half full and ragged; tiles of each width; several blocks of k.
    let shapes = [
      (1, 17, 1), (7, 31, 5), (9, 100, 12), (16, 16, 13), (17, 33, 50), (32, 8, 24), (33, 65, 49),
      (70, 40, 100), (10, 2100, 7),
    ]
    for (rows, inner, outputs) in shapes {
      let shape = (rows, inner, outputs)
      let error = try Self.worstError(of: level, type, shape, packed: true, &random)
      #expect(error < 2e-6, "\(shape)")
    }
  }

  @Test(arguments: [1, 3, 20])
  func readsSlicesInPlace(rows: Int) {
    var random = SplitMix64(seed: 3)
    let wide = Tensor(random.floats((rows + 2) * 40), shape: [rows + 2, 40])
    let weight = Tensor(random.floats(9 * 13), shape: [9, 13])
    let slice = wide.slice(rows: 1..<rows + 1, columns: 5..<18)
    #expect(
      Linear.apply(slice, weight: weight)
        == Linear.apply(Tensor(copying: slice), weight: weight))
  }

  @Test(arguments: types, [1, 4, 32])
  func theThreadCountChangesNoBit(_ type: DataType, rows: Int) throws {
    var random = SplitMix64(seed: 11)
    let x = Tensor(random.floats(rows * 300), shape: [rows, 300])
    let full = Tensor(random.floats(1100 * 300), shape: [1100, 300])
    let weight = try #require(full.converted(to: type))
    let one = Linear.apply(x, weight: weight, pool: WorkerPool(threads: 1))
    for threads in 2...4 {
      #expect(Linear.apply(x, weight: weight, pool: WorkerPool(threads: threads)) == one)
    }
  }

  @Test func productsOfNothing() {
    let none = Linear.apply(Tensor(zeros: [0, 4]), weight: Tensor(zeros: [3, 4]))
    #expect(none.shape == [0, 3])
    let bias = Tensor([1, 2, 3], shape: [3])
    for rows in [1, 20] {
      let empty = Linear.apply(
        Tensor(zeros: [rows, 0]), weight: Tensor(zeros: [3, 0]), bias: bias)
      #expect(empty == Tensor((0..<rows).flatMap { _ in [1, 2, 3] }, shape: [rows, 3]))
    }
  }
}
