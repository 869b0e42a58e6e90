import SextantBytes
import SextantStore
import SextantTensor

// Transformers are SSMs: Generalized Models and Efficient Algorithms Through Structured State Space
// Duality (arXiv 2405.21060), section 7: Mamba-2 has heads, and one decay for each.
//
// Glossary
//   B  sequences in the batch          T  tokens of each sequence in this run
//   L  blocks                          V  rows of the embedding
//   D  width of the residual stream    E  inner width, H P, usually 2 D ("d_inner")
//   H  heads                           P  channels of a head ("head_dim")
//   N  states per channel ("d_state")  G  groups of heads that share b and c
//   K  kernel width of the convolution
//   C  channels of the convolution, E + 2 G N: x, b and c
//   delta  the step size, chosen by each token and head; a, b, c, d  the state space's parameters
// Rows of a [B·T, …] tensor are ordered by sequence, then by position.

/// Mamba-2, as published by state-spaces and in Hugging Face transformers.
///
/// The gated norm is taken over each group's channels, as in mamba_ssm and transformers 5;
/// transformers 4 took it over all of them, which is the same for the published models with G = 1.
package enum Mamba2: Architecture {
  /// The name in stores and artifacts.
  package static let name = "mamba2"

  // MARK: Configuration

  /// The sizes of a Mamba-2 model.
  package struct Configuration: FormedConfiguration, NetworkSizes {
    var width = 0  // D
    var layerCount = 0  // L
    var vocabularySize = 0  // V
    var headCount = 0  // H
    var headWidth = 0  // P
    var groupCount = 0  // G
    var stateSize = 0  // N
    var kernelWidth = 0  // K
    var normEpsilon = 0.0
    var mixerNormEpsilon = 0.0
    var smallestStep = 0.0
    var largestStep: Double?
    var hasLinearBias = false
    var hasConvolutionBias = false
    var tiesEmbeddings = false

    var innerWidth: Int { headCount * headWidth }  // E
    var convolutionWidth: Int { innerWidth + 2 * groupCount * stateSize }  // C
    var projectionWidth: Int { innerWidth + convolutionWidth + headCount }  // E + C + H

    package init() {}

    package static var canonicalForm: ConfigurationForm<Self> {
      ConfigurationForm([
        .integer("d_model", \.width, in: sizes), .integer("n_layer", \.layerCount, in: layerCounts),
        .integer("vocab_size", \.vocabularySize, in: sizes),
        .integer("n_head", \.headCount, in: heads), .integer("head_dim", \.headWidth, in: heads),
        .integer("n_groups", \.groupCount, in: heads),
        .integer("d_state", \.stateSize, in: states),
        .integer("d_conv", \.kernelWidth, in: kernelWidths),
        .number("norm_eps", \.normEpsilon), .number("mixer_norm_eps", \.mixerNormEpsilon),
        .number("time_step_min", \.smallestStep), .number("time_step_max", \.largestStep),
        .flag("use_bias", \.hasLinearBias), .flag("use_conv_bias", \.hasConvolutionBias),
        .flag("tie_embeddings", \.tiesEmbeddings),
      ])
    }

    /// `config.json` of `Mamba2ForCausalLM`, which knows one epsilon; absent keys have transformers'
    /// defaults.
    static var huggingFace: ConfigurationForm<Self> {
      ConfigurationForm([
        .written("architectures", ["Mamba2ForCausalLM"]), .written("model_type", "mamba2"),
        .integer("hidden_size", \.width, in: sizes),
        .integer("num_hidden_layers", \.layerCount, in: layerCounts),
        .integer("vocab_size", \.vocabularySize, in: sizes),
        .integer("num_heads", \.headCount, in: heads) { _ in 128 },
        .integer("head_dim", \.headWidth, in: heads) { _ in 64 },
        .integer("n_groups", \.groupCount, in: heads) { _ in 8 },
        .integer("state_size", \.stateSize, in: states) { _ in 128 },
        .integer("conv_kernel", \.kernelWidth, in: kernelWidths) { _ in 4 },
        .custom { node, c throws(Refusal) in
          let inner = (try node.optionalMember("expand")?.integer(in: 1...64) ?? 2) * c.width
          guard c.innerWidth == inner else {
            throw node.refusal(
              found: "\(counted(c.headCount, "head")) of \(c.headWidth)",
              expected: "expand times hidden_size, \(inner), in all")
          }
        } write: {
          [("expand", .integer(Int64($0.innerWidth / $0.width)))]
        },
        .number("layer_norm_epsilon", \.normEpsilon, default: 1e-5),
        .custom {
          $1.mixerNormEpsilon = $1.normEpsilon
        } write: { _ in
          []
        },
        .onlySiLU, .written("rms_norm", true),
        .stepLimits("time_step_limit", \.smallestStep, \.largestStep),
        .flag("use_bias", \.hasLinearBias, default: false),
        .flag("use_conv_bias", \.hasConvolutionBias, default: true),
        .flag("tie_word_embeddings", \.tiesEmbeddings, default: false),
      ])
    }

    /// `config.json` of state-spaces' mamba_ssm, whose vocabulary is padded in the weights only.
    static var stateSpaces: ConfigurationForm<Self> {
      ConfigurationForm([
        .integer("d_model", \.width, in: sizes), onlyMixers,
        .integer("n_layer", \.layerCount, in: layerCounts),
        .paddedVocabulary(\.vocabularySize, in: sizes),
        .object(
          "ssm_cfg",
          [
            .written("layer", "Mamba2"),
            .integer("headdim", \.headWidth, in: heads) { _ in 64 }, headCount,
            .integer("ngroups", \.groupCount, in: heads) { _ in 1 },
            .integer("d_state", \.stateSize, in: states) { _ in 128 },
            .integer("d_conv", \.kernelWidth, in: kernelWidths) { _ in 4 },
            .stepLimits("dt_limit", \.smallestStep, \.largestStep),
            .flag("bias", \.hasLinearBias, default: false),
            .flag("conv_bias", \.hasConvolutionBias, default: true), .fixed("rmsnorm", true),
            .fixed("norm_before_gate", false), .fixed("D_has_hdim", false),
          ]),
        .number("norm_epsilon", \.normEpsilon, default: 1e-5),
        .custom {
          $1.mixerNormEpsilon = 1e-5
        } write: { _ in
          []
        },
        .fixed("rms_norm", true), .written("residual_in_fp32", true),
        .written("fused_add_norm", true), .flag("tie_embeddings", \.tiesEmbeddings, default: true),
      ])
    }

    /// mamba_ssm can put perceptrons and attention between the mixers.
    private static var onlyMixers: ConfigurationForm<Self>.Member {
      .custom { node, _ throws(Refusal) in
        for key in ["d_intermediate", "attn_layer_idx"] {
          guard let value = try node.optionalMember(key), ![0, []].contains(value.value) else {
            continue
          }
          throw value.unsupported(expected: "none: blocks with mixers only")
        }
      } write: { _ in
        [("d_intermediate", 0), ("attn_layer_idx", [])]
      }
    }

    /// mamba_ssm declares the width of the mixer; its heads follow.
    private static var headCount: ConfigurationForm<Self>.Member {
      .custom { node, c throws(Refusal) in
        let inner = (try node.optionalMember("expand")?.integer(in: 1...64) ?? 2) * c.width
        guard inner % c.headWidth == 0 else {
          throw node.refusal(found: "heads of \(c.headWidth)", expected: "a divisor of \(inner)")
        }
        if let scanned = try node.optionalMember("d_ssm"), scanned.value != .integer(Int64(inner)) {
          throw scanned.unsupported(expected: "\(inner), as wide as the mixer")
        }
        c.headCount = inner / c.headWidth
      } write: {
        [("expand", .integer(Int64($0.innerWidth / $0.width)))]
      }
    }

    package func check(_ node: JSONNode) throws(Refusal) {
      guard headCount % groupCount == 0 else {
        throw node.refusal(
          found: "\(counted(headCount, "head")) in \(counted(groupCount, "group"))",
          expected: "groups of equal size")
      }
      guard Self.sizes.contains(innerWidth), Self.sizes.contains(projectionWidth) else {
        throw node.refusal(
          found: "an inner width of \(innerWidth)", expected: "at most \(Self.sizes.upperBound)")
      }
      try node.checkNormEpsilon(normEpsilon)
      try node.checkNormEpsilon(mixerNormEpsilon)
      try node.checkStepLimits(smallestStep, largestStep)
    }
  }

  /// Whether a published `config.json` describes a Mamba-2 model.
  package static func recognises(_ config: JSONNode) -> Bool {
    guard case .object(let object) = config.value else { return false }
    let classes: Set = ["Mamba2ForCausalLM", "Mamba2Model"]
    if isNamed(config, types: ["mamba2"], classes: classes) { return true }
    guard [nil, .null].contains(object["model_type"]) else { return false }
    guard case .object(let ssm)? = object["ssm_cfg"] else { return false }
    return ssm["layer"] == "Mamba2"
  }

  /// Members of mamba_ssm and transformers for training and for their own ways to compute.
  package static let inertKeys: Set = [
    "rescale_prenorm_residual", "residual_in_fp32", "fused_add_norm", "time_step_rank",
    "time_step_min", "time_step_max", "time_step_floor", "chunk_size", "rms_norm",
    "norm_before_gate", "use_mamba_kernels", "ssm_cfg.layer", "ssm_cfg.A_init_range",
    "ssm_cfg.dt_min", "ssm_cfg.dt_max", "ssm_cfg.dt_init_floor", "ssm_cfg.chunk_size",
    "ssm_cfg.conv_init", "ssm_cfg.use_mem_eff_path", "ssm_cfg.sequence_parallel",
  ]

  /// The configuration that a published one means.
  package static func configuration(
    from config: JSONNode?, checkpoint: CheckpointShapes
  ) throws(Refusal) -> Configuration {
    let config = try required(config)
    let isHuggingFace = try config.optionalMember("hidden_size") != nil
    return try Configuration.read(
      config, as: isHuggingFace ? Configuration.huggingFace : Configuration.stateSpaces)
  }

  // MARK: Dialects

  /// The two published namings, which differ by one letter, and that of GGUF files.
  package static let dialects = [
    dialect("huggingface", embedding: "backbone.embeddings.weight"),
    dialect("state-spaces", embedding: "backbone.embedding.weight"), gguf,
  ]

  /// llama.cpp's converter stores the numbers A themselves, and the norm by groups.
  private static let gguf = Dialect(
    name: "gguf", markers: ["token_embd.weight", "blk.0.ssm_norm.weight"],
    source: Dialect.sources(.gguf) { tensor in
      let block = "blk.\(tensor.block)."
      return tensor.name == "norm.weight"
        ? "\(block)attn_norm.weight"
        : ggufSource(tensor.name.dropFirst("mixer.".count), block: block, groups: "n_groups")
    })

  /// llama.cpp's form of a tensor of the mixer, in models with other parts, too.
  ///
  /// - Parameters:
  ///   - name: in the mixer.
  ///   - block: the beginning of the names of the block's tensors, with its dot.
  ///   - groups: the key of the number of groups.
  static func ggufSource(
    _ name: Substring, block: String, groups: String
  ) -> Dialect.Source {
    switch name {
    case "A_log": .init(block + "ssm_a", change: .negativeExponential, form: .ones([1]))
    case "D": .init(block + "ssm_d", form: .ones([1]))
    case "dt_bias": "\(block)ssm_dt.bias"
    case "norm.weight": .init(block + "ssm_norm.weight", form: .rows(groups))
    // conv1d keeps its name; in_proj and out_proj are ssm_in and ssm_out.
    default: "\(block)ssm_\(name.replacing("_proj", with: ""))"
    }
  }

  /// The metadata of GGUF files.
  package static let ggufTables = [
    GGUFTable(
      name: "mamba2",
      fixed: [
        ("model_type", "mamba2"), ("use_bias", false), ("use_conv_bias", true),
        ("time_step_limit", [0.0, ["__float__": "Infinity"]]),
      ],
      rows: GGUFTable.Row.recurrent + [.constant("feed_forward_length", 0)]
        + GGUFTable.Row.sizes(inner: false) + [
          .integer("ssm.state_size", "state_size"), .integer("ssm.time_step_rank", "num_heads"),
          .integer("ssm.group_count", "n_groups"), .integer("ssm.conv_kernel", "conv_kernel"),
          .number("attention.layer_norm_rms_epsilon", "layer_norm_epsilon"),
          .product("ssm.inner_size", "head_dim", times: "num_heads"),
          .product("ssm.inner_size", "expand", times: "hidden_size"), .tied,
        ])
  ]

  private static func dialect(_ name: String, embedding: String) -> Dialect {
    let markers = [embedding, "backbone.layers.0.mixer.dt_bias"]
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

  /// `config.json` of `Mamba2ForCausalLM`, or of mamba_ssm.
  package static func published(
    _ c: Configuration, dialect: String
  ) throws(Refusal) -> JSONObject {
    guard c.innerWidth % c.width == 0 else {
      throw inexpressible(
        "an inner width of \(c.innerWidth)", expected: "a multiple of the width, \(c.width)")
    }
    guard dialect == "state-spaces" else {
      guard c.mixerNormEpsilon == c.normEpsilon else {
        throw inexpressible(
          "a mixer's norm epsilon of \(c.mixerNormEpsilon)",
          expected: "\(c.normEpsilon), as elsewhere")
      }
      return Configuration.huggingFace.json(of: c)
    }
    for epsilon in [c.normEpsilon, c.mixerNormEpsilon] where epsilon != 1e-5 {
      throw inexpressible("a norm epsilon of \(epsilon)", expected: "1e-5")
    }
    return Configuration.stateSpaces.json(of: c)
  }

  // MARK: Model

  /// Blocks of [norm, mixer, add].
  package static func network(_ c: Configuration, _ weights: WeightSource) -> Network {
    let form = Mamba2Mixer.Form(
      width: c.width, heads: c.headCount, headWidth: c.headWidth, groups: c.groupCount,
      stateSize: c.stateSize, kernelWidth: c.kernelWidth, normEpsilon: c.mixerNormEpsilon,
      smallestStep: c.smallestStep, largestStep: c.largestStep, hasLinearBias: c.hasLinearBias,
      hasConvolutionBias: c.hasConvolutionBias)
    return Network(
      c, weights
    ) { index, weights in
      return Block(
        Part(
          name: "mixer", norm: weights.rmsNorm("norm", c.width, epsilon: c.normEpsilon),
          mixer: Mamba2Mixer(form, weights.under("mixer"))))
    }
  }
}
