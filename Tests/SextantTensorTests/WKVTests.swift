import CSextantKernels
import Glibc
import SextantTensor
import SextantTestSupport
import Testing

/// The operands of a recurrence with heads over T steps, each [T, H·N].
private struct HeadInput {
  let heads, size, steps: Int
  let r, k, v, a, b, decay: [Float]
  let bonus: [Float]  // [H·N]
  let state: [Float]  // [H, N, N]

  var width: Int { heads * size }

  init(heads: Int, size: Int, steps: Int, seed: Int) {
    var random = SplitMix64(seed: UInt64(seed))
    (self.heads, self.size, self.steps) = (heads, size, steps)
    let count = steps * heads * size
    r = random.floats(count)
    k = random.floats(count)
    v = random.floats(count)
    // As RWKV-7 has them: a direction of length 1, removed in part.
    let scale = 1 / Float(size).squareRoot()
    a = random.floats(count).map { -$0 * scale }
    let rates = random.floats(count).map { 0.5 + 0.5 * $0 }
    b = zip(a, rates).map { -$0 * $1 }
    decay = random.floats(count).map { 0.5 + 0.5 * $0 }
    bonus = random.floats(heads * size)
    state = random.floats(heads * size * size)
  }

  func wkv6(decayStride: Int) -> (y: [Double], state: [Double]) {
    var s = state.map(Double.init)
    var y = [Double](repeating: 0, count: r.count)
    for t in 0..<steps {
      for h in 0..<heads {
        for i in 0..<size {
          let (place, key) = (t * width + h * size + i, h * size + i)
          let (r, k) = (Double(r[place]), Double(k[place]))
          for j in 0..<size {
            let (at, value) = (key * size + j, Double(v[t * width + h * size + j]))
            y[t * width + h * size + j] += r * (s[at] + Double(bonus[key]) * k * value)
            s[at] = Double(decay[t * decayStride + key]) * s[at] + k * value
          }
        }
      }
    }
    return (y, s)
  }

  func wkv7() -> (y: [Double], state: [Double]) {
    var s = state.map(Double.init)
    var y = [Double](repeating: 0, count: r.count)
    for t in 0..<steps {
      for h in 0..<heads {
        let first = t * width + h * size
        for i in 0..<size {
          let row = (h * size + i) * size
          let removed = (0..<size).reduce(0) { $0 + s[row + $1] * Double(a[first + $1]) }
          for j in 0..<size {
            s[row + j] =
              s[row + j] * Double(decay[first + j]) + removed * Double(b[first + j])
              + Double(v[first + i]) * Double(k[first + j])
            y[first + i] += s[row + j] * Double(r[first + j])
          }
        }
      }
    }
    return (y, s)
  }
}

extension KernelLevel {
  /// Runs `range` of the steps with all heads, one head after the other.
  fileprivate func wkv6(
    _ input: HeadInput, _ state: inout [Float], _ range: Range<Int>, isConstant: Bool
  ) -> [Float] {
    let (width, first) = (input.width, range.lowerBound * input.width)
    var y = [Float](repeating: .nan, count: range.count * width)
    for head in 0..<input.heads {
      state.withUnsafeMutableBufferPointer { state in
        y.withUnsafeMutableBufferPointer { y in
          withPointers([input.r, input.k, input.v, input.decay, input.bonus]) { p in
            var job = sxk_wkv6(
              state: state.baseAddress, r: p[0] + first, r_stride: width, k: p[1] + first,
              k_stride: width, v: p[2] + first, v_stride: width,
              decay: isConstant ? p[3] : p[3] + first, decay_stride: isConstant ? 0 : width,
              bonus: p[4], y: y.baseAddress, y_stride: width, t: range.count, n: input.size)
            table.wkv6(&job, head, head + 1)
          }
        }
      }
    }
    return y
  }

  fileprivate func wkv7(
    _ input: HeadInput, _ state: inout [Float], _ range: Range<Int>
  ) -> [Float] {
    let (width, first) = (input.width, range.lowerBound * input.width)
    var y = [Float](repeating: .nan, count: range.count * width)
    state.withUnsafeMutableBufferPointer { state in
      y.withUnsafeMutableBufferPointer { y in
        withPointers([input.r, input.decay, input.k, input.v, input.a, input.b]) { p in
          let p = p.map { $0 + first }
          var job = sxk_wkv7(
            state: state.baseAddress, r: p[0], r_stride: width, decay: p[1], decay_stride: width,
            k: p[2], k_stride: width, v: p[3], v_stride: width, a: p[4], a_stride: width, b: p[5],
            b_stride: width, y: y.baseAddress, y_stride: width, t: range.count, n: input.size)
          table.wkv7(&job, 0, input.heads)
        }
      }
    }
    return y
  }

  fileprivate func wkv4(
    _ k: [Float], _ v: [Float], decay: [Float], bonus: [Float], state: inout [[Float]]
  ) -> [Float] {
    let channels = decay.count
    var y = [Float](repeating: .nan, count: k.count)
    var flat = Array(state.joined())
    flat.withUnsafeMutableBufferPointer { state in
      guard let first = state.baseAddress else { return }
      y.withUnsafeMutableBufferPointer { y in
        withPointers([k, v, decay, bonus]) { p in
          var job = sxk_wkv4(
            numerator: first, denominator: first + channels, exponent: first + 2 * channels,
            decay: p[2], bonus: p[3], k: p[0], k_stride: channels, v: p[1], v_stride: channels,
            y: y.baseAddress, y_stride: channels, t: k.count / channels)
          // In two ranges that split a vector.
          table.wkv4(&job, 0, channels / 2)
          table.wkv4(&job, channels / 2, channels)
        }
      }
    }
    state = (0..<3).map { Array(flat[$0 * channels..<($0 + 1) * channels]) }
    return y
  }
}

@Suite struct WKVTests {
  static let sizes = [1, 3, 4, 7, 8, 12, 16, 20, 31, 32, 64, 67, 128]

  @Test(arguments: KernelLevel.available, sizes)
  func everyLevelEqualsTheF64RecurrenceOfRWKV6(_ level: KernelLevel, size: Int) {
    for (steps, isConstant) in [(1, true), (7, false)] {
      let input = HeadInput(heads: 3, size: size, steps: steps, seed: size)
      let expected = input.wkv6(decayStride: isConstant ? 0 : input.width)
      var state = input.state
      let y = level.wkv6(input, &state, 0..<steps, isConstant: isConstant)
      let bound = 1e-6 * Double(size).squareRoot()
      #expect(excess(y, over: expected.y, absolute: 4 * bound, relative: 2e-6) <= 1)
      #expect(excess(state, over: expected.state, absolute: 1e-6, relative: 1e-6) <= 1)
    }
  }

  @Test(arguments: KernelLevel.available, sizes)
  func everyLevelEqualsTheF64RecurrenceOfRWKV7(_ level: KernelLevel, size: Int) {
    for steps in [1, 7] {
      let input = HeadInput(heads: 3, size: size, steps: steps, seed: size)
      let expected = input.wkv7()
      var state = input.state
      let y = level.wkv7(input, &state, 0..<steps)
      let bound = 1e-6 * Double(size).squareRoot()
      #expect(excess(y, over: expected.y, absolute: 4 * bound, relative: 2e-6) <= 1)
      #expect(excess(state, over: expected.state, absolute: 2e-6, relative: 2e-6) <= 1)
    }
  }

  @Test(arguments: KernelLevel.available, [1, 15, 16, 17, 33, 100])
  func everyLevelEqualsTheWeightedAverageOfRWKV4(_ level: KernelLevel, channels: Int) {
    var random = SplitMix64(seed: UInt64(channels))
    let steps = 9
    let k = random.floats(steps * channels).map { 10 * $0 }
    let v = random.floats(steps * channels)
    let decay = random.floats(channels).map { -exp(2 * $0) }
    let bonus = random.floats(channels)
    // The definition, without the trick that keeps it from overflowing.
    var expected = [Double](repeating: 0, count: v.count)
    for c in 0..<channels {
      var (a, b) = (0.0, 0.0)
      for t in 0..<steps {
        let (key, value) = (Double(k[t * channels + c]), Double(v[t * channels + c]))
        let now = exp(Double(bonus[c]) + key)
        expected[t * channels + c] = (a + now * value) / (b + now)
        a = exp(Double(decay[c])) * a + exp(key) * value
        b = exp(Double(decay[c])) * b + exp(key)
      }
    }
    let zeros = [Float](repeating: 0, count: channels)
    let start = [zeros, zeros, [Float](repeating: -1e30, count: channels)]
    var state = start
    let y = level.wkv4(k, v, decay: decay, bonus: bonus, state: &state)
    #expect(excess(y, over: expected, absolute: 4e-6, relative: 2e-6) <= 1)

    var cut = start
    var parts: [Float] = []
    for t in 0..<steps {
      let row = t * channels..<(t + 1) * channels
      parts += level.wkv4(Array(k[row]), Array(v[row]), decay: decay, bonus: bonus, state: &cut)
    }
    #expect(parts.map(\.bitPattern) == y.map(\.bitPattern))
    #expect(cut == state)
  }

  @Test(arguments: KernelLevel.available)
  func keysTooLargeForTheExponentialOverflowNothingInRWKV4(_ level: KernelLevel) {
    var state: [[Float]] = [[0], [0], [-1e30]]
    let y = level.wkv4([500, -500, 500], [1, 2, 3], decay: [-1], bonus: [0], state: &state)
    // Each time the larger key decides; of the two equal ones the older has faded by e^-1.
    #expect(y[0] == 1 && y[1] == 1)
    #expect(abs(y[2] - (1 * exp(-1) + 3) / (exp(-1) + 1)) < 1e-6)
    #expect(state.allSatisfy { $0[0].isFinite })
  }

  @Test(arguments: KernelLevel.available, [5, 20, 64])
  func neitherOutputNorStateDependsOnHowTimeIsCut(_ level: KernelLevel, size: Int) {
    let input = HeadInput(heads: 2, size: size, steps: 13, seed: 3)
    for cut in [1, 4, 5] {
      let pieces = stride(from: 0, to: 13, by: cut).map { $0..<min($0 + cut, 13) }
      var (whole, state) = (input.state, input.state)
      let expected = level.wkv6(input, &whole, 0..<13, isConstant: false)
      let parts = pieces.flatMap { level.wkv6(input, &state, $0, isConstant: false) }
      #expect(parts.map(\.bitPattern) == expected.map(\.bitPattern))
      #expect(state.map(\.bitPattern) == whole.map(\.bitPattern))

      (whole, state) = (input.state, input.state)
      let expected7 = level.wkv7(input, &whole, 0..<13)
      let parts7 = pieces.flatMap { level.wkv7(input, &state, $0) }
      #expect(parts7.map(\.bitPattern) == expected7.map(\.bitPattern))
      #expect(state.map(\.bitPattern) == whole.map(\.bitPattern))
    }
  }

  @Test(arguments: [1, 6])
  func aBatchGivesWhatEachSequenceGives(steps: Int) {
    var random = SplitMix64(seed: 29)
    let (batch, heads, size) = (3, 5, 12)
    let width = heads * size
    let operands = (0..<6).map { _ in
      Tensor(random.floats(batch * steps * width).map { $0 / 4 }, shape: [batch * steps, width])
    }
    let bonus = Tensor(random.floats(width), shape: [width])
    let matrices = Tensor(
      random.floats(batch * width * size), shape: [batch, heads, size, size])
    let rows = (0..<4).map { _ in Tensor(random.floats(batch * width), shape: [batch, width]) }

    func run(
      _ x: [Tensor], _ matrices: Tensor, _ rows: [Tensor], batch: Int
    ) -> (y: [Tensor], states: [Tensor]) {
      var (s5, s6, s7, rows) = (matrices, matrices, matrices, rows)
      let y = [
        Kernels.wkv6(r: x[0], k: x[1], v: x[2], decay: bonus, bonus: bonus, state: &s5),
        Kernels.wkv6(r: x[0], k: x[1], v: x[2], decay: x[3], bonus: bonus, state: &s6),
        Kernels.wkv7(r: x[0], decay: x[1], k: x[2], v: x[3], a: x[4], b: x[5], state: &s7),
        Kernels.shiftInTime(x[0], state: &rows[3], batch: batch),
      ]
      var (n, d, e) = (rows[0], rows[1], rows[2])
      let last = Kernels.wkv4(
        k: x[0], v: x[1], decay: bonus, bonus: bonus, numerator: &n, denominator: &d,
        exponent: &e, batch: batch)
      return (y + [last], [s5, s6, s7, rows[3], n, d, e])
    }
    let together = run(operands, matrices, rows, batch: batch)
    for sequence in 0..<batch {
      let own = sequence * steps..<(sequence + 1) * steps
      let one = sequence..<sequence + 1
      let alone = run(
        operands.map { $0.rows(own) }, matrices.rows(one), rows.map { $0.rows(one) }, batch: 1)
      #expect(alone.y == together.y.map { $0.rows(own) })
      #expect(alone.states == together.states.map { $0.rows(one) })
    }
  }

  @Test func shiftingInTimeGivesEachRowItsPredecessor() {
    let x = Tensor([1, 2, 3, 4, 5, 6, 7, 8], shape: [4, 2])
    var state = Tensor([-1, -2, -3, -4], shape: [2, 2])
    let y = Kernels.shiftInTime(x, state: &state, batch: 2)
    #expect(y.values == [-1, -2, 1, 2, -3, -4, 5, 6])
    #expect(state.values == [3, 4, 7, 8])
  }
}
