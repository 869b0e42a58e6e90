import CSextantKernels
import SextantTensor
import SextantTestSupport
import Testing

/// The block for 32 numbers, from the definition: the scale is the least f16 that is not below
/// the largest magnitude / 127; steps are to the nearest, ties to even.
private func reference(_ block: ArraySlice<Float>) -> (scale: Double, weights: [Int8]) {
  let largest = block.map(\.magnitude).max() ?? 0
  let exact = largest / 127
  var scale = Float16(exact)
  if Float(scale) < exact { scale = scale.nextUp }
  guard scale > 0 else { return (0, [Int8](repeating: 0, count: 32)) }
  return (
    Double(scale), block.map { Int8(($0 / Float(scale)).rounded(.toNearestOrEven)) }
  )
}

extension KernelLevel {
  fileprivate func quantised(_ x: [Float]) -> [sxk_q8_block] {
    [sxk_q8_block](unsafeUninitializedCapacity: x.count / 32) {
      table.q8_from_f32($0.baseAddress, x, x.count)
      $1 = x.count / 32
    }
  }

  fileprivate func widened(_ blocks: [sxk_q8_block]) -> [Float] {
    [Float](unsafeUninitializedCapacity: blocks.count * 32) {
      table.f32_from_blocks($0.baseAddress, blocks, SXK_Q8, blocks.count * 32)
      $1 = blocks.count * 32
    }
  }
}

extension sxk_q8_block {
  fileprivate var bytes: [Int8] { withUnsafeBytes(of: weights) { $0.map(Int8.init(bitPattern:)) } }
  fileprivate var step: Double { Double(Float16(bitPattern: scale)) }
}

@Suite struct Q8Tests {
  /// Every block that llama.cpp writes as Q8_0 has a weight of 127 or -127, whatever f16 its scale is:
  /// its numbers become the same block again, byte for byte.
  @Test(arguments: KernelLevel.available)
  func blocksWithAWeightOf127ComeBackByteForByte(level: KernelLevel) {
    var random = SplitMix64(seed: 8)
    let scales = UInt16(1)..<0x7C00  // subnormal ones, too
    let blocks = scales.map { scale in
      var block = sxk_q8_block()
      block.scale = scale
      withUnsafeMutableBytes(of: &block.weights) { weights in
        for index in weights.indices {
          weights[index] = UInt8(bitPattern: Int8(Int(random.next() % 255) - 127))
        }
        let sign = Int8(random.next() % 2 == 0 ? 127 : -127)
        weights[Int(random.next() % 32)] = UInt8(bitPattern: sign)
      }
      return block
    }
    let back = level.quantised(level.widened(blocks))
    #expect(back.map(\.scale) == Array(scales))
    #expect(back.map(\.bytes) == blocks.map(\.bytes))
  }

  /// Blocks of all magnitudes that f32 weights may have, and the edges of f16.
  static let samples: [Float] = {
    var random = SplitMix64(seed: 21)
    var numbers: [Float] = []
    for exponent in -45...22 {
      for _ in 0..<4 {
        numbers += random.floats(32).map {
          $0 * Float(sign: .plus, exponent: exponent, significand: 1)
        }
      }
    }
    for edge: Float in [0, -0.0, 1, 127, 127 * 65504, 127 * 0x1p-24, 127 * 0x1p-25, 0x1p-149] {
      numbers += [edge, -edge] + random.floats(30).map { $0 * edge }
    }
    return numbers
  }()

  @Test(arguments: KernelLevel.available)
  func everyLevelQuantisesAsTheDefinitionSays(_ level: KernelLevel) {
    let blocks = level.quantised(Self.samples)
    for (place, block) in blocks.enumerated() {
      let expected = reference(Self.samples[place * 32..<place * 32 + 32])
      #expect(block.step == expected.scale, "block \(place)")
      #expect(block.bytes == expected.weights, "block \(place)")
    }
  }

  /// No element is off by more than half a step. The step is the largest magnitude / 127, except
  /// for the rounding of f16: 2⁻¹⁰ of it, or 2⁻²⁴ where it is subnormal.
  @Test(arguments: KernelLevel.available)
  func theErrorIsAtMostHalfAStep(_ level: KernelLevel) {
    let blocks = level.quantised(Self.samples)
    let wide = level.widened(blocks)
    for (place, block) in blocks.enumerated() {
      let elements = place * 32..<place * 32 + 32
      let exact = Double(Self.samples[elements].map(\.magnitude).max() ?? 0) / 127
      #expect(block.step <= exact * (1 + 0x1p-10) + 0x1p-24)
      for (element, weight) in zip(elements, block.bytes) {
        #expect(Double(wide[element]) == block.step * Double(weight))
        let error = abs(Double(wide[element]) - Double(Self.samples[element]))
        // The quotient is rounded to f32 before it is rounded to a step; magnitude / 127 may be 0.
        #expect(error <= block.step * (0.5 + 0x1p-16) + 0x1p-142, "element \(element)")
      }
    }
  }

  @Test(arguments: KernelLevel.available)
  func whatCannotBeStoredBecomesNaN(_ level: KernelLevel) {
    for flaw: Float in [.nan, -.nan, .infinity, -.infinity, (127 * 65504 as Float).nextUp] {
      for place in [0, 5, 31] {
        var numbers = [Float](repeating: 127, count: 96)
        numbers[32 + place] = flaw
        let wide = level.widened(level.quantised(numbers))
        #expect(wide[32..<64].allSatisfy { $0.isNaN })
        #expect(wide[..<32].allSatisfy { $0 == 127 } && wide[64...].allSatisfy { $0 == 127 })
      }
    }
  }

  @Test(arguments: KernelLevel.available)
  func productsEqualTheF64ProductOfTheStoredWeights(_ level: KernelLevel) throws {
    var random = SplitMix64(seed: 22)
    for rows in 1...8 {
      for inner in [32, 64, 96, 128, 320] {
        #expect(try LinearTests.worstError(of: level, .q8, (rows, inner, 5), &random) < 1e-6)
      }
    }
  }

  @Test(arguments: KernelLevel.available)
  func packedProductsEqualTheF64ProductOfTheStoredWeights(_ level: KernelLevel) throws {
    var random = SplitMix64(seed: 23)
    for (rows, inner, outputs) in [
      (9, 32, 5), (16, 96, 13), (33, 64, 49), (70, 160, 100), (10, 2112, 7),
    ] {
      let shape = (rows, inner, outputs)
      let error = try LinearTests.worstError(of: level, .q8, shape, packed: true, &random)
      #expect(error < 2e-6, "\(shape)")
    }
  }

  /// Against the weights before they were rounded: each of K terms is off by at most half a step.
  @Test(arguments: [1, 20])
  func productsStayWithinTheRoundingOfTheWeights(rows: Int) throws {
    var random = SplitMix64(seed: 24)
    let (inner, outputs) = (256, 40)
    let full = random.floats(outputs * inner)
    let weight = try #require(Tensor(full, shape: [outputs, inner]).converted(to: .q8))
    let (x, bias) = (random.floats(rows * inner), random.floats(outputs))
    let y = Linear.apply(
      Tensor(x, shape: [rows, inner]), weight: weight, bias: Tensor(bias, shape: [outputs]))
    let expected = LinearTests.reference(x, full, bias, rows: rows, inner: inner)
    for m in 0..<rows {
      let magnitude = x[m * inner..<(m + 1) * inner].reduce(0) { $0 + Double(abs($1)) }
      for n in 0..<outputs {
        let error = abs(Double(y.values[m * outputs + n]) - expected.values[m * outputs + n])
        #expect(error <= magnitude * 1.002 / 254)
      }
    }
  }

  @Test(arguments: [1, 4, 32])
  func theThreadCountChangesNoBit(rows: Int) throws {
    var random = SplitMix64(seed: 25)
    let x = Tensor(random.floats(rows * 320), shape: [rows, 320])
    let full = Tensor(random.floats(2500 * 320), shape: [2500, 320])
    let weight = try #require(full.converted(to: .q8, pool: WorkerPool(threads: 3)))
    #expect(weight == full.converted(to: .q8, pool: WorkerPool(threads: 1)))
    let one = Linear.apply(x, weight: weight, pool: WorkerPool(threads: 1))
    for threads in 2...4 {
      #expect(Linear.apply(x, weight: weight, pool: WorkerPool(threads: threads)) == one)
    }
  }

  @Test func gathersRows() throws {
    var random = SplitMix64(seed: 26)
    let table = try #require(Tensor(random.floats(9 * 64), shape: [9, 64]).converted(to: .q8))
    let wide = try #require(table.converted(to: .f32))
    let rows = [3, 0, 8, 3]
    #expect(Kernels.gather(table, rows: rows) == Kernels.gather(wide, rows: rows))
    #expect(table.rows(2..<4).converted(to: .f32) == wide.rows(2..<4))
  }

  @Test func rowsAreWholeBlocks() throws {
    #expect(DataType.q8.byteCount(shape: [3, 64]) == 3 * 2 * 34)
    #expect(DataType.q8.byteCount(shape: [0, 32]) == 0)
    #expect(DataType.q8.byteCount(shape: [3, 33]) == nil)
    #expect(DataType.q8.byteCount(shape: [32, 1]) == nil)
    #expect(DataType.q8.byteCount(shape: []) == nil)
    #expect(DataType.q8.byteCount(shape: [1 << 62, 64]) == nil)
    #expect(Tensor(zeros: [2, 48]).converted(to: .q8) == nil)
    #expect(Tensor(zeros: [32], dataType: .i32).converted(to: .q8) == nil)
    let blocks = try #require(Tensor(zeros: [2, 64]).converted(to: .q8))
    #expect(blocks.count == 128)
    #expect(blocks.converted(to: .bf16)?.shape == [2, 64])
    #expect(blocks.reshaped([4, 32]).shape == [4, 32])
    #expect(DataType(elementType: "Q8_0") == nil)
    #expect(!DataType.elementTypes.contains(.q8))
  }

  @Test func elementsThatAConversionLosesAreCounted() throws {
    var values = [Float](repeating: 1, count: 4 * 32)
    (values[3], values[40], values[41], values[70]) = (9e6, .nan, 9e6, 8e6)
    let wide = Tensor(values, shape: [4, 32])
    let cases: [(DataType, nonfinite: Int, lost: Int)] = [
      // Block 0 has a number that is too large, and block 1 has a NaN, which makes its other 31 elements NaN.
      (.q8, 64, 63), (.f16, 4, 3), (.bf16, 1, 0), (.f64, 1, 0),
    ]
    for (type, nonfinite, lost) in cases {
      let narrow = try #require(wide.converted(to: type))
      narrow.withUnsafeBytes { to in
        #expect(Kernels.nonfiniteCount(to, type) == nonfinite, "\(type)")
        wide.withUnsafeBytes { from in
          #expect(Kernels.overflowCount(from: from, .f32, to: to, type) == lost, "\(type)")
        }
      }
    }
    // Blocks may have scales that other types cannot express.
    let blocks = try #require(wide.converted(to: .q8))
    let half = try #require(blocks.converted(to: .f16))
    let lost = blocks.withUnsafeBytes { from in
      half.withUnsafeBytes { Kernels.overflowCount(from: from, .q8, to: $0, .f16) }
    }
    #expect(lost == 1)
    var large = [Double](repeating: 1e300, count: 8)
    large[2] = .infinity
    large.withUnsafeBytes { #expect(Kernels.nonfiniteCount($0, .f64) == 1) }
    let rounded = large.map { Float($0) }
    large.withUnsafeBytes { from in
      rounded.withUnsafeBytes {
        #expect(Kernels.overflowCount(from: from, .f64, to: $0, .f32) == 7)
      }
    }
  }
}
