import SextantBytes
import SextantStore
import SextantTensor

// Falcon-H1: A Family of Hybrid-Head Language Models (arXiv 2507.22448): each block has a Mamba-2 mixer
// and attention side by side, then a gated perceptron; most products have a multiplier.
//
// Glossary
//   B  sequences in the batch          T  tokens of each sequence in this run
//   L  blocks                          V  rows of the embedding
//   D  width of the residual stream    F  inner width of the perceptron
//   H  query heads                     G  key and value heads
//   W  channels of a head (not always D / H)
// The letters of the Mamba-2 mixer are explained in its own file.

/// Falcon-H1, as published in Hugging Face transformers.
package enum FalconH1: Architecture {
  /// The name in stores and artifacts.
  package static let name = "falcon-h1"

  // MARK: Configuration

  /// The sizes and multipliers of a Falcon-H1.
  package struct Configuration: DecoderConfiguration {
    var decoder = DecoderSizes()
    var layerCount = 0  // L
    var rotary = RotaryEmbedding()
    var mamba = Mamba2Sizes()
    /// Whether the gated values of the Mamba mixer are normed.
    var hasMambaNorm = false
    /// The factor of the embedding's rows.
    var embeddingMultiplier = 1.0
    /// The factor of the logits.
    var headMultiplier = 1.0
    /// The factor of keys.
    var keyMultiplier = 1.0
    /// The factors of what attention reads and adds.
    var attentionInMultiplier = 1.0
    var attentionOutMultiplier = 1.0
    /// The factors of what the Mamba mixer reads and adds.
    var mambaInMultiplier = 1.0
    var mambaOutMultiplier = 1.0
    /// The factors of the perceptron's gate, and of what it adds.
    var perceptronMultipliers = [1.0, 1.0]
    /// The factors of the Mamba mixer's z, x, b, c and step size.
    var mambaMultipliers = [1.0, 1.0, 1.0, 1.0, 1.0]

    package init() {}

    package static var canonicalForm: ConfigurationForm<Self> {
      ConfigurationForm([
        .decoder, .integer("n_layer", \.layerCount, in: layerCounts),
        .rotary(\.rotary), .flag("mamba_norm", \.hasMambaNorm),
        .mamba2(\.mamba), multipliers,
      ])
    }

    /// `config.json` of `FalconH1ForCausalLM`; absent keys have transformers' defaults.
    static var huggingFace: ConfigurationForm<Self> {
      ConfigurationForm([
        .written("architectures", ["FalconH1ForCausalLM"]), .written("model_type", "falcon_h1"),
        .publishedDecoder(keyHeads: 8, contextLength: 8192, normEpsilon: 1e-5),
        .integer("num_hidden_layers", \.layerCount, in: layerCounts), .onlySiLU,
        .publishedRotary(\.rotary),
        .fixed("attention_bias", false), .fixed("mlp_bias", false),
        .fixed("projectors_bias", false), .fixed("mamba_use_mlp", true), norm,
        .written("mamba_d_ssm") { .integer(Int64($0.mamba.innerWidth)) },
        .publishedMamba2(\.mamba) { node, c throws(Refusal) in
          // Null differs from an absent key.
          if try node.object()["mamba_d_ssm"] == nil { return 1024 }
          if let inner = try node.optionalMember("mamba_d_ssm") {
            return try inner.integer(supported: sizes)
          }
          return (try node.optionalMember("mamba_expand")?.integer(in: 1...64) ?? 2) * c.width
        }, multipliers,
      ])
    }

    private static var multipliers: ConfigurationForm<Self>.Member {
      .group([
        .multiplier("embedding_multiplier", \.embeddingMultiplier),
        .multiplier("lm_head_multiplier", \.headMultiplier),
        .multiplier("key_multiplier", \.keyMultiplier),
        .multiplier("attention_in_multiplier", \.attentionInMultiplier),
        .multiplier("attention_out_multiplier", \.attentionOutMultiplier),
        .multiplier("ssm_in_multiplier", \.mambaInMultiplier),
        .multiplier("ssm_out_multiplier", \.mambaOutMultiplier),
        .multipliers("mlp_multipliers", \.perceptronMultipliers, count: 2),
        .multipliers("ssm_multipliers", \.mambaMultipliers, count: 5),
      ])
    }

    /// Whether there is a norm; only one after the gate is supported.
    private static var norm: ConfigurationForm<Self>.Member {
      .custom { node, c throws(Refusal) in
        c.hasMambaNorm = try node.optionalMember("mamba_rms_norm")?.boolean() ?? false
        let order = try node.optionalMember("mamba_norm_before_gate")
        guard c.hasMambaNorm, try order?.boolean() ?? true else { return }
        throw (order ?? node).unsupported(
          found: order == nil ? "no mamba_norm_before_gate, which means true" : nil,
          expected: "false: a norm after the gate")
      } write: {
        [("mamba_rms_norm", .boolean($0.hasMambaNorm)), ("mamba_norm_before_gate", false)]
      }
    }

    package func check(_ node: JSONNode) throws(Refusal) {
      try decoder.check(node)
      try node.check(rotary, ofHead: decoder.headWidth)
      try mamba.check(node)
    }

    /// The same model with multipliers of 1, for files whose weights are multiplied already.
    fileprivate var withoutMultipliers: Self {
      var copy = self
      copy.embeddingMultiplier = 1
      copy.headMultiplier = 1
      copy.keyMultiplier = 1
      copy.attentionInMultiplier = 1
      copy.attentionOutMultiplier = 1
      copy.mambaInMultiplier = 1
      copy.mambaOutMultiplier = 1
      copy.perceptronMultipliers = [1, 1]
      copy.mambaMultipliers = [1, 1, 1, 1, 1]
      return copy
    }
  }

  /// Whether a published `config.json` describes a Falcon-H1.
  package static func recognises(_ config: JSONNode) -> Bool {
    isNamed(config, types: ["falcon_h1"], classes: ["FalconH1ForCausalLM", "FalconH1Model"])
  }

  /// Members for training and for transformers' own ways to compute.
  package static let inertKeys: Set = [
    "mamba_chunk_size", "mamba_expand", "mlp_expansion_factor", "num_logits_to_keep",
    "time_step_min", "time_step_max", "time_step_floor", "time_step_rank",
    "rescale_prenorm_residual", "residual_in_fp32", "use_mamba_kernels",
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
      name: "huggingface", base: "model.",
      markers: [
        "model.embed_tokens.weight", "model.layers.0.mamba.in_proj.weight",
        "model.layers.0.feed_forward.gate_proj.weight",
      ],
      source: Dialect.sources(
        .init(
          embedding: "model.embed_tokens.weight", finalNorm: "model.final_layernorm.weight",
          head: "lm_head.weight")
      ) { tensor in
        .init(
          "model.layers.\(tensor.block).\(tensor.name)",
          form: tensor.name.hasSuffix("conv1d.weight") ? .ones([1]) : .plain)
      }), gguf,
  ]

  /// llama.cpp has no multipliers: its converter multiplies the weights.
  private static let gguf = Dialect(
    name: "gguf",
    markers: ["token_embd.weight", "blk.0.ssm_in.weight", "blk.0.attn_q.weight"],
    source: Dialect.sources(
      .init(
        embedding: .init("token_embd.weight", change: scaled("embedding_multiplier")),
        finalNorm: "output_norm.weight",
        head: .init("output.weight", change: scaled("lm_head_multiplier")))
    ) { tensor in
      let (block, name) = ("blk.\(tensor.block).", tensor.name)
      switch name {
      case "mamba.in_proj.weight": return .init(block + "ssm_in.weight", change: .scaled(projected))
      case "mamba.out_proj.weight":
        return .init(block + "ssm_out.weight", change: scaled("ssm_out_multiplier"))
      case _ where name.hasPrefix("mamba."):
        return Mamba2.ggufSource(
          name.dropFirst("mamba.".count), block: block, groups: "mamba_n_groups")
      case "pre_ff_layernorm.weight": return "\(block)ffn_norm"  // without a suffix
      case "input_layernorm.weight": return "\(block)attn_norm.weight"
      default:
        guard let (stored, factors) = ggufModules[tensor.module] else { return "\(block)\(name)" }
        return .init(
          "\(block)\(stored).weight",
          change: factors.isEmpty ? nil : .scaled([.init(by: factors)]))
      }
    })

  private static func scaled(_ key: String) -> Dialect.Source.Change { .scaled([.init(by: [key])]) }

  /// The factors of the rows of the Mamba mixer's inward projection.
  private static let projected: [Dialect.Source.Scale] = {
    let (inner, state) = (["mamba_n_head", "mamba_head_dim"], ["mamba_n_groups", "mamba_d_state"])
    return [inner, inner, state, state, nil].enumerated().map { place, rows in
      .init(by: ["ssm_in_multiplier", "ssm_multipliers/\(place)"], rows: rows)
    }
  }()

  /// The names of matrices in GGUF files, and the multipliers that they contain there.
  private static let ggufModules: [String: (name: String, factors: [String])] = [
    "self_attn.q_proj": ("attn_q", ["attention_in_multiplier"]),
    "self_attn.k_proj": ("attn_k", ["attention_in_multiplier", "key_multiplier"]),
    "self_attn.v_proj": ("attn_v", ["attention_in_multiplier"]),
    "self_attn.o_proj": ("attn_output", ["attention_out_multiplier"]),
    "feed_forward.gate_proj": ("ffn_gate", ["mlp_multipliers/0"]),
    "feed_forward.up_proj": ("ffn_up", []),
    "feed_forward.down_proj": ("ffn_down", ["mlp_multipliers/1"]),
  ]

  /// The metadata of GGUF files.
  package static let ggufTables = [
    GGUFTable(
      name: "falcon-h1",
      fixed: [
        ("model_type", "falcon_h1"), ("hidden_act", "silu"), ("mamba_conv_bias", true),
        ("mamba_norm_before_gate", false),
      ],
      rows: [.length] + GGUFTable.Row.sizes() + [
        .integer("attention.head_count", "num_attention_heads"),
        .integer("attention.head_count_kv", "num_key_value_heads"),
        .number("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
        .rotation(.init(headWidth: "head_dim")),
        .integer("ssm.inner_size", "mamba_d_ssm"),
      ] + GGUFTable.Row.mamba2 + [.tensor("blk.*.ssm_norm.weight", "mamba_rms_norm"), .tied])
  ]

  /// `config.json` of `FalconH1ForCausalLM`.
  package static func published(
    _ c: Configuration, dialect: String
  ) throws(Refusal) -> JSONObject {
    guard dialect == "gguf" else { return Configuration.huggingFace.json(of: c) }
    guard !c.tiesEmbeddings || c.embeddingMultiplier == c.headMultiplier else {
      throw inexpressible(
        "one tensor for embedding and output head with the multipliers \(c.embeddingMultiplier) and "
          + "\(c.headMultiplier)",
        expected: "equal multipliers: in GGUF files weights are multiplied")
    }
    return Configuration.huggingFace.json(of: c.withoutMultipliers)
  }

  // MARK: Model

  /// Blocks of [norm, Mamba-2 mixer beside attention, add both, norm, gated perceptron, add].
  package static func network(_ c: Configuration, _ weights: WeightSource) -> Network {
    var mamba = c.mamba.form(width: c.width, normEpsilon: c.normEpsilon)
    mamba.hasNorm = c.hasMambaNorm
    let factors = c.mambaMultipliers.map { Float($0) }
    mamba.multipliers = .init(
      gate: factors[0], x: factors[1], b: factors[2], c: factors[3], step: factors[4])
    var attention = c.decoder.attention
    (attention.rotation, attention.keyScale) = (0, Float(c.keyMultiplier))
    return Network(
      c, weights, embeddingScale: Float(c.embeddingMultiplier), rotations: [c.rotary],
      contextLength: c.decoder.contextLength, logitScale: Float(c.headMultiplier)
    ) { index, weights in
      let norm = weights.rmsNorm("input_layernorm", c.width, epsilon: c.normEpsilon)
      let perceptronNorm = weights.rmsNorm("pre_ff_layernorm", c.width, epsilon: c.normEpsilon)
      return Block(steps: [
        [
          Part(
            name: "mixer", norm: norm, mixer: Mamba2Mixer(mamba, weights.under("mamba")),
            inputScale: Float(c.mambaInMultiplier), scale: Float(c.mambaOutMultiplier)),
          Part(
            name: "attention", norm: norm,
            mixer: Attention(
              attention, weights.under("self_attn"),
              names: ("q_proj", "k_proj", "v_proj", "o_proj")),
            inputScale: Float(c.attentionInMultiplier), scale: Float(c.attentionOutMultiplier)),
        ],
        [
          Part(
            name: "mlp", norm: perceptronNorm,
            mixer: Perceptron(
              weights.under("feed_forward"),
              names: (up: "up_proj", gate: "gate_proj", down: "down_proj"), width: c.width,
              innerWidth: c.decoder.innerWidth, .silu, hasBias: false,
              gateScale: Float(c.perceptronMultipliers[0])),
            scale: Float(c.perceptronMultipliers[1]))
        ],
      ])
    }
  }
}
