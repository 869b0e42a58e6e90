import SextantTensor

// Letters: B sequences, T tokens, D width of the stream, H heads, N size of a head, D = H · N.

/// The common part of the time mixings of RWKV-5 and 6 after inputs are mixed and decays chosen:
/// the recurrence over a matrix per head, a norm of each head, and a gate.
struct RWKVGatedAttention: Sendable {
  private let receptance, key, value, output: Tensor  // [D, D]
  private let gate: Tensor?  // [D, D]
  private var bonus: Tensor  // [H, N]
  private let normWeight, normBias: Tensor  // [D]
  private let heads: RWKV.Heads

  /// - Parameters:
  ///   - hasGate: whether the read value passes a gate.
  ///   - bonus: what it asks for the bonus, [H, N].
  init(
    _ heads: RWKV.Heads, _ weights: WeightSource, hasGate: Bool = true,
    bonus: (WeightSource, RWKV.Heads) -> Tensor = { weights, heads in
      weights.vector("time_faaaa", [heads.count, heads.size])
    }
  ) {
    let d = heads.count * heads.size
    receptance = weights.matrix("receptance.weight", [d, d])
    key = weights.matrix("key.weight", [d, d])
    value = weights.matrix("value.weight", [d, d])
    gate = hasGate ? weights.matrix("gate.weight", [d, d]) : nil
    output = weights.matrix("output.weight", [d, d])
    self.bonus = bonus(weights, heads)
    normWeight = weights.vector("ln_x.weight", [d])
    normBias = weights.vector("ln_x.bias", [d])
    self.heads = heads
  }

  /// Without the bonus, by which a token reads its own value directly and not from the state.
  var readingStateOnly: RWKVGatedAttention {
    var copy = self
    copy.bonus = Tensor(zeros: bonus.shape)
    return copy
  }

  /// Values read from the state, [M, D], after the norm of heads, without bias and gate.
  func output(ofRead values: Tensor) -> Tensor {
    let normed = Kernels.groupNorm(  // [M, D]
      values, heads: heads.count, weight: normWeight, bias: Tensor(zeros: normBias.shape),
      epsilon: Float(heads.normEpsilon))
    return Linear.apply(normed, weight: output)  // [M, D]
  }

  /// The state of a time mixing: its last input, and the stored values by key.
  static func state(_ heads: RWKV.Heads) -> [StateComponent] {
    [
      RWKVShifted.component("time_shift", width: heads.count * heads.size),
      StateComponent(
        name: "wkv", shape: [heads.count, heads.size, heads.size], axes: ["head", "key", "value"]),
    ]
  }

  /// - Parameters:
  ///   - mixed: the inputs [B·T, D] of r, k, v and the gate.
  ///   - decay: [B·T, D], or [D] for every step.
  ///   - state: [B, H, N, N].
  /// - Returns: [B·T, D].
  func callAsFunction(
    _ mixed: (r: Tensor, k: Tensor, v: Tensor, g: Tensor?), decay: Tensor, state: inout Tensor
  ) -> Tensor {
    let r = Linear.apply(mixed.r, weight: receptance)  // [B·T, D]
    let k = Linear.apply(mixed.k, weight: key)  // [B·T, D]
    let v = Linear.apply(mixed.v, weight: value)  // [B·T, D]
    let read = Kernels.wkv6(r: r, k: k, v: v, decay: decay, bonus: bonus, state: &state)
    var normed = Kernels.groupNorm(  // [B·T, D]
      read, heads: heads.count, weight: normWeight, bias: normBias,
      epsilon: Float(heads.normEpsilon))
    if let gate, let g = mixed.g {
      Kernels.multiply(&normed, bySiLUOf: Linear.apply(g, weight: gate))
    }
    return Linear.apply(normed, weight: output)  // [B·T, D]
  }
}
