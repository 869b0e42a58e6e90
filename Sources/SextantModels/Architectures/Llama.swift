import SextantBytes
import SextantStore
import SextantTensor

// Llama 2: Open Foundation and Fine-Tuned Chat Models (arXiv 2307.09288): blocks of [RMSNorm,
// attention, add, RMSNorm, gated perceptron, add], queries in groups that share a key, rotary
// position embedding. Mistral 7B (arXiv 2310.06825) is the same with a window.
//
// Glossary
//   B  sequences in the batch          T  tokens of each sequence in this run
//   L  blocks                          V  rows of the embedding
//   D  width of the residual stream    F  inner width of the perceptron
//   H  query heads                     G  key and value heads
//   W  channels of a head ("head_dim", usually D / H)
// Rows of a [B·T, …] tensor are ordered by sequence, then by position.

/// Llama and Mistral, as published in Hugging Face transformers.
///
/// A configuration of Mistral may name a `sliding_window`; then a token attends to this number of
/// positions, including its own. The state always keeps all positions.
package enum Llama: Architecture {
  /// The name in stores and artifacts.
  package static let name = "llama"

  // MARK: Configuration

  /// The sizes of a Llama.
  package struct Configuration: DecoderConfiguration {
    var decoder = DecoderSizes()
    var layerCount = 0  // L
    var rotary = RotaryEmbedding()
    var activation = Activation.silu
    var window: Int?
    var hasAttentionBias = false
    var hasMLPBias = false

    /// transformers' default for Llamas, and the length of stores that do not record one.
    static let usualLength = 2048

    package init() {}

    package static var canonicalForm: ConfigurationForm<Self> {
      ConfigurationForm([
        .decoder(usualLength: usualLength), .integer("n_layer", \.layerCount, in: layerCounts),
        .integer("sliding_window", \.window, in: sizes),
        .flag("attention_bias", \.hasAttentionBias), .flag("mlp_bias", \.hasMLPBias),
        .rotary(\.rotary),
        .activation(\.activation, usual: .silu),
      ])
    }

    /// `config.json` of `LlamaForCausalLM` or `MistralForCausalLM`; absent keys have transformers'
    /// defaults. A model with a window is written as a Mistral.
    static func huggingFace(isMistral: Bool) -> ConfigurationForm<Self> {
      ConfigurationForm(
        [
          .written("architectures", [isMistral ? "MistralForCausalLM" : "LlamaForCausalLM"]),
          .written("model_type", isMistral ? "mistral" : "llama"),
          .publishedDecoder(
            keyHeads: isMistral ? 8 : nil, contextLength: isMistral ? 131_072 : usualLength,
            normEpsilon: 1e-6),
          .integer("num_hidden_layers", \.layerCount, in: layerCounts),
          .publishedActivation(\.activation, usual: .silu),
          .publishedRotary(\.rotary),
        ] + (isMistral ? [window] : biases))
    }

    /// The configuration of keras-hub's `LlamaBackbone` and `Llama3Backbone`.
    ///
    /// - Parameter isTied: whether the head is the embedding. keras-hub 0.32 does not write the member.
    static func kerasHub(isTied: Bool) -> ConfigurationForm<Self> {
      ConfigurationForm([
        .kerasHubDecoder(hasHeadWidth: false, contextLength: usualLength),
        .integer("num_layers", \.layerCount, in: layerCounts), .kerasHubTied(usual: isTied),
        .positive("rope_max_wavelength", \.rotary.base, default: 10_000),
        // keras-hub 0.32 has this member and ignores it.
        .expected("rope_position_scaling_factor", 1, 1.0), kerasHubScaling,
        .implied { $0.rotary.width = $0.decoder.headWidth },
      ])
    }

    /// The scaling of Llama 3.1: four members, or none.
    private static var kerasHubScaling: ConfigurationForm<Self>.Member {
      let keys = [
        "rope_frequency_adjustment_factor", "rope_low_freq_factor", "rope_high_freq_factor",
        "rope_pretraining_sequence_length",
      ]
      return .custom { node, c throws(Refusal) in
        var numbers: [Double] = []
        for key in keys {
          if let number = try node.optionalPositive(key) { numbers.append(number) }
        }
        guard numbers.isEmpty || numbers.count == keys.count && numbers[2] > numbers[1] else {
          throw node.refusal(
            found: "\(numbers.count) of the \(keys.count) numbers of a scaled rotation, or a "
              + "rope_high_freq_factor that is not above rope_low_freq_factor",
            expected: "\(keys.joined(separator: ", ")), or none of them")
        }
        c.rotary.scaling =
          numbers.isEmpty
          ? .none
          : .llama3(factor: numbers[0], low: numbers[1], high: numbers[2], length: numbers[3])
      } write: { c in
        guard case .llama3(let factor, let low, let high, let length) = c.rotary.scaling else {
          return keys.map { ($0, .null) }
        }
        return zip(keys, [factor, low, high, length]).map { ($0, .number($1)) }
      }
    }

    /// The configuration of keras-hub's `MistralBackbone`.
    static var kerasHubMistral: ConfigurationForm<Self> {
      ConfigurationForm([
        .kerasHubDecoder(hasHeadWidth: true, contextLength: 131_072),
        .integer("num_layers", \.layerCount, in: layerCounts),
        .kerasHubRotary(\.rotary, width: { $0.decoder.headWidth }, factor: "rope_scaling_factor"),
        .custom { node, c throws(Refusal) in
          c.window = try window(node, usual: 512)
        } write: { c in
          [("sliding_window", c.window.map { .integer(Int64($0)) } ?? .null)]
        },
      ])
    }

    /// Only Llama has them.
    private static var biases: [ConfigurationForm<Self>.Member] {
      [
        .flag("attention_bias", \.hasAttentionBias, default: false),
        .flag("mlp_bias", \.hasMLPBias, default: false),
      ]
    }

    /// Only Mistral has one.
    private static var window: ConfigurationForm<Self>.Member {
      .custom { node, c throws(Refusal) in
        c.window = try window(node, usual: 4096)
      } write: { c in
        c.window.map { [("sliding_window", .integer(Int64($0)))] } ?? []
      }
    }

    /// The window of a Mistral: null means that there is none, and differs from an absent key.
    private static func window(_ config: JSONNode, usual: Int) throws(Refusal) -> Int? {
      guard try config.object()["sliding_window"] != nil else { return usual }
      return try config.optionalMember("sliding_window")?.integer(supported: sizes)
    }

    package func check(_ node: JSONNode) throws(Refusal) {
      try decoder.check(node)
      guard 2 * rotary.pairCount <= decoder.headWidth else {
        throw node.refusal(
          found: "\(2 * rotary.pairCount) rotated channels",
          expected: "at most \(decoder.headWidth)")
      }
    }
  }

  /// Whether a published `config.json` describes a Llama or a Mistral.
  package static func recognises(_ config: JSONNode) -> Bool {
    isNamed(
      config, types: ["llama", "mistral"],
      classes: mistralClasses.union(["LlamaForCausalLM", "LlamaModel"])) || isOfKerasHub(config)
  }

  private static let mistralClasses: Set = ["MistralForCausalLM", "MistralModel"]

  /// The configuration that a published one means.
  package static func configuration(
    from config: JSONNode?, checkpoint: CheckpointShapes
  ) throws(Refusal) -> Configuration {
    let config = try required(config)
    if let found = KerasHub.described(by: config, among: kerasHubClasses) {
      let isTied = lacksKerasHubHead(checkpoint)
      let form =
        found == mistralOfKerasHub
        ? Configuration.kerasHubMistral : Configuration.kerasHub(isTied: isTied)
      return try Configuration.read(KerasHub.backbone(config), as: form)
    }
    let isMistral = isNamed(config, types: ["mistral"], classes: mistralClasses)
    return try Configuration.read(config, as: Configuration.huggingFace(isMistral: isMistral))
  }

  // MARK: Dialects

  /// The published naming, that of GGUF files, and those of keras-hub.
  package static let dialects = [
    Dialect(
      name: "huggingface", base: "model.",
      // Of models that also read images, such as LLaVA.
      wrappedBases: ["model.language_model."],
      otherParts: ["model.vision_tower.", "model.multi_modal_projector."],
      markers: ["model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight"],
      source: Dialect.sources(.huggingFace) { "model.layers.\($0.block).\($0.name)" }), gguf,
    llamaNaming.dialect(Dialect.kerasHub, marker: "final_norm.weight"),
    mistralNaming.dialect(mistralDialect, marker: "final_norm.weight"),
    llamaNaming.dialect(
      Dialect.namedKerasHub, isNamed: true, marker: "blocks.0.self_attn.q_proj.weight"),
  ]

  /// Llama 2 and Llama 3 differ in the tokenizer alone.
  package static let kerasHubClasses = [
    KerasHubClass("Llama", module: "llama.llama_backbone"),
    KerasHubClass("Llama3", module: "llama3.llama3_backbone"), mistralOfKerasHub,
  ]

  private static let mistralOfKerasHub = KerasHubClass(
    "Mistral", module: "mistral.mistral_backbone")
  private static let mistralDialect = "keras-hub-mistral"
  private static let llamaNaming = KerasHubNaming.decoder("llama", norm: "llama_layer_norm")
  private static let mistralNaming = KerasHubNaming.decoder(
    "mistral", norm: "mistral_layer_normalization")

  /// The description of a model by keras-hub.
  private static func kerasHub(_ c: Configuration, dialect: String) throws(Refusal) -> JSONObject {
    let isMistral = dialect == mistralDialect
    var (isScaledAsLlama3, isScaledLinearly, isScaled) = (false, false, c.rotary.scaling != .none)
    if case .llama3 = c.rotary.scaling { isScaledAsLlama3 = true }
    if case .linear = c.rotary.scaling { isScaledLinearly = true }
    isScaled = isScaled && !(isMistral ? isScaledLinearly : isScaledAsLlama3)
    try checkExpressible(
      [
        (
          "a window of \(c.window ?? 0)", c.window != nil && !isMistral,
          "attention to all positions"
        ),
        ("one tensor for embedding and head", c.tiesEmbeddings && isMistral, "a head of its own"),
        (
          "heads that do not share the width", !c.decoder.headsShareWidth && !isMistral,
          "heads of \(c.width / c.decoder.headCount) channels"
        ),
        ("biases", c.hasAttentionBias || c.hasMLPBias, "no biases"),
        ("the activation \(c.activation.rawValue)", c.activation != .silu, "silu"),
        (
          "\(c.rotary.width) rotated channels", c.rotary.width != c.decoder.headWidth,
          "all \(c.decoder.headWidth) of a head"
        ),
        (
          "a scaled rotation of this kind", isScaled,
          isMistral ? "the kind linear, or none" : "the kind llama3, or none"
        ),
      ], in: isMistral ? "MistralBackbone" : "LlamaBackbone")
    if isMistral {
      return mistralOfKerasHub.description(Configuration.kerasHubMistral.json(of: c))
    }
    return kerasHubClasses[isScaledAsLlama3 ? 1 : 0].description(
      Configuration.kerasHub(isTied: c.tiesEmbeddings).json(of: c))
  }

  /// Whether a tensor of a GGUF file is the scaling of the rotation, which the configuration has.
  @Sendable static func isRotationTable(_ name: String) -> Bool {
    ["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"].contains(name)
  }

  /// llama.cpp rotates neighbouring channels, so that its converter makes rows of the halves
  /// neighbours.
  private static let gguf = Dialect(
    name: "gguf", markers: ["token_embd.weight", "blk.0.attn_q.weight", "blk.0.ffn_gate.weight"],
    ignores: isRotationTable,
    source: Dialect.sources(.gguf) { tensor in
      .init(tensor.gguf(ggufModules), change: pairedRows(tensor.module))
    })

  /// The change of queries and keys for a program that rotates neighbouring channels.
  static func pairedRows(_ module: String) -> Dialect.Source.Change? {
    ["self_attn.q_proj", "self_attn.k_proj"].contains(module)
      ? .pairedRows(headWidth: "head_dim") : nil
  }

  /// The metadata of GGUF files.
  package static let ggufTables = [
    GGUFTable(
      name: "llama", fixed: [("model_type", "llama"), ("hidden_act", "silu")],
      rows: [
        .expected("attention.sliding_window", 0), .expected("expert_count", 0), .length,
      ] + GGUFTable.Row.decoder + [
        .rotation(.init(headWidth: "head_dim")), .tied,
        .tensor("blk.0.attn_q.bias", "attention_bias"), .tensor("blk.0.ffn_up.bias", "mlp_bias"),
      ])
  ]

  /// `config.json` of `LlamaForCausalLM` or `MistralForCausalLM`.
  package static func published(
    _ c: Configuration, dialect: String
  ) throws(Refusal) -> JSONObject {
    if dialect.hasPrefix(Dialect.kerasHub) { return try kerasHub(c, dialect: dialect) }
    guard c.rotary.width == c.decoder.headWidth else {
      throw inexpressible(
        "\(c.rotary.width) rotated channels", expected: "all \(c.decoder.headWidth) of a head")
    }
    guard c.window == nil || !(c.hasAttentionBias || c.hasMLPBias) else {
      throw inexpressible("a window and biases", expected: "one of the two")
    }
    return Configuration.huggingFace(isMistral: c.window != nil).json(of: c)
  }

  static let ggufModules = [
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
  ]

  // MARK: Model

  /// Blocks of [norm, attention, add, norm, gated perceptron, add].
  package static func network(_ c: Configuration, _ weights: WeightSource) -> Network {
    var form = c.decoder.attention
    (form.window, form.hasBias, form.rotation) = (c.window, c.hasAttentionBias, 0)
    return Network(
      c, weights, rotations: [c.rotary], contextLength: c.decoder.contextLength
    ) { index, weights in
      return Block(
        Part(
          name: "attention",
          norm: weights.rmsNorm("input_layernorm", c.width, epsilon: c.normEpsilon),
          mixer: Attention(
            form, weights.under("self_attn"), names: ("q_proj", "k_proj", "v_proj", "o_proj"))),
        Part(
          name: "mlp",
          norm: weights.rmsNorm("post_attention_layernorm", c.width, epsilon: c.normEpsilon),
          mixer: Perceptron(
            weights.under("mlp"), names: (up: "up_proj", gate: "gate_proj", down: "down_proj"),
            width: c.width, innerWidth: c.decoder.innerWidth, c.activation, hasBias: c.hasMLPBias)))
    }
  }
}
