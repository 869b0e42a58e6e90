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

/// Mamba-1, as published by state-spaces and in Hugging Face transformers, and FalconMamba (arXiv
/// 2410.05355), which norms delta's low rank, b and c.
package enum Mamba: Architecture {
  /// The name in stores and artifacts.
  package static let name = "mamba"

  // MARK: Configuration

  /// The sizes of a Mamba model, under the names of the published configurations.
  package struct Configuration: FormedConfiguration, NetworkSizes {
    var width = 0  // D
    var layerCount = 0  // L
    var vocabularySize = 0  // V
    var innerWidth = 0  // E
    var stateSize = 0  // N
    var rank = 0  // R
    var kernelWidth = 0  // K
    var normEpsilon = 0.0
    /// The epsilon of FalconMamba's norms in the mixer; nil for a Mamba, which has none.
    var selectionNormEpsilon: Double?
    var hasLinearBias = false
    var hasConvolutionBias = false
    var tiesEmbeddings = false

    package init() {}

    package static var canonicalForm: ConfigurationForm<Self> {
      ConfigurationForm([
        .integer("d_model", \.width, in: sizes), .integer("n_layer", \.layerCount, in: layerCounts),
        .integer("vocab_size", \.vocabularySize, in: sizes),
        .integer("d_inner", \.innerWidth, in: sizes), .integer("d_state", \.stateSize, in: states),
        .integer("dt_rank", \.rank, in: sizes), .integer("d_conv", \.kernelWidth, in: kernelWidths),
        .number("norm_eps", \.normEpsilon), .flag("use_bias", \.hasLinearBias),
        .flag("use_conv_bias", \.hasConvolutionBias), .flag("tie_embeddings", \.tiesEmbeddings),
        .custom { node, c throws(Refusal) in
          c.selectionNormEpsilon = try node.optionalEpsilon("selection_norm_eps")
        } write: {
          $0.selectionNormEpsilon.map { [("selection_norm_eps", .number($0))] } ?? []
        },
      ])
    }

    /// `config.json` of `MambaForCausalLM` or `FalconMambaForCausalLM`; absent keys have
    /// transformers' defaults.
    static func huggingFace(isFalcon: Bool) -> ConfigurationForm<Self> {
      let (type, prefix) = isFalcon ? ("falcon_mamba", "FalconMamba") : ("mamba", "Mamba")
      return ConfigurationForm(
        [
          .written("architectures", [.string("\(prefix)ForCausalLM")]),
          .written("model_type", .string(type)),
          .integer("hidden_size", \.width, in: sizes),
          .integer("num_hidden_layers", \.layerCount, in: layerCounts),
          .integer("vocab_size", \.vocabularySize, in: sizes), expansion,
          .integer("intermediate_size", \.innerWidth, in: sizes) { $0.innerWidth },
          .integer("state_size", \.stateSize, in: states) { _ in 16 },
          .integer("time_step_rank", \.rank, in: sizes, automatic: "auto") { ($0.width + 15) / 16 },
          .integer("conv_kernel", \.kernelWidth, in: kernelWidths) { _ in 4 },
          .number("layer_norm_epsilon", \.normEpsilon, default: 1e-5), .onlySiLU,
          .flag("use_bias", \.hasLinearBias, default: false),
          .flag("use_conv_bias", \.hasConvolutionBias, default: true),
          .flag("tie_word_embeddings", \.tiesEmbeddings, default: true),
        ] + (isFalcon ? [selectionNorm] : []))
    }

    /// Only FalconMamba has one.
    private static var selectionNorm: ConfigurationForm<Self>.Member {
      let key = "mixer_rms_eps"
      return .custom { node, c throws(Refusal) in
        c.selectionNormEpsilon = try node.optionalEpsilon(key) ?? usualSelectionNormEpsilon
      } write: {
        [(key, $0.selectionNormEpsilon.map { .number($0) } ?? .null)]
      }
    }

    static let usualSelectionNormEpsilon = 1e-6

    /// `config.json` of state-spaces' mamba_ssm, whose vocabulary is padded in the weights only, and
    /// which knows one epsilon.
    static var stateSpaces: ConfigurationForm<Self> {
      ConfigurationForm([
        .integer("d_model", \.width, in: sizes), .integer("n_layer", \.layerCount, in: layerCounts),
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

    package func check(_ node: JSONNode) throws(Refusal) {
      try node.checkNormEpsilon(normEpsilon)
    }
  }

  /// Whether a published `config.json` describes a Mamba-1 model.
  package static func recognises(_ config: JSONNode) -> Bool {
    guard case .object(let object) = config.value else { return false }
    let classes: Set = ["MambaForCausalLM", "MambaModel"]
    if isNamed(config, types: ["mamba"], classes: classes) || isFalcon(config) { return true }
    guard [nil, .null].contains(object["model_type"]) else { return false }
    // state-spaces' own configurations have no model_type; Mamba-2's name their layer.
    guard object["d_model"] != nil, object["n_layer"] != nil,
      case .object(let ssm)? = object["ssm_cfg"]
    else { return false }
    return ssm["layer"] == nil || ssm["layer"] == "Mamba1"
  }

  private static func isFalcon(_ config: JSONNode) -> Bool {
    isNamed(
      config, types: ["falcon_mamba"], classes: ["FalconMambaForCausalLM", "FalconMambaModel"])
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

  /// The configuration that a published one means.
  package static func configuration(
    from config: JSONNode?, checkpoint: CheckpointShapes
  ) throws(Refusal) -> Configuration {
    let config = try required(config)
    let isHuggingFace = try config.optionalMember("hidden_size") != nil
    return try Configuration.read(
      config,
      as: isHuggingFace
        ? Configuration.huggingFace(isFalcon: isFalcon(config)) : Configuration.stateSpaces)
  }

  // MARK: Dialects

  /// The two published namings, which differ by one letter, and that of GGUF files.
  package static let dialects = [
    dialect("huggingface", embedding: "backbone.embeddings.weight"),
    dialect("state-spaces", embedding: "backbone.embedding.weight"), gguf,
  ]

  /// llama.cpp's converter stores the matrix A itself.
  private static let gguf = Dialect(
    name: "gguf", markers: ["token_embd.weight", "blk.0.ssm_x.weight"],
    source: Dialect.sources(.gguf) { tensor in
      let block = "blk.\(tensor.block)."
      return tensor.name == "norm.weight"
        ? "\(block)attn_norm.weight"
        : ggufSource(tensor.name.dropFirst("mixer.".count), block: block)
    })

  /// llama.cpp's form of a tensor of the mixer, in models with other parts, too.
  ///
  /// - Parameters:
  ///   - name: in the mixer.
  ///   - block: the beginning of the names of the block's tensors, with its dot.
  static func ggufSource(_ name: Substring, block: String) -> Dialect.Source {
    switch name {
    case "A_log": .init(block + "ssm_a", change: .negativeExponential)
    case "D": "\(block)ssm_d"
    // conv1d keeps its name; in_proj, x_proj, dt_proj and out_proj are ssm_in, ssm_x and so on.
    default:
      "\(block)ssm_\(name.replacing("_proj", with: "").replacing("_layernorm", with: "_norm"))"
    }
  }

  /// The metadata of GGUF files.
  package static let ggufTables = [
    GGUFTable(
      name: "mamba",
      fixed: [("use_bias", false), ("use_conv_bias", true)],
      rows: [
        .choice(
          "ssm.dt_b_c_rms", "model_type",
          [(stored: false, published: "mamba"), (stored: true, published: "falcon_mamba")])
      ] + GGUFTable.Row.recurrent + [
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
    return Dialect(
      name: name, base: "backbone.", markers: markers,
      source: Dialect.sources(
        .init(
          embedding: "\(embedding)", finalNorm: "backbone.norm_f.weight", head: "lm_head.weight")
      ) { tensor in
        .init(
          "backbone.layers.\(tensor.block).\(tensor.name)",
          form: tensor.name.hasSuffix("conv1d.weight") ? .ones([1]) : .plain)
      })
  }

  /// `config.json` of `MambaForCausalLM`, `FalconMambaForCausalLM` or mamba_ssm; for GGUF files, of
  /// the former two.
  package static func published(
    _ c: Configuration, dialect: String
  ) throws(Refusal) -> JSONObject {
    guard c.innerWidth % c.width == 0 else {
      throw inexpressible(
        "an inner width of \(c.innerWidth)", expected: "a multiple of the width, \(c.width)")
    }
    guard dialect == "state-spaces" else {
      let usual = Configuration.usualSelectionNormEpsilon
      if dialect == "gguf", let epsilon = c.selectionNormEpsilon, epsilon != usual {
        throw inexpressible("a mixer_rms_eps of \(epsilon)", expected: "\(usual)")
      }
      return Configuration.huggingFace(isFalcon: c.selectionNormEpsilon != nil).json(of: c)
    }
    guard c.selectionNormEpsilon == nil else {
      throw inexpressible("norms in the mixer", expected: "none: a Mamba has none")
    }
    guard c.normEpsilon == 1e-5 else {
      throw inexpressible("a norm epsilon of \(c.normEpsilon)", expected: "1e-5")
    }
    return Configuration.stateSpaces.json(of: c)
  }

  // MARK: Model

  /// Blocks of [norm, mixer, add].
  package static func network(_ c: Configuration, _ weights: WeightSource) -> Network {
    let form = Mamba1Mixer.Form(
      width: c.width, innerWidth: c.innerWidth, stateSize: c.stateSize, rank: c.rank,
      kernelWidth: c.kernelWidth, hasLinearBias: c.hasLinearBias,
      hasConvolutionBias: c.hasConvolutionBias,
      selectionNorms: c.selectionNormEpsilon.map { .init(epsilon: $0) })
    return Network(
      c, weights
    ) { index, weights in
      return Block(
        Part(
          name: "mixer", norm: weights.rmsNorm("norm", c.width, epsilon: c.normEpsilon),
          mixer: Mamba1Mixer(form, weights.under("mixer"))))
    }
  }
}
