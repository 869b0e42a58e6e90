import SextantBytes
import SextantStore
import SextantTensor

// Mamba: Linear-Time Sequence Modeling with Selective State Spaces (arXiv 2312.00752), the
// language model of its section 4.2: blocks of [RMSNorm, mixer, add], a final norm, a head.
//
// Glossary
//   B  sequences in the batch          T  tokens of each sequence in this run
//   L  blocks                          V  rows of the embedding
//   D  width of the residual stream    E  inner width, usually 2 D ("d_inner")
//   N  states per channel ("d_state")  R  rank of the step size ("dt_rank", ceil(D / 16))
//   K  kernel width of the causal convolution ("d_conv")
//   delta  the step size, chosen by each token and channel; a, b, c, d  the state space's parameters
// Rows of a [B·T, …] tensor are ordered by sequence, then by position.

/// Mamba-1, as published by state-spaces and in Hugging Face transformers.
package enum Mamba: Architecture {
  /// The name in stores and artifacts.
  package static let name = "mamba"

  // MARK: Configuration

  /// The sizes of a Mamba model, under the names of the published configurations.
  struct Configuration: ModelConfiguration {
    var width = 0  // D
    var layerCount = 0  // L
    var vocabularySize = 0  // V
    var innerWidth = 0  // E
    var stateSize = 0  // N
    var rank = 0  // R
    var kernelWidth = 0  // K
    var normEpsilon = 0.0
    var hasLinearBias = false
    var hasConvolutionBias = false
    var tiesEmbeddings = false

    static let sizes = 1...(1 << 24)
    static let layers = 1...1000
    static let states = 1...4096
    static let kernelWidths = 2...8

    static var canonicalForm: ConfigurationForm<Self> {
      ConfigurationForm([
        .integer("d_model", \.width, in: sizes), .integer("n_layer", \.layerCount, in: layers),
        .integer("vocab_size", \.vocabularySize, in: sizes),
        .integer("d_inner", \.innerWidth, in: sizes), .integer("d_state", \.stateSize, in: states),
        .integer("dt_rank", \.rank, in: sizes), .integer("d_conv", \.kernelWidth, in: kernelWidths),
        .number("norm_eps", \.normEpsilon), .flag("use_bias", \.hasLinearBias),
        .flag("use_conv_bias", \.hasConvolutionBias), .flag("tie_embeddings", \.tiesEmbeddings),
      ])
    }

    /// `config.json` of `MambaForCausalLM`; absent keys have transformers' defaults.
    static var huggingFace: ConfigurationForm<Self> {
      ConfigurationForm([
        .written("architectures", ["MambaForCausalLM"]), .written("model_type", "mamba"),
        .integer("hidden_size", \.width, in: sizes),
        .integer("num_hidden_layers", \.layerCount, in: layers),
        .integer("vocab_size", \.vocabularySize, in: sizes), expansion,
        .integer("intermediate_size", \.innerWidth, in: sizes) { $0.innerWidth },
        .integer("state_size", \.stateSize, in: states) { _ in 16 },
        .integer("time_step_rank", \.rank, in: sizes, automatic: "auto") { ($0.width + 15) / 16 },
        .integer("conv_kernel", \.kernelWidth, in: kernelWidths) { _ in 4 },
        .number("layer_norm_epsilon", \.normEpsilon, default: 1e-5), .onlySiLU,
        .flag("use_bias", \.hasLinearBias, default: false),
        .flag("use_conv_bias", \.hasConvolutionBias, default: true),
        .flag("tie_word_embeddings", \.tiesEmbeddings, default: true),
      ])
    }

    /// `config.json` of state-spaces' mamba_ssm, whose vocabulary is padded in the weights only, and
    /// which knows one epsilon.
    static var stateSpaces: ConfigurationForm<Self> {
      ConfigurationForm([
        .integer("d_model", \.width, in: sizes), .integer("n_layer", \.layerCount, in: layers),
        .paddedVocabulary(\.vocabularySize, in: sizes),
        .object(
          "ssm_cfg", isOptional: true,
          [
            expansion, .integer("d_state", \.stateSize, in: states) { _ in 16 },
            .integer("dt_rank", \.rank, in: sizes, automatic: "auto") { ($0.width + 15) / 16 },
            .integer("d_conv", \.kernelWidth, in: kernelWidths) { _ in 4 },
            .flag("bias", \.hasLinearBias, default: false),
            .flag("conv_bias", \.hasConvolutionBias, default: true),
          ]),
        .number("norm_epsilon", \.normEpsilon, default: 1e-5), .fixed("rms_norm", true),
        .written("residual_in_fp32", true), .written("fused_add_norm", true),
        .flag("tie_embeddings", \.tiesEmbeddings, default: true),
      ])
    }

    /// The inner width as a multiple of the width.
    private static var expansion: ConfigurationForm<Self>.Member {
      .custom { node, c throws(Refusal) in
        c.innerWidth = (try node.optionalMember("expand")?.integer(in: 1...64) ?? 2) * c.width
      } write: {
        [("expand", .integer(Int64($0.innerWidth / $0.width)))]
      }
    }

    func check(_ node: JSONNode) throws(Refusal) {
      guard normEpsilon > 0, normEpsilon < 1 else {
        throw node.refusal(
          found: "a norm epsilon of \(normEpsilon)", expected: "a number between 0 and 1")
      }
    }
  }

  /// Whether a published `config.json` describes a Mamba-1 model.
  package static func recognises(_ config: JSONNode) -> Bool {
    guard case .object(let object) = config.value else { return false }
    let classes: Set = ["MambaForCausalLM", "MambaModel"]
    if isNamed(config, types: ["mamba"], classes: classes) { return true }
    guard [nil, .null].contains(object["model_type"]) else { return false }
    // state-spaces' own configurations have no model_type; Mamba-2's name their layer.
    guard object["d_model"] != nil, object["n_layer"] != nil,
      case .object(let ssm)? = object["ssm_cfg"]
    else { return false }
    return ssm["layer"] == nil || ssm["layer"] == "Mamba1"
  }

  /// Members of mamba_ssm and transformers for training and for their own ways to compute, and
  /// members that only one of the two has.
  package static let inertKeys: Set = [
    "rescale_prenorm_residual", "residual_in_fp32", "fused_add_norm", "time_step_scale",
    "time_step_min", "time_step_max", "time_step_floor", "time_step_init_scheme", "use_mambapy",
    "use_associative_scan", "use_mamba_kernels", "ssm_cfg.layer", "ssm_cfg.dt_min",
    "ssm_cfg.dt_max", "ssm_cfg.dt_init", "ssm_cfg.dt_scale", "ssm_cfg.dt_init_floor",
    "ssm_cfg.use_fast_path", "d_inner", "d_model", "n_layer", "ssm_cfg", "rms_norm",
    "pad_vocab_size_multiple",
  ]

  /// The canonical configuration of a published one.
  package static func configuration(
    from config: JSONNode?, checkpoint: CheckpointShapes
  ) throws(Refusal) -> JSONObject {
    let config = try required(config)
    let isHuggingFace = try config.optionalMember("hidden_size") != nil
    return try Configuration.read(
      config, as: isHuggingFace ? Configuration.huggingFace : Configuration.stateSpaces
    ).json
  }

  // MARK: Weights

  /// The tensors of a model with this canonical configuration.
  package static func weights(_ configuration: JSONObject) throws(Refusal) -> [WeightSpec] {
    let c = try Configuration.canonical(configuration)
    var specs = [WeightSpec("embedding.weight", [c.vocabularySize, c.width], .matrix)]  // [V, D]
    for block in 0..<c.layerCount {
      let mixer = "blocks.\(block).mixer."
      specs += [
        WeightSpec("blocks.\(block).norm.weight", [c.width]),  // [D]
        WeightSpec(mixer + "in_proj.weight", [2 * c.innerWidth, c.width], .matrix),  // [2E, D]
        WeightSpec(mixer + "conv1d.weight", [c.innerWidth, c.kernelWidth]),  // [E, K]
        WeightSpec(  // [R + 2N, E]
          mixer + "x_proj.weight", [c.rank + 2 * c.stateSize, c.innerWidth], .matrix),
        WeightSpec(mixer + "dt_proj.weight", [c.innerWidth, c.rank], .matrix),  // [E, R]
        WeightSpec(mixer + "dt_proj.bias", [c.innerWidth]),  // [E]
        WeightSpec(mixer + "A_log", [c.innerWidth, c.stateSize]),  // [E, N]
        WeightSpec(mixer + "D", [c.innerWidth]),  // [E]
        WeightSpec(mixer + "out_proj.weight", [c.width, c.innerWidth], .matrix),  // [D, E]
      ]
      if c.hasConvolutionBias { specs.append(WeightSpec(mixer + "conv1d.bias", [c.innerWidth])) }
      if c.hasLinearBias {
        specs.append(WeightSpec(mixer + "in_proj.bias", [2 * c.innerWidth]))  // [2E]
        specs.append(WeightSpec(mixer + "out_proj.bias", [c.width]))  // [D]
      }
    }
    specs.append(WeightSpec("final_norm.weight", [c.width]))  // [D]
    if !c.tiesEmbeddings {
      specs.append(WeightSpec("head.weight", [c.vocabularySize, c.width], .matrix))  // [V, D]
    }
    return specs
  }

  /// The embedding and the head, which most published models tie.
  package static let tiedPair = TiedPair(
    embedding: "embedding.weight", head: "head.weight", flag: "tie_embeddings")

  // MARK: Dialects

  /// The two published namings, which differ by one letter, and that of GGUF files.
  package static let dialects = [
    dialect("huggingface", embedding: "backbone.embeddings.weight"),
    dialect("state-spaces", embedding: "backbone.embedding.weight"), gguf,
  ]

  /// llama.cpp's converter stores the matrix A itself.
  private static let gguf = Dialect(
    name: "gguf", markers: ["token_embd.weight", "blk.0.ssm_x.weight"]
  ) { canonical in
    switch canonical {
    case "embedding.weight": return "token_embd.weight"
    case "final_norm.weight": return "output_norm.weight"
    case "head.weight": return "output.weight"
    default: break
    }
    let parts = canonical.split(separator: ".", maxSplits: 2)  // blocks, index, the rest
    let block = "blk.\(parts[1])."
    return switch parts[2] {
    case "norm.weight": "\(block)attn_norm.weight"
    case "mixer.A_log": .init(block + "ssm_a", change: .negativeExponential)
    case "mixer.D": "\(block)ssm_d"
    case "mixer.dt_proj.weight": "\(block)ssm_dt.weight"
    case "mixer.dt_proj.bias": "\(block)ssm_dt.bias"
    // conv1d keeps its name; in_proj, x_proj and out_proj are ssm_in, ssm_x and ssm_out.
    default:
      "\(block)ssm_\(parts[2].dropFirst("mixer.".count).replacing("_proj", with: ""))"
    }
  }

  /// The metadata of GGUF files.
  package static let ggufTables = [
    GGUFTable(
      name: "mamba",
      fixed: [("model_type", "mamba"), ("use_bias", false), ("use_conv_bias", true)],
      rows: [.expected("ssm.dt_b_c_rms", false)] + GGUFTable.Row.recurrent + [
        .constant("feed_forward_length", 0)
      ] + GGUFTable.Row.sizes(inner: false) + [
        .integer("ssm.inner_size", "intermediate_size"),
        .ratio("intermediate_size", 2, times: "hidden_size"),
        .integer("ssm.state_size", "state_size"),
        .integer("ssm.time_step_rank", "time_step_rank"),
        .integer("ssm.conv_kernel", "conv_kernel"),
        .number("attention.layer_norm_rms_epsilon", "layer_norm_epsilon"), .tied,
      ])
  ]

  private static func dialect(_ name: String, embedding: String) -> Dialect {
    let markers = [embedding, "backbone.layers.0.mixer.x_proj.weight"]
    return Dialect(name: name, base: "backbone.", markers: markers) { canonical in
      switch canonical {
      case "embedding.weight": "\(embedding)"
      case "final_norm.weight": "backbone.norm_f.weight"
      case "head.weight": "lm_head.weight"
      default:
        .init(
          "backbone.layers.\(canonical.dropFirst("blocks.".count))",
          form: canonical.hasSuffix("conv1d.weight") ? .ones([1]) : .plain)
      }
    }
  }

  /// `config.json` of `MambaForCausalLM` or of mamba_ssm, and the former for GGUF files.
  package static func published(
    _ configuration: JSONObject, dialect: String
  ) throws(Refusal) -> JSONObject {
    let c = try Configuration.canonical(configuration)
    guard c.innerWidth % c.width == 0 else {
      throw inexpressible(
        "an inner width of \(c.innerWidth)", expected: "a multiple of the width, \(c.width)")
    }
    guard dialect == "state-spaces" else { return Configuration.huggingFace.json(of: c) }
    guard c.normEpsilon == 1e-5 else {
      throw inexpressible("a norm epsilon of \(c.normEpsilon)", expected: "1e-5")
    }
    return Configuration.stateSpaces.json(of: c)
  }

  // MARK: State

  /// The state of a block.
  private static func state(_ c: Configuration) -> [StateComponent] {
    [
      // The last K - 1 inputs of the convolution, oldest first.
      StateComponent(
        name: "conv", shape: [c.innerWidth, c.kernelWidth - 1], axes: ["channel", "tap"]),
      // The hidden state of the state space.
      StateComponent(name: "ssm", shape: [c.innerWidth, c.stateSize], axes: ["channel", "state"]),
    ]
  }

  // MARK: Model

  /// A model that runs from an open store.
  package static func open(_ store: ModelStore) throws(Refusal) -> any LanguageModel {
    let configuration = try Configuration.canonical(store.configuration)
    let weights = try StoredWeights(store, specs: try weights(store.configuration))
    let description = ModelDescription(
      architecture: name, width: configuration.width, layerCount: configuration.layerCount,
      vocabularySize: configuration.vocabularySize, identity: store.identity,
      variant: store.variant, blockParts: ["mixer"],
      stateLayout: Array(repeating: state(configuration), count: configuration.layerCount))
    return Model(configuration, weights, description)
  }

  /// The weights of one block.
  private struct Block: Sendable {
    let norm: Norm
    let inProjection: Tensor  // [2E, D]: x, then the gate z
    let inBias: Tensor?  // [2E]
    let convolution: Tensor  // [E, K]
    let convolutionBias: Tensor?  // [E]
    let xProjection: Tensor  // [R + 2N, E]: delta's low rank, b, c
    let deltaProjection: Tensor  // [E, R]
    let deltaBias: Tensor  // [E]
    let a: Tensor  // [E, N], negative
    private(set) var d: Tensor  // [E]
    let outProjection: Tensor  // [D, E]
    private(set) var outBias: Tensor?  // [D]

    /// A copy without the skip paths (D, bias): its output comes from the state alone.
    var readingStateOnly: Block {
      var copy = self
      copy.d = Tensor(zeros: d.shape)
      copy.outBias = nil
      return copy
    }

    init(_ weights: StoredWeights, _ index: Int, epsilon: Double) {
      let mixer = "blocks.\(index).mixer."
      norm = .rms(weights, "blocks.\(index).norm", epsilon: epsilon)
      inProjection = weights.matrix(mixer + "in_proj.weight")
      inBias = weights.optionalVector(mixer + "in_proj.bias")
      convolution = weights.vector(mixer + "conv1d.weight")
      convolutionBias = weights.optionalVector(mixer + "conv1d.bias")
      xProjection = weights.matrix(mixer + "x_proj.weight")
      deltaProjection = weights.matrix(mixer + "dt_proj.weight")
      deltaBias = weights.vector(mixer + "dt_proj.bias")
      var a = weights.vector(mixer + "A_log")
      Kernels.exp(&a)
      Kernels.scale(&a, by: -1)
      self.a = a  // -exp(A_log)
      d = weights.vector(mixer + "D")
      outProjection = weights.matrix(mixer + "out_proj.weight")
      outBias = weights.optionalVector(mixer + "out_proj.bias")
    }
  }

  private final class Model: RetainingModel {
    let description: ModelDescription
    private let configuration: Configuration
    private let embedding: Tensor  // [V, D]
    private let blocks: [Block]
    let readout: Readout

    init(_ configuration: Configuration, _ weights: StoredWeights, _ description: ModelDescription)
    {
      self.configuration = configuration
      self.description = description
      let epsilon = configuration.normEpsilon
      embedding = weights.matrix(tiedPair.embedding)
      blocks = (0..<configuration.layerCount).map { Block(weights, $0, epsilon: epsilon) }
      readout = Readout(
        norm: .rms(weights, "final_norm", epsilon: epsilon),
        head: configuration.tiesEmbeddings ? embedding : weights.matrix(tiedPair.head))
    }

    func embed(
      _ tokens: TokenBatch, at position: Int, textLength: Int
    ) -> BlockStream {
      BlockStream(tokens, at: position, embedding: embedding)
    }

    func run(
      block index: Int, on stream: inout BlockStream, _ state: inout State, _ pass: Pass
    ) throws(Refusal) {
      let block = blocks[index]
      let normed = block.norm(stream.residual)  // [B·T, D]
      try pass.show(memoryOf: index) {
        var copy = state.tensors[index]
        return mix(block.readingStateOnly, normed, &copy, batch: stream.batch)  // [B·T, D]
      }
      let mixed = mix(block, normed, &state.tensors[index], batch: stream.batch)  // [B·T, D]
      try pass.add(mixed, of: "mixer", in: index, to: &stream)
    }

    func output(ofRead values: Tensor, block: Int) -> Tensor? {
      Linear.apply(values, weight: blocks[block].outProjection)  // [M, E] to [M, D]
    }

    /// The inputs of the selective scan: section 3.4 of the paper, figure 3 on the left.
    ///
    /// - Returns: x and gate z [B·T, 2E] before the convolution, x [B·T, E] after it, the selected
    ///   low rank of delta, b and c [B·T, R + 2N], and delta [B·T, E].
    private func inputs(
      _ block: Block, _ normed: Tensor, _ convolution: inout Tensor, batch: Int
    ) -> (xz: Tensor, x: Tensor, selected: Tensor, delta: Tensor) {
      let xz = Linear.apply(normed, weight: block.inProjection, bias: block.inBias)  // [B·T, 2E]
      let x = Kernels.causalConvolutionSiLU(  // [B·T, E]
        xz.columns(0..<configuration.innerWidth), weight: block.convolution,
        bias: block.convolutionBias, state: &convolution, batch: batch)
      let selected = Linear.apply(x, weight: block.xProjection)  // [B·T, R + 2N]
      let step = Linear.apply(  // [B·T, E]
        selected.columns(0..<configuration.rank), weight: block.deltaProjection)
      return (xz, x, selected, Kernels.softplus(step, bias: block.deltaBias))
    }

    /// The mixer: section 3.4 of the paper, figure 3.
    private func mix(
      _ block: Block, _ normed: Tensor, _ state: inout [Tensor], batch: Int
    ) -> Tensor {
      let (e, n, r) = (configuration.innerWidth, configuration.stateSize, configuration.rank)
      let (xz, x, selected, delta) = inputs(block, normed, &state[0], batch: batch)
      let gated = Kernels.selectiveScan(  // [B·T, E]
        x, delta: delta, a: block.a, b: selected.columns(r..<r + n),
        c: selected.columns(r + n..<r + 2 * n), d: block.d, gate: xz.columns(e..<2 * e),
        state: &state[1], batch: batch)
      return Linear.apply(gated, weight: block.outProjection, bias: block.outBias)  // [B·T, D]
    }

    /// h_t = exp(delta_t A) h_{t-1} + …: an earlier addition to h is multiplied by exp(delta_t A).
    func retention(
      of component: String, block index: Int, reading stream: BlockStream, _ state: State
    ) -> Retention? {
      guard component == "ssm" else {
        return component == "conv" ? .shifts(width: configuration.kernelWidth - 1) : nil
      }
      let block = blocks[index]
      var convolution = state.tensors[index][0]
      let delta = inputs(  // [T, E]
        block, block.norm(stream.residual), &convolution, batch: stream.batch
      ).delta
      let (e, n) = (configuration.innerWidth, configuration.stateSize)
      var factors = Tensor(zeros: [delta.rowCount, e, n])  // [T, E, N]
      factors.withMutableFloats { factors in
        delta.withFloats { delta in
          block.a.withFloats { a in
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
}
