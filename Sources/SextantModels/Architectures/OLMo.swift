import SextantBytes
import SextantStore
import SextantTensor

// OLMo 2 (arXiv 2501.00656), OLMo 3 and OLMo Hybrid, as transformers computes them. Blocks with
// attention are [attention, RMSNorm, add, gated perceptron, RMSNorm, add]: norms follow the parts. All
// queries of a token are normed together, and so are its keys. Some blocks of OLMo 3 attend within a
// window. Most blocks of OLMo Hybrid have the gated delta rule (arXiv 2412.06464) in the place of
// attention; they are [RMSNorm, delta rule, add, RMSNorm, gated perceptron, add].
//
// Glossary
//   B  sequences in the batch          T  tokens of each sequence in this run
//   L  blocks                          V  rows of the embedding
//   D  width of the residual stream    F  inner width of the perceptron
//   H  query heads of attention        G  its key and value heads
//   W  channels of a head of attention, usually D / H
// The letters of the gated delta rule are in Blocks/GatedDelta.swift.

/// OLMo 2, OLMo 3 and OLMo Hybrid, as published in Hugging Face transformers.
package enum OLMo: Architecture {
  /// The name in stores and artifacts.
  package static let name = "olmo"

  // MARK: Configuration

  /// What mixes the tokens in a block.
  enum Kind: String, LayerKind {
    case delta
    /// Attention within a window.
    case window
    /// Attention to all positions.
    case attention
  }

  /// The published codes, which have one `model_type` each.
  enum Family: String, CaseIterable {
    case olmo2, olmo3
    case hybrid = "olmo_hybrid"

    var className: String { self == .hybrid ? "OlmoHybrid" : "O\(rawValue.dropFirst())" }

    /// The names of the kinds of blocks that it has.
    var kinds: [String: Kind] {
      switch self {
      case .olmo2: ["full_attention": .attention]
      case .olmo3: ["full_attention": .attention, "sliding_attention": .window]
      case .hybrid: ["full_attention": .attention, "linear_attention": .delta]
      }
    }
  }

  /// The sizes of a model.
  package struct Configuration: DecoderConfiguration {
    var decoder = DecoderSizes()
    var layers: [Kind] = []  // L
    /// The positions that a token attends to in blocks with a window, including its own.
    var window: Int?
    /// The rotation in blocks that attend to all positions; a width of 0 if heads do not turn.
    var rotary = RotaryEmbedding()
    /// The rotation in blocks with a window.
    var windowRotary = RotaryEmbedding()
    var delta = GatedDelta.Form()
    /// Whether a token may replace a value at a rate of up to 2, which gives its key an eigenvalue
    /// of down to -1.
    var allowsNegativeEigenvalues = false

    var layerCount: Int { layers.count }
    var hasDelta: Bool { layers.contains(.delta) }
    var hasWindow: Bool { layers.contains(.window) }

    /// The code that computes the model.
    var family: Family { hasDelta ? .hybrid : hasWindow ? .olmo3 : .olmo2 }

    package init() {}

    package static var canonicalForm: ConfigurationForm<Self> {
      ConfigurationForm([
        .decoder, .layers(\.layers, in: layerCounts), .rotary(\.rotary),
        .when(
          \.hasWindow,
          .group([
            .integer("sliding_window", \.window, in: sizes),
            .object("window_rotation", [.rotary(\.windowRotary)]),
          ])),
        .when(
          \.hasDelta,
          .group([
            .delta(\.delta),
            .flag("negative_eigenvalues", \.allowsNegativeEigenvalues),
          ])),
      ])
    }

    /// `config.json` of `Olmo2ForCausalLM`, `Olmo3ForCausalLM` or `OlmoHybridForCausalLM`; absent
    /// keys have transformers' defaults.
    static func huggingFace(_ family: Family) -> ConfigurationForm<Self> {
      ConfigurationForm(
        [
          .written("architectures", [.string("\(family.className)ForCausalLM")]),
          .written("model_type", .string(family.rawValue)),
          .publishedDecoder(
            contextLength: family == .hybrid ? 65_536 : 2048,
            normEpsilon: family == .hybrid ? 1e-6 : 1e-5),
          kinds(family), .onlySiLU, .fixed("attention_bias", false),
        ] + own(family))
    }

    private static func kinds(_ family: Family) -> ConfigurationForm<Self>.Member {
      .publishedKinds(\.layers, family.kinds, in: layerCounts) { _, count in
        switch family {
        case .olmo2: return Array(repeating: .attention, count: count)
        case .olmo3: return (0..<count).map { $0 % 4 == 3 ? .attention : .window }
        case .hybrid:
          let kinds: [Kind] = (0..<count).map { $0 % 4 == 3 ? .attention : .delta }
          return kinds.contains(.attention) ? kinds : kinds.dropLast() + [.attention]
        }
      }
    }

    /// The members that only one of the families has.
    private static func own(_ family: Family) -> [ConfigurationForm<Self>.Member] {
      switch family {
      case .olmo2:
        [
          .publishedRotary(\.rotary)
        ]
      case .olmo3:
        [
          .custom { node, c throws(Refusal) in
            let window = try node.optionalMember("sliding_window")?.integer(supported: sizes)
            c.window = try node.object()["sliding_window"] == nil ? 4096 : window
            if !c.hasWindow { c.window = nil }
            guard c.hasWindow, c.window == nil else { return }
            throw node.refusal(
              found: "blocks with a window, and no sliding_window", expected: "its size")
          } write: {
            [("sliding_window", $0.window.map { .integer(Int64($0)) } ?? .null)]
          },
          .publishedRotaries(
            \.rotary, windows: \.windowRotary, headWidth: \.decoder.headWidth,
            contextLength: \.decoder.contextLength, usualBase: 500_000,
            windowBase: ("rope_theta", 500_000)),
          .custom { _, c in
            if !c.hasWindow { c.windowRotary = RotaryEmbedding() }
          } write: { _ in
            []
          },
        ]
      case .hybrid:
        [
          .integer("linear_num_key_heads", \.delta.keyHeads, in: heads) { $0.decoder.headCount },
          .integer("linear_num_value_heads", \.delta.valueHeads, in: heads) {
            $0.decoder.headCount
          },
          .integer("linear_key_head_dim", \.delta.keyWidth, in: heads) {
            max(1, 3 * $0.width / (4 * $0.delta.keyHeads))
          },
          .integer("linear_value_head_dim", \.delta.valueWidth, in: heads) {
            2 * $0.delta.keyWidth
          },
          .integer("linear_conv_kernel_dim", \.delta.kernelWidth, in: kernelWidths) { _ in 4 },
          .flag("linear_allow_neg_eigval", \.allowsNegativeEigenvalues, default: true),
          optionalRotation,
          // transformers' default may be beyond the vocabulary.
          .written("pad_token_id", .null),
        ]
      }
    }

    /// The rotation of OLMo Hybrid. The published models have none: `rope_parameters` is null, or its
    /// `rope_theta` is. transformers 5.24 rotates heads if the former is null, which its authors did
    /// not mean: the base of all families is a default then.
    private static var optionalRotation: ConfigurationForm<Self>.Member {
      let rotation = ConfigurationForm<Self>.Member.publishedRotary(\.rotary)
      return .custom { node, c throws(Refusal) in
        let parameters = try node.optionalMember("rope_parameters")
        var base = try parameters?.optionalMember("rope_theta")
        if base == nil { base = try node.optionalMember("rope_theta") }
        if base != nil { return try rotation.read(node, &c) }
        if let kind = try parameters?.optionalMember("rope_type"), kind.value != "default" {
          throw kind.refusal(expected: "a rope_theta beside it")
        }
        if let scaling = try node.optionalMember("rope_scaling") {
          throw scaling.refusal(expected: "a rope_theta beside it")
        }
      } write: { c in
        c.rotary.width > 0
          ? rotation.write(c)
          : [("rope_parameters", ["rope_theta": .null, "rope_type": "default"])]
      }
    }

    package func check(_ node: JSONNode) throws(Refusal) {
      try decoder.check(node)
      guard hasWindow == (window != nil) else {
        throw node.refusal(
          found: hasWindow ? "blocks with a window, and no size of it" : "a window in no block",
          expected: "both or none")
      }
      if hasDelta { try delta.check(node, sizes: Self.sizes) }
      let widths = [rotary.width] + (hasWindow ? [windowRotary.width] : [])
      for width in widths where width != decoder.headWidth && !(hasDelta && width == 0) {
        throw node.refusal(
          found: "\(width) rotated channels", expected: "all \(decoder.headWidth) of a head")
      }
      // transformers has no code for blocks of all kinds.
      guard !hasDelta || !hasWindow else {
        throw node.unsupported(
          found: "blocks with the delta rule and blocks with a window", expected: "one of the two")
      }
    }
  }

  /// Whether a published `config.json` describes an OLMo 2, OLMo 3 or OLMo Hybrid.
  package static func recognises(_ config: JSONNode) -> Bool { family(of: config) != nil }

  private static func family(of config: JSONNode) -> Family? {
    Family.allCases.first {
      isNamed(
        config, types: [$0.rawValue],
        classes: ["\($0.className)ForCausalLM", "\($0.className)Model"])
    }
  }

  /// Members for the values with which training begins, and members of rotations that repeat those of
  /// the kinds of blocks.
  package static let inertKeys: Set = [
    "linear_a_log_min", "linear_a_log_max", "linear_dt_min", "linear_dt_max",
    "linear_dt_init_floor", "rope_parameters.rope_theta", "rope_parameters.rope_type",
  ]

  /// The configuration that a published one means.
  package static func configuration(
    from config: JSONNode?, checkpoint: CheckpointShapes
  ) throws(Refusal) -> Configuration {
    let config = try required(config)
    return try Configuration.read(
      config, as: Configuration.huggingFace(family(of: config) ?? .olmo2))
  }

  // MARK: Dialects

  /// The published naming, that of an OLMo Hybrid which transformers 5 saved again, and that of GGUF
  /// files.
  package static let dialects = [
    dialect("huggingface", attentionNorm: "post_attention_layernorm"),
    dialect(
      "transformers5", attentionNorm: "feedforward_layer_norm",
      absent: ["model.layers.*.post_attention_layernorm.weight"]),
    Dialect(
      name: "gguf",
      markers: ["token_embd.weight", "blk.0.post_ffw_norm.weight", "blk.0.attn_q_norm.weight"],
      absent: ["blk.0.attn_norm.weight"], ignores: Llama.isRotationTable,
      source: Dialect.sources(.gguf) { "\($0.gguf(ggufModules))" }),
  ]

  /// Three tensors have the rows of the convolution of a delta rule. transformers 5 cuts them at other
  /// places when it saves a model.
  ///
  /// - Parameter attentionNorm: the name of the norm after attention.
  private static func dialect(
    _ name: String, attentionNorm: String, absent: [String] = []
  ) -> Dialect {
    Dialect(
      name: name, base: "model.",
      markers: [
        "model.embed_tokens.weight", "model.layers.*.post_feedforward_layernorm.weight",
        "model.layers.*.\(attentionNorm).weight",
      ],
      absent: absent + ["model.layers.0.pre_feedforward_layernorm.weight"],
      source: Dialect.sources(.huggingFace) { tensor in
        let layer = "model.layers.\(tensor.block)."
        switch tensor.name {
        case "post_attention_layernorm.weight": return "\(layer)\(attentionNorm).weight"
        case "linear_attn.conv1d.weight":
          let queries = ["n_delta_key_head", "delta_key_dim"]
          let counts = [queries, queries, ["n_delta_value_head", "delta_value_dim"]]
          return .init(
            .sequence(
              zip(["q", "k", "v"], counts).map {
                .init(layer + "linear_attn.\($0)_conv1d.weight", count: $1)
              }), form: .ones([1]))
        default: return "\(layer)\(modules[tensor.module] ?? tensor.module).\(tensor.last)"
        }
      })
  }

  private static let modules = [
    "linear_attn.z_proj": "linear_attn.g_proj", "linear_attn.norm": "linear_attn.o_norm",
    "linear_attn.out_proj": "linear_attn.o_proj",
  ]

  private static let ggufModules = Llama.ggufModules.merging([
    "post_attention_layernorm": "post_attention_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
  ]) { $1 }

  /// The metadata of GGUF files: llama.cpp has OLMo 2 and 3 under one name.
  package static let ggufTables = [
    GGUFTable(
      name: "olmo2",
      fixed: [
        ("model_type", "olmo3"), ("hidden_act", "silu"), ("attention_bias", false),
        ("tie_word_embeddings", false),
      ],
      rows: [.length] + GGUFTable.Row.decoder + [
        .rotation(.init(headWidth: "head_dim")), .windows(.init(interval: 4)),
      ])
  ]

  /// `config.json` of `Olmo2ForCausalLM`, `Olmo3ForCausalLM` or `OlmoHybridForCausalLM`.
  package static func published(
    _ c: Configuration, dialect: String
  ) throws(Refusal) -> JSONObject {
    guard dialect == "gguf" else { return Configuration.huggingFace(c.family).json(of: c) }
    guard !c.hasDelta else {
      throw inexpressible("a gated delta rule", expected: "an OLMo 2 or 3: llama.cpp has no other")
    }
    guard c.decoder.headsShareWidth else {
      throw inexpressible(
        "heads of \(c.decoder.headWidth)", expected: "heads that share the width, \(c.width)")
    }
    guard !c.hasWindow || c.windowRotary.scaling == .none && c.windowRotary.base == c.rotary.base
    else {
      throw inexpressible(
        "blocks with a window and another rotation", expected: "the same one, not scaled")
    }
    // An OLMo 2 is an OLMo 3 without windows.
    return Configuration.huggingFace(.olmo3).json(of: c)
  }

  // MARK: Model

  /// Blocks of [norm, delta rule, add, norm, gated perceptron, add], and of [attention, norm, add,
  /// gated perceptron, norm, add].
  package static func network(_ c: Configuration, _ weights: WeightSource) -> Network {
    var delta = c.delta
    delta.width = c.width
    delta.normEpsilon = 1e-5  // whatever that of the other norms is
    delta.largestRate = c.allowsNegativeEigenvalues ? 2 : 1
    return Network(
      c, weights, rotations: [c.rotary, c.windowRotary], contextLength: c.decoder.contextLength
    ) { index, weights in
      func norm(_ name: String) -> Norm { c.decoder.norm(name, weights) }
      let perceptron = c.decoder.perceptron(weights.under("mlp"))
      guard c.layers[index] != .delta else {
        return Block(
          Part(
            name: "mixer", norm: norm("attention_layer_norm"),
            mixer: GatedDelta(delta, weights.under("linear_attn"))),
          Part(name: "mlp", norm: norm("feedforward_layer_norm"), mixer: perceptron))
      }
      let hasWindow = c.layers[index] == .window
      var form = c.decoder.attention
      form.window = hasWindow ? c.window : nil
      form.rotation = hasWindow ? 1 : 0
      form.norms = .init(
        names: ("q_norm", "k_norm"), epsilon: c.normEpsilon, isPerHead: false)
      return Block(
        Part(
          name: "attention", norm: nil,
          mixer: Attention(
            form, weights.under("self_attn"), names: ("q_proj", "k_proj", "v_proj", "o_proj")),
          outputNorm: norm("post_attention_layernorm")),
        Part(
          name: "mlp", norm: nil, mixer: perceptron,
          outputNorm: norm("post_feedforward_layernorm")))
    }
  }
}
