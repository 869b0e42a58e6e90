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
