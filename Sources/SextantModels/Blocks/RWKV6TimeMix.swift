import SextantTensor

// Letters: M rank of the data-dependent mixing, R rank of the data-dependent decay.

/// The time mixing of RWKV-6: section 4.2 of arXiv 2404.05892.
struct RWKV6TimeMix: Mixer {
  /// The order of the inputs in the low-rank matrices: decay, key, value, receptance, gate.
  static let letters = ["w", "k", "v", "r", "g"]

  /// The share of the previous token in the input of the other shares.
  private let commonShare: Tensor  // [D]
  /// One per input, in the order of `letters`.
  private let shares: [Tensor]  // [D]
  private let mixDown: Tensor  // [5M, D]
  private let mixUp: [Tensor]  // [D, M]
  private let decayBase: Tensor  // [D]
  private let decayDown: Tensor  // [R, D]
  private let decayUp: Tensor  // [D, R]
  private var attention: RWKVGatedAttention
  private let heads: RWKV.Heads

  /// - Parameters:
  ///   - mixRank: M.
  ///   - decayRank: R.
  init(_ heads: RWKV.Heads, _ weights: WeightSource, mixRank m: Int, decayRank r: Int) {
    self.heads = heads
    let d = heads.count * heads.size
    commonShare = weights.vector("time_maa_x", [d])
    shares = Self.letters.map { weights.vector("time_maa_\($0)", [d]) }
    mixDown = weights.matrix("time_maa_w1", [Self.letters.count * m, d])
    mixUp = weights.matrices("time_maa_w2", count: Self.letters.count, [d, m])
    decayBase = weights.vector("time_decay", [d])
    decayDown = weights.matrix("time_decay_w1", [r, d])
    decayUp = weights.matrix("time_decay_w2", [d, r])
    attention = RWKVGatedAttention(heads, weights)
  }

  var state: [StateComponent] { RWKVGatedAttention.state(heads) }

  func callAsFunction(
    _ x: Tensor, of stream: inout BlockStream, _ state: inout PartState
  ) -> Tensor {
    let shifted = RWKVShifted(x, state: &state.tensors[0], batch: stream.batch)
    var low = Linear.apply(shifted.mixed(pastShare: commonShare), weight: mixDown)  // [B·T, 5M]
    Kernels.tanh(&low)
    let rank = low.columnCount / Self.letters.count
    let mixed = Self.letters.indices.map { input in
      let share = Linear.apply(  // [B·T, D]
        low.columns(input * rank..<(input + 1) * rank), weight: mixUp[input], bias: shares[input])
      return shifted.mixed(pastShare: share)  // [B·T, D]
    }
    let (w, k, v, r, g) = (mixed[0], mixed[1], mixed[2], mixed[3], mixed[4])
    return attention((r: r, k: k, v: v, g: g), decay: decay(w), state: &state.tensors[1])
  }

  /// exp(-exp(base + up · tanh(down · x))): [B·T, D], from 0 to 1.
  private func decay(_ x: Tensor) -> Tensor {
    var low = Linear.apply(x, weight: decayDown)  // [B·T, R]
    Kernels.tanh(&low)
    var decay = negativeExponential(Linear.apply(low, weight: decayUp, bias: decayBase))
    Kernels.exp(&decay)  // [B·T, D]
    return decay
  }

  /// Without the bonus.
  var readingStateOnly: (any Mixer)? {
    var copy = self
    copy.attention = attention.readingStateOnly
    return copy
  }

  func output(ofRead values: Tensor) -> Tensor? { attention.output(ofRead: values) }

  /// The decay of `wkv` depends on the token.
  func retention(of component: String, _ x: Tensor, _ state: PartState) -> Retention? {
    component == "time_shift" ? .overwritten : nil
  }
}
