import Glibc
import SextantTensor
import SextantTestSupport
import Testing

private func silu(_ x: Double) -> Double { x / (1 + exp(-x)) }

@Suite struct ConvolutionTests {
  /// y, and the state afterwards, in f64.
  static func reference(
    _ x: [Float], _ weight: [Float], _ bias: [Float]?, _ state: [Float], width: Int,
    _ activation: (Double) -> Double
  ) -> (y: [Double], state: [Float]) {
    let channels = weight.count / width
    let steps = x.count / channels
    var y = [Double](repeating: 0, count: x.count)
    var final = state
    for c in 0..<channels {
      let past = (0..<width - 1).map { state[c * (width - 1) + $0] }
      let line = past + (0..<steps).map { x[$0 * channels + c] }
      for t in 0..<steps {
        let sum = (0..<width).reduce(Double(bias?[c] ?? 0)) {
          $0 + Double(weight[c * width + $1]) * Double(line[t + $1])
        }
        y[t * channels + c] = activation(sum)
      }
      for j in 0..<width - 1 { final[c * (width - 1) + j] = line[steps + j] }
    }
    return (y, final)
  }

  @Test(arguments: KernelLevel.available, Array(1...8))
  func everyLevelEqualsTheF64Sum(_ level: KernelLevel, width: Int) {
    var random = SplitMix64(seed: UInt64(width))
    for channels in [1, 15, 16, 17, 31, 100] {
      for steps in [1, 2, 3, 9] {
        let x = random.floats(steps * channels)
        let weight = random.floats(channels * width)
        let bias = random.floats(channels)
        let start = random.floats(channels * (width - 1))
        for (bias, isSiLU) in [(bias, true), (bias, false), (nil, true), (nil, false)] {
          var state = start
          let expected = Self.reference(
            x, weight, bias, state, width: width, isSiLU ? silu : { $0 })
          let y = level.convolution(
            x, weight: weight, bias: bias, state: &state, width: width, silu: isSiLU)
          #expect(excess(y, over: expected.y, absolute: 1e-6, relative: 0) <= 1)
          #expect(state == expected.state)
        }
      }
    }
  }

  @Test func inOneGoEqualsStepByStep() {
    var random = SplitMix64(seed: 5)
    let (steps, channels, width) = (11, 70, 4)
    let x = Tensor(random.floats(steps * channels * 2), shape: [steps, 2 * channels])
    let weight = Tensor(random.floats(channels * width), shape: [channels, width])
    let bias = Tensor(random.floats(channels), shape: [channels])
    var whole = Tensor(zeros: [channels, width - 1])
    let y = Kernels.causalConvolution(
      x.columns(0..<channels), weight: weight, bias: bias, activation: .silu, state: &whole)
    var state = Tensor(zeros: [channels, width - 1])
    let parts = (0..<steps).map { t in
      Kernels.causalConvolution(
        x.slice(rows: t..<t + 1, columns: 0..<channels), weight: weight, bias: bias,
        activation: .silu, state: &state)
    }
    #expect(Tensor.concatenated(parts) == y)
    #expect(state == whole)
  }

  @Test func theActivationIsAppliedToTheSum() {
    var random = SplitMix64(seed: 6)
    let (steps, channels, width) = (5, 21, 3)
    let x = Tensor(random.floats(steps * channels), shape: [steps, channels])
    let weight = Tensor(random.floats(channels * width), shape: [channels, width])
    let start = Tensor(random.floats(channels * (width - 1)), shape: [1, channels, width - 1])
    var (state, other) = (start, start)
    var sums = Kernels.causalConvolution(
      x, weight: weight, bias: nil, activation: .identity, state: &state)
    let activated = Kernels.causalConvolution(
      x, weight: weight, bias: nil, activation: .silu, state: &other)
    #expect(sums != activated)
    Kernels.silu(&sums)
    #expect(sums == activated)
    #expect(state == other)
  }
}

@Suite struct SelectiveScanTests {
  static func input(
    channels: Int, width: Int, steps: Int, gated: Bool, _ random: inout SplitMix64
  ) -> ScanInput {
    ScanInput(
      a: random.floats(channels * width).map { -8 * abs($0) - 0.1 },
      delta: random.floats(steps * channels).map { abs($0) * 0.5 },
      x: random.floats(steps * channels), bc: random.floats(steps * 2 * width),
      d: random.floats(channels),
      z: gated ? random.floats(steps * channels).map { 4 * $0 } : nil)
  }

  static func reference(_ input: ScanInput, state: [Float]) -> (y: [Double], state: [Double]) {
    let channels = input.d.count
    let (width, steps) = (input.a.count / channels, input.x.count / channels)
    var h = state.map(Double.init)
    var y = [Double](repeating: 0, count: input.x.count)
    for t in 0..<steps {
      for c in 0..<channels {
        let (delta, x) = (Double(input.delta[t * channels + c]), Double(input.x[t * channels + c]))
        var sum = Double(input.d[c]) * x
        for n in 0..<width {
          let i = c * width + n
          let b = Double(input.bc[t * 2 * width + n])
          h[i] = exp(delta * Double(input.a[i])) * h[i] + delta * x * b
          sum += h[i] * Double(input.bc[t * 2 * width + width + n])
        }
        if let z = input.z { sum *= silu(Double(z[t * channels + c])) }
        y[t * channels + c] = sum
      }
    }
    return (y, h)
  }

  @Test(arguments: KernelLevel.available, [1, 2, 4, 7, 8, 15, 16, 17, 24, 64])
  func everyLevelEqualsTheF64Recurrence(_ level: KernelLevel, width: Int) {
    var random = SplitMix64(seed: UInt64(width))
    for channels in [1, 15, 16, 17, 33, 100] {
      for (steps, gated) in [(1, false), (3, true), (4, false), (21, true)] {
        let input = Self.input(
          channels: channels, width: width, steps: steps, gated: gated, &random)
        var state = random.floats(channels * width)
        let expected = Self.reference(input, state: state)
        let y = level.scan(input, state: &state, steps: 0..<steps)
        #expect(excess(y, over: expected.y, absolute: 4e-6, relative: 2e-6) <= 1)
        #expect(excess(state, over: expected.state, absolute: 2e-6, relative: 2e-6) <= 1)
      }
    }
  }

  @Test(arguments: KernelLevel.available, [5, 16, 20])
  func theStateDoesNotDependOnHowTimeIsCut(_ level: KernelLevel, width: Int) {
    var random = SplitMix64(seed: 21)
    let (channels, steps) = (37, 13)
    let input = Self.input(channels: channels, width: width, steps: steps, gated: true, &random)
    let start = random.floats(channels * width)
    var whole = start
    let y = level.scan(input, state: &whole, steps: 0..<steps)
    for cut in [1, 2, 4, 5] {
      var state = start
      var parts: [Float] = []
      for first in stride(from: 0, to: steps, by: cut) {
        parts += level.scan(input, state: &state, steps: first..<min(first + cut, steps))
      }
      #expect(state.map(\.bitPattern) == whole.map(\.bitPattern))
      #expect(excess(parts, over: y.map(Double.init), absolute: 2e-6, relative: 2e-6) <= 1)
    }
  }

  @Test func tensorsGiveWhatTheKernelGives() throws {
    var random = SplitMix64(seed: 2)
    let (channels, width, steps) = (200, 16, 6)
    let input = Self.input(channels: channels, width: width, steps: steps, gated: true, &random)
    let start = random.floats(channels * width)
    let expected = Self.reference(input, state: start)
    var state = Tensor(start, shape: [channels, width])
    let bc = Tensor(input.bc, shape: [steps, 2 * width])
    let y = Kernels.selectiveScan(
      Tensor(input.x, shape: [steps, channels]),
      delta: Tensor(input.delta, shape: [steps, channels]),
      a: Tensor(input.a, shape: [channels, width]), b: bc.columns(0..<width),
      c: bc.columns(width..<2 * width), d: Tensor(input.d, shape: [channels]),
      gate: Tensor(try #require(input.z), shape: [steps, channels]), state: &state)
    #expect(y.shape == [steps, channels])
    #expect(excess(y.values, over: expected.y, absolute: 4e-6, relative: 2e-6) <= 1)
    #expect(excess(state.values, over: expected.state, absolute: 2e-6, relative: 2e-6) <= 1)
  }

  @Test(arguments: [1, 6])
  func aBatchGivesWhatEachSequenceGives(steps: Int) {
    var random = SplitMix64(seed: 23)
    let (batch, channels, width) = (3, 100, 16)
    let rows = batch * steps
    let (x, z) = (
      Tensor(random.floats(rows * channels), shape: [rows, channels]),
      Tensor(random.floats(rows * channels), shape: [rows, channels])
    )
    let delta = Tensor(random.floats(rows * channels).map(abs), shape: [rows, channels])
    let bc = Tensor(random.floats(rows * 2 * width), shape: [rows, 2 * width])
    let a = Tensor(random.floats(channels * width).map { -abs($0) }, shape: [channels, width])
    let d = Tensor(random.floats(channels), shape: [channels])
    let kernel = Tensor(random.floats(channels * 4), shape: [channels, 4])
    let start = Tensor(random.floats(batch * channels * width), shape: [batch, channels, width])
    let window = Tensor(random.floats(batch * channels * 3), shape: [batch, channels, 3])

    func run(_ rows: Range<Int>, _ state: inout Tensor, _ window: inout Tensor, batch: Int)
      -> (Tensor, Tensor)
    {
      let scan = Kernels.selectiveScan(
        x.slice(rows: rows), delta: delta.slice(rows: rows), a: a,
        b: bc.slice(rows: rows, columns: 0..<width),
        c: bc.slice(rows: rows, columns: width..<2 * width), d: d, gate: z.slice(rows: rows),
        state: &state, batch: batch)
      let convolution = Kernels.causalConvolution(
        x.slice(rows: rows), weight: kernel, bias: d, activation: .silu, state: &window,
        batch: batch)
      return (scan, convolution)
    }
    var (states, windows) = (start, window)
    let (scans, convolutions) = run(0..<rows, &states, &windows, batch: batch)
    for sequence in 0..<batch {
      let own = sequence * steps..<(sequence + 1) * steps
      var (state, past) = (
        start.rows(sequence..<sequence + 1), window.rows(sequence..<sequence + 1)
      )
      let (scan, convolution) = run(own, &state, &past, batch: 1)
      #expect(scan == scans.rows(own))
      #expect(convolution == convolutions.rows(own))
      #expect(state == states.rows(sequence..<sequence + 1))
      #expect(past == windows.rows(sequence..<sequence + 1))
    }
  }
}
