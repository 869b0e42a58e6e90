import SextantBytes
import SextantStore
import SextantTensor

// GPT-NeoX-20B: An Open-Source Autoregressive Language Model (arXiv 2204.06745), section 2.1, and
// Pythia (arXiv 2304.01373): blocks whose attention and perceptron both read the block's input,
// layer norms, rotary position embedding of a part of each head.
//
// Glossary
//   B  sequences in the batch          T  tokens of each sequence in this run
//   L  blocks                          V  rows of the embedding
//   D  width of the residual stream    F  inner width of the perceptron, usually 4 D
//   H  heads                           W  channels of a head, D / H
// Rows of a [B·T, …] tensor are ordered by sequence, then by position.

/// GPT-NeoX and Pythia, as published in Hugging Face transformers.
///
/// With the parallel residual, the usual one, attention and perceptron read the same stream.
/// Without it, the perceptron reads the stream after the attention's addition.
package enum GPTNeoX: Architecture {
  /// The name in stores and artifacts.
  package static let name = "gpt-neox"

  // MARK: Configuration

  /// The sizes of a GPT-NeoX.
  package struct Configuration: FormedConfiguration, NetworkSizes {
    var width = 0  // D
    var layerCount = 0  // L
    var vocabularySize = 0  // V
    var innerWidth = 0  // F
    var headCount = 0  // H
    var contextLength = 0
    var normEpsilon = 0.0
    var rotary = RotaryEmbedding()
    var activation = Activation.gelu
    var isParallel = false
    var hasAttentionBias = false
    var tiesEmbeddings = false

    var headWidth: Int { width / headCount }  // W

    /// transformers' default, and the length of stores that do not record one.
    static let usualLength = 2048

    package init() {}

    package static var canonicalForm: ConfigurationForm<Self> {
      ConfigurationForm([
        .integer("d_model", \.width, in: sizes), .integer("n_layer", \.layerCount, in: layerCounts),
        .integer("vocab_size", \.vocabularySize, in: sizes),
        .integer("d_ff", \.innerWidth, in: sizes), .integer("n_head", \.headCount, in: heads),
        .integer("context_length", \.contextLength, in: lengths) { _ in usualLength },
        .number("norm_eps", \.normEpsilon),
        .activation(\.activation),
        .flag("parallel_residual", \.isParallel), .flag("attention_bias", \.hasAttentionBias),
        .flag("tie_embeddings", \.tiesEmbeddings), .rotary(\.rotary),
      ])
    }

    /// `config.json` of `GPTNeoXForCausalLM`; absent keys have transformers' defaults.
    static var huggingFace: ConfigurationForm<Self> {
      ConfigurationForm([
        .written("architectures", ["GPTNeoXForCausalLM"]), .written("model_type", "gpt_neox"),
        .integer("hidden_size", \.width, in: sizes),
        .integer("num_hidden_layers", \.layerCount, in: layerCounts),
        .integer("vocab_size", \.vocabularySize, in: sizes),
        .integer("intermediate_size", \.innerWidth, in: sizes),
        .integer("num_attention_heads", \.headCount, in: heads),
        .integer("max_position_embeddings", \.contextLength, in: lengths) { _ in usualLength },
        .number("layer_norm_eps", \.normEpsilon, default: 1e-5),
        .publishedActivation(\.activation, usual: .gelu),
        .flag("use_parallel_residual", \.isParallel, default: true),
        .flag("attention_bias", \.hasAttentionBias, default: true),
        .flag("tie_word_embeddings", \.tiesEmbeddings, default: false),
        .written("rotary_pct") { .number($0.rotary.part(ofHead: $0.headWidth)) },
        .written("rotary_emb_base") { .number($0.rotary.base) },
        .publishedRotary(
          \.rotary, headWidth: \.headWidth, contextLength: \.contextLength,
          .init(base: "rotary_emb_base", part: "rotary_pct", usualPart: 0.25)),
      ])
    }

    /// The configuration of keras-hub's `GPTNeoXBackbone`.
    static var kerasHub: ConfigurationForm<Self> {
      ConfigurationForm([
        .integer("vocabulary_size", \.vocabularySize, in: sizes),
        .integer("num_layers", \.layerCount, in: layerCounts),
        .integer("num_heads", \.headCount, in: heads),
        .integer("hidden_dim", \.width, in: sizes),
        .integer("intermediate_dim", \.innerWidth, in: sizes),
        .integer("max_sequence_length", \.contextLength, in: lengths) { _ in 512 },
        .number("layer_norm_epsilon", \.normEpsilon, default: 1e-5),
        .positive("rotary_max_wavelength", \.rotary.base, default: 10_000),
        .kerasHubRotatedPart("rotary_percentage", ofHead: \.headWidth, \.rotary),
        .implied { c in
          (c.activation, c.isParallel, c.hasAttentionBias, c.tiesEmbeddings) = (
            .geluTanh, true, true, true
          )
        },
      ])
    }

    package func check(_ node: JSONNode) throws(Refusal) {
      guard width % headCount == 0, headWidth <= Kernels.widestHead else {
        throw node.refusal(
          found: "\(counted(headCount, "head")) of \(counted(width, "channel"))",
          expected: "heads of equal width, at most \(Kernels.widestHead)")
      }
      try node.checkNormEpsilon(normEpsilon)
      guard 2 * rotary.pairCount <= headWidth else {
        throw node.refusal(
          found: "\(2 * rotary.pairCount) rotated channels", expected: "at most \(headWidth)")
      }
    }
  }

  /// Whether a published `config.json` describes a GPT-NeoX.
  package static func recognises(_ config: JSONNode) -> Bool {
    isNamed(config, types: ["gpt_neox"], classes: ["GPTNeoXForCausalLM", "GPTNeoXModel"])
      || isOfKerasHub(config)
  }

  /// The configuration that a published one means.
  package static func configuration(
    from config: JSONNode?, checkpoint: CheckpointShapes
  ) throws(Refusal) -> Configuration {
    let config = try required(config)
    guard isOfKerasHub(config) else {
      return try Configuration.read(config, as: Configuration.huggingFace)
    }
    return try Configuration.read(KerasHub.backbone(config), as: Configuration.kerasHub)
  }

  // MARK: Dialects

  /// `config.json` of `GPTNeoXForCausalLM`.
  package static func published(
    _ c: Configuration, dialect: String
  ) throws(Refusal) -> JSONObject {
    guard dialect.hasPrefix(Dialect.kerasHub) else { return Configuration.huggingFace.json(of: c) }
    let name = kerasHubClasses[0].name
    try checkExpressible(
      [
        ("a head of its own", !c.tiesEmbeddings, "one tensor for embedding and head"),
        ("the activation \(c.activation.rawValue)", c.activation != .geluTanh, "gelu_tanh"),
        ("a serial residual", !c.isParallel, "a parallel one"),
        ("attention without biases", !c.hasAttentionBias, "biases"),
        ("a scaled rotation", c.rotary.scaling != .none, "one that is not scaled"),
      ], in: name)
    return kerasHubClasses[0].description(Configuration.kerasHub.json(of: c))
  }

  /// The class of keras-hub.
  package static let kerasHubClasses = [
    KerasHubClass("GPTNeoX", module: "gpt_neo_x.gpt_neo_x_backbone")
  ]

  /// The joined queries, keys and values of each head are adjacent there, too.
  private static let kerasHubNaming = KerasHubNaming(
    block: ("gpt_neo_x_decoder", "transformer_layer"),
    finalNorm: .init("layer_normalization", "layer_norm", .layerNorm),
    modules: [
      "input_layernorm": .init(
        "_self_attention_layer_norm", "self_attention_layer_norm", .layerNorm),
      "post_attention_layernorm": .init(
        "_feedforward_layer_norm", "feedforward_layer_norm", .layerNorm),
      "attention.query_key_value": .init(
        "_self_attention_layer._qkv_dense", "self_attention.query_key_value", .toHeads("n_head")),
      "attention.dense": .init(
        "_self_attention_layer._output_dense", "self_attention.attention_output"),
      "mlp.dense_h_to_4h": .init(
        "_feedforward_intermediate_dense", "feedforward_intermediate_dense"),
      "mlp.dense_4h_to_h": .init("_feedforward_output_dense", "feedforward_output_dense"),
    ])

  /// The published naming, that of GGUF files, and those of keras-hub.
  package static let dialects = [
    Dialect(
      name: "huggingface", base: "gpt_neox.",
      markers: [
        "gpt_neox.embed_in.weight", "gpt_neox.layers.0.attention.query_key_value.weight",
      ],
      // Files of transformers 5 may have this name.
      synonyms: ["embed_out.weight": "lm_head.weight"],
      source: Dialect.sources(
        .init(
          embedding: "gpt_neox.embed_in.weight", finalNorm: "gpt_neox.final_layer_norm.weight",
          head: "embed_out.weight")
      ) { "gpt_neox.layers.\($0.block).\($0.name)" }), gguf,
    kerasHubNaming.dialect(
      Dialect.kerasHub, marker: "blocks.0.attention.query_key_value.weight"),
    kerasHubNaming.dialect(
      Dialect.namedKerasHub, isNamed: true, marker: "blocks.0.attention.query_key_value.weight"),
  ]

  /// llama.cpp expects all queries, then all keys, then all values.
  private static let gguf = Dialect(
    name: "gguf",
    markers: ["token_embd.weight", "blk.0.attn_qkv.weight", "blk.0.attn_norm.bias"],
    source: Dialect.sources(.gguf) { tensor in
      let isGrouped = tensor.module == "attention.query_key_value"
      return .init(
        tensor.gguf(ggufModules),
        change: isGrouped ? .groupedRows(kinds: 3, headCount: "n_head") : nil)
    })

  /// The metadata of GGUF files.
  package static let ggufTables = [
    GGUFTable(
      name: "gptneox",
      fixed: [
        ("model_type", "gpt_neox"), ("hidden_act", "gelu"), ("attention_bias", true),
        ("tie_word_embeddings", false),
      ],
      rows: [.length] + GGUFTable.Row.sizes() + [
        .integer("attention.head_count", "num_attention_heads"),
        .number("attention.layer_norm_epsilon", "layer_norm_eps"),
        .flag("use_parallel_residual", "use_parallel_residual"),
        .rotation(.init(part: "rotary_pct", base: "rotary_emb_base")),
      ])
  ]

  private static let ggufModules = [
    "input_layernorm": "attn_norm", "attention.query_key_value": "attn_qkv",
    "attention.dense": "attn_output", "post_attention_layernorm": "ffn_norm",
    "mlp.dense_h_to_4h": "ffn_up", "mlp.dense_4h_to_h": "ffn_down",
  ]

  // MARK: Model

  /// Blocks of attention and a perceptron, which with the parallel residual read the same stream.
  package static func network(_ c: Configuration, _ weights: WeightSource) -> Network {
    let form = Attention.Form(
      width: c.width, heads: c.headCount, keyHeads: c.headCount, headWidth: c.headWidth,
      hasBias: c.hasAttentionBias, rotation: 0)
    return Network(
      c, weights, rotations: [c.rotary], contextLength: c.contextLength,
      finalNorm: { $0.layerNorm("final_norm", c.width, epsilon: c.normEpsilon) }
    ) { index, weights in
      let (attentionNorm, mlpNorm) = (
        weights.layerNorm("input_layernorm", c.width, epsilon: c.normEpsilon),
        weights.layerNorm("post_attention_layernorm", c.width, epsilon: c.normEpsilon)
      )
      let attention = Part(
        name: "attention", norm: attentionNorm,
        mixer: Attention(
          form, weights.under("attention"), names: ("query_key_value", "dense"), order: .byHead))
      let mlp = Part(
        name: "mlp", norm: mlpNorm,
        mixer: Perceptron(
          weights.under("mlp"), names: (up: "dense_h_to_4h", gate: nil, down: "dense_4h_to_h"),
          width: c.width, innerWidth: c.innerWidth, c.activation, hasBias: true))
      return Block(steps: c.isParallel ? [[attention, mlp]] : [[attention], [mlp]])
    }
  }
}
