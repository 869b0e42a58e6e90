import SextantBytes
import SextantStore
import SextantTensor

// Gemma 3 Technical Report (arXiv 2503.19786): blocks of [RMSNorm, attention, RMSNorm, add, RMSNorm,
// gated perceptron, RMSNorm, add]. All norms multiply by 1 + their weight. Queries and keys are
// normed by heads. Most blocks attend within a window, and rotate heads faster than the others.
//
// Glossary
//   B  sequences in the batch          T  tokens of each sequence in this run
//   L  blocks                          V  rows of the embedding
//   D  width of the residual stream    F  inner width of the perceptron
//   H  query heads                     G  key and value heads
//   W  channels of a head (not always D / H)
// Rows of a [B·T, …] tensor are ordered by sequence, then by position.

/// Gemma 3, and the text part of its models that also read images.
package enum Gemma3: Architecture {
  /// The name in stores and artifacts.
  package static let name = "gemma3"

  private static let scoreKey = "query_pre_attn_scalar"

  // MARK: Configuration

  /// The sizes of a Gemma 3.
  package struct Configuration: DecoderConfiguration {
    var decoder = DecoderSizes()
    var layers: [AttentionBlock] = []  // L
    /// The positions that a token attends to in blocks with a window, including its own.
    var window = 0
    /// The rotation in blocks that attend to all positions.
    var rotary = RotaryEmbedding()
    /// The rotation in blocks with a window.
    var windowRotary = RotaryEmbedding()
    /// The width of a head by whose root scores are divided.
    var scoreWidth = 0.0
    /// The factor of the embedding's rows, the root of D.
    var embeddingScale = 0.0

    var layerCount: Int { layers.count }

    package init() {}

    package static var canonicalForm: ConfigurationForm<Self> {
      ConfigurationForm([
        .decoder, .layers(\.layers, in: layerCounts),
        .integer("sliding_window", \.window, in: sizes), .rotary(\.rotary),
        .object("window_rotation", [.rotary(\.windowRotary)]),
        .number("score_dim", \.scoreWidth), .number("embedding_scale", \.embeddingScale),
      ])
    }

    /// `config.json` of `Gemma3ForCausalLM`; absent keys have transformers' defaults.
    static var huggingFace: ConfigurationForm<Self> {
      ConfigurationForm([
        .written("architectures", ["Gemma3ForCausalLM"]), .written("model_type", "gemma3_text"),
        .publishedDecoder(
          vocabularySize: 262_208, heads: 8, keyHeads: 4, headWidth: 256, contextLength: 131_072,
          normEpsilon: 1e-6, tiesEmbeddings: true),
        embeddingScale, kinds, .integer("sliding_window", \.window, in: sizes) { _ in 4096 },
        .only(.geluTanh, "hidden_activation", named: "gelu_pytorch_tanh"),
        .custom { node, c throws(Refusal) in
          c.scoreWidth = try node.optionalPositive(scoreKey) ?? 256
        } write: { c in
          // transformers takes a whole number.
          [
            (
              scoreKey,
              Int64(exactly: c.scoreWidth).map { .integer($0) } ?? .number(c.scoreWidth)
            )
          ]
        },
        .publishedRotaries(
          \.rotary, windows: \.windowRotary, headWidth: \.decoder.headWidth,
          contextLength: \.decoder.contextLength, usualBase: 1_000_000,
          windowBase: ("rope_local_base_freq", 10_000)),
        .fixed("attention_bias", false), .fixed("attn_logit_softcapping", .null),
        .fixed("final_logit_softcapping", .null), .fixed("use_bidirectional_attention", false),
      ])
    }

    /// The factor of the embedding's rows. transformers rounds it to the type of the weights, which
    /// the configuration names.
    private static var embeddingScale: ConfigurationForm<Self>.Member {
      .custom { node, c throws(Refusal) in
        var type = try node.optionalMember("dtype")
        if type == nil { type = try node.optionalMember("torch_dtype") }
        let name: String? = if case .string(let name)? = type?.value { name } else { nil }
        c.embeddingScale = rootOfWidth(c, roundedTo: name)
      } write: { _ in
        []
      }
    }

    /// The configuration of keras-hub's `Gemma3Backbone`.
    static var kerasHub: ConfigurationForm<Self> {
      ConfigurationForm([
        .kerasHubDecoder(hasHeadWidth: true, contextLength: 131_072), kerasHubKinds,
        .integer("sliding_window_size", \.window, in: sizes) { _ in 1024 },
        .expected("use_query_key_norm", true), .on("use_post_ffw_norm"),
        .on("use_post_attention_norm"), kerasHubScoreWidth,
        .kerasHubRotary(
          \.rotary, width: { $0.decoder.headWidth }, base: .fixed(1_000_000),
          factor: "global_rope_scaling_factor"),
        .kerasHubRotary(
          \.windowRotary, width: { $0.decoder.headWidth }, base: .fixed(10_000),
          factor: "local_rope_scaling_factor"),
        .fixed("attention_logit_soft_cap", .null), .fixed("final_logit_soft_cap", .null),
        .fixed("use_bidirectional_attention", false), .fixed("is_embedding_model", false),
        .written("image_size", .null), .written("vision_encoder", .null),
        .custom { node, c throws(Refusal) in
          c.decoder.tiesEmbeddings = true
          c.embeddingScale = rootOfWidth(c, roundedTo: try KerasHub.dataType(node))
        } write: { _ in
          []
        },
      ])
    }

    /// Every sixth block attends to all positions, or all do.
    private static var kerasHubKinds: ConfigurationForm<Self>.Member {
      let key = "use_sliding_window_attention"
      return .custom { node, c throws(Refusal) in
        let count = try node.member("num_layers").integer(supported: layerCounts)
        c.layers =
          try node.optionalMember(key)?.boolean() == true
          ? AttentionBlock.every(6, of: count)
          : Array(repeating: .attention, count: count)
      } write: { c in
        [
          ("num_layers", .integer(Int64(c.layerCount))),
          (key, .boolean(c.layers.contains(.window))),
        ]
      }
    }

    /// The width by whose root scores are divided: that of a head, or the share of a head in the width.
    private static var kerasHubScoreWidth: ConfigurationForm<Self>.Member {
      let key = "query_head_dim_normalize"
      return .custom { node, c throws(Refusal) in
        let isHeadWidth = try node.optionalMember(key)?.boolean() ?? true
        c.scoreWidth = Double(
          isHeadWidth ? c.decoder.headWidth : c.width / c.decoder.headCount)
      } write: { c in
        [(key, .boolean(c.scoreWidth == Double(c.decoder.headWidth)))]
      }
    }

    /// The root of D as a number of the type with this name, if it is one of 16 bits.
    private static func rootOfWidth(_ c: Self, roundedTo type: String?) -> Double {
      let scale = Double(c.width).squareRoot()
      switch type {
      case "bfloat16": return Double(rounded(Float(scale), to: .bf16))
      case "float16": return Double(rounded(Float(scale), to: .f16))
      default: return scale
      }
    }

    private static func rounded(_ number: Float, to type: DataType) -> Float {
      Tensor([number], shape: [1]).converted(to: type)?.converted(to: .f32)?.values[0] ?? number
    }

    /// The kinds of the blocks: by name, or in older files a rule.
    private static var kinds: ConfigurationForm<Self>.Member {
      .publishedKinds(\.layers, AttentionBlock.published, in: layerCounts) {
        node, count throws(Refusal) in
        let interval = try node.optionalMember("sliding_window_pattern")?.integer(in: 1...Int.max)
        return AttentionBlock.every(interval ?? 6, of: count)
      }
    }

    package func check(_ node: JSONNode) throws(Refusal) {
      try decoder.check(node)
      guard (1e-30...1e30).contains(scoreWidth), (1e-30...1e30).contains(embeddingScale) else {
        throw node.refusal(
          found: "scales of \(scoreWidth) and \(embeddingScale)", expected: "1e-30 to 1e30")
      }
      for width in [rotary.width, windowRotary.width] where width != decoder.headWidth {
        throw node.refusal(
          found: "\(width) rotated channels", expected: "all \(decoder.headWidth) of a head")
      }
    }
  }

  /// Whether a published `config.json` describes a Gemma 3 that reads text only.
  package static func recognises(_ config: JSONNode) -> Bool {
    isNamed(config, types: ["gemma3_text"], classes: ["Gemma3ForCausalLM", "Gemma3TextModel"])
      || isOfKerasHub(config)
  }

  /// A member that repeats the kinds of the blocks, and one that the published code does not read.
  package static let inertKeys: Set = ["_sliding_window_pattern", "cache_implementation"]

  /// The configuration that a published one means.
  package static func configuration(
    from config: JSONNode?, checkpoint: CheckpointShapes
  ) throws(Refusal) -> Configuration {
    let config = try required(config)
    if isOfKerasHub(config) {
      return try Configuration.read(KerasHub.backbone(config), as: Configuration.kerasHub)
    }
    var configuration = try Configuration.read(config, as: Configuration.huggingFace)
    if checkpoint.follow(gguf), try config.optionalMember(scoreKey) == nil {
      configuration.scoreWidth = ggufScoreWidth(configuration)
    }
    return configuration
  }

  // MARK: Dialects

  /// The published naming, that of GGUF files, and those of keras-hub.
  package static let dialects = [
    Dialect(
      name: "huggingface", base: "model.",
      // Of models that also read images. Older files have all names behind "language_model.".
      wrappedBases: ["model.language_model."],
      otherParts: [
        "vision_tower.", "multi_modal_projector.", "model.vision_tower.",
        "model.multi_modal_projector.",
      ],
      markers: [
        "model.embed_tokens.weight", "model.layers.0.pre_feedforward_layernorm.weight",
        "model.layers.0.self_attn.q_norm.weight",
      ],
      source: Dialect.sources(.huggingFace) { "model.layers.\($0.block).\($0.name)" }),
    gguf,
    kerasHubNaming.dialect(
      Dialect.kerasHub, marker: "blocks.0.self_attn.q_proj.weight",
      otherParts: ["gemma3_vision_encoder", "gemma3_interleave_embeddings"]),
    kerasHubNaming.dialect(
      Dialect.namedKerasHub, isNamed: true, marker: "blocks.0.self_attn.q_proj.weight"),
  ]

  /// The class of keras-hub.
  package static let kerasHubClasses = [KerasHubClass("Gemma3", module: "gemma3.gemma3_backbone")]

  private static let kerasHubNaming = KerasHubNaming(
    block: ("gemma3_decoder_block", "decoder_block"),
    finalNorm: .init("rms_normalization", "final_normalization", .norm),
    modules: [
      "input_layernorm": .init("pre_attention_norm", "pre_attention_norm", .norm),
      "post_attention_layernorm": .init("post_attention_norm", "post_attention_norm", .norm),
      "pre_feedforward_layernorm": .init("pre_ffw_norm", "pre_ffw_norm", .norm),
      "post_feedforward_layernorm": .init("post_ffw_norm", "post_ffw_norm", .norm),
      "self_attn.q_proj": .init("attention.query_dense", "attention.query", .eachHead("n_head")),
      "self_attn.k_proj": .init("attention.key_dense", "attention.key", .eachHead("n_kv_head")),
      "self_attn.v_proj": .init("attention.value_dense", "attention.value", .eachHead("n_kv_head")),
      "self_attn.o_proj": .init(
        "attention.output_dense", "attention.attention_output", .fromHeads("n_head")),
      "self_attn.q_norm": .init("attention.query_norm", "attention.query_norm", .norm),
      "self_attn.k_norm": .init("attention.key_norm", "attention.key_norm", .norm),
      "mlp.gate_proj": .init("gating_ffw", "ffw_gating"),
      "mlp.up_proj": .init("gating_ffw_2", "ffw_gating_2"),
      "mlp.down_proj": .init("ffw_linear", "ffw_linear"),
    ])

  /// The description of a model by keras-hub.
  private static func kerasHub(_ c: Configuration) throws(Refusal) -> JSONObject {
    func isScaledOtherwise(_ rotary: RotaryEmbedding) -> Bool {
      if case .linear = rotary.scaling { false } else { rotary.scaling != .none }
    }
    let every = AttentionBlock.every(6, of: c.layerCount)
    try checkExpressible(
      [
        ("a head of its own", !c.tiesEmbeddings, "one tensor for embedding and head"),
        (
          "windows in other blocks than usual",
          c.layers != every && c.layers.contains(.window), "windows in five of six blocks"
        ),
        // keras-hub 0.32 has a member for another one, and ignores it.
        (
          "a query_pre_attn_scalar of \(c.scoreWidth)",
          c.scoreWidth != Double(c.decoder.headWidth), "the width of a head"
        ),
        (
          "rotations of base \(c.rotary.base) and \(c.windowRotary.base)",
          c.rotary.base != 1_000_000 || c.windowRotary.base != 10_000, "1000000 and 10000"
        ),
        (
          "a scaled rotation of this kind",
          isScaledOtherwise(c.rotary) || isScaledOtherwise(c.windowRotary),
          "the kind linear, or none"
        ),
      ], in: kerasHubClasses[0].name)
    return kerasHubClasses[0].description(Configuration.kerasHub.json(of: c))
  }

  /// llama.cpp's converter stores 1 + w of all norms.
  private static let gguf = Dialect(
    name: "gguf",
    markers: [
      "token_embd.weight", "blk.0.post_ffw_norm.weight", "blk.0.attn_norm.weight",
      "blk.0.attn_q_norm.weight",
    ],
    ignores: Llama.isRotationTable,
    source: Dialect.sources(
      .init(
        embedding: "token_embd.weight", finalNorm: .init("output_norm.weight", change: .plusOne),
        head: "output.weight")
    ) { tensor in
      .init(tensor.gguf(ggufModules), change: tensor.module.hasSuffix("norm") ? .plusOne : nil)
    })

  private static let ggufModules = Llama.ggufModules.merging([
    "post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
  ]) { $1 }

  /// The metadata of GGUF files.
  package static let ggufTables = [
    GGUFTable(
      name: "gemma3",
      fixed: [
        ("model_type", "gemma3_text"), ("hidden_activation", "gelu_pytorch_tanh"),
      ],
      rows: [.expected("final_logit_softcapping", 0.0), .length] + GGUFTable.Row.decoder + [
        .rotation(.init(headWidth: "head_dim")),
        .windows(.init(interval: 6, base: "rope_local_base_freq")), .tied,
      ])
  ]

  /// `config.json` of `Gemma3ForCausalLM`.
  package static func published(
    _ c: Configuration, dialect: String
  ) throws(Refusal) -> JSONObject {
    if dialect.hasPrefix(Dialect.kerasHub) { return try kerasHub(c) }
    guard dialect == "gguf" else { return Configuration.huggingFace.json(of: c) }
    let width = ggufScoreWidth(c)
    guard c.scoreWidth == width else {
      throw inexpressible(
        "a query_pre_attn_scalar of \(c.scoreWidth)",
        expected: "\(width), the only one that llama.cpp computes for these sizes")
    }
    guard c.windowRotary.scaling == .none else {
      throw inexpressible(
        "a scaled rotation in blocks with a window", expected: "one that is not scaled")
    }
    return Configuration.huggingFace.json(of: c)
  }

  /// llama.cpp does not read the width by whose root scores are divided: it is that of a head, and
  /// D / H in the largest model, which it knows by the number of blocks.
  private static func ggufScoreWidth(_ c: Configuration) -> Double {
    Double(c.layerCount == 62 ? c.width / c.decoder.headCount : c.decoder.headWidth)
  }

  // MARK: Model

  /// Blocks of [norm, attention, norm, add, norm, gated perceptron, norm, add].
  package static func network(_ c: Configuration, _ weights: WeightSource) -> Network {
    Network(
      c, weights, embeddingScale: Float(c.embeddingScale), rotations: [c.rotary, c.windowRotary],
      contextLength: c.decoder.contextLength,
      finalNorm: { c.decoder.norm("final_norm", $0, addsOne: true) }
    ) { index, weights in
      func norm(_ name: String) -> Norm { c.decoder.norm(name, weights, addsOne: true) }
      let hasWindow = c.layers[index] == .window
      var form = c.decoder.attention
      form.scale = Float(1 / c.scoreWidth.squareRoot())
      form.window = hasWindow ? c.window : nil
      form.rotation = hasWindow ? 1 : 0
      form.norms = .init(names: ("q_norm", "k_norm"), epsilon: c.normEpsilon, addsOne: true)
      return Block(
        Part(
          name: "attention", norm: norm("input_layernorm"),
          mixer: Attention(
            form, weights.under("self_attn"), names: ("q_proj", "k_proj", "v_proj", "o_proj")),
          outputNorm: norm("post_attention_layernorm")),
        Part(
          name: "mlp", norm: norm("pre_feedforward_layernorm"),
          mixer: c.decoder.perceptron(weights.under("mlp"), .geluTanh),
          outputNorm: norm("post_feedforward_layernorm")))
    }
  }
}
