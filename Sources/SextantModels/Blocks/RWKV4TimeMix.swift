import SextantTensor

/// The time mixing of RWKV-4: section 3.1 of arXiv 2305.13048.
///
/// The sums over the past are kept divided by e^exponent, so that no key overflows them.
struct RWKV4TimeMix: Mixer {
  // The share of the current token in each input, [D] each.
  private let kShare, vShare, rShare: Tensor
  private let decay: Tensor  // [D], negative
  private let bonus: Tensor  // [D]
  private let receptance, key, value, output: Tensor  // [D, D]
  let state: [StateComponent]

  /// - Parameter width: D.
  init(width d: Int, _ weights: WeightSource) {
    kShare = weights.vector("time_mix_k", [d])
    vShare = weights.vector("time_mix_v", [d])
    rShare = weights.vector("time_mix_r", [d])
    decay = weights.vector("time_decay", [d], negativeExponential)
    bonus = weights.vector("time_first", [d])
    receptance = weights.matrix("receptance.weight", [d, d])
    key = weights.matrix("key.weight", [d, d])
    value = weights.matrix("value.weight", [d, d])
    output = weights.matrix("output.weight", [d, d])
    let component = { (name: String, initialValue: Float) in
      StateComponent(name: name, shape: [d], axes: ["channel"], initialValue: initialValue)
    }
    state = [
      RWKVShifted.component("time_shift", width: d), component("numerator", 0),
      component("denominator", 0), component("exponent", -1e30),
    ]
  }

  func callAsFunction(
    _ x: Tensor, of stream: inout BlockStream, _ state: inout PartState
  ) -> Tensor {
    let shifted = RWKVShifted(x, state: &state.tensors[0], batch: stream.batch)
    var r = Linear.apply(shifted.mixed(presentShare: rShare), weight: receptance)  // [B·T, D]
    Kernels.sigmoid(&r)
    let k = Linear.apply(shifted.mixed(presentShare: kShare), weight: key)  // [B·T, D]
    let v = Linear.apply(shifted.mixed(presentShare: vShare), weight: value)  // [B·T, D]
    var (numerator, denominator) = (state.tensors[1], state.tensors[2])  // [B, D]
    var exponent = state.tensors[3]  // [B, D]
    var average = Kernels.wkv4(  // [B·T, D]
      k: k, v: v, decay: decay, bonus: bonus, numerator: &numerator, denominator: &denominator,
      exponent: &exponent, batch: stream.batch)
    state.tensors.replaceSubrange(1..<4, with: [numerator, denominator, exponent])
    Kernels.multiply(&average, by: r)
    return Linear.apply(average, weight: output)  // [B·T, D]
  }

  func retention(of component: String, _ x: Tensor, _ state: PartState) -> Retention? {
    component == "time_shift" ? .overwritten : nil
  }
}
