import CSextantKernels
import SextantTensor
import SextantTestSupport
import Testing

/// Products whose activations are rounded to the type of the weights.
@Suite struct RoundedProductTests {
  /// Levels that have these products for bf16 weights; all have them for blocks.
  static let levels = KernelLevel.available.filter { $0.table.dot_gemm != nil }

  /// The numbers that x becomes: rounded to bf16, or in blocks of 32 to steps of the largest / 127.
  private static func rounded(_ x: [Float], to type: DataType) throws -> [Float] {
    if type == .bf16 {
      let stored = try #require(Tensor(x, shape: [x.count]).converted(to: .bf16))
      return try #require(stored.converted(to: .f32)).values
    }
    return stride(from: 0, to: x.count, by: 32).flatMap { start in
      let block = x[start..<start + 32]
      let step = (block.map(\.magnitude).max() ?? 0) / 127
      return block.map { step == 0 ? 0 : step * ($0 / step).rounded(.toNearestOrEven) }
    }
  }

  @Test(arguments: KernelLevel.available)
  func fewRowsEqualTheF64ProductOfTheRoundedNumbers(_ level: KernelLevel) throws {
    var random = SplitMix64(seed: 31)
    for (type, widths) in [
      (DataType.bf16, [2, 4, 30, 32, 34, 62, 64, 100, 258, 320]), (.q8, [32, 64, 96, 320]),
    ] where type == .q8 || level.table.dot_gemm != nil {
      for rows in 1...Int(SXK_DOT_MAX_M) {
        for inner in widths {
          let outputs = rows % 2 == 0 ? 21 : 5
          let full = Tensor(random.floats(outputs * inner), shape: [outputs, inner])
          let weight = try #require(full.converted(to: type))
          let stored = try #require(weight.converted(to: .f32)).values
          let x = random.floats(rows * inner)
          let expected = LinearTests.reference(
            try Self.rounded(x, to: type), stored, nil, rows: rows, inner: inner)
          let y = level.roundedLinear(x, weight, rows: rows)
          // A q8 number may be rounded either way if the quotient is half-way between two steps.
          #expect(
            LinearTests.worstError(y, expected) < (type == .q8 ? 1e-4 : 1e-6),
            "\(type) [\(rows), \(inner)]")
        }
      }
    }
  }

  @Test(arguments: levels)
  func manyRowsEqualTheF64ProductOfTheRoundedNumbers(_ level: KernelLevel) throws {
    var random = SplitMix64(seed: 32)
    for (rows, inner, outputs) in [
      (1, 2, 1), (9, 100, 12), (16, 16, 13), (17, 34, 50), (33, 66, 49), (70, 40, 100),
      (10, 4100, 7),
    ] {
      let full = Tensor(random.floats(outputs * inner), shape: [outputs, inner])
      let weight = try #require(full.converted(to: .bf16))
      let stored = try #require(weight.converted(to: .f32)).values
      let x = random.floats(rows * inner)
      let expected = LinearTests.reference(
        try Self.rounded(x, to: .bf16), stored, nil, rows: rows, inner: inner)
      let y = level.roundedGemm(x, weight, rows: rows)
      #expect(LinearTests.worstError(y, expected) < 2e-6, "[\(rows), \(inner)] by \(outputs)")
    }
  }

  @Test(arguments: levels)
  func fewRowsHaveTheBitsOfManyRows(_ level: KernelLevel) throws {
    var random = SplitMix64(seed: 33)
    for (inner, outputs) in [(2, 1), (34, 17), (100, 50), (2110, 33)] {
      let full = Tensor(random.floats(outputs * inner), shape: [outputs, inner])
      let weight = try #require(full.converted(to: .bf16))
      for rows in 1...Int(SXK_DOT_MAX_M) {
        let x = random.floats(rows * inner)
        #expect(
          level.roundedLinear(x, weight, rows: rows) == level.roundedGemm(x, weight, rows: rows),
          "[\(rows), \(inner)] by \(outputs)")
      }
    }
  }

  /// NaN or infinity in the input makes the result NaN or infinite.
  @Test(arguments: KernelLevel.available, [DataType.bf16, .q8])
  func nothingHidesNaN(_ level: KernelLevel, type: DataType) throws {
    guard type == .q8 || level.table.dot_gemm != nil else { return }
    let weight = try #require(
      Tensor([Float](repeating: 1, count: 3 * 64), shape: [3, 64]).converted(to: type))
    for flaw: Float in [.nan, .infinity, -.infinity] {
      var x = [Float](repeating: 1, count: 64)
      x[40] = flaw
      let y = level.roundedLinear(x, weight, rows: 1)
      #expect(y.allSatisfy { !$0.isFinite }, "\(type) \(flaw)")
    }
    #expect(level.roundedLinear([Float](repeating: 0, count: 64), weight, rows: 1) == [0, 0, 0])
  }

  /// Neither other rows of x nor the threads change a bit of a row. Few rows agree with many,
  /// except for the order of the sums.
  @Test(arguments: [DataType.bf16, .q8])
  func rowsDoNotDependOnEachOther(_ type: DataType) throws {
    var random = SplitMix64(seed: 33)
    let x = Tensor(random.floats(40 * 320), shape: [40, 320])
    let weight = try #require(
      Tensor(random.floats(500 * 320), shape: [500, 320]).converted(to: type))
    let all = Linear.apply(x, weight: weight, precision: .fast, pool: WorkerPool(threads: 1))
    let threads = WorkerPool(threads: 3)
    #expect(Linear.apply(x, weight: weight, precision: .fast, pool: threads) == all)
    for count in [1, 3, 8, 17] {
      let some = Linear.apply(x.rows(0..<count), weight: weight, precision: .fast)
      let near = excess(
        some.values, over: all.rows(0..<count).values.map(Double.init), absolute: 1e-5,
        relative: 1e-5)
      #expect(near < 1, "\(count) rows")
    }
  }
}
