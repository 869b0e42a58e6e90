import CSextantKernels
import SextantTensor
import SextantTestSupport
import Testing

/// Weights in blocks: every type, on every level of kernels.
@Suite struct BlockTests {
  private static let types = DataType.blockTypes

  /// Rows of at least three blocks, and of more columns than are multiplied at a time.
  private static func widths(_ type: DataType) -> [Int] {
    type.blockLength == 32 ? [32, 96, 352, 1056] : [256, 768, 1280]
  }

  @Test(arguments: KernelLevel.available, types)
  func elementsAreThoseOfTheDefinition(_ level: KernelLevel, _ type: DataType) {
    var random = SplitMix64(seed: 41)
    let bytes = Blocks.random(type, 20, 512, &random).withUnsafeBytes { Array($0) }
    var found = [Float](repeating: .nan, count: 20 * 512)
    level.table.f32_from_blocks(&found, bytes, type.kernelType, found.count)
    #expect(found.map(\.bitPattern) == Blocks.elements(bytes, type).map(\.bitPattern))
  }

  @Test(arguments: KernelLevel.available, types)
  func productsEqualTheF64ProductOfTheElements(_ level: KernelLevel, _ type: DataType) throws {
    var random = SplitMix64(seed: 42)
    for (rows, inner) in zip([1, 3, 4, 8], Self.widths(type)) {
      let weight = Blocks.random(type, 21, inner, &random)
      let stored = try #require(weight.converted(to: .f32)).values
      let x = random.floats(rows * inner)
      let expected = LinearTests.reference(x, stored, nil, rows: rows, inner: inner)
      let y = level.linear(x, weight, rows: rows)
      #expect(LinearTests.worstError(y, expected) < 2e-6, "[\(rows), \(inner)]")
      let many = level.linear(x, weight, rows: rows, packed: true)
      #expect(y.map(\.bitPattern) == many.map(\.bitPattern), "[\(rows), \(inner)]")
    }
  }

  /// The numbers that x becomes: in blocks of 32, steps of the largest magnitude / 127.
  private static func rounded(_ x: [Float]) -> [Float] {
    stride(from: 0, to: x.count, by: 32).flatMap { start in
      let block = x[start..<start + 32]
      let step = (block.map(\.magnitude).max() ?? 0) / 127
      return block.map { step == 0 ? 0 : step * ($0 / step).rounded(.toNearestOrEven) }
    }
  }

  @Test(arguments: KernelLevel.available, types)
  func roundedProductsEqualTheF64ProductOfTheRoundedNumbers(
    _ level: KernelLevel, _ type: DataType
  ) throws {
    var random = SplitMix64(seed: 43)
    for (rows, inner) in zip([1, 2, 5, 8], Self.widths(type)) {
      let weight = Blocks.random(type, 21, inner, &random)
      let stored = try #require(weight.converted(to: .f32)).values
      let x = random.floats(rows * inner)
      let expected = LinearTests.reference(
        Self.rounded(x), stored, nil, rows: rows, inner: inner)
      let y = level.roundedLinear(x, weight, rows: rows)
      // A number may be rounded either way if its quotient is half-way between two steps.
      #expect(LinearTests.worstError(y, expected) < 1e-4, "[\(rows), \(inner)]")
      for row in 0..<rows {
        let alone = level.roundedLinear(
          Array(x[row * inner..<(row + 1) * inner]), weight, rows: 1)
        #expect(alone.map(\.bitPattern) == y[row * 21..<(row + 1) * 21].map(\.bitPattern))
      }
    }
  }

  /// The largest bytes of weights and of x: sums of 16 bits would overflow.
  @Test(arguments: KernelLevel.available, types)
  func noSumOverflows(_ level: KernelLevel, _ type: DataType) throws {
    for fill: UInt8 in [0, 0x7F, 0x80, 0xFF] {
      var bytes = [UInt8](repeating: fill, count: type.byteCount(elements: 256))
      for block in 0..<bytes.count / type.byteWidth {
        for offset in RawGGUF.halves(of: type.rawValue) {
          bytes.replaceSubrange(
            block * type.byteWidth + offset..<block * type.byteWidth + offset + 2, with: [0, 0x3C])
        }
      }
      let weight = try #require(
        bytes.withUnsafeBytes { Tensor(copying: $0, dataType: type, shape: [1, 256]) })
      let stored = try #require(weight.converted(to: .f32)).values
      for sign: Float in [1, -1] {
        let x = [Float](repeating: 127 * sign, count: 256)
        let expected = LinearTests.reference(x, stored, nil, rows: 1, inner: 256)
        let y = level.roundedLinear(x, weight, rows: 1)
        #expect(LinearTests.worstError(y, expected) < 1e-6, "\(fill) \(sign)")
      }
    }
  }

  @Test(arguments: KernelLevel.available, types)
  func nothingHidesNaNInX(_ level: KernelLevel, _ type: DataType) {
    var random = SplitMix64(seed: 44)
    let weight = Blocks.random(type, 3, 256, &random)
    for flaw: Float in [.nan, .infinity, -.infinity] {
      var x = [Float](repeating: 1, count: 256)
      x[40] = flaw
      #expect(level.roundedLinear(x, weight, rows: 1).allSatisfy { !$0.isFinite }, "\(flaw)")
      #expect(level.linear(x, weight, rows: 1).allSatisfy { !$0.isFinite }, "\(flaw)")
    }
    let zeros = [Float](repeating: 0, count: 256)
    #expect(level.roundedLinear(zeros, weight, rows: 1) == [0, 0, 0])
  }

  /// One row, some rows that are read in place, and many rows for which tiles are unpacked: no row depends on the
  /// others, or on the threads.
  @Test(arguments: types, Precision.allCases)
  func rowsDoNotDependOnEachOther(_ type: DataType, _ precision: Precision) {
    var random = SplitMix64(seed: 45)
    let x = Tensor(random.floats(40 * 256), shape: [40, 256])
    let weight = Blocks.random(type, 300, 256, &random)
    let bias = Tensor(random.floats(300), shape: [300])
    let all = Linear.apply(
      x, weight: weight, bias: bias, precision: precision, pool: WorkerPool(threads: 1))
    let threads = WorkerPool(threads: 3)
    #expect(Linear.apply(x, weight: weight, bias: bias, precision: precision, pool: threads) == all)
    for count in [1, 2, 7, 9, 16, 17] {
      let some = Linear.apply(
        x.rows(3..<3 + count), weight: weight, bias: bias, precision: precision)
      #expect(some == all.rows(3..<3 + count), "\(count) rows")
    }
  }

  /// The numbers of a model whose weights stay in blocks are those of the same model in f32.
  @Test(arguments: types, [1, 12, 40])
  func exactProductsHaveTheBitsOfWidenedWeights(_ type: DataType, rows: Int) throws {
    var random = SplitMix64(seed: 46)
    let x = Tensor(random.floats(rows * 512), shape: [rows, 512])
    let weight = Blocks.random(type, 50, 512, &random)
    let wide = try #require(weight.converted(to: .f32))
    #expect(
      Linear.apply(x, weight: weight, precision: .exact)
        == Linear.apply(x, weight: wide, precision: .exact))
  }

  @Test(arguments: types)
  func rowsAndStacksAreReadInPlace(_ type: DataType) throws {
    var random = SplitMix64(seed: 47)
    let table = Blocks.random(type, 9, 512, &random)
    let wide = try #require(table.converted(to: .f32))
    let rows = [3, 0, 8, 3]
    #expect(Kernels.gather(table, rows: rows) == Kernels.gather(wide, rows: rows))
    #expect(table.rows(2..<4).converted(to: .f32) == wide.rows(2..<4))
    let stack = table.reshaped([3, 3, 512])
    #expect(stack.element(1).converted(to: .f32) == wide.rows(3..<6))
    #expect(table.converted(to: .bf16) == wide.converted(to: .bf16))
    #expect(type.byteCount(shape: [3, type.blockLength + 16]) == nil)
    #expect(DataType(elementType: type.rawValue) == nil)
    #expect(Kernels.writtenBlocks.contains(type) == (wide.converted(to: type) != nil))
  }

  @Test(arguments: types)
  func blocksThatAreNotFiniteAreCounted(_ type: DataType) throws {
    var random = SplitMix64(seed: 48)
    for offset in RawGGUF.halves(of: type.rawValue) {
      for half: UInt16 in [0x7C00, 0xFC00, 0x7E00] {
        var bytes = Blocks.random(type, 1, 1024, &random).withUnsafeBytes { Array($0) }
        let place = 2 * type.byteWidth + offset
        bytes.replaceSubrange(
          place..<place + 2, with: [UInt8(truncatingIfNeeded: half), UInt8(half >> 8)])
        let wide = Blocks.elements(bytes, type)
        #expect(wide.count { !$0.isFinite } == type.blockLength)
        bytes.withUnsafeBytes {
          #expect(Kernels.nonfiniteCount($0, type) == type.blockLength)
        }
      }
    }
  }

  // MARK: Making blocks of 4 bits

  private func fourBits(_ x: [Float]) throws -> (bytes: [UInt8], values: [Float]) {
    let blocks = try #require(Tensor(x, shape: [1, x.count]).converted(to: .q4v1))
    return (
      blocks.withUnsafeBytes { Array($0) }, try #require(blocks.converted(to: .f32)).values
    )
  }

  private func squaredError(_ a: ArraySlice<Float>, _ b: ArraySlice<Float>) -> Double {
    zip(a, b).reduce(0) { sum, pair in
      let error = Double(pair.0) - Double(pair.1)
      return sum + error * error
    }
  }

  /// The error with scale and minimum from the smallest and the largest number.
  private func errorOfTheRange(_ x: ArraySlice<Float>) -> Double {
    guard let low = x.min(), let high = x.max() else { return 0 }
    let (scale, minimum) = (Float(Float16((high - low) / 15)), Float(Float16(low)))
    let values = x.map { value -> Float in
      guard scale > 0 else { return minimum }
      return min(max(((value - minimum) / scale).rounded(), 0), 15) * scale + minimum
    }
    return squaredError(values[...], x)
  }

  @Test func scaleAndMinimumMakeTheSquaredErrorSmall() throws {
    var random = SplitMix64(seed: 49)
    var (total, byRange) = (0.0, 0.0)
    for exponent in -20...8 {
      // Sums of three have few numbers far from the middle, as weights do.
      let x = (0..<320).map { _ in random.floats(3).reduce(0, +) }.map {
        $0 * Float(sign: .plus, exponent: exponent, significand: 1)
      }
      let values = try fourBits(x).values
      for start in stride(from: 0, to: x.count, by: 32) {
        let block = start..<start + 32
        let (own, range) = (squaredError(values[block], x[block]), errorOfTheRange(x[block]))
        #expect(own <= range * (1 + 1e-6) + 1e-18, "2^\(exponent), \(start)")
        (total, byRange) = (total + own, byRange + range)
      }
    }
    #expect(total < 0.85 * byRange, "\(total / byRange)")
  }

  @Test func numbersThatBlocksOf4BitsContainComeBack() throws {
    let steps = (0..<32).map { Float($0 * 7 % 16) }
    for (scale, minimum) in [(Float(0.5), Float(-3)), (0.125, 0), (2, 7), (0, 1.5), (0, 0)] {
      let x = steps.map { $0 * scale + minimum }
      #expect(try fourBits(x).values == x, "\(scale) \(minimum)")
    }
    let edge = try fourBits(
      [Float](repeating: -65504, count: 16) + [Float](repeating: 65504, count: 16))
    #expect(edge.values.allSatisfy { $0.isFinite && abs($0.magnitude - 65504) < 64 })
  }

  @Test func whatBlocksOf4BitsCannotContainBecomesNaN() throws {
    for flaw: Float in [.nan, .infinity, -.infinity, 65536, -1e6] {
      for place in [0, 5, 31] {
        var numbers = [Float](repeating: 1, count: 96)
        numbers[32 + place] = flaw
        let values = try fourBits(numbers).values
        #expect(values[32..<64].allSatisfy { $0.isNaN })
        #expect(values[..<32].allSatisfy { $0 == 1 } && values[64...].allSatisfy { $0 == 1 })
      }
    }
  }

  /// A message on lost weights shows one of them.
  @Test func theValueThatIsLostIsFound() throws {
    var values = [Float](repeating: 1, count: 96)
    (values[40], values[50], values[70]) = (7e4, -9e6, .infinity)
    let wide = Tensor(values, shape: [96])
    for (type, place) in [(DataType.f16, 40), (.q8, 50), (.q4v1, 50)] {
      let narrow = try #require(wide.converted(to: type))
      let found = wide.withUnsafeBytes { from in
        narrow.withUnsafeBytes { Kernels.firstOverflow(from: from, .f32, to: $0, type) }
      }
      #expect(found?.place == place && found?.value == Double(values[place]), "\(type)")
    }
    let kept = try #require(wide.converted(to: .bf16))
    wide.withUnsafeBytes { from in
      kept.withUnsafeBytes {
        #expect(Kernels.firstOverflow(from: from, .f32, to: $0, .bf16) == nil)
      }
    }
  }
}
