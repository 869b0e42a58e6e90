import CSextantKernels
import Glibc
import SextantTensor
import SextantTestSupport
import Testing

/// The operands of a scan over T steps: b and c are side by side, as after the convolution.
private struct Input {
  let (steps, heads, groups, p, width): (Int, Int, Int, Int, Int)
  let x, delta, a, bc, d: [Float]  // [T, H·P], [T, H], [H], [T, 2·G·N], [H]

  init(steps: Int, heads: Int, groups: Int, p: Int, width: Int, _ random: inout SplitMix64) {
    (self.steps, self.heads, self.groups, self.p, self.width) = (steps, heads, groups, p, width)
    x = random.floats(steps * heads * p)
    delta = random.floats(steps * heads).map { abs($0) * 0.5 }
    a = random.floats(heads).map { -8 * abs($0) - 0.1 }
    bc = random.floats(steps * 2 * groups * width)
    d = random.floats(heads)
  }

  func expected(_ start: [Float]) -> (y: [Double], state: [Double]) {
    var h = start.map(Double.init)
    var y = x.map(Double.init)
    for t in 0..<steps {
      for head in 0..<heads {
        let step = Double(delta[t * heads + head])
        let decay = exp(step * Double(a[head]))
        let b = (2 * t * groups + head / (heads / groups)) * width
        let c = b + groups * width
        for channel in head * p..<(head + 1) * p {
          let input = Double(x[t * heads * p + channel])
          var sum = Double(d[head]) * input
          for n in 0..<width {
            let i = channel * width + n
            h[i] = decay * h[i] + step * input * Double(bc[b + n])
            sum += h[i] * Double(bc[c + n])
          }
          y[t * heads * p + channel] = sum
        }
      }
    }
    return (y, h)
  }

  /// Runs some of the steps on a level, head ranges one after the other.
  func run(_ level: KernelLevel, _ state: inout [Float], _ range: Range<Int>) -> [Float] {
    var y = [Float](repeating: .nan, count: range.count * heads * p)
    let decay = delta.enumerated().map { Glibc.exp($0.element * a[$0.offset % heads]) }
    let (first, row) = (range.lowerBound, 2 * groups * width)
    y.withUnsafeMutableBufferPointer { y in
      state.withUnsafeMutableBufferPointer { state in
        withPointers([x, delta, decay, bc, d]) { pointers in
          let (x, delta, decay, bc) = (pointers[0], pointers[1], pointers[2], pointers[3])
          var job = sxk_head_scan(
            h: state.baseAddress, decay: decay + first * heads, delta: delta + first * heads,
            x: x + first * heads * p, x_stride: heads * p, b: bc + first * row, b_stride: row,
            c: bc + first * row + groups * width, c_stride: row, d: pointers[4],
            y: y.baseAddress, y_stride: heads * p, t: range.count, heads: heads,
            heads_per_group: heads / groups, p: p, n: width)
          level.table.head_scan(&job, 0, heads / 2)
          level.table.head_scan(&job, heads / 2, heads)
        }
      }
    }
    return y
  }
}

/// Calls `body` with the addresses of copies of the arrays.
func withPointers(_ arrays: [[Float]], _ body: ([UnsafePointer<Float>]) -> Void) {
  let starts = arrays.indices.map { index in arrays[..<index].reduce(0) { $0 + $1.count } }
  (arrays.flatMap { $0 } + [0]).withUnsafeBufferPointer { buffer in
    guard let base = buffer.baseAddress else { return }
    body(starts.map { base + $0 })
  }
}

@Suite struct HeadScanTests {
  @Test(arguments: KernelLevel.available, [1, 3, 8, 15, 16, 17, 24, 40, 64])
  func everyLevelEqualsTheF64Recurrence(_ level: KernelLevel, width: Int) {
    var random = SplitMix64(seed: UInt64(width))
    for (heads, groups, p) in [(1, 1, 5), (4, 2, 16), (3, 1, 20), (6, 3, 33)] {
      for steps in [1, 3, 4, 13] {
        let input = Input(
          steps: steps, heads: heads, groups: groups, p: p, width: width, &random)
        var state = random.floats(heads * p * width)
        let expected = input.expected(state)
        let y = input.run(level, &state, 0..<steps)
        #expect(excess(y, over: expected.y, absolute: 4e-6, relative: 2e-6) <= 1)
        #expect(excess(state, over: expected.state, absolute: 2e-6, relative: 2e-6) <= 1)
      }
    }
  }

  @Test(arguments: KernelLevel.available)
  func theStateDoesNotDependOnHowTimeIsCut(_ level: KernelLevel) {
    var random = SplitMix64(seed: 3)
    let input = Input(steps: 13, heads: 4, groups: 2, p: 20, width: 24, &random)
    let start = random.floats(4 * 20 * 24)
    var whole = start
    let y = input.run(level, &whole, 0..<13)
    for cut in [1, 3, 4, 6] {
      var state = start
      var parts: [Float] = []
      for first in stride(from: 0, to: 13, by: cut) {
        parts += input.run(level, &state, first..<min(first + cut, 13))
      }
      #expect(state.map(\.bitPattern) == whole.map(\.bitPattern))
      #expect(excess(parts, over: y.map(Double.init), absolute: 2e-6, relative: 2e-6) <= 1)
    }
  }

  @Test func tensorsOfABatchGiveWhatTheRecurrenceGives() {
    var random = SplitMix64(seed: 4)
    let (batch, steps, heads, groups, p, width) = (3, 5, 4, 2, 10, 12)
    let inputs = (0..<batch).map { _ in
      Input(steps: steps, heads: heads, groups: groups, p: p, width: width, &random)
    }
    let start = random.floats(batch * heads * p * width)
    var state = Tensor(start, shape: [batch, heads, p, width])
    let bc = Tensor(inputs.flatMap(\.bc), shape: [batch * steps, 2 * groups * width])
    // a and d belong to the model, not to the sequence.
    let shared = inputs[0]
    let y = Kernels.headScan(
      Tensor(inputs.flatMap(\.x), shape: [batch * steps, heads * p]),
      delta: Tensor(inputs.flatMap(\.delta), shape: [batch * steps, heads]),
      a: Tensor(shared.a, shape: [heads]), b: bc.columns(0..<groups * width),
      c: bc.columns(groups * width..<2 * groups * width), d: Tensor(shared.d, shape: [heads]),
      state: &state, batch: batch)
    for sequence in 0..<batch {
      let size = heads * p * width
      let own = inputs[sequence].replacing(a: shared.a, d: shared.d)
      let expected = own.expected(Array(start[sequence * size..<(sequence + 1) * size]))
      let rows = y.rows(sequence * steps..<(sequence + 1) * steps)
      #expect(excess(rows.values, over: expected.y, absolute: 4e-6, relative: 2e-6) <= 1)
      let final = state.rows(sequence..<sequence + 1).values
      #expect(excess(final, over: expected.state, absolute: 2e-6, relative: 2e-6) <= 1)
    }
  }
}

extension Input {
  private init(_ other: Input, a: [Float], d: [Float]) {
    (steps, heads, groups, p, width) =
      (other.steps, other.heads, other.groups, other.p, other.width)
    (x, delta, bc) = (other.x, other.delta, other.bc)
    (self.a, self.d) = (a, d)
  }

  fileprivate func replacing(a: [Float], d: [Float]) -> Input { Input(self, a: a, d: d) }
}
