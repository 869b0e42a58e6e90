import SextantTensor

// Letters: B sequences, T tokens, D width of the stream, K kernel width of the convolution.

/// The gated short convolution of LFM2: a causal depthwise convolution between two gates, which the
/// token chooses.
struct ShortConvolution: Mixer {
  /// Its sizes and switches.
  struct Form {
    var width: Int  // D
    var kernelWidth: Int  // K
    /// Whether the projections and the convolution have biases.
    var hasBias: Bool
  }

  private let form: Form
  private let inward: Projection  // [3D, D]: the gate of inputs, the gate of outputs, the inputs
  private var taps: Tensor  // [D, K], the tap of the newest input last
  /// The taps with 0 in the place of the newest.
  private let pastTaps: Tensor  // [D, K]
  private var bias: Tensor?  // [D]
  private var outward: Projection  // [D, D]

  /// The mixer whose tensors have the names of the published code.
  init(_ form: Form, _ weights: WeightSource) {
    self.form = form
    let d = form.width
    inward = weights.projection("in_proj", out: 3 * d, in: d, hasBias: form.hasBias)
    var past = Tensor(zeros: [0])
    taps = weights.vector("conv.weight", [d, form.kernelWidth]) { taps in
      past = Self.withoutNewest(taps)
      return taps
    }
    pastTaps = past
    bias = form.hasBias ? weights.vector("conv.bias", [d]) : nil
    outward = weights.projection("out_proj", out: d, in: d, hasBias: form.hasBias)
  }

  /// The taps, [D, K], with 0 in the place of the newest.
  private static func withoutNewest(_ taps: Tensor) -> Tensor {
    var past = taps
    let width = taps.columnCount
    past.withMutableFloats { past in
      for newest in stride(from: width - 1, to: past.count, by: width) { past[newest] = 0 }
    }
    return past
  }

  var state: [StateComponent] {
    // The last K - 1 inputs of the convolution, after their gate, oldest first.
    [
      StateComponent(
        name: "conv", shape: [form.width, form.kernelWidth - 1], axes: ["channel", "tap"])
    ]
  }

  func callAsFunction(
    _ x: Tensor, of stream: inout BlockStream, _ state: inout PartState
  ) -> Tensor {
    let d = form.width
    let projected = inward(x)  // [B·T, 3D]
    var inputs = Tensor(copying: projected.columns(2 * d..<3 * d))  // [B·T, D]
    Kernels.multiply(&inputs, by: projected.columns(0..<d))
    var y = Kernels.causalConvolution(  // [B·T, D]
      inputs, weight: taps, bias: bias, activation: .identity, state: &state.tensors[0],
      batch: stream.batch)
    Kernels.multiply(&y, by: projected.columns(d..<2 * d))
    return outward(y)  // [B·T, D]
  }

  /// Without the tap of the token's own input, and without biases.
  var readingStateOnly: (any Mixer)? {
    var copy = self
    copy.taps = pastTaps
    copy.bias = nil
    copy.outward.bias = nil
    return copy
  }

  func retention(of component: String, _ x: Tensor, _ state: PartState) -> Retention? {
    .shifts(width: form.kernelWidth - 1)
  }
}
