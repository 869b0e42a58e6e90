import Glibc
import SextantTensor

extension KernelContest {
  /// Mamba's scan and convolution, of the smallest published model.
  static func recurrences() -> [KernelContest] {
    let (channels, states, taps) = (1536, 16, 4)
    let a = Tensor(
      (0..<channels * states).map { -Float($0 % states + 1) }, shape: [channels, states])
    let d = Tensor.random([channels])
    return [1, 512].flatMap { steps in
      let (x, z) = (Tensor.random([steps, channels]), Tensor.random([steps, channels], seed: 2))
      let delta = Kernels.softplus(Tensor.random([steps, channels], seed: 3))
      let b = Tensor.random([steps, states], seed: 4)
      let c = Tensor.random([steps, states], seed: 5)
      var hidden = Tensor(zeros: [1, channels, states])
      let (weight, bias) = (Tensor.random([channels, taps], seed: 6), Tensor.random([channels]))
      var past = Tensor(zeros: [1, channels, taps - 1])
      let megasteps = Double(steps * channels * states) / 1e9
      return [
        KernelContest(
          name: "selective scan [\(steps), \(channels), \(states)]", unit: "Gstate/s",
          work: megasteps
        ) {
          _ = Kernels.selectiveScan(
            x, delta: delta, a: a, b: b, c: c, d: d, gate: z, state: &hidden)
        },
        KernelContest(
          name: "convolution [\(steps), \(channels), \(taps)]", unit: "Gtap/s",
          work: Double(steps * channels * taps) / 1e9
        ) {
          _ = Kernels.causalConvolution(
            x, weight: weight, bias: bias, activation: .silu, state: &past)
        },
      ]
    }
  }

  /// The gated delta rule of Qwen3.5-0.8B, and RWKV-7's recurrence on a state of that size.
  static func deltaRules() -> [KernelContest] {
    let (heads, size) = (16, 128)
    let columns = heads * size
    return [1, 512].flatMap { steps in
      let x = (0..<4).map { Tensor.random([steps, columns], seed: UInt64($0)) }
      // Keys of length 1 keep the state bounded.
      var k = x[1]
      Kernels.normalize(&k, heads: heads)
      let key = k
      let beta = Tensor([Float](repeating: 0.5, count: steps * heads), shape: [steps, heads])
      let decay = Tensor([Float](repeating: 0.9, count: steps * heads), shape: [steps, heads])
      let decays = Tensor([Float](repeating: 0.9, count: steps * columns), shape: [steps, columns])
      let (a, b) = (Tensor(zeros: [steps, columns]), Tensor(zeros: [steps, columns]))
      var state = Tensor(zeros: [1, heads, size, size])
      var other = state
      let work = Double(steps * columns * size) / 1e9
      return [
        KernelContest(
          name: "gated delta rule [\(steps), \(heads), \(size), \(size)]", unit: "Gstate/s",
          work: work
        ) {
          _ = Kernels.gatedDelta(
            q: x[0], k: key, v: x[2], decay: decay, beta: beta, scale: 0.1, state: &state)
        },
        KernelContest(
          name: "RWKV-7 recurrence [\(steps), \(heads), \(size), \(size)]", unit: "Gstate/s",
          work: work
        ) {
          _ = Kernels.wkv7(r: x[0], decay: decays, k: key, v: x[2], a: a, b: b, state: &other)
        },
      ]
    }
  }

  /// Functions of arrays that fit the second-level cache, on one thread.
  static func functions() -> [KernelContest] {
    let count = 65_536
    let pool = WorkerPool(threads: 1)
    let values = Tensor.random([count])
    var y = values
    var contest = KernelContest(name: "exp", unit: "G/s", work: Double(count) / 1e9) {
      // Results become arguments. They are scaled, so that exp stays positive and finite.
      Kernels.exp(&y, pool: pool)
      Kernels.scale(&y, by: 0.3, pool: pool)
    }
    var z = values
    contest.peers = [
      (
        "libm",
        {
          z.withMutableFloats { z in for i in 0..<count { z[i] = 0.3 * expf(z[i]) } }
        }
      )
    ]
    var s = values
    return [
      contest,
      KernelContest(name: "silu", unit: "G/s", work: Double(count) / 1e9) {
        Kernels.silu(&s, pool: pool)
      },
      KernelContest(name: "softplus", unit: "G/s", work: Double(count) / 1e9) {
        _ = Kernels.softplus(values.reshaped([64, 1024]), pool: pool)
      },
    ]
  }
}
