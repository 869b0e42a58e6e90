import SextantTensor

/// The time mixing of RWKV-5: section 4.1 of arXiv 2404.05892.
struct RWKV5TimeMix: Mixer {
  // The share of the current token in each input, [D] each.
  private let rShare, kShare, vShare: Tensor
  private let gShare: Tensor?
  private let decay: Tensor  // [D], from 0 to 1
  private var attention: RWKVGatedAttention
  private let heads: RWKV.Heads

  /// - Parameters:
  ///   - hasGate: whether the read value passes a gate.
  ///   - isPerChannel: whether decay and bonus differ between the channels of a head; if not, the
  ///     bonus is stored as its logarithm.
  init(_ heads: RWKV.Heads, _ weights: WeightSource, hasGate: Bool, isPerChannel: Bool) {
    self.heads = heads
    let (h, n) = (heads.count, heads.size)
    rShare = weights.vector("time_mix_r", [h * n])
    kShare = weights.vector("time_mix_k", [h * n])
    vShare = weights.vector("time_mix_v", [h * n])
    gShare = hasGate ? weights.vector("time_mix_g", [h * n]) : nil
    decay = weights.vector("time_decay", isPerChannel ? [h, n] : [h]) { stored in
      var decay = negativeExponential(isPerChannel ? stored : Self.spread(stored, heads))
      Kernels.exp(&decay)
      return decay.reshaped([decay.count])  // exp(-exp(time_decay))
    }
    guard !isPerChannel else {
      attention = RWKVGatedAttention(heads, weights, hasGate: hasGate)
      return
    }
    attention = RWKVGatedAttention(heads, weights, hasGate: hasGate) { weights, heads in
      weights.vector("time_first", [heads.count]) { stored in
        var perHead = stored  // [H]
        Kernels.exp(&perHead)
        return Self.spread(perHead, heads)  // [H, N]
      }
    }
  }

  /// The number of each head [H] for each of its channels: [H, N].
  private static func spread(_ perHead: Tensor, _ heads: RWKV.Heads) -> Tensor {
    let values = perHead.withFloats { Array($0) }
    return Tensor(
      values.flatMap { Array(repeating: $0, count: heads.size) }, shape: [heads.count, heads.size])
  }

  var state: [StateComponent] { RWKVGatedAttention.state(heads) }

  func callAsFunction(
    _ x: Tensor, of stream: inout BlockStream, _ state: inout PartState
  ) -> Tensor {
    let shifted = RWKVShifted(x, state: &state.tensors[0], batch: stream.batch)
    let mixed = (
      r: shifted.mixed(presentShare: rShare), k: shifted.mixed(presentShare: kShare),
      v: shifted.mixed(presentShare: vShare), g: gShare.map { shifted.mixed(presentShare: $0) }
    )  // [B·T, D] each
    return attention(mixed, decay: decay, state: &state.tensors[1])
  }

  /// Without the bonus.
  var readingStateOnly: (any Mixer)? {
    var copy = self
    copy.attention = attention.readingStateOnly
    return copy
  }

  func output(ofRead values: Tensor) -> Tensor? { attention.output(ofRead: values) }

  /// The decay of a key is the same for every token.
  func retention(of component: String, _ x: Tensor, _ state: PartState) -> Retention? {
    guard component == "wkv" else { return .overwritten }
    let rows = decay.values.flatMap { Array(repeating: $0, count: heads.size) }  // [H · N · N]
    let length = x.rowCount
    return .factors(
      Tensor(
        (0..<length).flatMap { _ in rows }, shape: [length, heads.count, heads.size, heads.size]))
  }
}
