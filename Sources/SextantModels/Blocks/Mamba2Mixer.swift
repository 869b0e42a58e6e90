import SextantTensor

// Letters: B sequences, T tokens, D width of the stream, E inner width, H P, H heads, P channels of
// a head, N states per channel, G groups of heads that share b and c, K kernel width of the
// convolution, C its channels, E + 2 G N: x, b and c.

/// The mixer of Mamba-2, a state space with heads: section 7.1 of arXiv 2405.21060, figure 6 on the
/// right.
struct Mamba2Mixer: Mixer {
  /// Its sizes and switches.
  struct Form {
    var width: Int  // D
    var heads: Int  // H
    var headWidth: Int  // P
    var groups: Int  // G
    var stateSize: Int  // N
    var kernelWidth: Int  // K
    var normEpsilon: Double
    /// The limits of the step size delta; no upper limit is nil.
    var smallestStep = 0.0
    var largestStep: Double?
    /// Whether the projections from and to the stream have biases.
    var hasLinearBias: Bool
    var hasConvolutionBias: Bool
    /// Whether the gated values are normed before the projection to the stream.
    var hasNorm = true
    /// The factors of what is projected from the stream; nil if it is used as it is.
    var multipliers: Multipliers? = nil

    var innerWidth: Int { heads * headWidth }  // E
    var convolutionWidth: Int { innerWidth + 2 * groups * stateSize }  // C
    var projectionWidth: Int { innerWidth + convolutionWidth + heads }  // E + C + H
  }

  /// Factors of the columns of the inward projection.
  struct Multipliers {
    /// Of the gate z, of x, b and c, and of the step size.
    var gate, x, b, c, step: Float
  }

  private let form: Form
  private let inward: Projection  // [E + C + H, D]: the gate z; x, b and c; the step size
  private let convolution: Tensor  // [C, K]
  private let convolutionBias: Tensor?  // [C]
  private let stepBias: Tensor  // [H]
  private let a: Tensor  // [H], negative
  private var d: Tensor  // [H]
  private let normWeight: Tensor?  // [E]
  private var outward: Projection  // [D, E]

  /// The mixer whose tensors have the names of the published code.
  init(_ form: Form, _ weights: WeightSource) {
    self.form = form
    inward = weights.projection(
      "in_proj", out: form.projectionWidth, in: form.width, hasBias: form.hasLinearBias)
    convolution = weights.vector("conv1d.weight", [form.convolutionWidth, form.kernelWidth])
    convolutionBias =
      form.hasConvolutionBias ? weights.vector("conv1d.bias", [form.convolutionWidth]) : nil
    stepBias = weights.vector("dt_bias", [form.heads])
    a = weights.vector("A_log", [form.heads], negativeExponential)
    d = weights.vector("D", [form.heads])
    normWeight = form.hasNorm ? weights.vector("norm.weight", [form.innerWidth]) : nil
    outward = weights.projection(
      "out_proj", out: form.width, in: form.innerWidth, hasBias: form.hasLinearBias)
  }

  var state: [StateComponent] {
    [
      // The last K - 1 inputs of the convolution, oldest first: channels of x, then of b and c.
      StateComponent(
        name: "conv", shape: [form.convolutionWidth, form.kernelWidth - 1],
        axes: ["channel", "tap"]),
      // The hidden state of the state space.
      StateComponent(
        name: "ssm", shape: [form.heads, form.headWidth, form.stateSize],
        axes: ["head", "channel", "state"]),
    ]
  }

  func callAsFunction(
    _ x: Tensor, of stream: inout BlockStream, _ state: inout PartState
  ) -> Tensor {
    let (e, c, gn) = (form.innerWidth, form.convolutionWidth, form.groups * form.stateSize)
    let projected = projected(x)  // [B·T, E + C + H]
    let xbc = Kernels.causalConvolution(  // [B·T, C]
      projected.columns(e..<e + c), weight: convolution, bias: convolutionBias,
      activation: .silu, state: &state.tensors[0], batch: stream.batch)
    var y = Kernels.headScan(  // [B·T, E]
      xbc.columns(0..<e), delta: delta(projected), a: a, b: xbc.columns(e..<e + gn),
      c: xbc.columns(e + gn..<e + 2 * gn), d: d, state: &state.tensors[1], batch: stream.batch)
    Kernels.multiply(&y, bySiLUOf: projected.columns(0..<e))
    return outward(norm(y))  // [B·T, D]
  }

  /// What is projected from the stream, [M, D] to [M, E + C + H].
  private func projected(_ x: Tensor) -> Tensor {
    var projected = inward(x)
    scale(&projected)
    return projected
  }

  /// The step sizes, [M, E + C + H] to [M, H].
  private func delta(_ projected: Tensor) -> Tensor {
    let step = projected.columns(form.innerWidth + form.convolutionWidth..<form.projectionWidth)
    var delta = Kernels.softplus(step, bias: stepBias)
    limit(&delta)
    return delta
  }

  /// Multiplies the columns of the inward projection, [M, E + C + H].
  private func scale(_ projected: inout Tensor) {
    guard let factors = form.multipliers else { return }
    let (e, gn) = (form.innerWidth, form.groups * form.stateSize)
    var first = 0
    for (width, factor) in [
      (e, factors.gate), (e, factors.x), (gn, factors.b), (gn, factors.c),
      (form.heads, factors.step),
    ] {
      if factor != 1 { Kernels.scale(&projected, columns: first..<first + width, by: factor) }
      first += width
    }
  }

  /// The norm over the channels of each group, [M, E] to [M, E], if there is one.
  private func norm(_ y: Tensor) -> Tensor {
    guard let normWeight else { return y }
    return Kernels.rmsNorm(
      y, weight: normWeight, epsilon: Float(form.normEpsilon), groups: form.groups)
  }

  /// Keeps step sizes within their limits, which few models have.
  private func limit(_ delta: inout Tensor) {
    let smallest = Float(form.smallestStep)
    let largest = form.largestStep.map { Float($0) } ?? .infinity
    guard smallest > 0 || largest < .infinity else { return }
    delta.withMutableFloats { delta in
      for index in delta.indices { delta[index] = min(max(delta[index], smallest), largest) }
    }
  }

  /// Without the skip paths (D, bias).
  var readingStateOnly: (any Mixer)? {
    var copy = self
    copy.d = Tensor(zeros: d.shape)
    copy.outward.bias = nil
    return copy
  }

  func output(ofRead values: Tensor) -> Tensor? {
    Linear.apply(norm(values), weight: outward.weight)  // [M, E] to [M, D]
  }

  /// h_t = exp(delta_t a) h_{t-1} + …, with one factor for each head.
  func retention(of component: String, _ x: Tensor, _ state: PartState) -> Retention? {
    guard component == "ssm" else { return .shifts(width: form.kernelWidth - 1) }
    var decays = delta(projected(x))  // [T, H]
    let (heads, size) = (form.heads, form.headWidth * form.stateSize)
    decays.withMutableFloats { decays in
      a.withFloats { a in
        for row in decays.indices { decays[row] *= a[row % heads] }  // a token and a head
      }
    }
    Kernels.exp(&decays)
    var factors = Tensor(zeros: [decays.rowCount, heads, form.headWidth, form.stateSize])
    factors.withMutableFloats { factors in
      decays.withFloats { decays in
        for row in decays.indices {
          factors[row * size..<(row + 1) * size].update(repeating: decays[row])
        }
      }
    }
    return .factors(factors)
  }
}
