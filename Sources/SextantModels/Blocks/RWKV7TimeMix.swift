import SextantTensor

// Letters: B sequences, T tokens, D width of the stream, H heads, N size of a head, D = H · N,
// R ranks of the low-rank products. The rate is how much of what stood under a key is replaced
// ("a"), and the removal is the direction in which it is removed, of length 1 per head ("kk").

/// The time mixing of RWKV-7: section 4.1 of arXiv 2503.14456.
struct RWKV7TimeMix: Mixer {
  /// base + up · (down · x): each token chooses a value for each channel.
  private struct LowRank: Sendable {
    private let base: Tensor?  // [D]
    private let down: Tensor  // [R, D]
    private let up: Tensor  // [D, R]

    /// The tensors `<letter>0` (the base), `<letter>1` and `<letter>2`.
    init(_ weights: WeightSource, _ letter: String, width d: Int, rank r: Int, hasBase: Bool = true)
    {
      base = hasBase ? weights.vector("\(letter)0", [d]) : nil
      down = weights.matrix("\(letter)1", [r, d])
      up = weights.matrix("\(letter)2", [d, r])
    }

    /// [B·T, D] to [B·T, D]; `activation` acts on the product with `down`, [B·T, R].
    func callAsFunction(_ x: Tensor, _ activation: (inout Tensor) -> Void = { _ in }) -> Tensor {
      var low = Linear.apply(x, weight: down)  // [B·T, R]
      activation(&low)
      return Linear.apply(low, weight: up, bias: base)  // [B·T, D]
    }
  }

  // The share of the previous token in each input, [D] each.
  private let rShare, wShare, kShare, vShare, aShare, gShare: Tensor
  private let decay, rate, gate: LowRank
  private let firstValueShare: LowRank?  // nil in block 0, whose values the others mix in
  private let removalScale: Tensor  // [D]
  private let rateShare: Tensor  // [D]
  private var bonus: Tensor  // [H, N]
  private let receptance, key, value, output: Tensor  // [D, D]
  private let normWeight, normBias: Tensor  // [D]
  private let heads: RWKV.Heads

  /// - Parameter isFirst: whether it is that of block 0.
  init(_ c: RWKV7.Configuration, _ weights: WeightSource, isFirst: Bool) {
    heads = c.heads
    let d = c.sizes.width
    rShare = weights.vector("x_r", [d])
    wShare = weights.vector("x_w", [d])
    kShare = weights.vector("x_k", [d])
    vShare = weights.vector("x_v", [d])
    aShare = weights.vector("x_a", [d])
    gShare = weights.vector("x_g", [d])
    decay = LowRank(weights, "w", width: d, rank: c.decayRank)
    rate = LowRank(weights, "a", width: d, rank: c.rateRank)
    gate = LowRank(weights, "g", width: d, rank: c.gateRank, hasBase: false)
    firstValueShare = isFirst ? nil : LowRank(weights, "v", width: d, rank: c.valueRank)
    removalScale = weights.vector("k_k", [d])
    rateShare = weights.vector("k_a", [d])
    bonus = weights.vector("r_k", [heads.count, heads.size])
    receptance = weights.matrix("receptance.weight", [d, d])
    key = weights.matrix("key.weight", [d, d])
    value = weights.matrix("value.weight", [d, d])
    output = weights.matrix("output.weight", [d, d])
    normWeight = weights.vector("ln_x.weight", [d])
    normBias = weights.vector("ln_x.bias", [d])
  }

  var state: [StateComponent] {
    [
      RWKVShifted.component("time_shift", width: heads.count * heads.size),
      StateComponent(
        name: "wkv", shape: [heads.count, heads.size, heads.size], axes: ["head", "value", "key"]),
    ]
  }

  func callAsFunction(
    _ x: Tensor, of stream: inout BlockStream, _ state: inout PartState
  ) -> Tensor {
    let shifted = RWKVShifted(x, state: &state.tensors[0], batch: stream.batch)
    let r = Linear.apply(shifted.mixed(pastShare: rShare), weight: receptance)  // [B·T, D]
    var k = Linear.apply(shifted.mixed(pastShare: kShare), weight: key)  // [B·T, D]
    let v = mixedValue(shifted.mixed(pastShare: vShare), &stream)  // [B·T, D]
    var rates = rate(shifted.mixed(pastShare: aShare))  // [B·T, D]
    Kernels.sigmoid(&rates)
    // e^(-e^(-1/2) · sigmoid(…)): between 0.545 and 1.
    var decays = decay(shifted.mixed(pastShare: wShare)) { Kernels.tanh(&$0) }  // [B·T, D]
    Kernels.sigmoid(&decays)
    Kernels.scale(&decays, by: -0.606_530_66)
    Kernels.exp(&decays)
    let gates = gate(shifted.mixed(pastShare: gShare)) { Kernels.sigmoid(&$0) }  // [B·T, D]

    var removal = k  // [B·T, D]
    Kernels.multiply(&removal, by: removalScale)
    Kernels.normalize(&removal, heads: heads.count)
    var replacement = removal  // [B·T, D]
    Kernels.multiply(&replacement, by: rates)
    Kernels.scale(&removal, by: -1)
    Kernels.multiply(&rates, by: k)
    k = Kernels.interpolate(from: k, to: rates, by: rateShare)  // k · (1 + (rate - 1) · k_a)

    let read = Kernels.wkv7(  // [B·T, D]
      r: r, decay: decays, k: k, v: v, a: removal, b: replacement, state: &state.tensors[1])
    var mixed = norm(read, bias: normBias)  // [B·T, D]
    var match = k  // [B·T, D]
    Kernels.multiply(&match, by: r)
    Kernels.add(v, scaledByHeadsOf: match, weight: bonus, heads: heads.count, to: &mixed)
    Kernels.multiply(&mixed, by: gates)
    return Linear.apply(mixed, weight: output)  // [B·T, D]
  }

  /// This block's values, and after block 0 a share of the values there.
  private func mixedValue(_ x: Tensor, _ stream: inout BlockStream) -> Tensor {
    let own = Linear.apply(x, weight: value)  // [B·T, D]
    guard let firstValueShare, let first = stream.firstValue else {
      stream.firstValue = own
      return own
    }
    var share = firstValueShare(x)  // [B·T, D]
    Kernels.sigmoid(&share)
    return Kernels.interpolate(from: own, to: first, by: share)
  }

  /// The norm of each head, [M, D] to [M, D].
  private func norm(_ values: Tensor, bias: Tensor) -> Tensor {
    Kernels.groupNorm(
      values, heads: heads.count, weight: normWeight, bias: bias,
      epsilon: Float(heads.normEpsilon))
  }

  /// Without the bonus.
  var readingStateOnly: (any Mixer)? {
    var copy = self
    copy.bonus = Tensor(zeros: bonus.shape)
    return copy
  }

  func output(ofRead values: Tensor) -> Tensor? {
    Linear.apply(norm(values, bias: Tensor(zeros: normBias.shape)), weight: output)  // [M, D]
  }

  /// The decay of `wkv` depends on the token.
  func retention(of component: String, _ x: Tensor, _ state: PartState) -> Retention? {
    component == "time_shift" ? .overwritten : nil
  }
}
