import Glibc
import SextantTensor
import SextantTestSupport
import Testing

/// Operations on each head of a row are compared with f64.
@Suite struct HeadTests {
  private let rows = 5

  /// The columns of one head in one row.
  private func head(_ x: [Float], _ row: Int, _ head: Int, heads: Int, size: Int) -> [Double] {
    let first = (row * heads + head) * size
    return x[first..<first + size].map(Double.init)
  }

  private static let layouts = [(1, 1), (2, 12), (3, 64), (7, 5)]

  @Test(arguments: layouts)
  func theGroupNormIsTheLayerNormOfEachHead(heads: Int, size: Int) {
    var random = SplitMix64(seed: UInt64(size))
    let width = heads * size
    let x = random.floats(rows * width)
    let (weight, bias) = (random.floats(width), random.floats(width))
    var expected: [Double] = []
    for row in 0..<rows {
      for h in 0..<heads {
        let values = head(x, row, h, heads: heads, size: size)
        let mean = values.reduce(0, +) / Double(size)
        let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(size)
        expected += values.indices.map {
          (values[$0] - mean) / (variance + 64e-5).squareRoot() * Double(weight[h * size + $0])
            + Double(bias[h * size + $0])
        }
      }
    }
    let y = Kernels.groupNorm(
      Tensor(x, shape: [rows, width]), heads: heads, weight: Tensor(weight, shape: [width]),
      bias: Tensor(bias, shape: [width]), epsilon: 64e-5)
    #expect(excess(y.values, over: expected, absolute: 2e-6, relative: 2e-6) <= 1)
  }

  @Test(arguments: layouts)
  func normalizedHeadsHaveLengthOne(heads: Int, size: Int) {
    var random = SplitMix64(seed: UInt64(size))
    let x = random.floats(rows * heads * size)
    var y = Tensor(x, shape: [rows, heads * size])
    Kernels.normalize(&y, heads: heads)
    var expected: [Double] = []
    for row in 0..<rows {
      for h in 0..<heads {
        let values = head(x, row, h, heads: heads, size: size)
        let length = values.reduce(0) { $0 + $1 * $1 }.squareRoot()
        expected += values.map { $0 / length }
      }
    }
    #expect(excess(y.values, over: expected, absolute: 1e-7, relative: 1e-6) <= 1)
  }

  @Test func aHeadOfZerosStaysZero() {
    var y = Tensor([0, 0, 3, 4], shape: [1, 4])
    Kernels.normalize(&y, heads: 2)
    #expect(excess(y.values, over: [0, 0, 0.6, 0.8], absolute: 1e-7, relative: 0) <= 1)
  }

  @Test(arguments: layouts)
  func theEpsilonOfALengthIsInsideTheRoot(heads: Int, size: Int) {
    var random = SplitMix64(seed: UInt64(size))
    let layout = HeadColumns(first: 2, count: heads, width: size, stride: size + 1)
    let columns = 3 + heads * (size + 1)
    // The last row is so small that the epsilon decides.
    let x = random.floats(rows * columns).enumerated().map {
      $0.offset / columns == rows - 1 ? $0.element * 1e-4 : $0.element
    }
    let weight = random.floats(heads * size)
    let whole = Tensor(x, shape: [rows, columns])
    var (unit, normed, shared) = (whole, whole, whole)
    Kernels.normalize(&unit, layout, epsilon: 1e-6)
    Kernels.rmsNorm(&normed, layout, weight: Tensor(weight, shape: [heads * size]), epsilon: 1e-5)
    let one = Array(weight.prefix(size))
    Kernels.rmsNorm(&shared, layout, weight: Tensor(one, shape: [size]), epsilon: 1e-5)
    var expected = (
      unit: x.map(Double.init), normed: x.map(Double.init), shared: x.map(Double.init)
    )
    for row in 0..<rows {
      for h in 0..<heads {
        let first = row * columns + 2 + h * (size + 1)
        let square = x[first..<first + size].reduce(0) { $0 + Double($1) * Double($1) }
        for i in 0..<size {
          let value = Double(x[first + i])
          let rms = value / (square / Double(size) + 1e-5).squareRoot()
          expected.unit[first + i] = value / (square + 1e-6).squareRoot()
          expected.normed[first + i] = rms * Double(weight[h * size + i])
          expected.shared[first + i] = rms * Double(weight[i])
        }
      }
    }
    #expect(excess(unit.values, over: expected.unit, absolute: 1e-9, relative: 1e-6) <= 1)
    #expect(excess(normed.values, over: expected.normed, absolute: 1e-9, relative: 1e-6) <= 1)
    #expect(excess(shared.values, over: expected.shared, absolute: 1e-9, relative: 1e-6) <= 1)
  }

  @Test func aLengthThatOverflowsIsNotZero() {
    var x = Tensor([1e20, 1, 3, 4, 0, 0], shape: [1, 6])
    Kernels.normalize(&x, HeadColumns(count: 3, width: 2), epsilon: 1e-6)
    #expect(x.values[0].isNaN && x.values[1].isNaN)
    #expect(
      excess(Array(x.values[2...]), over: [0.6, 0.8, 0, 0], absolute: 1e-6, relative: 0) <= 1)
  }

  /// The norm of the gated delta rule: by heads with one weight for all, then the gate.
  @Test(arguments: [false, true])
  func aGateFollowsTheNormOfEachHead(isSigmoid: Bool) {
    var random = SplitMix64(seed: 17)
    let (heads, size) = (3, 21)
    let width = heads * size
    let (x, z) = (random.floats(rows * width), random.floats(rows * 2 * width))
    let weight = random.floats(size)
    let gates = Tensor(z, shape: [rows, 2 * width]).columns(5..<5 + width)
    var y = Kernels.rmsNorm(
      Tensor(x, shape: [rows, width]), weight: Tensor(weight, shape: [size]), epsilon: 1e-6,
      groups: heads)
    if isSigmoid {
      Kernels.multiply(&y, bySigmoidOf: gates)
    } else {
      Kernels.multiply(&y, bySiLUOf: gates)
    }
    var expected: [Double] = []
    for row in 0..<rows {
      for h in 0..<heads {
        let values = head(x, row, h, heads: heads, size: size)
        let square = values.reduce(0) { $0 + $1 * $1 } / Double(size)
        for i in 0..<size {
          let gate = Double(z[row * 2 * width + 5 + h * size + i])
          let opening = (isSigmoid ? 1 : gate) / (1 + exp(-gate))
          expected.append(values[i] / (square + 1e-6).squareRoot() * Double(weight[i]) * opening)
        }
      }
    }
    #expect(excess(y.values, over: expected, absolute: 1e-9, relative: 2e-6) <= 1)
  }

  @Test(arguments: layouts)
  func aHeadIsAddedInProportionToAWeightedSum(heads: Int, size: Int) {
    var random = SplitMix64(seed: UInt64(size))
    let width = heads * size
    let (x, v, start) = (
      random.floats(rows * width), random.floats(rows * width), random.floats(rows * width)
    )
    let weight = random.floats(width)
    var expected = start.map(Double.init)
    for row in 0..<rows {
      for h in 0..<heads {
        let values = head(x, row, h, heads: heads, size: size)
        let factor = values.indices.reduce(0) { $0 + values[$1] * Double(weight[h * size + $1]) }
        for i in 0..<size {
          let place = (row * heads + h) * size + i
          expected[place] += factor * Double(v[place])
        }
      }
    }
    var y = Tensor(start, shape: [rows, width])
    Kernels.add(
      Tensor(v, shape: [rows, width]), scaledByHeadsOf: Tensor(x, shape: [rows, width]),
      weight: Tensor(weight, shape: [width]), heads: heads, to: &y)
    #expect(excess(y.values, over: expected, absolute: 2e-6, relative: 2e-6) <= 1)
  }

  @Test(arguments: [1, 5])
  func interpolationTakesOneWeightPerRowOrOneForAll(weightRows: Int) {
    var random = SplitMix64(seed: 3)
    let width = 37
    let (p, q) = (random.floats(rows * width), random.floats(rows * width))
    let weight = random.floats(weightRows * width)
    let expected = (0..<rows * width).map { place in
      let w = Double(weight[weightRows == 1 ? place % width : place])
      return Double(p[place]) + (Double(q[place]) - Double(p[place])) * w
    }
    let y = Kernels.interpolate(
      from: Tensor(p, shape: [rows, width]), to: Tensor(q, shape: [rows, width]),
      by: Tensor(weight, shape: weightRows == 1 ? [width] : [rows, width]))
    #expect(excess(y.values, over: expected, absolute: 3e-7, relative: 0) <= 1)
  }

  @Test func theSquaredReLUIsZeroBelowZero() {
    var y = Tensor([-2, -0.5, 0, 0.5, 3], shape: [5])
    Kernels.squaredReLU(&y)
    #expect(y.values == [0, 0, 0, 0.25, 9])
  }
}
