import SextantBytes
import SextantStore
import SextantTensor

// Nemotron-H: A Family of Accurate and Efficient Hybrid Mamba-Transformer Models (arXiv 2504.03624),
// section 2.1: each block is one part, [RMSNorm, Mamba-2, attention, perceptron or experts, add].
//
// Glossary
//   B  sequences in the batch          T  tokens of each sequence in this run
//   L  blocks                          V  rows of the embedding
//   D  width of the residual stream    F  inner width of the perceptron
//   H  heads, of attention or Mamba-2  G  key and value heads, or groups of Mamba-2
//   W  channels of an attention head   P  channels of a Mamba head
//   N  states per channel              K  kernel width of the convolution
// Rows of a [B·T, …] tensor are ordered by sequence, then by position.

/// Nemotron-H, Nemotron Nano 2 and Nemotron 3, as published in Hugging Face transformers.
///
/// Attention has no positions. `time_step_min` and `time_step_max` describe the random weights
/// before training: only `time_step_limit` limits step sizes.
package enum NemotronH: Architecture {
  /// The name in stores and artifacts.
  package static let name = "nemotron-h"

  // MARK: Configuration

  /// The part that a block is.
  enum Layer: String, LayerKind { case mamba, attention, mlp, experts }

  /// The sizes of a Nemotron-H.
  package struct Configuration: FormedConfiguration, NetworkSizes {
    var layers: [Layer] = []  // L
    var width = 0  // D
    var vocabularySize = 0  // V
    var innerWidth = 0  // F
    var headCount = 0  // H
    var keyHeadCount = 0  // G
    var headWidth = 0  // W
    var mambaHeadCount = 0  // H
    var mambaHeadWidth = 0  // P
    var groupCount = 0  // G
    var stateSize = 0  // N
    var kernelWidth = 0  // K
    var normEpsilon = 0.0
    var smallestStep = 0.0
    var largestStep: Double?
    var activation = Activation.squaredReLU
    var hasLinearBias = false
    var hasConvolutionBias = false
    var hasMLPBias = false
    var tiesEmbeddings = false
    var contextLength = 0
    /// Experts are perceptrons without a gate.
    var experts = Experts.Form()

    var hasExperts: Bool { layers.contains(.experts) }
    var hasPerceptrons: Bool { !hasExperts || layers.contains(.mlp) }
    var mamba: Mamba2Mixer.Form {
      .init(
        width: width, heads: mambaHeadCount, headWidth: mambaHeadWidth, groups: groupCount,
        stateSize: stateSize, kernelWidth: kernelWidth, normEpsilon: normEpsilon,
        smallestStep: smallestStep, largestStep: largestStep, hasLinearBias: hasLinearBias,
        hasConvolutionBias: hasConvolutionBias)
    }

    var expertForm: Experts.Form {
      var form = experts
      (form.width, form.hasGate, form.activation) = (width, false, activation)
      (form.scores, form.epsilon) = (.sigmoid, 1e-20)
      return form
    }

    var attention: Attention.Form {
      .init(width: width, heads: headCount, keyHeads: keyHeadCount, headWidth: headWidth)
    }

    var layerCount: Int { layers.count }

    package init() {}

    package static var canonicalForm: ConfigurationForm<Self> {
      ConfigurationForm([
        .layers(\.layers, in: layerCounts), .integer("d_model", \.width, in: sizes),
        .integer("vocab_size", \.vocabularySize, in: sizes),
        .when(\.hasExperts, .experts(\.experts)),
        .when(\.hasPerceptrons, .integer("d_ff", \.innerWidth, in: sizes)),
        .integer("n_head", \.headCount, in: heads),
        .integer("n_kv_head", \.keyHeadCount, in: heads),
        .integer("head_dim", \.headWidth, in: headWidths),
        .integer("n_mamba_head", \.mambaHeadCount, in: heads),
        .integer("mamba_head_dim", \.mambaHeadWidth, in: heads),
        .integer("n_groups", \.groupCount, in: heads),
        .integer("d_state", \.stateSize, in: states),
        .integer("d_conv", \.kernelWidth, in: kernelWidths),
        .integer("context_length", \.contextLength, in: lengths),
        .number("norm_eps", \.normEpsilon), .number("time_step_min", \.smallestStep),
        .number("time_step_max", \.largestStep), .activation(\.activation),
        .flag("use_bias", \.hasLinearBias), .flag("use_conv_bias", \.hasConvolutionBias),
        .flag("mlp_bias", \.hasMLPBias), .flag("tie_embeddings", \.tiesEmbeddings),
      ])
    }

    /// `config.json` of `NemotronHForCausalLM`; absent keys have transformers' defaults.
    static var huggingFace: ConfigurationForm<Self> {
      ConfigurationForm([
        .written("architectures", ["NemotronHForCausalLM"]), .written("model_type", "nemotron_h"),
        .integer("hidden_size", \.width, in: sizes), layerTypes,
        .integer("vocab_size", \.vocabularySize, in: sizes),
        .when(
          \.hasPerceptrons,
          .integer("intermediate_size", \.innerWidth, in: sizes) { _ in 21_504 }),
        .when(\.hasExperts, publishedExperts),
        .integer("num_attention_heads", \.headCount, in: heads) { _ in 32 },
        .integer("num_key_value_heads", \.keyHeadCount, in: heads) { _ in 8 },
        .spelled("head_dim", or: "attention_head_dim") {
          .integer($0, \.headWidth, in: headWidths) { _ in 128 }
        },
        .integer("mamba_num_heads", \.mambaHeadCount, in: heads) { _ in 128 },
        .integer("mamba_head_dim", \.mambaHeadWidth, in: heads) { _ in 64 },
        .spelled("n_groups", or: "mamba_n_groups") {
          .integer($0, \.groupCount, in: heads) { _ in 8 }
        },
        .integer("ssm_state_size", \.stateSize, in: states) { _ in 128 },
        .spelled("conv_kernel", or: "mamba_d_conv") {
          .integer($0, \.kernelWidth, in: kernelWidths) { _ in 4 }
        },
        .integer("max_position_embeddings", \.contextLength, in: lengths) { _ in 4096 },
        .number("layer_norm_epsilon", \.normEpsilon, default: 1e-5),
        .spelled("time_step_limit", or: "mamba_dt_limit") {
          .stepLimits($0, \.smallestStep, \.largestStep)
        },
        // transformers 5 takes it for a limit, too: so small that it limits nothing.
        .written("time_step_min", 1e-9), .onlySiLU("mamba_hidden_act"),
        .publishedActivation(\.activation, usual: .squaredReLU, key: "mlp_hidden_act"),
        .flag("use_bias", \.hasLinearBias, default: false),
        .spelled("use_conv_bias", or: "mamba_conv_bias") {
          .flag($0, \.hasConvolutionBias, default: true)
        },
        .flag("mlp_bias", \.hasMLPBias, default: false), .fixed("attention_bias", false),
        .fixed("mamba_proj_bias", false),
        .flag("tie_word_embeddings", \.tiesEmbeddings, default: false),
      ])
    }

    private static var publishedExperts: ConfigurationForm<Self>.Member {
      let counts = Experts.Form.counts
      return .group([
        .integer("n_routed_experts", \.experts.count, in: counts) { _ in 8 },
        .integer("num_experts_per_tok", \.experts.chosen, in: counts) { _ in 2 },
        .integer("moe_intermediate_size", \.experts.innerWidth, in: sizes) { _ in 7688 },
        .expected("n_shared_experts", 1), .written("n_shared_experts", 1),
        .integer(
          "moe_shared_expert_intermediate_size", \.experts.sharedWidth, in: sizes, usual: 7688),
        .integer("moe_latent_size", \.experts.latentWidth, in: sizes),
        .integer("n_group", \.experts.groups, in: counts) { _ in 1 },
        .integer("topk_group", \.experts.chosenGroups, in: counts) { _ in 1 },
        .flag("norm_topk_prob", \.experts.normalises, default: true),
        .number("routed_scaling_factor", \.experts.scale, default: 1),
        .custom { _, c in
          c.experts.hasChoiceBias = true
        } write: { _ in
          []
        },
      ])
    }

    /// The kinds of blocks: by name, or in older files one letter for each block.
    private static var layerTypes: ConfigurationForm<Self>.Member {
      let letters: [(letter: String, word: String, layer: Layer)] = [
        ("M", "mamba", .mamba), ("*", "attention", .attention), ("-", "mlp", .mlp),
        ("E", "moe", .experts),
      ]
      var words = Dictionary(uniqueKeysWithValues: letters.map { ($0.word, $0.layer) })
      // As transformers 5 names them.
      words["linear_attention"] = .mamba
      words["full_attention"] = .attention
      let (pattern, types) = ("hybrid_override_pattern", "layers_block_type")
      return .custom { [words] node, c throws(Refusal) in
        var named = try node.optionalMember(types)
        if named == nil { named = try node.optionalMember("layer_types") }
        if let named { c.layers = try named.kinds(words) }
        if let pattern = try node.optionalMember(pattern) {
          var layers: [Layer] = []
          for letter in try pattern.string() {
            guard let known = letters.first(where: { $0.letter == String(letter) }) else {
              throw pattern.unsupported(
                found: "a block of kind \"\(letter)\"",
                expected: "M (Mamba-2), * (attention), - (perceptron) and E (experts)")
            }
            layers.append(known.layer)
          }
          guard named == nil || layers == c.layers else {
            throw pattern.refusal(expected: "the blocks of \(types)")
          }
          c.layers = layers
        } else if named == nil {
          _ = try node.member(types)
        }
        guard layerCounts.contains(c.layers.count) else {
          throw node.unsupported(
            found: "\(c.layers.count) blocks", expected: "1 to \(layerCounts.upperBound)")
        }
        if let count = try node.optionalMember("num_hidden_layers"),
          count.value != .integer(Int64(c.layers.count))
        {
          throw count.refusal(expected: "\(c.layers.count), the number of kinds of blocks")
        }
      } write: { c in
        let used = c.layers.map { layer in letters.first { $0.layer == layer } }
        return [
          ("num_hidden_layers", .integer(Int64(c.layers.count))),
          (pattern, .string(used.map { $0?.letter ?? "" }.joined())),
          (types, .array(used.map { .string($0?.word ?? "") })),
        ]
      }
    }

    package func check(_ node: JSONNode) throws(Refusal) {
      if layers.contains(.attention) {
        try node.checkHeads(headCount, sharing: keyHeadCount, width: headWidth)
      }
      if layers.contains(.mamba) {
        guard mambaHeadCount % groupCount == 0 else {
          throw node.refusal(
            found: "\(counted(mambaHeadCount, "head")) in \(counted(groupCount, "group"))",
            expected: "groups of equal size")
        }
        guard Self.sizes.contains(mamba.projectionWidth) else {
          throw node.refusal(
            found: "an inner width of \(mamba.innerWidth)",
            expected: "at most \(Self.sizes.upperBound)")
        }
      }
      if hasExperts {
        try experts.check(node, scores: .sigmoid)
        guard !hasMLPBias else {
          throw node.unsupported(
            found: "perceptrons with biases in a model with experts", expected: "none")
        }
      }
      try node.checkNormEpsilon(normEpsilon)
      try node.checkStepLimits(smallestStep, largestStep)
    }
  }

  /// Whether a published `config.json` describes a Nemotron-H.
  package static func recognises(_ config: JSONNode) -> Bool {
    isNamed(
      config, types: ["nemotron_h"], classes: ["NemotronHForCausalLM", "NemotronHModel"])
  }

  /// Members for training and for ways to compute, sizes of parts that no block is, and members that
  /// the published code does not use.
  package static let inertKeys: Set = [
    "rescale_prenorm_residual", "residual_in_fp32", "chunk_size", "mamba_chunk_size", "expand",
    "mamba_expand", "time_step_min", "time_step_max", "time_step_floor", "mamba_dt_min",
    "mamba_dt_max", "mamba_dt_init_floor", "mamba_ssm_cache_dtype", "use_mamba_kernels",
    "num_logits_to_keep", "num_nextn_predict_layers", "mtp_layers_block_type",
    "mtp_hybrid_override_pattern", "output_router_logits", "n_routed_experts", "n_shared_experts",
    "num_experts_per_tok", "moe_intermediate_size", "moe_shared_expert_intermediate_size",
    "moe_latent_size", "moe_shared_expert_overlap", "routed_scaling_factor", "n_group",
    "topk_group", "norm_topk_prob", "rope_theta", "rope_parameters", "partial_rotary_factor",
    "sliding_window", "intermediate_size", "router_aux_loss_coef",
  ]

  /// The configuration that a published one means.
  package static func configuration(
    from config: JSONNode?, checkpoint: CheckpointShapes
  ) throws(Refusal) -> Configuration {
    try Configuration.read(required(config), as: Configuration.huggingFace)
  }

  // MARK: Dialects

  /// The published naming, and that of GGUF files.
  package static let dialects = [
    Dialect(
      name: "huggingface", base: "backbone.",
      // As the modules of transformers 5 are called.
      wrappedBases: ["model."],
      // The predictor of further tokens.
      otherParts: ["mtp."],
      markers: ["backbone.embeddings.weight"],
      either: ["up_proj", "experts.0.up_proj"].map { "backbone.layers.*.mixer.\($0).weight" },
      source: Dialect.sources(
        .init(
          embedding: "backbone.embeddings.weight", finalNorm: "backbone.norm_f.weight",
          head: "lm_head.weight")
      ) { tensor in
        expertSource(tensor)
          ?? .init(
            "backbone.layers.\(tensor.block).\(tensor.name)",
            form: tensor.name.hasSuffix("conv1d.weight") ? .ones([1]) : .plain)
      }), gguf,
  ]

  /// transformers' form of a tensor of experts; nil for others.
  private static func expertSource(_ tensor: Dialect.BlockTensor) -> Dialect.Source? {
    guard let name = tensor.expertName(in: "mixer") else { return nil }
    let module = "backbone.layers.\(tensor.block).mixer."
    switch name {
    case "router.weight": return "\(module)gate.weight"
    case "router.bias": return "\(module)gate.e_score_correction_bias"
    case "latent_in.weight": return "\(module)fc1_latent_proj.weight"
    case "latent_out.weight": return "\(module)fc2_latent_proj.weight"
    case _ where name.hasPrefix("experts."):
      return .init(.numbered("\(module)experts.*.\(name.dropFirst("experts.".count))"))
    default: return "\(module)\(name.replacing("shared.", with: "shared_experts."))"
    }
  }

  /// As llama.cpp's converter stores Mamba-2 and Llama: the numbers A themselves, the norm by groups,
  /// and rows of queries and keys as if they were rotated.
  private static let gguf = Dialect(
    name: "gguf",
    markers: ["token_embd.weight", "blk.*.ssm_norm.weight"],
    either: ["blk.*.ffn_up.weight", "blk.*.ffn_up_exps.weight"],
    absent: ["blk.*.ffn_gate.weight", "blk.*.ffn_gate_exps.weight"],
    source: Dialect.sources(.gguf) { tensor in
      let block = "blk.\(tensor.block)."
      if let expert = tensor.ggufExpert(in: "mixer") { return "\(expert)" }
      guard tensor.name != "norm.weight" else { return "\(block)attn_norm.weight" }
      let name = tensor.name.dropFirst("mixer.".count)
      if let stored = ggufModules[tensor.module] {
        let isTurned = name == "q_proj.weight" || name == "k_proj.weight"
        return .init(
          "\(block)\(stored).\(tensor.last)",
          change: isTurned ? .pairedRows(headWidth: "head_dim") : nil)
      }
      return Mamba2.ggufSource(name, block: block, groups: "n_groups")
    })

  private static let ggufModules = [
    "mixer.q_proj": "attn_q", "mixer.k_proj": "attn_k", "mixer.v_proj": "attn_v",
    "mixer.o_proj": "attn_output", "mixer.up_proj": "ffn_up", "mixer.down_proj": "ffn_down",
  ]

  /// The metadata of GGUF files.
  package static let ggufTables = [
    GGUFTable(
      name: "nemotron_h", fixed: fixed,
      rows: [.expected("expert_count", 0)]
        + ggufRows(perceptrons: ("feed_forward_length", "intermediate_size", kind: "mlp"))),
    GGUFTable(
      name: "nemotron_h_moe", hasExperts: true, fixed: fixed + [("n_shared_experts", 1)],
      rows: [
        .expected("expert_shared_count", 1), .constant("expert_shared_count", 1),
        .expected("nextn_predict_layers", 0),
      ] + GGUFTable.Row.experts(count: "n_routed_experts", innerWidth: "moe_intermediate_size") + [
        .integer("expert_shared_feed_forward_length", "moe_shared_expert_intermediate_size"),
        .integer("expert_group_count", "n_group", ifAbsent: .usual),
        .integer("expert_group_used_count", "topk_group", ifAbsent: .usual),
        .integer("moe_latent_size", "moe_latent_size", ifAbsent: .usual),
        .flag("expert_weights_norm", "norm_topk_prob"),
        .number("expert_weights_scale", "routed_scaling_factor"),
      ] + ggufRows(perceptrons: ("feed_forward_length", "moe_intermediate_size", kind: "moe"))),
  ]

  private static let fixed: [(member: String, value: JSONValue)] = [
    ("model_type", "nemotron_h"), ("mlp_hidden_act", "relu2"), ("use_bias", false),
    ("mlp_bias", false), ("use_conv_bias", true),
    ("time_step_limit", [0.0, ["__float__": "Infinity"]]),
  ]

  /// - Parameter perceptrons: what marks blocks with a perceptron, or those with experts: one model of
  ///   llama.cpp has one of them.
  private static func ggufRows(
    perceptrons: (key: String, member: String, kind: String)
  ) -> [GGUFTable.Row] {
    [.length, .constant("rope.scaling.finetuned", false)] + GGUFTable.Row.sizes(inner: false) + [
      .integer("attention.head_count", "num_attention_heads"),
      .kinds(
        .init(
          "layers_block_type",
          marks: [
            ("attention.head_count_kv", "num_key_value_heads", kind: "attention"), perceptrons,
          ], rest: "mamba")),
      .integer("attention.key_length", "head_dim"),
      .integer("attention.value_length", "head_dim"),
      .integer("ssm.conv_kernel", "conv_kernel"),
      .integer("ssm.state_size", "ssm_state_size"), .integer("ssm.group_count", "n_groups"),
      .integer("ssm.time_step_rank", "mamba_num_heads"),
      .product("ssm.inner_size", "mamba_head_dim", times: "mamba_num_heads"),
      // llama.cpp's converter writes the second one, and the first one if the configuration also has
      // `rms_norm_eps`.
      .number(
        "attention.layer_norm_rms_epsilon", "layer_norm_epsilon",
        also: "attention.layer_norm_epsilon"), .tied,
    ]
  }

  /// `config.json` of `NemotronHForCausalLM`.
  package static func published(
    _ c: Configuration, dialect: String
  ) throws(Refusal) -> JSONObject {
    Configuration.huggingFace.json(of: c)
  }

  // MARK: Model

  /// Blocks of [norm, Mamba-2, attention, perceptron or experts, add].
  package static func network(_ c: Configuration, _ weights: WeightSource) -> Network {
    return Network(
      c, weights, contextLength: c.contextLength
    ) { index, weights in
      let layer = c.layers[index]
      let norm = weights.rmsNorm("norm", c.width, epsilon: c.normEpsilon)
      return Block(part(layer, norm, c, weights.under("mixer")))
    }
  }

  /// The only part of a block.
  private static func part(
    _ layer: Layer, _ norm: Norm, _ c: Configuration, _ weights: WeightSource
  ) -> Part {
    switch layer {
    case .mamba: Part(name: "mixer", norm: norm, mixer: Mamba2Mixer(c.mamba, weights))
    case .attention:
      Part(
        name: "attention", norm: norm,
        mixer: Attention(
          c.attention, weights, names: ("q_proj", "k_proj", "v_proj", "o_proj")))
    case .mlp:
      Part(
        name: "mlp", norm: norm,
        mixer: Perceptron(
          weights, names: (up: "up_proj", gate: nil, down: "down_proj"), width: c.width,
          innerWidth: c.innerWidth, c.activation, hasBias: c.hasMLPBias))
    case .experts:
      Part(name: "mlp", norm: norm, mixer: Experts(c.expertForm, weights))
    }
  }
}
