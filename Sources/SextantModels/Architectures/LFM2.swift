import SextantBytes
import SextantStore
import SextantTensor

// LFM2 Technical Report (arXiv 2511.23404), section 2.1: blocks of [RMSNorm, short convolution or
// attention, add, RMSNorm, gated perceptron or experts, add]. Queries and keys are normed by heads.
//
// Glossary
//   B  sequences in the batch          T  tokens of each sequence in this run
//   L  blocks                          V  rows of the embedding
//   D  width of the residual stream    F  inner width of the perceptron
//   H  query heads                     G  key and value heads
//   W  channels of a head, D / H       K  kernel width of the convolution ("conv_L_cache")
// Rows of a [B·T, …] tensor are ordered by sequence, then by position.

/// LFM2 and LFM2.5, dense or with experts, as published in Hugging Face transformers.
package enum LFM2: Architecture {
  /// The name in stores and artifacts.
  package static let name = "lfm2"

  // MARK: Configuration

  /// What mixes the tokens in a block.
  enum Layer: String, LayerKind { case convolution, attention }

  /// The sizes of an LFM2.
  package struct Configuration: FormedConfiguration, NetworkSizes {
    var layers: [Layer] = []  // L
    var width = 0  // D
    var vocabularySize = 0  // V
    var innerWidth = 0  // F
    var headCount = 0  // H
    var keyHeadCount = 0  // G
    var kernelWidth = 0  // K
    var contextLength = 0
    var normEpsilon = 0.0
    var rotary = RotaryEmbedding()
    var hasConvolutionBias = false
    var tiesEmbeddings = false
    /// Which blocks have experts; empty if none has.
    var feedForward: [FeedForward] = []
    var experts = Experts.Form()

    var hasExperts: Bool { feedForward.contains(.experts) }
    var hasPerceptrons: Bool { !hasExperts || feedForward.contains(.mlp) }
    var headWidth: Int { width / max(headCount, 1) }  // W

    var layerCount: Int { layers.count }

    package init() {}

    package static var canonicalForm: ConfigurationForm<Self> {
      ConfigurationForm([
        .layers(\.layers, in: layerCounts), .integer("d_model", \.width, in: sizes),
        .integer("vocab_size", \.vocabularySize, in: sizes),
        .experts(\.experts, in: \.feedForward, counts: layerCounts),
        .when(\.hasPerceptrons, .integer("d_ff", \.innerWidth, in: sizes)),
        .integer("n_head", \.headCount, in: heads),
        .integer("n_kv_head", \.keyHeadCount, in: heads),
        .integer("d_conv", \.kernelWidth, in: kernelWidths),
        .integer("context_length", \.contextLength, in: lengths),
        .number("norm_eps", \.normEpsilon), .flag("use_conv_bias", \.hasConvolutionBias),
        .flag("tie_embeddings", \.tiesEmbeddings), .rotary(\.rotary),
      ])
    }

    /// `config.json` of `Lfm2ForCausalLM` or `Lfm2MoeForCausalLM`; absent keys have transformers'
    /// defaults.
    static func huggingFace(hasExperts: Bool) -> ConfigurationForm<Self> {
      ConfigurationForm([
        .written("architectures", [hasExperts ? "Lfm2MoeForCausalLM" : "Lfm2ForCausalLM"]),
        .written("model_type", hasExperts ? "lfm2_moe" : "lfm2"),
        .integer("hidden_size", \.width, in: sizes), layerTypes,
        .integer("vocab_size", \.vocabularySize, in: sizes),
        hasExperts ? publishedExperts : adjustedInnerWidth,
        .integer("num_attention_heads", \.headCount, in: heads),
        .integer("num_key_value_heads", \.keyHeadCount, in: heads) { _ in 8 },
        .integer("conv_L_cache", \.kernelWidth, in: kernelWidths) { _ in 3 },
        .integer("max_position_embeddings", \.contextLength, in: lengths) { _ in 128_000 },
        .number("norm_eps", \.normEpsilon, default: 1e-5),
        .flag("conv_bias", \.hasConvolutionBias, default: false), tied,
        .publishedRotary(
          \.rotary, headWidth: \.headWidth, contextLength: \.contextLength,
          .init(usualBase: 1_000_000)), repeated,
      ])
    }

    /// The kinds of blocks by name, or in older files the places of those with attention.
    private static var layerTypes: ConfigurationForm<Self>.Member {
      let words: [String: Layer] = ["conv": .convolution, "full_attention": .attention]
      return .custom { node, c throws(Refusal) in
        let count = try node.member("num_hidden_layers").integer(supported: layerCounts)
        let types = try node.optionalMember("layer_types")
        let indices = try node.optionalMember("full_attn_idxs")
        if let indices {
          c.layers = Array(repeating: .convolution, count: count)
          for index in try indices.elements() {
            c.layers[try index.integer(in: 0...count - 1)] = .attention
          }
        } else {
          c.layers = Array(repeating: .attention, count: count)
        }
        guard let types else { return }
        let named = try types.kinds(words)
        guard named.count == count, indices == nil || named == c.layers else {
          throw types.refusal(expected: "the kinds of \(count) blocks, as elsewhere in the file")
        }
        c.layers = named
      } write: { c in
        let names = c.layers.map { $0 == .attention ? "full_attention" : "conv" }
        return [
          ("num_hidden_layers", .integer(Int64(c.layers.count))),
          ("layer_types", .array(names.map { .string($0) })),
        ]
      }
    }

    /// The first blocks have a perceptron, whose width is as it is written, and the others experts.
    private static var publishedExperts: ConfigurationForm<Self>.Member {
      let key = "num_dense_layers"
      return .group([
        .custom { node, c throws(Refusal) in
          let dense = try node.optionalMember(key)?.integer(in: 0...Int.max) ?? 2
          c.feedForward = c.layers.indices.map { $0 < dense ? .mlp : .experts }
          if !c.feedForward.contains(.experts) { c.feedForward = [] }
        } write: { c in
          [(key, .integer(Int64(c.feedForward.count { $0 == .mlp })))]
        },
        .when(
          \.hasPerceptrons,
          .integer("intermediate_size", \.innerWidth, in: sizes) { _ in 7168 }),
        .when(
          \.hasExperts,
          .group([
            .integer("num_experts", \.experts.count, in: Experts.Form.counts) { _ in 32 },
            .integer("num_experts_per_tok", \.experts.chosen, in: Experts.Form.counts) { _ in 4 },
            .integer("moe_intermediate_size", \.experts.innerWidth, in: sizes) { _ in 1792 },
            .flag("norm_topk_prob", \.experts.normalises, default: true),
            .flag("use_expert_bias", \.experts.hasChoiceBias, default: true),
            .number("routed_scaling_factor", \.experts.scale, default: 1),
          ])),
      ])
    }

    /// The perceptron's width: published files have one that the code changes: two thirds of it,
    /// times a factor, and up to the next multiple.
    private static var adjustedInnerWidth: ConfigurationForm<Self>.Member {
      let key = "intermediate_size"
      return .custom { node, c throws(Refusal) in
        let newer = try node.optionalMember(key)
        var written = try node.optionalMember("block_ff_dim") ?? newer
        if written == nil { written = try node.member(key) }
        var inner = try written?.integer(supported: sizes) ?? 0
        let adjusts = try node.optionalMember("block_auto_adjust_ff_dim")?.boolean() ?? true
        let factor = try node.optionalMember("block_ffn_dim_multiplier")?.number() ?? 1
        let multiple =
          try node.optionalMember("block_multiple_of")?.integer(supported: sizes) ?? 256
        if adjusts {
          guard factor > 0, factor <= 1024 else {
            throw node.refusal(
              found: "a block_ffn_dim_multiplier of \(factor)", expected: "between 0 and 1024")
          }
          inner = Int(factor * Double(2 * inner / 3))
          inner = (inner + multiple - 1) / multiple * multiple
        }
        guard sizes.contains(inner) else {
          throw node.refusal(
            found: "an inner width of \(inner)", expected: "1 to \(sizes.upperBound)")
        }
        c.innerWidth = inner
      } write: {
        [
          (key, .integer(Int64($0.innerWidth))), ("block_auto_adjust_ff_dim", false),
          ("block_ffn_dim_multiplier", 1.0), ("block_multiple_of", 256),
        ]
      }
    }

    /// Older files have another key, which counts if both are there.
    private static var tied: ConfigurationForm<Self>.Member {
      let key = "tie_word_embeddings"
      return .custom { node, c throws(Refusal) in
        let newer = try node.optionalMember(key)?.boolean()
        c.tiesEmbeddings = try node.optionalMember("tie_embedding")?.boolean() ?? newer ?? true
      } write: {
        [(key, .boolean($0.tiesEmbeddings))]
      }
    }

    /// Members of older files that repeat others, and those with one possible value.
    private static var repeated: ConfigurationForm<Self>.Member {
      .custom { node, c throws(Refusal) in
        for (key, value) in [
          ("block_dim", c.width), ("conv_dim", c.width), ("conv_dim_out", c.width),
          ("num_heads", c.headCount), ("head_dim", c.headWidth),
        ] {
          guard let member = try node.optionalMember(key) else { continue }
          guard member.value == .integer(Int64(value)) else {
            throw member.unsupported(expected: "\(value), as the other sizes have it")
          }
        }
        if let epsilon = try node.optionalMember("block_norm_eps"),
          try epsilon.number() != c.normEpsilon
        {
          throw epsilon.unsupported(expected: "\(c.normEpsilon), as norm_eps has it")
        }
        for key in ["use_pos_enc", "block_use_swiglu"] { try node.require(key, toBe: true) }
      } write: { _ in
        []
      }
    }

    package func check(_ node: JSONNode) throws(Refusal) {
      guard width % headCount == 0, (2...Kernels.widestHead).contains(headWidth) else {
        throw node.refusal(
          found: "\(counted(headCount, "head")) of \(counted(width, "channel"))",
          expected: "heads of equal width")
      }
      try node.checkHeads(headCount, sharing: keyHeadCount, width: headWidth)
      try node.checkNormEpsilon(normEpsilon)
      try node.check(experts, in: feedForward, of: layers.count, scores: .sigmoid)
      try node.check(rotary, ofHead: headWidth)
    }
  }

  /// Whether a published `config.json` describes an LFM2.
  package static func recognises(_ config: JSONNode) -> Bool {
    hasExperts(config)
      || isNamed(config, types: ["lfm2"], classes: ["Lfm2ForCausalLM", "Lfm2Model"])
  }

  private static func hasExperts(_ config: JSONNode) -> Bool {
    isNamed(config, types: ["lfm2_moe"], classes: ["Lfm2MoeForCausalLM", "Lfm2MoeModel"])
  }

  /// Members for the random weights before training, and for experts or perceptrons that no block has.
  package static let inertKeys: Set = [
    "intermediate_size", "num_experts", "num_experts_per_tok", "moe_intermediate_size",
    "norm_topk_prob", "use_expert_bias", "routed_scaling_factor", "output_router_logits",
    "router_aux_loss_coef",
    "block_mlp_init_scale", "block_out_init_scale", "block_use_xavier_init",
    "conv_use_xavier_init",
  ]

  /// The configuration that a published one means.
  package static func configuration(
    from config: JSONNode?, checkpoint: CheckpointShapes
  ) throws(Refusal) -> Configuration {
    let config = try required(config)
    return try Configuration.read(
      config, as: Configuration.huggingFace(hasExperts: hasExperts(config)))
  }

  // MARK: Dialects

  /// The published naming, and that of GGUF files.
  package static let dialects = [
    Dialect(
      name: "huggingface", base: "model.",
      // Of models that also read images.
      wrappedBases: ["model.language_model."],
      otherParts: ["model.vision_tower.", "model.multi_modal_projector."],
      markers: ["model.embed_tokens.weight", "model.layers.*.operator_norm.weight"],
      source: Dialect.sources(
        .init(
          embedding: "model.embed_tokens.weight", finalNorm: "model.embedding_norm.weight",
          head: "lm_head.weight")
      ) { tensor in
        expertSource(tensor)
          ?? .init(
            "model.layers.\(tensor.block).\(tensor.name)",
            form: tensor.name == "conv.conv.weight" ? .ones([1]) : .plain)
      }), gguf,
  ]

  /// transformers' form of a tensor of experts; nil for others.
  private static func expertSource(_ tensor: Dialect.BlockTensor) -> Dialect.Source? {
    let module = "model.layers.\(tensor.block).feed_forward."
    switch tensor.expertName(in: "feed_forward") {
    case "router.weight": return "\(module)gate.weight"
    case "router.bias": return "\(module)expert_bias"
    case "experts.gate_proj.weight": return .init(.numbered("\(module)experts.*.w1.weight"))
    case "experts.down_proj.weight": return .init(.numbered("\(module)experts.*.w2.weight"))
    case "experts.up_proj.weight": return .init(.numbered("\(module)experts.*.w3.weight"))
    default: return nil
    }
  }

  /// The final norm has an unusual name there.
  private static let gguf = Dialect(
    name: "gguf", markers: ["token_embd.weight", "blk.*.shortconv.conv.weight"],
    source: Dialect.sources(
      .init(
        embedding: "token_embd.weight", finalNorm: "token_embd_norm.weight", head: "output.weight")
    ) { "\($0.ggufExpert(in: "feed_forward") ?? $0.gguf(ggufModules))" })

  private static let ggufModules = [
    "operator_norm": "attn_norm", "ffn_norm": "ffn_norm", "conv.in_proj": "shortconv.in_proj",
    "conv.conv": "shortconv.conv", "conv.out_proj": "shortconv.out_proj",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.out_proj": "attn_output", "self_attn.q_layernorm": "attn_q_norm",
    "self_attn.k_layernorm": "attn_k_norm", "feed_forward.w1": "ffn_gate",
    "feed_forward.w2": "ffn_down", "feed_forward.w3": "ffn_up",
  ]

  /// The metadata of GGUF files.
  package static let ggufTables = [
    GGUFTable(
      name: "lfm2",
      fixed: [
        ("model_type", "lfm2"), ("conv_bias", false), ("block_auto_adjust_ff_dim", false),
      ],
      rows: [.expected("expert_count", 0)] + GGUFTable.Row.sizes() + ggufRows),
    GGUFTable(
      name: "lfm2moe", hasExperts: true,
      fixed: [
        ("model_type", "lfm2_moe"), ("conv_bias", false), ("use_expert_bias", true),
        ("norm_topk_prob", true), ("routed_scaling_factor", 1.0),
      ],
      rows: GGUFTable.Row.sizes(inner: false)
        + GGUFTable.Row.experts(count: "num_experts", innerWidth: "moe_intermediate_size") + [
          .integer("feed_forward_length", "intermediate_size", ifAbsent: .usual),
          .integer("leading_dense_block_count", "num_dense_layers"),
          // Sigmoid.
          .constant("expert_gating_func", 2), .expected("expert_gating_func", 2),
        ] + ggufRows),
  ]

  private static let ggufRows: [GGUFTable.Row] = [
    .length, .integer("attention.head_count", "num_attention_heads"),
    .kinds(
      .init(
        "layer_types",
        marks: [("attention.head_count_kv", "num_key_value_heads", kind: "full_attention")],
        rest: "conv")),
    .integer("shortconv.l_cache", "conv_L_cache"),
    .number("attention.layer_norm_rms_epsilon", "norm_eps"), .rotation(.init()), .tied,
  ]

  /// `config.json` of `Lfm2ForCausalLM` or `Lfm2MoeForCausalLM`.
  package static func published(
    _ c: Configuration, dialect: String
  ) throws(Refusal) -> JSONObject {
    let dense = c.feedForward.prefix { $0 == .mlp }
    guard dense.count == c.feedForward.count(where: { $0 == .mlp }) else {
      throw inexpressible(
        "a perceptron after a block with experts", expected: "experts in all blocks after the first"
      )
    }
    return Configuration.huggingFace(hasExperts: c.hasExperts).json(of: c)
  }

  // MARK: Model

  /// Blocks of [norm, short convolution or attention, add, norm, gated perceptron or experts, add].
  package static func network(_ c: Configuration, _ weights: WeightSource) -> Network {
    var experts = c.experts
    (experts.width, experts.scores, experts.epsilon) = (c.width, .sigmoid, 1e-6)
    return Network(
      c, weights, rotations: [c.rotary], contextLength: c.contextLength
    ) { index, weights in
      let first = operation(c.layers[index], c, weights)
      let norm = weights.rmsNorm("ffn_norm", c.width, epsilon: c.normEpsilon)
      let hasExperts = c.feedForward.hasExperts(in: index)
      let mlp: any Mixer =
        hasExperts
        ? Experts(experts, weights.under("feed_forward"))
        : Perceptron(
          weights.under("feed_forward"), names: (up: "w3", gate: "w1", down: "w2"),
          width: c.width, innerWidth: c.innerWidth, .silu, hasBias: false)
      return Block(first, Part(name: "mlp", norm: norm, mixer: mlp))
    }
  }

  /// The part of a block that mixes tokens.
  private static func operation(
    _ layer: Layer, _ c: Configuration, _ weights: WeightSource
  ) -> Part {
    let norm = weights.rmsNorm("operator_norm", c.width, epsilon: c.normEpsilon)
    switch layer {
    case .convolution:
      let form = ShortConvolution.Form(
        width: c.width, kernelWidth: c.kernelWidth, hasBias: c.hasConvolutionBias)
      return Part(
        name: "mixer", norm: norm, mixer: ShortConvolution(form, weights.under("conv")))
    case .attention:
      let form = Attention.Form(
        width: c.width, heads: c.headCount, keyHeads: c.keyHeadCount, headWidth: c.headWidth,
        rotation: 0,
        norms: .init(names: ("q_layernorm", "k_layernorm"), epsilon: c.normEpsilon))
      return Part(
        name: "attention", norm: norm,
        mixer: Attention(
          form, weights.under("self_attn"), names: ("q_proj", "k_proj", "v_proj", "out_proj")))
    }
  }
}
