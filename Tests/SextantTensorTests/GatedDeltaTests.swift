import CSextantKernels
import Glibc
import SextantTensor
import SextantTestSupport
import Testing

/// The operands of a gated delta rule over T steps.
private struct DeltaInput {
  let steps, keyHeads, heads, keys, values: Int
  let isByKey: Bool
  var q, k: [Float]  // [T, G·K]
  var v: [Float]  // [T, H·V]
  var decay: [Float]  // [T, H], or [T, H·K]
  var beta: [Float]  // [T, H]
  var state: [Float]  // [H, K, V]

  let scale: Float = 0.3

  init(
    steps: Int, keyHeads: Int, heads: Int, keys: Int, values: Int, isByKey: Bool, seed: Int
  ) {
    var random = SplitMix64(seed: UInt64(seed))
    (self.steps, self.keyHeads, self.heads) = (steps, keyHeads, heads)
    (self.keys, self.values, self.isByKey) = (keys, values, isByKey)
    q = random.floats(steps * keyHeads * keys)
    // Heads of length 1, as the models have them: the state stays bounded.
    k = random.floats(steps * keyHeads * keys)
    for first in stride(from: 0, to: k.count, by: keys) {
      let head = first..<first + keys
      let length = k[head].reduce(0) { $0 + $1 * $1 }.squareRoot()
      for place in head { k[place] /= length }
    }
    v = random.floats(steps * heads * values)
    decay = random.floats(steps * heads * (isByKey ? keys : 1)).map { 0.9 + 0.1 * $0 }
    beta = random.floats(steps * heads).map { 1 + $0 }
    state = random.floats(heads * keys * values)
  }

  /// The definition, step by step: decay, read with k, write, read with q.
  func expected() -> (y: [Double], state: [Double]) {
    var s = state.map(Double.init)
    var y = [Double](repeating: 0, count: v.count)
    for t in 0..<steps {
      for h in 0..<heads {
        let key = (t * keyHeads + h / (heads / keyHeads)) * keys
        for i in 0..<keys {
          let alpha = isByKey ? decay[(t * heads + h) * keys + i] : decay[t * heads + h]
          for j in 0..<values { s[(h * keys + i) * values + j] *= Double(alpha) }
        }
        for j in 0..<values {
          let place = (t * heads + h) * values + j
          let recalled = (0..<keys).reduce(0) {
            $0 + s[(h * keys + $1) * values + j] * Double(k[key + $1])
          }
          let written = Double(beta[t * heads + h]) * (Double(v[place]) - recalled)
          for i in 0..<keys {
            s[(h * keys + i) * values + j] += Double(k[key + i]) * written
            y[place] +=
              Double(scale) * s[(h * keys + i) * values + j] * Double(q[key + i])
          }
        }
      }
    }
    return (y, s)
  }

  /// Some of the steps on a level, head ranges one after the other.
  func run(_ level: KernelLevel, _ state: inout [Float], _ range: Range<Int>) -> [Float] {
    let (first, decays) = (range.lowerBound, isByKey ? keys : 1)
    var y = [Float](repeating: .nan, count: range.count * heads * values)
    y.withUnsafeMutableBufferPointer { y in
      state.withUnsafeMutableBufferPointer { state in
        withPointers([q, k, v, decay, beta]) { p in
          var job = sxk_gated_delta(
            state: state.baseAddress, q: p[0] + first * keyHeads * keys,
            q_stride: keyHeads * keys, k: p[1] + first * keyHeads * keys,
            k_stride: keyHeads * keys, v: p[2] + first * heads * values,
            v_stride: heads * values, decay: p[3] + first * heads * decays,
            decay_stride: heads * decays, beta: p[4] + first * heads, beta_stride: heads,
            y: y.baseAddress, y_stride: heads * values, t: range.count, keys: keys,
            values: values, heads_per_key: heads / keyHeads, decays_per_head: decays,
            scale: scale)
          level.table.gated_delta(&job, 0, heads / 2)
          level.table.gated_delta(&job, heads / 2, heads)
        }
      }
    }
    return y
  }
}

@Suite struct GatedDeltaTests {
  static let widths = [
    (1, 1), (3, 5), (8, 16), (16, 33), (17, 64), (24, 48), (33, 7), (64, 100), (96, 192), (300, 34),
  ]

  @Test(arguments: KernelLevel.available, widths)
  func everyLevelEqualsTheF64Recurrence(_ level: KernelLevel, width: (keys: Int, values: Int)) {
    for (keyHeads, heads) in [(1, 1), (2, 6)] {
      for (steps, isByKey) in [(1, false), (1, true), (3, true), (9, false), (9, true)] {
        let input = DeltaInput(
          steps: steps, keyHeads: keyHeads, heads: heads, keys: width.keys, values: width.values,
          isByKey: isByKey, seed: steps)
        let expected = input.expected()
        var state = input.state
        let y = input.run(level, &state, 0..<steps)
        #expect(excess(y, over: expected.y, absolute: 1e-5, relative: 2e-6) <= 1)
        #expect(excess(state, over: expected.state, absolute: 4e-6, relative: 2e-6) <= 1)
      }
    }
  }

  @Test(arguments: KernelLevel.available)
  func theErrorStaysSmallOverManySteps(_ level: KernelLevel) {
    let input = DeltaInput(
      steps: 400, keyHeads: 1, heads: 2, keys: 128, values: 64, isByKey: false, seed: 3)
    let expected = input.expected()
    var state = input.state
    let y = input.run(level, &state, 0..<400)
    let size = expected.y.reduce(0) { max($0, abs($1)) }
    #expect(excess(y, over: expected.y, absolute: 1e-5 * size, relative: 0) <= 1)
    let largest = expected.state.reduce(0) { max($0, abs($1)) }
    #expect(excess(state, over: expected.state, absolute: 1e-5 * largest, relative: 0) <= 1)
  }

  @Test(arguments: KernelLevel.available, [(16, 40), (20, 64), (257, 33)])
  func neitherOutputNorStateDependsOnHowTimeIsCut(
    _ level: KernelLevel, width: (keys: Int, values: Int)
  ) {
    for isByKey in [false, true] {
      let input = DeltaInput(
        steps: 13, keyHeads: 2, heads: 4, keys: width.keys, values: width.values,
        isByKey: isByKey, seed: 5)
      var whole = input.state
      let y = input.run(level, &whole, 0..<13)
      for cut in [1, 3, 4, 6] {
        var state = input.state
        let parts = stride(from: 0, to: 13, by: cut).flatMap {
          input.run(level, &state, $0..<min($0 + cut, 13))
        }
        #expect(parts.map(\.bitPattern) == y.map(\.bitPattern))
        #expect(state.map(\.bitPattern) == whole.map(\.bitPattern))
      }
    }
  }

  @Test(arguments: KernelLevel.available)
  func aNaNInAValueReachesOnlyItsColumnFromThenOn(_ level: KernelLevel) {
    let (steps, heads, keys, values) = (6, 2, 9, 37)
    var input = DeltaInput(
      steps: steps, keyHeads: 1, heads: heads, keys: keys, values: values, isByKey: false, seed: 6)
    let column = values + 35  // of the second head
    input.v[2 * heads * values + column] = .nan
    var state = input.state
    let y = input.run(level, &state, 0..<steps)
    for place in y.indices {
      let isReached = place % (heads * values) == column && place / (heads * values) >= 2
      #expect(y[place].isNaN == isReached)
    }
    for place in state.indices {
      let isReached = place / (keys * values) == 1 && place % values == 35
      #expect(state[place].isNaN == isReached)
    }
  }

  @Test func withADecayForEachKeyItIsTheRecurrenceOfRWKV7() {
    let (steps, heads, size) = (7, 3, 32)
    let input = DeltaInput(
      steps: steps, keyHeads: heads, heads: heads, keys: size, values: size, isByKey: true, seed: 7)
    let rows = [steps, heads * size]
    func spread(_ x: [Float]) -> [Float] {
      (0..<steps * heads * size).map { x[$0 / size] }
    }
    let rate = spread(input.beta)
    // Of RWKV-7: S · diag(w) + (S a) ⊗ b + v ⊗ k, with S transposed.
    var transposed = [Float](repeating: 0, count: input.state.count)
    for h in 0..<heads {
      for i in 0..<size {
        for j in 0..<size {
          transposed[(h * size + j) * size + i] = input.state[(h * size + i) * size + j]
        }
      }
    }
    var other = Tensor(transposed, shape: [1, heads, size, size])
    let expected = Kernels.wkv7(
      r: Tensor(input.q.map { $0 * input.scale }, shape: rows),
      decay: Tensor(input.decay, shape: rows),
      k: Tensor(zip(input.k, rate).map { $0 * $1 }, shape: rows), v: Tensor(input.v, shape: rows),
      a: Tensor(zip(input.decay, input.k).map { $0 * $1 }, shape: rows),
      b: Tensor(zip(input.k, rate).map { -$0 * $1 }, shape: rows), state: &other)
    var state = Tensor(input.state, shape: [1, heads, size, size])
    let y = Kernels.gatedDelta(
      q: Tensor(input.q, shape: rows), k: Tensor(input.k, shape: rows),
      v: Tensor(input.v, shape: rows), decay: Tensor(input.decay, shape: rows),
      beta: Tensor(input.beta, shape: [steps, heads]), scale: input.scale, state: &state)
    #expect(
      excess(y.values, over: expected.values.map(Double.init), absolute: 1e-5, relative: 0) <= 1)
  }

  @Test(arguments: [1, 5])
  func tensorsOfABatchGiveWhatTheRecurrenceGives(steps: Int) {
    let (batch, keyHeads, heads, keys, values) = (3, 2, 4, 12, 20)
    let inputs = (0..<batch).map {
      DeltaInput(
        steps: steps, keyHeads: keyHeads, heads: heads, keys: keys, values: values, isByKey: false,
        seed: $0)
    }
    // q, k and v side by side, as the convolution gives them.
    let (kWidth, vWidth) = (keyHeads * keys, heads * values)
    var mixed: [Float] = []
    for input in inputs {
      for t in 0..<steps {
        mixed += input.q[t * kWidth..<(t + 1) * kWidth]
        mixed += input.k[t * kWidth..<(t + 1) * kWidth]
        mixed += input.v[t * vWidth..<(t + 1) * vWidth]
      }
    }
    let x = Tensor(mixed, shape: [batch * steps, 2 * kWidth + vWidth])
    var state = Tensor(inputs.flatMap(\.state), shape: [batch, heads, keys, values])
    let y = Kernels.gatedDelta(
      q: x.columns(0..<kWidth), k: x.columns(kWidth..<2 * kWidth),
      v: x.columns(2 * kWidth..<2 * kWidth + vWidth),
      decay: Tensor(inputs.flatMap(\.decay), shape: [batch * steps, heads]),
      beta: Tensor(inputs.flatMap(\.beta), shape: [batch * steps, heads]),
      scale: inputs[0].scale, state: &state, pool: WorkerPool(threads: 3))
    #expect(y.shape == [batch * steps, vWidth])
    for (sequence, input) in inputs.enumerated() {
      let expected = input.expected()
      let rows = y.rows(sequence * steps..<(sequence + 1) * steps)
      #expect(excess(rows.values, over: expected.y, absolute: 1e-5, relative: 2e-6) <= 1)
      let final = state.rows(sequence..<sequence + 1).values
      #expect(excess(final, over: expected.state, absolute: 4e-6, relative: 2e-6) <= 1)
    }
  }

  @Test func noStepsLeaveTheStateAsItIs() {
    let start = Tensor([1, 2, 3, 4, 5, 6], shape: [1, 1, 2, 3])
    var state = start
    let none = Tensor(zeros: [0, 1])
    let y = Kernels.gatedDelta(
      q: Tensor(zeros: [0, 2]), k: Tensor(zeros: [0, 2]), v: Tensor(zeros: [0, 3]), decay: none,
      beta: none, scale: 1, state: &state)
    #expect(y.shape == [0, 3])
    #expect(state == start)
  }
}
