import SextantTensor

// Letters: B sequences, T tokens, D width of the stream, E inner width ("d_inner"), N states per
// channel ("d_state"), R rank of the step size ("dt_rank"), K kernel width of the convolution.

/// The mixer of Mamba-1, a selective state space: section 3.4 of arXiv 2312.00752, figure 3.
struct Mamba1Mixer: Mixer {
  /// Its sizes and switches.
  struct Form: Sendable, Equatable {
    var width = 0  // D
    var innerWidth = 0  // E
    var stateSize = 0  // N
    var rank = 0  // R
    var kernelWidth = 0  // K
    /// Whether the projections from and to the stream have biases.
    var hasLinearBias = false
    var hasConvolutionBias = false
    /// The norms of delta's low rank, b and c; nil for none.
    var selectionNorms: SelectionNorms?
  }

  /// Norms of delta's low rank, b and c, each by itself.
  struct SelectionNorms: Sendable, Equatable {
    var epsilon: Double
    /// Whether they have weights: those of Jamba have, those of FalconMamba do not.
    var haveWeights = false
  }

  private let form: Form
  private let inward: Projection  // [2E, D]: x, then the gate z
  private let convolution: Tensor  // [E, K]
  private let convolutionBias: Tensor?  // [E]
  private let selection: Tensor  // [R + 2N, E]: delta's low rank, b, c
  /// The weights of the norms of delta's low rank, b and c, [R], [N] and [N]; none if they have no
  /// weights.
  private let selectionWeights: [Tensor]
  private let deltaProjection: Tensor  // [E, R]
  private let deltaBias: Tensor  // [E]
  private let a: Tensor  // [E, N], negative
  private var d: Tensor  // [E]
  private var outward: Projection  // [D, E]

  /// The mixer whose tensors have the names of the published code.
  init(_ form: Form, _ weights: WeightSource) {
    self.form = form
    let (e, n, r) = (form.innerWidth, form.stateSize, form.rank)
    inward = weights.projection(
      "in_proj", out: 2 * e, in: form.width, hasBias: form.hasLinearBias)
    convolution = weights.vector("conv1d.weight", [e, form.kernelWidth])
    convolutionBias = form.hasConvolutionBias ? weights.vector("conv1d.bias", [e]) : nil
    selection = weights.matrix("x_proj.weight", [r + 2 * n, e])
    selectionWeights =
      form.selectionNorms?.haveWeights == true
      ? [("dt", r), ("b", n), ("c", n)].map { weights.vector("\($0)_layernorm.weight", [$1]) } : []
    deltaProjection = weights.matrix("dt_proj.weight", [e, r])
    deltaBias = weights.vector("dt_proj.bias", [e])
    a = weights.vector("A_log", [e, n], negativeExponential)
    d = weights.vector("D", [e])
    outward = weights.projection("out_proj", out: form.width, in: e, hasBias: form.hasLinearBias)
  }

  var state: [StateComponent] {
    [
      // The last K - 1 inputs of the convolution, oldest first.
      StateComponent(
        name: "conv", shape: [form.innerWidth, form.kernelWidth - 1], axes: ["channel", "tap"]),
      // The hidden state of the state space.
      StateComponent(
        name: "ssm", shape: [form.innerWidth, form.stateSize], axes: ["channel", "state"]),
    ]
  }

  func callAsFunction(
    _ x: Tensor, of stream: inout BlockStream, _ state: inout PartState
  ) -> Tensor {
    let (e, n, r) = (form.innerWidth, form.stateSize, form.rank)
    let (xz, x, selected, delta) = inputs(x, &state.tensors[0], batch: stream.batch)
    let gated = Kernels.selectiveScan(  // [B·T, E]
      x, delta: delta, a: a, b: selected.columns(r..<r + n),
      c: selected.columns(r + n..<r + 2 * n), d: d, gate: xz.columns(e..<2 * e),
      state: &state.tensors[1], batch: stream.batch)
    return outward(gated)  // [B·T, D]
  }

  /// The inputs of the selective scan: figure 3 on the left.
  ///
  /// - Returns: x and gate z [B·T, 2E] before the convolution, x [B·T, E] after it, the selected
  ///   low rank of delta, b and c [B·T, R + 2N], and delta [B·T, E].
  private func inputs(
    _ normed: Tensor, _ convolved: inout Tensor, batch: Int
  ) -> (xz: Tensor, x: Tensor, selected: Tensor, delta: Tensor) {
    let xz = inward(normed)  // [B·T, 2E]
    let x = Kernels.causalConvolution(  // [B·T, E]
      xz.columns(0..<form.innerWidth), weight: convolution, bias: convolutionBias,
      activation: .silu, state: &convolved, batch: batch)
    var selected = Linear.apply(x, weight: selection)  // [B·T, R + 2N]
    if let norms = form.selectionNorms { normSelection(&selected, Float(norms.epsilon)) }
    let step = Linear.apply(  // [B·T, E]
      selected.columns(0..<form.rank), weight: deltaProjection)
    return (xz, x, selected, Kernels.softplus(step, bias: deltaBias))
  }

  /// Norms delta's low rank, b and c, each by itself, in `selected`, [B·T, R + 2N].
  private func normSelection(_ selected: inout Tensor, _ epsilon: Float) {
    let (n, r) = (form.stateSize, form.rank)
    for (index, (first, width)) in [(0, r), (r, n), (r + n, n)].enumerated() {
      Kernels.rmsNorm(
        &selected, HeadColumns(first: first, count: 1, width: width),
        weight: selectionWeights.isEmpty ? nil : selectionWeights[index], epsilon: epsilon)
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
    Linear.apply(values, weight: outward.weight)  // [M, E] to [M, D]
  }

  /// h_t = exp(delta_t A) h_{t-1} + …: an earlier addition to h is multiplied by exp(delta_t A).
  func retention(of component: String, _ x: Tensor, _ state: PartState) -> Retention? {
    guard component == "ssm" else { return .shifts(width: form.kernelWidth - 1) }
    var convolved = state.tensors[0]
    let delta = inputs(x, &convolved, batch: 1).delta  // [T, E]
    let (e, n) = (form.innerWidth, form.stateSize)
    var factors = Tensor(zeros: [delta.rowCount, e, n])  // [T, E, N]
    factors.withMutableFloats { factors in
      delta.withFloats { delta in
        a.withFloats { a in
          for row in delta.indices {
            for state in 0..<n { factors[row * n + state] = delta[row] * a[row % e * n + state] }
          }
        }
      }
    }
    Kernels.exp(&factors)
    return .factors(factors)
  }
}
