import SextantBytes
import SextantTensor

// Letters: B sequences, T tokens, D width of the stream, G heads of queries and keys, H heads of
// values, K channels of a key, V channels of a value, C channels of the convolution, 2 G K + H V: of
// queries, keys and values, and N the taps of the convolution.

/// The mixer of Gated DeltaNet (arXiv 2412.06464): each head keeps a matrix of keys by values, which
/// fades, and in which a token replaces the value of its key.
///
/// A token reads the matrix after its own write. So all that the mixer adds comes from the state.
struct GatedDelta: Mixer {
  /// Its sizes and switches.
  struct Form: Sendable, Equatable {
    var width = 0  // D
    var keyHeads = 0  // G
    var valueHeads = 0  // H, a multiple of G
    var keyWidth = 0  // K
    var valueWidth = 0  // V
    var kernelWidth = 0  // N
    var normEpsilon = 0.0
    /// The largest rate at which a value is replaced: 2 lets a token turn a value round.
    var largestRate: Float = 1

    var queries: Int { keyHeads * keyWidth }  // G K
    var values: Int { valueHeads * valueWidth }  // H V
    var convolutionWidth: Int { 2 * queries + values }  // C

    /// Refuses numbers that do not fit together.
    ///
    /// - Parameters:
    ///   - node: their place, for the refusal.
    ///   - sizes: the widths that are supported.
    func check(_ node: JSONNode, sizes: ClosedRange<Int>) throws(Refusal) {
      guard valueHeads % keyHeads == 0 else {
        throw node.refusal(
          found: "\(counted(valueHeads, "value head")) for \(counted(keyHeads, "key head"))",
          expected: "equally many for each")
      }
      guard sizes.contains(convolutionWidth) else {
        throw node.refusal(
          found: "\(convolutionWidth) channels of the convolution",
          expected: "at most \(sizes.upperBound)")
      }
    }
  }

  private let form: Form
  private let query, key: Projection  // [G K, D]
  private let value, gate: Projection  // [H V, D]
  private let rate, decay: Projection  // [H, D]
  private let convolution: Tensor  // [C, N]
  private let decayBias: Tensor  // [H]
  private let decayScale: Tensor  // [H], negative
  private let norm: Norm  // [V]
  private let output: Projection  // [D, H V]

  /// The mixer whose tensors have these names behind the prefix of `weights`.
  init(_ form: Form, _ weights: WeightSource) {
    self.form = form
    func projection(_ name: String, _ out: Int) -> Projection {
      weights.projection(name, out: out, in: form.width)
    }
    query = projection("q_proj", form.queries)
    key = projection("k_proj", form.queries)
    value = projection("v_proj", form.values)
    gate = projection("z_proj", form.values)
    rate = projection("b_proj", form.valueHeads)
    decay = projection("a_proj", form.valueHeads)
    convolution = weights.vector("conv1d.weight", [form.convolutionWidth, form.kernelWidth])
    decayBias = weights.vector("dt_bias", [form.valueHeads])
    decayScale = weights.vector("A_log", [form.valueHeads], negativeExponential)
    norm = weights.rmsNorm("norm", form.valueWidth, epsilon: form.normEpsilon)
    output = weights.projection("out_proj", out: form.width, in: form.values)
  }

  var state: [StateComponent] {
    [
      // The last N - 1 inputs of the convolution, oldest first: channels of queries, keys, values.
      StateComponent(
        name: "conv", shape: [form.convolutionWidth, form.kernelWidth - 1],
        axes: ["channel", "tap"]),
      // The values by key.
      StateComponent(
        name: "delta", shape: [form.valueHeads, form.keyWidth, form.valueWidth],
        axes: ["head", "key", "value"]),
    ]
  }

  func callAsFunction(
    _ x: Tensor, of stream: inout BlockStream, _ state: inout PartState
  ) -> Tensor {
    var qkv = Kernels.causalConvolution(  // [B·T, C]
      Tensor(joiningColumns: [query(x), key(x), value(x)]), weight: convolution, bias: nil,
      activation: .silu,
      state: &state.tensors[0], batch: stream.batch)
    Kernels.normalize(
      &qkv, HeadColumns(count: 2 * form.keyHeads, width: form.keyWidth), epsilon: 1e-6)
    var fading = Kernels.softplus(decay(x), bias: decayBias)  // [B·T, H]
    Kernels.multiply(&fading, by: decayScale)
    Kernels.exp(&fading)
    var rates = rate(x)  // [B·T, H]
    Kernels.sigmoid(&rates)
    if form.largestRate != 1 { Kernels.scale(&rates, by: form.largestRate) }
    var read = Kernels.gatedDelta(  // [B·T, H V]
      q: qkv.columns(0..<form.queries), k: qkv.columns(form.queries..<2 * form.queries),
      v: qkv.columns(2 * form.queries..<form.convolutionWidth), decay: fading, beta: rates,
      scale: 1 / Float(form.keyWidth).squareRoot(), state: &state.tensors[1])
    normHeads(&read)
    Kernels.multiply(&read, bySiLUOf: gate(x))
    return output(read)  // [B·T, D]
  }

  /// Norms each head of values, [M, H V].
  private func normHeads(_ values: inout Tensor) {
    Kernels.rmsNorm(
      &values, HeadColumns(count: form.valueHeads, width: form.valueWidth), weight: norm.weight,
      epsilon: norm.epsilon)
  }

  /// All of it.
  var readingStateOnly: (any Mixer)? { self }

  /// Without the gate.
  func output(ofRead values: Tensor) -> Tensor? {
    var values = values  // [M, H V]
    normHeads(&values)
    return output(values)  // [M, D]
  }

  /// A token also removes a part of `delta` along its key, so that no element keeps a share of its
  /// own.
  func retention(of component: String, _ x: Tensor, _ state: PartState) -> Retention? {
    component == "conv" ? .shifts(width: form.kernelWidth - 1) : nil
  }
}
