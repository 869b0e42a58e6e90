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
          _ = Kernels.causalConvolutionSiLU(x, weight: weight, bias: bias, state: &past)
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
