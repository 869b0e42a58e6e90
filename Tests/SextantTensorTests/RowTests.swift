import CSextantKernels
import Glibc
import SextantTensor
import SextantTestSupport
import Testing

@Suite struct RowTests {
  @Test(arguments: KernelLevel.available)
  func reductionsOfOddSizes(_ level: KernelLevel) {
    var random = SplitMix64(seed: 31)
    for size in oddSizes {
      let (x, y) = (random.floats(size), random.floats(size))
      let sum = x.reduce(0) { $0 + Double($1) }
      #expect(abs(Double(level.table.sum(x, size)) - sum) < 2e-7 * Double(size))
      let dot = zip(x, y).reduce(0) { $0 + Double($1.0) * Double($1.1) }
      #expect(abs(Double(level.table.dot(x, y, size)) - dot) < 2e-7 * Double(size))
      #expect(level.table.max(x, size) == x.max())
      #expect(level.table.argmax(x, size) == x.firstIndex(of: x.max() ?? 0))
    }
  }

  @Test(arguments: KernelLevel.available)
  func maximaPassOverNaN(_ level: KernelLevel) {
    for size in [1, 5, 16, 40] {
      for place in 0..<size {
        var x = (0..<size).map { -Float($0) }
        x[place] = .nan
        let expected = size == 1 ? 0 : place == 0 ? 1 : 0
        #expect(level.table.argmax(x, size) == expected)
        #expect(level.table.max(x, size) == (size == 1 ? -.infinity : -Float(expected)))
      }
    }
    #expect(level.table.max([], 0) == -.infinity)
    #expect(level.table.argmax([], 0) == 0)
    #expect(level.table.argmax([-.infinity, -.infinity], 2) == 0)
    #expect(level.table.argmax([1, 3, 3, 2], 4) == 1)
  }

  @Test(arguments: KernelLevel.available)
  func normsEqualTheF64Norms(_ level: KernelLevel) {
    var random = SplitMix64(seed: 33)
    for size in oddSizes {
      let x = random.floats(size).map { 3 + $0 }
      let (weight, bias) = (random.floats(size), random.floats(size))
      let wide = x.map(Double.init)
      var y = [Float](repeating: .nan, count: size)

      let square = wide.reduce(0) { $0 + $1 * $1 } / Double(size)
      let rms = wide.map { $0 / (square + 1e-5).squareRoot() }
      level.table.rms_norm(&y, x, weight, 1e-5, size)
      let weighted = zip(rms, weight).map { $0 * Double($1) }
      #expect(excess(y, over: weighted, absolute: 1e-9, relative: 1e-6) <= 1)
      level.table.rms_norm(&y, x, nil, 1e-5, size)
      #expect(excess(y, over: rms, absolute: 0, relative: 1e-6) <= 1)

      let mean = wide.reduce(0, +) / Double(size)
      let variance = wide.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(size)
      let layer = wide.map { ($0 - mean) / (variance + 1e-5).squareRoot() }
      let full = zip(layer, zip(weight, bias)).map { $0 * Double($1.0) + Double($1.1) }
      level.table.layer_norm(&y, x, weight, bias, 1e-5, size)
      #expect(excess(y, over: full, absolute: 4e-6, relative: 1e-6) <= 1)
      level.table.layer_norm(&y, x, nil, nil, 1e-5, size)
      #expect(excess(y, over: layer, absolute: 4e-6, relative: 1e-6) <= 1)
    }
  }

  @Test func normsOfSlicesWorkRowByRow() {
    var random = SplitMix64(seed: 34)
    let wide = Tensor(random.floats(50 * 900), shape: [50, 900])
    let weight = Tensor(random.floats(600), shape: [600])
    let slice = wide.columns(100..<700)
    let whole = Kernels.rmsNorm(slice, weight: weight, epsilon: 1e-5)
    let layer = Kernels.layerNorm(slice, weight: weight, bias: weight, epsilon: 1e-5)
    #expect(whole.shape == [50, 600])
    for row in [0, 17, 49] {
      let one = Tensor(copying: wide.slice(rows: row..<row + 1, columns: 100..<700))
      #expect(Kernels.rmsNorm(one, weight: weight, epsilon: 1e-5) == whole.rows(row..<row + 1))
      #expect(
        Kernels.layerNorm(one, weight: weight, bias: weight, epsilon: 1e-5)
          == layer.rows(row..<row + 1))
    }
  }

  @Test(arguments: oddSizes + [5000])
  func softmaxSumsToOneAndFollowsTheExponentials(size: Int) {
    var random = SplitMix64(seed: UInt64(size))
    // Far from zero, so that exponentials without the shift would overflow.
    let x = random.floats(size).map { 300 + 20 * $0 }
    for temperature in [1, 0.5] as [Float] {
      let y = Kernels.softmax(Tensor(x, shape: [1, size]), temperature: temperature).values
      let scaled = x.map { Double($0) / Double(temperature) }
      let largest = scaled.max() ?? 0
      let total = scaled.reduce(0) { $0 + exp($1 - largest) }
      let expected = scaled.map { exp($0 - largest) / total }
      #expect(excess(y, over: expected, absolute: 1e-12, relative: 2e-6) <= 1)
    }
    let sum = Kernels.logSumExp(Tensor(x, shape: [1, size]))
    let largest = Double(x.max() ?? 0)
    let expected = largest + log(x.reduce(0) { $0 + exp(Double($1) - largest) })
    #expect(abs(Double(sum[0]) - expected) < 4e-5)
  }

  @Test func softmaxGivesMaskedEntriesNothing() {
    let x = Tensor([1, -.infinity, 1, -.infinity], shape: [2, 2])
    #expect(Kernels.softmax(x).values == [1, 0, 1, 0])
    #expect(Kernels.logSumExp(x) == [1, 1])
    #expect(Kernels.logSumExp(Tensor([-.infinity], shape: [1, 1])) == [-.infinity])
  }

  @Test func rowReductionsOfTensors() {
    let x = Tensor([1, 5, 2, 9, -3, 0], shape: [2, 3])
    #expect(Kernels.argmax(x) == [1, 0])
    #expect(Kernels.maximum(x) == [5, 9])
    #expect(Kernels.sum(x) == [8, 6])
    #expect(Kernels.argmax(x.columns(1..<3)) == [0, 1])
    #expect(Kernels.sum(Tensor(zeros: [0, 4])) == [])
  }

  /// A sum of squares beyond the range of F32 must not look like a row of zeros.
  @Test(arguments: [Float(1e20), -3e38, 1e19])
  func aNormThatOverflowsIsNotZero(value: Float) {
    var huge = [Float](repeating: 1, count: 64)
    for index in stride(from: 0, to: 64, by: 2) { huge[index] = value }
    let rows = Tensor(
      huge + [Float](repeating: 1e18, count: 32) + [Float](repeating: 0, count: 32), shape: [2, 64])
    for normed in [
      Kernels.rmsNorm(rows, weight: nil, epsilon: 1e-5),
      Kernels.layerNorm(rows, weight: nil, bias: nil, epsilon: 1e-5),
    ] {
      #expect(normed.rows(0..<1).values.allSatisfy { $0.isNaN })
      let other = normed.rows(1..<2).values
      #expect(other.allSatisfy { $0.isFinite } && other[0] > 0.9)
    }
  }
}
