import CSextantKernels
import Glibc
import SextantTensor
import SextantTestSupport
import Testing

@Suite struct GradientTests {
  @Test(arguments: KernelLevel.available)
  func divergencesOfOddSizesEqualTheF64Ones(_ level: KernelLevel) {
    var random = SplitMix64(seed: 41)
    for size in oddSizes where size > 0 {
      let (logits, target) = (
        random.floats(size).map { 4 * $0 }, random.floats(size).map { 4 * $0 }
      )
      let logP = logSoftmax(target)
      let logQ = logSoftmax(logits)
      let shifts = (
        Float(Double(logits[0]) - logQ[0]), Float(Double(target[0]) - logP[0])
      )
      var (gradient, entropy) = ([Float](repeating: .nan, count: size), Float.nan)
      let divergence = level.table.divergence(
        &gradient, &entropy, logits, shifts.0, target, shifts.1, size)
      let expected = zip(logP, logQ).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) }
      #expect(abs(Double(divergence) - expected) < 1e-5, "\(size)")
      #expect(abs(Double(entropy) + logQ.reduce(0) { $0 + exp($1) * $1 }) < 1e-5)
      for index in 0..<size {
        #expect(abs(Double(gradient[index]) - exp(logQ[index]) + exp(logP[index])) < 1e-6)
      }
    }
  }

  private func logSoftmax(_ x: [Float]) -> [Double] {
    let largest = Double(x.max() ?? 0)
    let sum = x.reduce(0.0) { $0 + exp(Double($1) - largest) }
    return x.map { Double($0) - largest - log(sum) }
  }

  @Test(arguments: [DataType.f32, .bf16, .f16, .q8])
  func transposedProductsEqualTheF64Ones(type: DataType) throws {
    var random = SplitMix64(seed: 42)
    for (m, n, k) in [(1, 3, 32), (5, 70, 64), (130, 1030, 224)] {
      let y = Tensor(random.floats(m * n), shape: [m, n])
      let weight = try #require(Tensor(random.floats(n * k), shape: [n, k]).converted(to: type))
      let exact = try #require(weight.converted(to: .f32)).values
      let found = Linear.applyTransposed(y, weight: weight).values
      let values = y.values
      for row in stride(from: 0, to: m, by: 7) {
        for column in stride(from: 0, to: k, by: 5) {
          let sum = (0..<n).reduce(0.0) {
            $0 + Double(values[row * n + $1]) * Double(exact[$1 * k + column])
          }
          #expect(abs(Double(found[row * k + column]) - sum) < 1e-6 * Double(n))
        }
      }
    }
  }

  @Test func weightGradientsAddUp() {
    var random = SplitMix64(seed: 43)
    let (m, n, k) = (37, 65, 200)
    let (y, x) = (
      Tensor(random.floats(m * n), shape: [m, n]), Tensor(random.floats(m * k), shape: [m, k])
    )
    var sums = Tensor(random.floats(n * k), shape: [n, k])
    let before = sums.values
    Linear.addWeightGradient(y, x, to: &sums)
    let (a, b) = (y.values, x.values)
    for (row, column) in [(0, 0), (3, 199), (64, 192), (63, 64)] {
      let sum = (0..<m).reduce(Double(before[row * k + column])) {
        $0 + Double(a[$1 * n + row]) * Double(b[$1 * k + column])
      }
      #expect(abs(Double(sums.values[row * k + column]) - sum) < 1e-5)
    }
  }

  @Test(arguments: [false, true])
  func normGradientsEqualDifferences(isCentered: Bool) {
    var random = SplitMix64(seed: 44)
    let width = 21
    let (x, weight, slope) = (
      random.floats(width).map { 2 + $0 }, random.floats(width), random.floats(width)
    )
    let wide = x.map(Double.init)
    /// Σ slope · norm(x), in f64.
    func value(_ x: [Double]) -> Double {
      let mean = isCentered ? x.reduce(0, +) / Double(width) : 0
      let square = x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(width)
      return zip(x, zip(weight, slope)).reduce(0) {
        $0 + ($1.0 - mean) / (square + 1e-3).squareRoot() * Double($1.1.0) * Double($1.1.1)
      }
    }
    var gradient = Tensor(slope, shape: [1, width])
    let rows = Tensor(x, shape: [1, width])
    let weights = Tensor(weight, shape: [width])
    if isCentered {
      Kernels.layerNormGradient(&gradient, of: rows, weight: weights, epsilon: 1e-3)
    } else {
      Kernels.rmsNormGradient(&gradient, of: rows, weight: weights, epsilon: 1e-3)
    }
    for index in 0..<width {
      var (up, down) = (wide, wide)
      up[index] += 1e-5
      down[index] -= 1e-5
      let expected = (value(up) - value(down)) / 2e-5
      #expect(abs(Double(gradient.values[index]) - expected) < 1e-5)
    }
  }

  @Test func crossProductsOfTwoStreamsEqualTheNaiveOnes() {
    var random = SplitMix64(seed: 45)
    let (m, d, e) = (300, 130, 9)
    let (x, y) = (
      Tensor(random.floats(m * d), shape: [m, d]), Tensor(random.floats(m * e), shape: [m, e])
    )
    let (a, b) = (random.floats(d).map(Double.init), random.floats(e).map(Double.init))
    var sums = [Double](repeating: 1, count: d * e)
    CrossProducts.add(of: x, minus: a, and: y, minus: b, to: &sums)
    let (xs, ys) = (x.values, y.values)
    for (row, column) in [(0, 0), (129, 8), (128, 3), (7, 5)] {
      let sum = (0..<m).reduce(1.0) {
        $0 + (Double(xs[$1 * d + row]) - a[row]) * (Double(ys[$1 * e + column]) - b[column])
      }
      #expect(abs(sums[row * e + column] - sum) < 1e-9)
    }
  }
}
