import SextantBytes
import SextantStore
import SextantTensor

// Granite 3 (a transformer) and Granite 4.0 (Mamba-2 mixers and attention), by IBM, as transformers
// computes them: blocks of [RMSNorm, Mamba-2 mixer or attention, add, RMSNorm, gated perceptron or
// experts, add], with the multipliers of the maximal update parametrisation (muP, arXiv 2203.03466).
//
// Glossary
//   B  sequences in the batch          T  tokens of each sequence in this run
//   L  blocks                          V  rows of the embedding
//   D  width of the residual stream    F  inner width of the perceptron
//   H  query heads                     G  key and value heads
//   W  channels of a head (usually D / H)
// The letters of the Mamba-2 mixer are explained in its own file.

/// Granite 3 and 4.0, dense or with experts.
///
/// Three of the multipliers are factors: of the embedding's rows, of what a part adds to the stream,
/// and of the scores of attention, in place of W^(-1/2). The logits are divided by the fourth one.
package enum Granite: Architecture {
  /// The name in stores and artifacts.
  package static let name = "granite"

  // MARK: Configuration

  /// The first part of a block.
  enum Kind: String, LayerKind {
    case mamba, attention
  }

  /// The sizes and multipliers of a Granite.
  package struct Configuration: FormedConfiguration, NetworkSizes {
    var width = 0  // D
    var kinds: [Kind] = []  // L
    var vocabularySize = 0  // V
    var innerWidth = 0  // F
    var headCount = 0  // H
    var keyHeadCount = 0  // G
    var headWidth = 0  // W
    var contextLength = 0
    var normEpsilon = 0.0
    /// A width of 0 if heads do not turn.
    var rotary = RotaryEmbedding()
    var mamba = Mamba2Sizes()
    var embeddingMultiplier = 1.0
    var residualMultiplier = 1.0
    var attentionMultiplier = 1.0
    var logitsScaling = 1.0
    var tiesEmbeddings = false
    /// All blocks have experts, or none: empty if none has.
    var feedForward: [FeedForward] = []
    var experts = Experts.Form()

    var hasExperts: Bool { !feedForward.isEmpty }
    var isDense: Bool { feedForward.isEmpty }
    var layerCount: Int { kinds.count }
    var hasMamba: Bool { kinds.contains(.mamba) }
    var isRotated: Bool { rotary.width > 0 }

    package init() {}

    package static var canonicalForm: ConfigurationForm<Self> {
      ConfigurationForm([
        .integer("d_model", \.width, in: sizes), .layers(\.kinds, in: layerCounts),
        .integer("vocab_size", \.vocabularySize, in: sizes),
        .experts(\.experts, in: \.feedForward, counts: layerCounts),
        .when(\.isDense, .integer("d_ff", \.innerWidth, in: sizes)),
        .integer("n_head", \.headCount, in: heads),
        .integer("n_kv_head", \.keyHeadCount, in: heads),
        .integer("head_dim", \.headWidth, in: headWidths),
        .integer("context_length", \.contextLength, in: lengths),
        .number("norm_eps", \.normEpsilon), .flag("tie_embeddings", \.tiesEmbeddings),
        .rotary(\.rotary), .when(\.hasMamba, .mamba2(\.mamba)), multipliers,
      ])
    }

    /// `config.json` of `GraniteMoeHybridForCausalLM`; absent keys have transformers' defaults.
    static var hybrid: ConfigurationForm<Self> {
      ConfigurationForm([
        .written("architectures", ["GraniteMoeHybridForCausalLM"]),
        .written("model_type", "granitemoehybrid"), shared, publishedKinds,
        publishedExperts(sharedWidth: 1024, areOptional: true),
        .when(
          \.isDense,
          .integer("shared_intermediate_size", \.innerWidth, in: sizes) { _ in 1024 }), position,
        .fixed("normalization_function", "rmsnorm"),
        .when(
          \.hasMamba,
          .publishedMamba2(\.mamba) { node, c throws(Refusal) in
            (try node.optionalMember("mamba_expand")?.integer(in: 1...64) ?? 2) * c.width
          }),
        .custom {
          _, _ in
        } write: { c in
          // transformers compares these numbers even if no block has a Mamba mixer.
          c.hasMamba
            ? [("mamba_expand", .integer(Int64(c.mamba.innerWidth / c.width)))]
            : [("mamba_n_heads", 1)]
        },
      ])
    }

    /// `config.json` of `GraniteMoeForCausalLM`, or of `GraniteMoeSharedForCausalLM`, which differs in
    /// the default of the shared expert's width.
    static func transformerWithExperts(sharedWidth: Int) -> ConfigurationForm<Self> {
      ConfigurationForm([
        .written("architectures", ["GraniteMoeForCausalLM"]),
        .written("model_type", "granitemoe"), shared, attentionBlocks,
        publishedExperts(sharedWidth: sharedWidth, areOptional: false),
      ])
    }

    /// `config.json` of `GraniteForCausalLM`.
    static var transformer: ConfigurationForm<Self> {
      ConfigurationForm([
        .written("architectures", ["GraniteForCausalLM"]), .written("model_type", "granite"),
        .integer("intermediate_size", \.innerWidth, in: sizes), .fixed("mlp_bias", false),
        shared, attentionBlocks,
      ])
    }

    /// Blocks with attention that turns heads.
    private static var attentionBlocks: ConfigurationForm<Self>.Member {
      .group([
        .custom { node, c throws(Refusal) in
          let count = try node.member("num_hidden_layers").integer(supported: layerCounts)
          c.kinds = Array(repeating: .attention, count: count)
        } write: { c in
          [("num_hidden_layers", .integer(Int64(c.kinds.count)))]
        }, rotation,
      ])
    }

    private static var multipliers: ConfigurationForm<Self>.Member {
      .group([
        .multiplier("embedding_multiplier", \.embeddingMultiplier),
        .multiplier("residual_multiplier", \.residualMultiplier),
        .multiplier("attention_multiplier", \.attentionMultiplier),
        .multiplier("logits_scaling", \.logitsScaling),
      ])
    }

    /// The members of all published forms.
    private static var shared: ConfigurationForm<Self>.Member {
      .group([
        .integer("hidden_size", \.width, in: sizes),
        .integer("vocab_size", \.vocabularySize, in: sizes),
        .integer("num_attention_heads", \.headCount, in: heads),
        .integer("num_key_value_heads", \.keyHeadCount, in: heads) { $0.headCount },
        .headWidth(\.headWidth, of: \.width, among: \.headCount, in: headWidths),
        .integer("max_position_embeddings", \.contextLength, in: lengths) { _ in 2048 },
        .onlySiLU, .number("rms_norm_eps", \.normEpsilon, default: 1e-6),
        .flag("tie_word_embeddings", \.tiesEmbeddings, default: false),
        .fixed("attention_bias", false), multipliers,
      ])
    }

    /// The experts of all blocks. In a dense model, the expert that all tokens share is the perceptron.
    ///
    /// - Parameters:
    ///   - sharedWidth: that of this expert if the configuration has none; 0 is none.
    ///   - areOptional: whether a model with 0 experts is a dense one.
    private static func publishedExperts(
      sharedWidth: Int, areOptional: Bool
    ) -> ConfigurationForm<Self>.Member {
      let (countKey, sharedKey) = ("num_local_experts", "shared_intermediate_size")
      let chosen = ConfigurationForm<Self>.Member.group([
        .integer("num_experts_per_tok", \.experts.chosen, in: Experts.Form.counts) { _ in 2 },
        .integer("intermediate_size", \.experts.innerWidth, in: sizes) { _ in 11_008 },
      ])
      return .custom { node, c throws(Refusal) in
        let counts = (areOptional ? 0 : 1)...Experts.Form.counts.upperBound
        let count = try node.optionalMember(countKey)?.integer(supported: counts) ?? 8
        guard count > 0 else { return }
        c.feedForward = c.kinds.map { _ in .experts }
        c.experts.count = count
        try chosen.read(node, &c)
        let shared =
          try node.optionalMember(sharedKey)?.integer(supported: 0...sizes.upperBound)
          ?? sharedWidth
        c.experts.sharedWidth = shared > 0 ? shared : nil
      } write: { c in
        guard c.hasExperts else { return [(countKey, 0), ("num_experts_per_tok", 0)] }
        return [
          (countKey, .integer(Int64(c.experts.count))),
          (sharedKey, .integer(Int64(c.experts.sharedWidth ?? 0))),
        ] + chosen.write(c)
      }
    }

    private static var publishedKinds: ConfigurationForm<Self>.Member {
      .custom { node, c throws(Refusal) in
        let count = try node.member("num_hidden_layers").integer(supported: layerCounts)
        var member = try node.optionalMember("layer_types")
        if member == nil { member = try node.optionalMember("layers_block_type") }
        let words: [String: Kind] = [
          "mamba": .mamba, "attention": .attention, "linear_attention": .mamba,
          "full_attention": .attention,
        ]
        c.kinds = try member?.kinds(words, of: count) ?? Array(repeating: .mamba, count: count)
      } write: {
        [
          ("num_hidden_layers", .integer(Int64($0.kinds.count))),
          ("layer_types", .array($0.kinds.map { .string($0.rawValue) })),
        ]
      }
    }

    /// Whether heads turn, and how. The models with Mamba mixers have no positions.
    private static var position: ConfigurationForm<Self>.Member {
      .custom { node, c throws(Refusal) in
        let kind = try node.optionalMember("position_embedding_type")
        if let kind, try kind.string() == "rope" { return try rotation.read(node, &c) }
        guard kind == nil || kind?.value == "nope" else {
          throw kind?.unsupported(expected: "rope or nope")
            ?? node.refusal(expected: "rope or nope")
        }
        for key in ["rope_theta", "rope_scaling", "rope_parameters"] { try node.noteAll(of: key) }
      } write: { c in
        c.isRotated
          ? [("position_embedding_type", "rope")] + rotation.write(c)
          : [("position_embedding_type", "nope")]
      }
    }

    private static var rotation: ConfigurationForm<Self>.Member {
      .publishedRotary(\.rotary, headWidth: \.headWidth, contextLength: \.contextLength)
    }

    package func check(_ node: JSONNode) throws(Refusal) {
      try node.checkHeads(headCount, sharing: keyHeadCount, width: headWidth)
      try node.checkNormEpsilon(normEpsilon)
      if isRotated { try node.check(rotary, ofHead: headWidth) }
      if hasMamba { try mamba.check(node) }
      guard !feedForward.contains(.mlp) else {
        throw node.unsupported(
          found: "blocks with and without experts", expected: "experts in all blocks, or in none")
      }
      try node.check(experts, in: feedForward, of: kinds.count)
    }
  }

  /// Whether a published `config.json` describes a Granite 3 or 4.0.
  package static func recognises(_ config: JSONNode) -> Bool {
    isTransformer(config) || isTransformerWithExperts(config)
      || isNamed(
        config, types: ["granitemoehybrid"],
        classes: ["GraniteMoeHybridForCausalLM", "GraniteMoeHybridModel"])
  }

  private static func isTransformerWithExperts(_ config: JSONNode) -> Bool {
    isNamed(
      config, types: ["granitemoe", "granitemoeshared"],
      classes: [
        "GraniteMoeForCausalLM", "GraniteMoeModel", "GraniteMoeSharedForCausalLM",
        "GraniteMoeSharedModel",
      ])
  }

  private static func isTransformer(_ config: JSONNode) -> Bool {
    isNamed(config, types: ["granite"], classes: ["GraniteForCausalLM", "GraniteModel"])
  }

  /// Members for training, and those of experts and Mamba mixers in models without them.
  package static let inertKeys: Set = [
    "intermediate_size", "num_experts_per_tok", "output_router_logits", "router_aux_loss_coef",
    "init_method", "mamba_chunk_size", "mamba_expand", "mamba_n_heads", "mamba_d_head",
    "mamba_d_state", "mamba_n_groups", "mamba_d_conv", "mamba_conv_bias", "mamba_proj_bias",
    "time_step_limit",
  ]

  /// The configuration that a published one means.
  package static func configuration(
    from config: JSONNode?, checkpoint: CheckpointShapes
  ) throws(Refusal) -> Configuration {
    let config = try required(config)
    if isTransformerWithExperts(config) {
      let isShared = isNamed(
        config, types: ["granitemoeshared"],
        classes: ["GraniteMoeSharedForCausalLM", "GraniteMoeSharedModel"])
      return try Configuration.read(
        config, as: Configuration.transformerWithExperts(sharedWidth: isShared ? 1024 : 0))
    }
    return try Configuration.read(
      config, as: isTransformer(config) ? Configuration.transformer : Configuration.hybrid)
  }

  // MARK: Dialects

  /// The naming of Granite 4.0, that of Granite 3, which is Llama's, and that of GGUF files.
  package static let dialects = [
    dialect(
      "huggingface",
      markers: ["model.embed_tokens.weight"],
      either: ["shared_mlp", "block_sparse_moe"].map {
        "model.layers.*.\($0).input_linear.weight"
      }
    ) { tensor in
      let layer = "model.layers.\(tensor.block)."
      let (shared, experts) = (layer + "shared_mlp", layer + "block_sparse_moe")
      func input(
        of module: String, _ part: String, _ groups: Dialect.Source.Groups
      ) -> Dialect.Source {
        tensor.share(
          of: "\(module).input_linear.weight", ["gate", "up"].map { "\(part).\($0)_proj.weight" },
          groups)
      }
      return switch tensor.name {
      case "mlp.gate_proj.weight", "mlp.up_proj.weight": input(of: shared, "mlp", .one)
      case "mlp.shared.gate_proj.weight", "mlp.shared.up_proj.weight":
        input(of: shared, "mlp.shared", .one)
      case "mlp.down_proj.weight", "mlp.shared.down_proj.weight":
        "\(shared).output_linear.weight"
      case "mlp.experts.gate_proj.weight", "mlp.experts.up_proj.weight":
        input(of: experts, "mlp.experts", .firstAxis)
      case "mlp.experts.down_proj.weight": "\(experts).output_linear.weight"
      case "mlp.router.weight": "\(experts).router.layer.weight"
      default:
        .init(
          layer + tensor.name, form: tensor.name == "mamba.conv1d.weight" ? .ones([1]) : .plain)
      }
    },
    dialect(
      "granite", markers: ["model.embed_tokens.weight", "model.layers.0.mlp.gate_proj.weight"]
    ) { "model.layers.\($0.block).\($0.name)" },
    gguf,
  ]

  private static func dialect(
    _ name: String, markers: [String], either: [String] = [],
    _ source: @escaping @Sendable (Dialect.BlockTensor) -> Dialect.Source
  ) -> Dialect {
    Dialect(
      name: name, base: "model.", markers: markers, either: either,
      source: Dialect.sources(.huggingFace, inBlocks: source))
  }

  /// llama.cpp's converter makes rows of the halves of heads neighbours, as it does for Llama, even
  /// if heads do not turn.
  private static let gguf = Dialect(
    name: "gguf", markers: ["token_embd.weight"],
    either: ["blk.0.ffn_gate.weight", "blk.0.ffn_gate_exps.weight"],
    ignores: Llama.isRotationTable,
    source: Dialect.sources(.gguf) { tensor in
      if let expert = tensor.ggufExpert(in: "mlp") { return "\(expert)" }
      guard tensor.name.hasPrefix("mamba.") else {
        return .init(
          tensor.gguf(Llama.ggufModules), change: Llama.pairedRows(tensor.module))
      }
      return Mamba2.ggufSource(
        tensor.name.dropFirst("mamba.".count), block: "blk.\(tensor.block).",
        groups: "mamba_n_groups")
    })

  /// The metadata of GGUF files. Models without Mamba mixers have another name there.
  package static let ggufTables = [false, true].flatMap { hasExperts in
    [
      GGUFTable(
        name: hasExperts ? "granitemoe" : "granite", hasExperts: hasExperts,
        fixed: fixed(hasExperts),
        rows: sizes(hasExperts) + [
          .integer(
            "attention.head_count_kv", "num_key_value_heads",
            ifAbsent: .member("num_attention_heads")),
          .kinds(.init("layer_types", rest: "attention")),
        ] + attention),
      GGUFTable(
        name: "granitehybrid", hasExperts: hasExperts,
        fixed: fixed(hasExperts) + [("mamba_conv_bias", true)],
        rows: sizes(hasExperts) + [
          .kinds(
            .init(
              "layer_types",
              marks: [("attention.head_count_kv", "num_key_value_heads", kind: "attention")],
              rest: "mamba"))
        ] + GGUFTable.Row.mamba2
          + [.product("ssm.inner_size", "mamba_expand", times: "hidden_size")] + attention),
    ]
  }

  private static func fixed(_ hasExperts: Bool) -> [(member: String, value: JSONValue)] {
    [("model_type", "granitemoehybrid"), ("hidden_act", "silu")]
      + (hasExperts ? [] : [("num_local_experts", 0)])
  }

  /// The inner width of a perceptron has the names of that of the shared expert.
  private static func sizes(_ hasExperts: Bool) -> [GGUFTable.Row] {
    let (inner, shared) = ("feed_forward_length", "expert_shared_feed_forward_length")
    let feedForward: [GGUFTable.Row] =
      hasExperts
      ? [
        .integer("expert_count", "num_local_experts"),
        .integer("expert_used_count", "num_experts_per_tok"),
        .integer(inner, "intermediate_size"),
        .integer(shared, "shared_intermediate_size", ifAbsent: .zero),
      ]
      : [
        .expected("expert_count", 0), .expected("expert_used_count", 0),
        .integer(inner, "shared_intermediate_size"),
        .integer(shared, "shared_intermediate_size", ifAbsent: .usual),
      ]
    return [.length] + GGUFTable.Row.sizes(inner: false) + feedForward + [
      .integer("attention.head_count", "num_attention_heads")
    ]
  }

  private static let attention: [GGUFTable.Row] = [
    .number("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
    .choice(
      "rope.scaling.finetuned", "position_embedding_type",
      [(stored: true, published: "rope"), (stored: false, published: "nope")]),
    .rotation(.init(headWidth: "head_dim")),
    .number("embedding_scale", "embedding_multiplier"),
    .number("residual_scale", "residual_multiplier"),
    .number("attention.scale", "attention_multiplier"), .number("logit_scale", "logits_scaling"),
    .tied,
  ]

  /// `config.json` of `GraniteMoeHybridForCausalLM`, `GraniteForCausalLM` or `GraniteMoeForCausalLM`.
  package static func published(
    _ c: Configuration, dialect: String
  ) throws(Refusal) -> JSONObject {
    // transformers has the hybrid only with a shared expert.
    if dialect == "huggingface", c.hasExperts, c.experts.sharedWidth == nil {
      guard !c.hasMamba, c.isRotated else {
        throw inexpressible(
          "experts without a shared one in a hybrid", expected: "a shared expert in each block")
      }
      return Configuration.transformerWithExperts(sharedWidth: 0).json(of: c)
    }
    guard dialect == "granite" else {
      guard !c.hasMamba || c.mamba.innerWidth % c.width == 0 else {
        throw inexpressible(
          "a Mamba mixer with an inner width of \(c.mamba.innerWidth)",
          expected: "a multiple of the width, \(c.width)")
      }
      return Configuration.hybrid.json(of: c)
    }
    guard !c.hasMamba, c.isRotated, c.isDense else {
      throw inexpressible(
        c.hasMamba
          ? "blocks with Mamba mixers"
          : c.isDense ? "attention without positions" : "blocks with experts",
        expected: "a Granite 3: attention with rotary position embedding")
    }
    return Configuration.transformer.json(of: c)
  }

  // MARK: Model

  /// Blocks of [norm, Mamba-2 mixer or attention, add, norm, gated perceptron or experts, add].
  package static func network(_ c: Configuration, _ weights: WeightSource) -> Network {
    let mamba = c.mamba.form(width: c.width, normEpsilon: c.normEpsilon)
    let attention = Attention.Form(
      width: c.width, heads: c.headCount, keyHeads: c.keyHeadCount, headWidth: c.headWidth,
      scale: Float(c.attentionMultiplier), rotation: c.isRotated ? 0 : nil)
    var experts = c.experts
    experts.width = c.width
    let scale = Float(c.residualMultiplier)
    return Network(
      c, weights, embeddingScale: Float(c.embeddingMultiplier),
      rotations: c.isRotated ? [c.rotary] : [], contextLength: c.contextLength,
      logitScale: Float(1 / c.logitsScaling)
    ) { index, weights in
      let kind = c.kinds[index]
      let norm = weights.rmsNorm("input_layernorm", c.width, epsilon: c.normEpsilon)
      let first =
        switch kind {
        case .mamba:
          Part(
            name: "mixer", norm: norm, mixer: Mamba2Mixer(mamba, weights.under("mamba")),
            scale: scale)
        case .attention:
          Part(
            name: "attention", norm: norm,
            mixer: Attention(
              attention, weights.under("self_attn"),
              names: ("q_proj", "k_proj", "v_proj", "o_proj")),
            scale: scale)
        }
      let mlpNorm = weights.rmsNorm("post_attention_layernorm", c.width, epsilon: c.normEpsilon)
      let mlp: any Mixer =
        c.hasExperts
        ? Experts(experts, weights.under("mlp"))
        : Perceptron(
          weights.under("mlp"), names: (up: "up_proj", gate: "gate_proj", down: "down_proj"),
          width: c.width, innerWidth: c.innerWidth, .silu, hasBias: false)
      return Block(first, Part(name: "mlp", norm: mlpNorm, mixer: mlp, scale: scale))
    }
  }
}
