import SextantTensor

// Letters: B sequences, T tokens, D width of the stream, F inner width.

/// The inputs of a mixing of RWKV, with each token's predecessor.
struct RWKVShifted {
  private let present: Tensor  // [B·T, D]
  private let past: Tensor  // [B·T, D]

  /// - Parameter state: [B, D], the input before the first token; afterwards the last.
  init(_ x: Tensor, state: inout Tensor, batch: Int) {
    present = x
    past = Kernels.shiftInTime(x, state: &state, batch: batch)
  }

  /// share · present + (1 - share) · past: RWKV-4 and 5. `share` is [D]; the result [B·T, D].
  func mixed(presentShare share: Tensor) -> Tensor {
    Kernels.interpolate(from: past, to: present, by: share)
  }

  /// present + share · (past - present): RWKV-6 and 7. `share` is [D] or [B·T, D].
  func mixed(pastShare share: Tensor) -> Tensor {
    Kernels.interpolate(from: present, to: past, by: share)
  }

  /// The state that is the last input of a mixing.
  static func component(_ name: String, width: Int) -> StateComponent {
    StateComponent(name: name, shape: [width], axes: ["channel"])
  }
}

/// The channel mixing of RWKV-4, 5 and 6: a perceptron with squared ReLU behind a gate.
struct RWKVChannelMix: Mixer {
  private let keyShare: Tensor  // [D]
  private let receptanceShare: Tensor  // [D]
  private let sharesPast: Bool
  private let key: Tensor  // [F, D]
  private let receptance: Tensor  // [D, D]
  private let value: Tensor  // [D, F]
  let state: [StateComponent]

  /// - Parameters:
  ///   - shares: the prefix of the names of the two mixing vectors.
  ///   - sharesPast: whether they are shares of the past, or of the present.
  init(_ sizes: RWKV.Sizes, _ weights: WeightSource, shares: String, sharesPast: Bool) {
    let (d, f) = (sizes.width, sizes.innerWidth)
    keyShare = weights.vector("\(shares)_k", [d])
    receptanceShare = weights.vector("\(shares)_r", [d])
    self.sharesPast = sharesPast
    key = weights.matrix("key.weight", [f, d])
    receptance = weights.matrix("receptance.weight", [d, d])
    value = weights.matrix("value.weight", [d, f])
    state = [RWKVShifted.component("channel_shift", width: d)]
  }

  func callAsFunction(
    _ x: Tensor, of stream: inout BlockStream, _ state: inout PartState
  ) -> Tensor {
    let shifted = RWKVShifted(x, state: &state.tensors[0], batch: stream.batch)
    let mixed = { share in
      sharesPast ? shifted.mixed(pastShare: share) : shifted.mixed(presentShare: share)
    }
    var inner = Linear.apply(mixed(keyShare), weight: key)  // [B·T, F]
    Kernels.squaredReLU(&inner)
    var gate = Linear.apply(mixed(receptanceShare), weight: receptance)  // [B·T, D]
    Kernels.sigmoid(&gate)
    var mixedChannels = Linear.apply(inner, weight: value)  // [B·T, D]
    Kernels.multiply(&mixedChannels, by: gate)
    return mixedChannels
  }

  func retention(of component: String, _ x: Tensor, _ state: PartState) -> Retention? {
    .overwritten
  }
}

/// The channel mixing of RWKV-7, which has no gate.
struct RWKV7ChannelMix: Mixer {
  private let share: Tensor  // [D]
  private let key: Tensor  // [F, D]
  private let value: Tensor  // [D, F]
  let state: [StateComponent]

  init(_ sizes: RWKV.Sizes, _ weights: WeightSource) {
    let (d, f) = (sizes.width, sizes.innerWidth)
    share = weights.vector("x_k", [d])
    key = weights.matrix("key.weight", [f, d])
    value = weights.matrix("value.weight", [d, f])
    state = [RWKVShifted.component("channel_shift", width: d)]
  }

  func callAsFunction(
    _ x: Tensor, of stream: inout BlockStream, _ state: inout PartState
  ) -> Tensor {
    let shifted = RWKVShifted(x, state: &state.tensors[0], batch: stream.batch)
    var inner = Linear.apply(shifted.mixed(pastShare: share), weight: key)  // [B·T, F]
    Kernels.squaredReLU(&inner)
    return Linear.apply(inner, weight: value)  // [B·T, D]
  }

  func retention(of component: String, _ x: Tensor, _ state: PartState) -> Retention? {
    .overwritten
  }
}
