import CSextantKernels
import Glibc
import SextantTensor
import SextantTestSupport
import Testing

/// A function of one number: its kernel, its f64 reference, and its accuracy by range.
private struct Function: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let ulps: Double
  let range: ClosedRange<Float>
  let kernel: @Sendable (KernelLevel, inout [Float]) -> Void
  let reference: @Sendable (Double) -> Double
  /// Special inputs and exact outputs.
  let specials: [(Float, Float)]

  static let all = [
    Function(
      testDescription: "exp", ulps: 2, range: -104...88.8,
      kernel: { $0.table.exp(&$1, $1, $1.count) }, reference: { exp($0) },
      specials: [
        (0, 1), (-0.0, 1), (.infinity, .infinity), (-.infinity, 0), (89, .infinity), (-105, 0),
        (.greatestFiniteMagnitude, .infinity), (-.greatestFiniteMagnitude, 0), (.nan, .nan),
        (.leastNonzeroMagnitude, 1),
      ]),
    Function(
      testDescription: "sigmoid", ulps: 4, range: -87...100,
      kernel: { $0.table.sigmoid(&$1, $1, $1.count) }, reference: { 1 / (1 + exp(-$0)) },
      specials: [(0, 0.5), (.infinity, 1), (-.infinity, 0), (-200, 0), (200, 1), (.nan, .nan)]),
    Function(
      testDescription: "tanh", ulps: 3, range: -20...20,
      kernel: { $0.table.tanh(&$1, $1, $1.count) }, reference: { tanh($0) },
      specials: [
        (0, 0), (-0.0, -0.0), (.infinity, 1), (-.infinity, -1), (.nan, .nan),
        (.leastNonzeroMagnitude, .leastNonzeroMagnitude), (1e-20, 1e-20),
      ]),
    Function(
      testDescription: "silu", ulps: 4, range: -87...100,
      kernel: { $0.table.silu(&$1, $1, $1.count) }, reference: { $0 / (1 + exp(-$0)) },
      specials: [(0, 0), (-0.0, -0.0), (.infinity, .infinity), (-200, -0.0), (.nan, .nan)]),
    Function(
      testDescription: "squared ReLU", ulps: 0.5, range: -20...20,
      kernel: { $0.table.squared_relu(&$1, $1, $1.count) },
      reference: { $0 > 0 ? $0 * $0 : 0 },
      specials: [(0, 0), (-3, 0), (3, 9), (.infinity, .infinity), (-.infinity, 0), (.nan, .nan)]),
    Function(
      testDescription: "softplus", ulps: 4, range: -104...100,
      kernel: { $0.table.softplus(&$1, $1, nil, $1.count) },
      reference: { $0 > 0 ? $0 + log1p(exp(-$0)) : log1p(exp($0)) },
      specials: [
        (.infinity, .infinity), (-.infinity, 0), (-200, 0), (30, 30), (1e30, 1e30), (.nan, .nan),
      ]),
  ]
}

@Suite struct ElementwiseTests {
  @Test(arguments: KernelLevel.available, Function.all)
  private func staysWithinItsBound(_ level: KernelLevel, _ function: Function) {
    let (low, high) = (function.range.lowerBound, function.range.upperBound)
    let count = 40_001
    var inputs = (0..<count).map { low + (high - low) * Float($0) / Float(count - 1) }
    inputs += (0..<count).map { -2 + 4 * Float($0) / Float(count - 1) }
    var outputs = inputs
    function.kernel(level, &outputs)
    let worst = zip(inputs, outputs).map { (ulps($1, from: function.reference(Double($0))), $0) }
      .max { $0.0 < $1.0 }
    #expect((worst?.0 ?? 0) <= function.ulps, "at \(worst?.1 ?? 0)")
  }

  @Test(arguments: KernelLevel.available, Function.all)
  private func specialInputsGiveTheirExactResults(_ level: KernelLevel, _ function: Function) {
    for (input, expected) in function.specials {
      // In a vector's lane and in the rest beyond the last whole vector.
      for count in [1, 16, 19] {
        var values = [Float](repeating: input, count: count)
        function.kernel(level, &values)
        #expect(
          values.allSatisfy { $0.isNaN ? expected.isNaN : $0.bitPattern == expected.bitPattern },
          "\(input) gave \(values[0])")
      }
    }
  }

  @Test(arguments: KernelLevel.available)
  func arithmeticOnOddSizes(_ level: KernelLevel) {
    var random = SplitMix64(seed: 9)
    for size in oddSizes {
      let (x, y) = (random.floats(size), random.floats(size))
      var sum = y
      level.table.add(&sum, x, size)
      #expect(sum == zip(y, x).map { $0 + $1 })
      var product = y
      level.table.mul(&product, x, size)
      #expect(product == zip(y, x).map { $0 * $1 })
      var scaled = y
      level.table.scale(&scaled, 3, size)
      #expect(scaled == y.map { $0 * 3 })
      var moved = y
      level.table.axpy(&moved, -0.7, x, size)
      let expected = zip(y, x).map { Double($0) - Double(Float(0.7)) * Double($1) }
      #expect(excess(moved, over: expected, absolute: 2e-7, relative: 0) <= 1)
      var gated = y
      level.table.silu_mul(&gated, x, size)
      let gates = zip(y, x).map { Double($0) * Double($1) / (1 + exp(-Double($1))) }
      #expect(excess(gated, over: gates, absolute: 1e-20, relative: 5e-7) <= 1)
      var opened = y
      level.table.sigmoid_mul(&opened, x, size)
      let openings = zip(y, x).map { Double($0) / (1 + exp(-Double($1))) }
      #expect(excess(opened, over: openings, absolute: 1e-20, relative: 5e-7) <= 1)
      var between = y
      level.table.lerp(&between, between, x, gated, size)
      let lerps = y.indices.map { index in
        let (from, to) = (Double(y[index]), Double(x[index]))
        return from + (to - from) * Double(gated[index])
      }
      #expect(excess(between, over: lerps, absolute: 3e-7, relative: 0) <= 1)
      var soft = y
      level.table.softplus(&soft, y, x, size)
      let softs = zip(y, x).map { log1p(exp(Double($0 + $1))) }
      #expect(excess(soft, over: softs, absolute: 0, relative: 5e-7) <= 1)
    }
  }

  @Test func tensorsAreUpdatedRowByRow() {
    var random = SplitMix64(seed: 12)
    let wide = Tensor(random.floats(7 * 3000), shape: [7, 3000])
    let x = wide.columns(1000..<3000)
    let flat = Tensor(copying: x).values
    let start = random.floats(7 * 2000)
    var y = Tensor(start, shape: [7, 2000])
    Kernels.add(x, to: &y)
    #expect(y.values == zip(start, flat).map { $0 + $1 })
    Kernels.multiply(&y, by: x)
    #expect(y.values == zip(start, flat).map { ($0 + $1) * $1 })
    var z = Tensor(start, shape: [7, 2000])
    Kernels.add(x, scaledBy: 2, to: &z)
    #expect(z.values == zip(start, flat).map { $0 + 2 * $1 })
    var w = Tensor(start, shape: [7, 2000])
    Kernels.multiply(&w, by: wide.slice(rows: 0..<1, columns: 1000..<3000))
    #expect(w.values == start.indices.map { start[$0] * flat[$0 % 2000] })
    Kernels.scale(&z, by: 0)
    #expect(z.values.allSatisfy { $0 == 0 })
  }

  @Test func gatesOfHeadsLieBetweenOtherColumns() {
    var random = SplitMix64(seed: 13)
    let (rows, heads, width) = (5, 3, 19)
    // For each head its query, then its gate.
    let joint = random.floats(rows * heads * 2 * width)
    let start = random.floats(rows * heads * width)
    let layout = HeadColumns(first: width, count: heads, width: width, stride: 2 * width)
    var y = Tensor(start, shape: [rows, heads * width])
    let z = Tensor(joint, shape: [rows, heads * 2 * width])
    Kernels.multiply(&y, bySigmoidOf: z, layout)
    let expected = start.indices.map { place in
      let (head, channel) = (place / width, place % width)
      return Double(start[place]) / (1 + exp(-Double(joint[(2 * head + 1) * width + channel])))
    }
    #expect(excess(y.values, over: expected, absolute: 1e-9, relative: 5e-7) <= 1)

    var whole = Tensor(start, shape: [rows, heads * width])
    let columns = z.columns(7..<7 + heads * width)
    Kernels.multiply(&whole, bySigmoidOf: columns)
    let gates = Tensor(copying: columns).values
    let products = zip(start, gates).map { Double($0) / (1 + exp(-Double($1))) }
    #expect(excess(whole.values, over: products, absolute: 1e-9, relative: 5e-7) <= 1)
  }

  @Test func someColumnsAreScaledAndTheOthersStay() {
    var random = SplitMix64(seed: 14)
    let start = random.floats(7 * 300)
    var y = Tensor(start, shape: [7, 300])
    Kernels.scale(&y, columns: 20..<161, by: -1.5)
    Kernels.scale(&y, columns: 161..<161, by: 9)
    Kernels.scale(&y, columns: 299..<300, by: 0)
    #expect(
      y.values
        == start.enumerated().map { place, value in
          switch place % 300 {
          case 20..<161: value * -1.5
          case 299: value * 0
          default: value
          }
        })
  }

  @Test func tensorFunctionsReachEveryElement() {
    let inputs = (0..<70_000).map { Float($0 % 800) / 100 - 4 }
    let cases: [((inout Tensor, WorkerPool) -> Void, (Double) -> Double)] = [
      ({ Kernels.exp(&$0, pool: $1) }, { exp($0) }),
      ({ Kernels.sigmoid(&$0, pool: $1) }, { 1 / (1 + exp(-$0)) }),
      ({ Kernels.tanh(&$0, pool: $1) }, { tanh($0) }),
      ({ Kernels.silu(&$0, pool: $1) }, { $0 / (1 + exp(-$0)) }),
      ({ Kernels.squaredReLU(&$0, pool: $1) }, { $0 > 0 ? $0 * $0 : 0 }),
      ({ x, _ in x = Kernels.softplus(x) }, { log1p(exp($0)) }),
      (
        { x, _ in
          var ones = Tensor([Float](repeating: 1, count: 70_000), shape: [70, 1000])
          Kernels.multiply(&ones, bySiLUOf: x)
          x = ones
        }, { $0 / (1 + exp(-$0)) }
      ),
    ]
    for (function, reference) in cases {
      var tensor = Tensor(inputs, shape: [70, 1000])
      function(&tensor, WorkerPool(threads: 3))
      let expected = inputs.map { reference(Double($0)) }
      #expect(excess(tensor.values, over: expected, absolute: 1e-9, relative: 5e-7) <= 1)
    }
  }
}
