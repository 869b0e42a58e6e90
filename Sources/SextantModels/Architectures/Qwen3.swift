import SextantBytes
import SextantStore
import SextantTensor

// Qwen2 (arXiv 2407.10671), Qwen2.5 and Qwen3 (arXiv 2505.09388): blocks of [RMSNorm, attention, add,
// RMSNorm, gated perceptron, add], as in Llama. The projections of queries, keys and values of
// Qwen2 have biases; Qwen3 norms the heads of queries and keys instead.
//
// Glossary
//   B  sequences in the batch          T  tokens of each sequence in this run
//   L  blocks                          V  rows of the embedding
//   D  width of the residual stream    F  inner width of the perceptron
//   H  query heads                     G  key and value heads
//   W  channels of a head (Qwen3: not always D / H)
// Rows of a [B·T, …] tensor are ordered by sequence, then by position.

/// The dense models of Qwen2, Qwen2.5 and Qwen3, as published in Hugging Face transformers.
package enum Qwen3: Architecture {
  /// The name in stores and artifacts.
  package static let name = "qwen3"

  // MARK: Configuration

  /// The sizes of a model.
  package struct Configuration: DecoderConfiguration {
    var decoder = DecoderSizes()
    var layers: [AttentionBlock] = []  // L
    /// The positions that a token attends to in blocks with a window, including its own.
    var window: Int?
    var rotary = RotaryEmbedding()
    /// Whether the heads of queries and keys are normed, as in Qwen3.
    var hasHeadNorms = false
    /// Whether the projections of queries, keys and values have biases. That of the output has one
    /// in Qwen3 then, too.
    var hasAttentionBias = false

    var layerCount: Int { layers.count }

    package init() {}

    package static var canonicalForm: ConfigurationForm<Self> {
      ConfigurationForm([
        .decoder, .layers(\.layers, in: layerCounts),
        .integer("sliding_window", \.window, in: sizes), .rotary(\.rotary),
        .flag("head_norms", \.hasHeadNorms), .flag("attention_bias", \.hasAttentionBias),
      ])
    }

    /// `config.json` of `Qwen2ForCausalLM` or `Qwen3ForCausalLM`; absent keys have transformers'
    /// defaults.
    static func huggingFace(hasHeadNorms: Bool) -> ConfigurationForm<Self> {
      let name = hasHeadNorms ? "Qwen3" : "Qwen2"
      return ConfigurationForm([
        .written("architectures", [.string("\(name)ForCausalLM")]),
        .written("model_type", .string(name.lowercased())),
        .publishedDecoder(
          keyHeads: 32, headWidth: hasHeadNorms ? 128 : nil, contextLength: 32_768,
          normEpsilon: 1e-6),
        windows, .onlySiLU,
        .publishedRotary(\.rotary),
        .custom { node, c throws(Refusal) in
          c.hasHeadNorms = hasHeadNorms
          // Qwen2 always has biases.
          c.hasAttentionBias =
            hasHeadNorms ? try node.optionalMember("attention_bias")?.boolean() ?? false : true
        } write: {
          hasHeadNorms ? [("attention_bias", .boolean($0.hasAttentionBias))] : []
        },
      ])
    }

    /// The configuration of keras-hub's `Qwen3Backbone` or `QwenBackbone`.
    static func kerasHub(hasHeadNorms: Bool) -> ConfigurationForm<Self> {
      ConfigurationForm([
        .kerasHubDecoder(hasHeadWidth: hasHeadNorms, contextLength: 32_768),
        .custom { node, c throws(Refusal) in
          let count = try node.member("num_layers").integer(supported: layerCounts)
          c.layers = Array(repeating: .attention, count: count)
          (c.hasHeadNorms, c.hasAttentionBias) = (hasHeadNorms, !hasHeadNorms)
        } write: { c in
          [("num_layers", .integer(Int64(c.layerCount)))]
        },
        .kerasHubTied(usual: true),
        .kerasHubRotary(\.rotary, width: { $0.decoder.headWidth }, factor: "rope_scaling_factor"),
        hasHeadNorms
          ? .kerasHubWideWindow("sliding_window_size", \.decoder.contextLength)
          : .fixed("use_sliding_window_attention", false),
      ])
    }

    /// The kinds of the blocks. A window counts only if the configuration turns it on.
    private static var windows: ConfigurationForm<Self>.Member {
      let kinds = ConfigurationForm<Self>.Member.publishedKinds(
        \.layers, AttentionBlock.published, in: layerCounts
      ) { node, count throws(Refusal) in
        let first = try node.optionalMember("max_window_layers")?.integer(in: 0...Int.max) ?? 28
        let isOn = try window(node) != nil
        return (0..<count).map { isOn && $0 >= first ? .window : .attention }
      }
      return .custom { node, c throws(Refusal) in
        c.window = try window(node)
        try kinds.read(node, &c)
        guard c.layers.contains(.window) else {
          c.window = nil
          return
        }
        guard c.window == nil else { return }
        throw node.refusal(
          found: "blocks with a window, and use_sliding_window false",
          expected: "a window that is turned on")
      } write: { c in
        let window = c.window.map { JSONValue.integer(Int64($0)) } ?? .null
        return kinds.write(c) + [
          ("use_sliding_window", .boolean(c.window != nil)), ("sliding_window", window),
          ("max_window_layers", .integer(Int64(c.layers.firstIndex(of: .window) ?? c.layerCount))),
        ]
      }
    }

    private static func window(_ node: JSONNode) throws(Refusal) -> Int? {
      let isOn = try node.optionalMember("use_sliding_window")?.boolean() ?? false
      let member = try node.optionalMember("sliding_window")
      guard isOn else { return nil }
      if try node.object()["sliding_window"] == nil { return 4096 }
      return try member?.integer(supported: sizes)
    }

    package func check(_ node: JSONNode) throws(Refusal) {
      try decoder.check(node)
      guard layers.contains(.window) == (window != nil) else {
        throw node.refusal(
          found: window == nil ? "blocks with a window, and no size of it" : "a window in no block",
          expected: "both or none")
      }
      try node.check(rotary, ofHead: decoder.headWidth)
    }
  }

  /// Whether a published `config.json` describes a dense Qwen2 or Qwen3.
  package static func recognises(_ config: JSONNode) -> Bool {
    hasHeadNorms(config)
      || isNamed(config, types: ["qwen2"], classes: ["Qwen2ForCausalLM", "Qwen2Model"])
      || isOfKerasHub(config)
  }

  private static func hasHeadNorms(_ config: JSONNode) -> Bool {
    isNamed(config, types: ["qwen3"], classes: ["Qwen3ForCausalLM", "Qwen3Model"])
  }

  /// A member for images, which these models do not read, and the size of windows that no block has.
  package static let inertKeys: Set = [
    "use_mrope", "config.sliding_window_size", "config.backbone.config.sliding_window_size",
  ]

  /// The configuration that a published one means.
  package static func configuration(
    from config: JSONNode?, checkpoint: CheckpointShapes
  ) throws(Refusal) -> Configuration {
    let config = try required(config)
    if let found = KerasHub.described(by: config, among: kerasHubClasses) {
      let form = Configuration.kerasHub(hasHeadNorms: found == kerasHubClasses[0])
      return try Configuration.read(KerasHub.backbone(config), as: form)
    }
    return try Configuration.read(
      config, as: Configuration.huggingFace(hasHeadNorms: hasHeadNorms(config)))
  }

  // MARK: Dialects

  /// The published naming, that of GGUF files, and those of keras-hub.
  package static let dialects = [
    Dialect(
      name: "huggingface", base: "model.",
      markers: ["model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight"],
      source: Dialect.sources(.huggingFace) { "model.layers.\($0.block).\($0.name)" }),
    Dialect(
      name: "gguf",
      markers: ["token_embd.weight", "blk.0.attn_q.weight", "blk.0.ffn_gate.weight"],
      ignores: Llama.isRotationTable,
      source: Dialect.sources(.gguf) { "\($0.gguf(Llama.ggufModules))" }),
    naming(ofQwen3: true).dialect(Dialect.kerasHub, marker: "final_norm.weight"),
    naming(ofQwen3: false).dialect("keras-hub-qwen2", marker: "final_norm.weight"),
    naming(ofQwen3: true).dialect(
      Dialect.namedKerasHub, isNamed: true, marker: "blocks.0.self_attn.q_proj.weight"),
  ]

  /// The classes of keras-hub.
  package static let kerasHubClasses = [
    KerasHubClass("Qwen3", module: "qwen3.qwen3_backbone"),
    KerasHubClass("Qwen", module: "qwen.qwen_backbone", synonyms: ["Qwen2"]),
  ]

  private static func naming(ofQwen3 isQwen3: Bool) -> KerasHubNaming {
    let stem = isQwen3 ? "qwen3" : "qwen"
    return .decoder(
      stem, norm: "\(stem)_layer_norm",
      changing: [
        "self_attn.q_norm": .init(
          "_self_attention_layer._query_dense_layer_norm", "self_attention.query_dense_layernorm",
          .norm),
        "self_attn.k_norm": .init(
          "_self_attention_layer._key_dense_layer_norm", "self_attention.key_dense_layernorm",
          .norm),
      ])
  }

  /// The description of a model by keras-hub.
  private static func kerasHub(_ c: Configuration, dialect: String) throws(Refusal) -> JSONObject {
    let isQwen3 = dialect == Dialect.kerasHub
    let found = kerasHubClasses[isQwen3 ? 0 : 1]
    var isScaledOtherwise = c.rotary.scaling != .none
    if case .linear = c.rotary.scaling { isScaledOtherwise = false }
    try checkExpressible(
      [
        // PyTorch and JAX under keras-hub ignore the window.
        ("blocks with a window", c.window != nil, "attention to all positions"),
        ("norms of heads", c.hasHeadNorms && !isQwen3, "no norms of heads"),
        ("no norms of heads", !c.hasHeadNorms && isQwen3, "norms of heads"),
        ("biases", c.hasAttentionBias && isQwen3, "no biases"),
        ("no biases", !c.hasAttentionBias && !isQwen3, "biases"),
        (
          "heads that do not share the width", !isQwen3 && !c.decoder.headsShareWidth,
          "heads of \(c.width / c.decoder.headCount) channels"
        ),
        ("a scaled rotation of this kind", isScaledOtherwise, "the kind linear, or none"),
      ], in: found.name)
    return found.description(Configuration.kerasHub(hasHeadNorms: isQwen3).json(of: c))
  }

  /// The metadata of GGUF files. llama.cpp has no windows in these models.
  package static let ggufTables = [table("qwen2"), table("qwen3", ("attention_bias", false))]

  private static func table(
    _ name: String, _ fixed: (member: String, value: JSONValue)...
  ) -> GGUFTable {
    GGUFTable(
      name: name,
      fixed: [
        ("model_type", .string(name)), ("hidden_act", "silu"),
      ] + fixed,
      rows: [.expected("attention.sliding_window", 0), .length] + GGUFTable.Row.decoder
        + [.rotation(.init(headWidth: "head_dim")), .tied])
  }

  /// `config.json` of `Qwen2ForCausalLM` or `Qwen3ForCausalLM`.
  package static func published(
    _ c: Configuration, dialect: String
  ) throws(Refusal) -> JSONObject {
    if dialect.hasPrefix(Dialect.kerasHub) { return try kerasHub(c, dialect: dialect) }
    guard dialect != "gguf" || c.window == nil else {
      throw inexpressible(
        "blocks with a window", expected: "attention to all positions, as llama.cpp computes")
    }
    return Configuration.huggingFace(hasHeadNorms: c.hasHeadNorms).json(of: c)
  }

  // MARK: Model

  /// Blocks of [norm, attention, add, norm, gated perceptron, add].
  package static func network(_ c: Configuration, _ weights: WeightSource) -> Network {
    Network(c, weights, rotations: [c.rotary], contextLength: c.decoder.contextLength) {
      index, weights in
      var form = c.decoder.attention
      form.rotation = 0
      form.window = c.layers[index] == .window ? c.window : nil
      (form.hasBias, form.hasOutputBias) = (
        c.hasAttentionBias, c.hasAttentionBias && c.hasHeadNorms
      )
      if c.hasHeadNorms {
        form.norms = .init(names: ("q_norm", "k_norm"), epsilon: c.normEpsilon)
      }
      return Block(
        Part(
          name: "attention", norm: c.decoder.norm("input_layernorm", weights),
          mixer: Attention(
            form, weights.under("self_attn"), names: ("q_proj", "k_proj", "v_proj", "o_proj"))),
        Part(
          name: "mlp", norm: c.decoder.norm("post_attention_layernorm", weights),
          mixer: c.decoder.perceptron(weights.under("mlp"))))
    }
  }
}
