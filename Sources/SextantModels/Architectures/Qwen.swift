import SextantBytes
import SextantStore
import SextantTensor

// Qwen3-Next and the text part of Qwen3.5: blocks of [norm, mixer, add, norm, gated perceptron,
// add]. The mixer of most blocks is the gated delta rule (arXiv 2412.06464), that of the others is
// attention with norms of queries and keys and a gate. Larger models have experts in the place of
// the perceptron. RMS norms multiply by 1 + their weight,
// except the norm inside the gated delta rule.
//
// Glossary
//   B  sequences in the batch          T  tokens of each sequence in this run
//   L  blocks                          V  rows of the embedding
//   D  width of the residual stream    F  inner width of the perceptron
//   H  query heads of attention        G  its key and value heads
//   W  channels of a head of attention
// The letters of the gated delta rule are in Blocks/GatedDelta.swift.

/// Qwen3.5 and Qwen3-Next, dense or with experts.
///
/// Images are not read: the parts of a checkpoint for them are left out. Without them, the three
/// positions of a token of Qwen3.5 are equal, and its rotation is the usual one.
package enum Qwen: Architecture {
  /// The name in stores and artifacts.
  package static let name = "qwen3.5"

  // MARK: Configuration

  /// The sizes of a model.
  package struct Configuration: FormedConfiguration, NetworkSizes {
    var width = 0  // D
    var layers: [DeltaBlock] = []  // L
    var vocabularySize = 0  // V
    var innerWidth = 0  // F
    var headCount = 0  // H
    var keyHeadCount = 0  // G
    var headWidth = 0  // W
    var delta = GatedDelta.Form()
    var contextLength = 0
    var normEpsilon = 0.0
    var rotary = RotaryEmbedding()
    /// How many pairs of channels turn by each of the three positions; nil if it is not declared.
    var positionSections: [Int]?
    var tiesEmbeddings = false
    /// Which blocks have experts; empty if none has.
    var feedForward: [FeedForward] = []
    var experts = Experts.Form()

    var hasExperts: Bool { feedForward.contains(.experts) }
    var hasPerceptrons: Bool { !hasExperts || feedForward.contains(.mlp) }

    var layerCount: Int { layers.count }

    package init() {}

    package static var canonicalForm: ConfigurationForm<Self> {
      ConfigurationForm([
        .integer("d_model", \.width, in: sizes), .layers(\.layers, in: layerCounts),
        .integer("vocab_size", \.vocabularySize, in: sizes),
        .experts(\.experts, in: \.feedForward, counts: layerCounts),
        .when(\.hasPerceptrons, .integer("d_ff", \.innerWidth, in: sizes)),
        .integer("n_head", \.headCount, in: heads),
        .integer("n_kv_head", \.keyHeadCount, in: heads),
        .integer("head_dim", \.headWidth, in: headWidths),
        .delta(\.delta),
        .integer("context_length", \.contextLength, in: lengths),
        .number("norm_eps", \.normEpsilon), .flag("tie_embeddings", \.tiesEmbeddings),
        .rotary(\.rotary), positionSections(within: nil),
      ])
    }

    /// The published models.
    enum Family {
      /// Qwen3.5: all blocks have perceptrons.
      case dense
      /// Qwen3.5-MoE: all blocks have experts.
      case experts
      /// Qwen3-Next.
      case next

      var className: String {
        switch self {
        case .dense: "Qwen3_5ForCausalLM"
        case .experts: "Qwen3_5MoeForCausalLM"
        case .next: "Qwen3NextForCausalLM"
        }
      }

      var modelType: String {
        switch self {
        case .dense: "qwen3_5_text"
        case .experts: "qwen3_5_moe_text"
        case .next: "qwen3_next"
        }
      }
    }

    /// `config.json` of a family's class; absent keys have transformers' defaults.
    static func huggingFace(_ family: Family) -> ConfigurationForm<Self> {
      let isDense = family == .dense
      return ConfigurationForm(
        [
          .written("architectures", [.string(family.className)]),
          .written("model_type", .string(family.modelType)),
          .integer("hidden_size", \.width, in: sizes), .publishedLayers(\.layers),
          .integer("vocab_size", \.vocabularySize, in: sizes),
        ] + (isDense ? [] : [publishedExperts(isNext: family == .next)]) + [
          .when(\.hasPerceptrons, .integer("intermediate_size", \.innerWidth, in: sizes)),
          .integer("num_attention_heads", \.headCount, in: heads) { _ in 16 },
          .integer("num_key_value_heads", \.keyHeadCount, in: heads) { _ in
            family == .dense ? 4 : 2
          },
          .integer("head_dim", \.headWidth, in: headWidths) { _ in 256 },
          .integer("linear_num_key_heads", \.delta.keyHeads, in: heads) { _ in 16 },
          .integer("linear_num_value_heads", \.delta.valueHeads, in: heads) { _ in 32 },
          .integer("linear_key_head_dim", \.delta.keyWidth, in: heads) { _ in 128 },
          .integer("linear_value_head_dim", \.delta.valueWidth, in: heads) { _ in 128 },
          .integer("linear_conv_kernel_dim", \.delta.kernelWidth, in: kernelWidths) { _ in 4 },
          .integer("max_position_embeddings", \.contextLength, in: lengths) { _ in 32_768 },
          .onlySiLU, .number("rms_norm_eps", \.normEpsilon, default: 1e-6),
          .flag("tie_word_embeddings", \.tiesEmbeddings, default: false),
          .fixed("attention_bias", false), .expected("attn_output_gate", true),
          .expected("output_gate_type", "swish", "silu"),
          .expected("mamba_ssm_dtype", "float32"), rotation,
        ])
    }

    /// The configuration of keras-hub's `Qwen3_5Backbone`.
    static var kerasHub: ConfigurationForm<Self> {
      ConfigurationForm([
        .integer("vocabulary_size", \.vocabularySize, in: sizes), kerasHubLayers,
        .integer("num_query_heads", \.headCount, in: heads),
        .integer("num_key_value_heads", \.keyHeadCount, in: heads),
        .integer("head_dim", \.headWidth, in: headWidths),
        .integer("hidden_dim", \.width, in: sizes),
        .integer("intermediate_dim", \.innerWidth, in: sizes),
        .integer("linear_num_key_heads", \.delta.keyHeads, in: heads) { _ in 16 },
        .integer("linear_num_value_heads", \.delta.valueHeads, in: heads) { _ in 32 },
        .integer("linear_key_head_dim", \.delta.keyWidth, in: heads) { _ in 128 },
        .integer("linear_value_head_dim", \.delta.valueWidth, in: heads) { _ in 128 },
        .integer("linear_conv_kernel_dim", \.delta.kernelWidth, in: kernelWidths) { _ in 4 },
        .number("layer_norm_epsilon", \.normEpsilon, default: 1e-6),
        .flag("tie_word_embeddings", \.tiesEmbeddings, default: false),
        .implied { $0.contextLength = 32_768 },
        .kerasHubWideWindow("sliding_window_size", \.contextLength),
        .kerasHubRotatedPart("partial_rotary_factor", ofHead: \.headWidth, \.rotary),
        .kerasHubRotary(\.rotary, width: { $0.rotary.width }, factor: "rope_scaling_factor"),
        .written("vision_encoder", .null),
        .custom { node, c throws(Refusal) in
          guard let sections = try node.optionalMember("mrope_section") else { return }
          c.positionSections = try Self.sections(sections)
        } write: { c in
          let sections = c.positionSections.map { $0.map { JSONValue.integer(Int64($0)) } }
          return [("mrope_section", sections.map { .array($0) } ?? .null)]
        },
      ])
    }

    /// The kinds of the blocks.
    private static var kerasHubLayers: ConfigurationForm<Self>.Member {
      let key = "layer_types"
      return .custom { node, c throws(Refusal) in
        let count = try node.member("num_layers").integer(supported: layerCounts)
        let words = DeltaBlock.allCases.map { ($0.publishedName, $0) }
        c.layers =
          try node.optionalMember(key).map { node throws(Refusal) in
            try node.kinds(Dictionary(uniqueKeysWithValues: words), of: count)
          } ?? DeltaBlock.every(4, of: count)
      } write: { c in
        [
          ("num_layers", .integer(Int64(c.layerCount))),
          (key, .array(c.layers.map { .string($0.publishedName) })),
        ]
      }
    }

    /// Three numbers of pairs of channels, in an array.
    private static func sections(_ member: JSONNode) throws(Refusal) -> [Int] {
      var sections: [Int] = []
      for element in try member.elements() {
        sections.append(try element.integer(in: 0...Kernels.widestHead))
      }
      // llama.cpp has a fourth, which these models do not use.
      if sections.count == 4, sections[3] == 0 { sections.removeLast() }
      guard sections.count == 3 else { throw member.refusal(expected: "three numbers") }
      return sections
    }

    /// The rotation, of a part of each head.
    private static var rotation: ConfigurationForm<Self>.Member {
      .custom { node, c throws(Refusal) in
        c.rotary = try RotaryEmbedding(
          published: node, headWidth: c.headWidth, contextLength: c.contextLength,
          .init(base: "rope_theta", part: "partial_rotary_factor", usualPart: 0.25))
        for key in ["rope_scaling", "rope_parameters"] {
          try positionSections(within: key).read(node, &c)
        }
        if c.positionSections == nil { try positionSections(within: nil).read(node, &c) }
      } write: { c in
        var members = c.rotary.publishedMembers(headWidth: c.headWidth)
        if let sections = c.positionSections, case .object(var parameters) = members[0].1 {
          parameters[sectionsKey] = .array(sections.map { .integer(Int64($0)) })
          parameters["mrope_interleaved"] = true
          members[0].1 = .object(parameters)
        }
        return members + [
          ("partial_rotary_factor", .number(c.rotary.part(ofHead: c.headWidth)))
        ]
      }
    }

    static let sectionsKey = "mrope_section"

    /// Three numbers of pairs of channels. Only images need them, and other programs require them.
    ///
    /// - Parameter key: the member that they are in; nil for the configuration itself.
    private static func positionSections(
      within key: String?
    ) -> ConfigurationForm<Self>.Member {
      .custom { node, c throws(Refusal) in
        var holder: JSONNode? = node
        if let key { holder = try node.optionalMember(key) }
        guard let member = try holder?.optionalMember(sectionsKey) else { return }
        c.positionSections = try sections(member)
      } write: { c in
        c.positionSections.map { [(sectionsKey, .array($0.map { .integer(Int64($0)) }))] } ?? []
      }
    }

    /// The experts, and which blocks have them.
    private static func publishedExperts(isNext: Bool) -> ConfigurationForm<Self>.Member {
      .group([
        isNext ? blocksWithExperts : everyBlockHasExperts,
        .when(
          \.hasExperts,
          .group([
            .integer("num_experts", \.experts.count, in: Experts.Form.counts) { _ in
              isNext ? 512 : 256
            },
            .integer("num_experts_per_tok", \.experts.chosen, in: Experts.Form.counts) { _ in
              isNext ? 10 : 8
            },
            .integer("moe_intermediate_size", \.experts.innerWidth, in: sizes) { _ in 512 },
            .integer(
              "shared_expert_intermediate_size", \.experts.sharedWidth, in: sizes, usual: 512),
            isNext
              ? .flag("norm_topk_prob", \.experts.normalises, default: true)
              : .expected("norm_topk_prob", true),
          ])),
      ])
    }

    /// Those of Qwen3.5: each.
    private static var everyBlockHasExperts: ConfigurationForm<Self>.Member {
      .custom { node, c throws(Refusal) in
        try ConfigurationForm.Member.expected("mlp_only_layers", []).read(node, &c)
        c.feedForward = c.layers.map { _ in .experts }
      } write: { _ in
        []
      }
    }

    /// Those of Qwen3-Next: every n-th, unless the configuration excludes them.
    private static var blocksWithExperts: ConfigurationForm<Self>.Member {
      .custom { node, c throws(Refusal) in
        let count = try node.optionalMember("num_experts")?.integer(in: 0...Int.max) ?? 512
        let step = try node.optionalMember("decoder_sparse_step")?.integer(in: 1...Int.max) ?? 1
        var excluded: Set<Int> = []
        for element in try node.optionalMember("mlp_only_layers")?.elements() ?? [] {
          excluded.insert(try element.integer(in: 0...Int.max))
        }
        let kinds = c.layers.indices.map { index -> FeedForward in
          count > 0 && (index + 1) % step == 0 && !excluded.contains(index) ? .experts : .mlp
        }
        c.feedForward = kinds.contains(.experts) ? kinds : []
      } write: { c in
        let perceptrons = c.feedForward.indices.filter { c.feedForward[$0] == .mlp }
        return [
          ("decoder_sparse_step", 1),
          (
            "mlp_only_layers",
            .array(c.hasExperts ? perceptrons.map { .integer(Int64($0)) } : [])
          ),
        ] + (c.hasExperts ? [] : [("num_experts", 0)])
      }
    }

    package func check(_ node: JSONNode) throws(Refusal) {
      try node.checkHeads(headCount, sharing: keyHeadCount, width: 2 * headWidth)
      try delta.check(node, sizes: Self.sizes)
      try node.check(experts, in: feedForward, of: layers.count)
      try node.checkNormEpsilon(normEpsilon)
      guard 2 * rotary.pairCount <= headWidth else {
        throw node.refusal(
          found: "\(2 * rotary.pairCount) rotated channels", expected: "at most \(headWidth)")
      }
    }
  }

  /// Whether a published `config.json` describes such a model.
  package static func recognises(_ config: JSONNode) -> Bool {
    // The whole of a model that also reads images has the configuration of its text part inside.
    if case .object(let object) = config.value, case .object? = object["text_config"] {
      return false
    }
    if isOfKerasHub(config) { return true }
    return isNamed(
      config,
      types: nextTypes.union(expertTypes).union(["qwen3_5_text", "qwen3_5"]),
      classes: nextClasses.union(expertClasses).union([
        "Qwen3_5ForCausalLM", "Qwen3_5TextModel", "Qwen3_5ForConditionalGeneration",
      ]))
  }

  private static let nextTypes: Set = ["qwen3_next"]
  private static let nextClasses: Set = ["Qwen3NextForCausalLM", "Qwen3NextModel"]
  private static let expertTypes: Set = ["qwen3_5_moe_text", "qwen3_5_moe"]
  private static let expertClasses: Set = [
    "Qwen3_5MoeForCausalLM", "Qwen3_5MoeTextModel", "Qwen3_5MoeForConditionalGeneration",
  ]

  /// Members for the prediction of further tokens, for training, for images, and for experts or
  /// perceptrons that no block has.
  package static let inertKeys: Set = [
    "mtp_num_hidden_layers", "mtp_use_dedicated_embeddings", "mlp_only_layers",
    "rope_parameters.mrope_interleaved", "rope_scaling.mrope_interleaved", "output_router_logits",
    "router_aux_loss_coef", "norm_topk_prob", "num_experts_per_tok", "moe_intermediate_size",
    "shared_expert_intermediate_size", "intermediate_size", "decoder_sparse_step",
  ]

  /// The configuration that a published one means.
  package static func configuration(
    from config: JSONNode?, checkpoint: CheckpointShapes
  ) throws(Refusal) -> Configuration {
    let config = try required(config)
    if isOfKerasHub(config) {
      return try Configuration.read(KerasHub.backbone(config), as: Configuration.kerasHub)
    }
    var family = Configuration.Family.dense
    if isNamed(config, types: expertTypes, classes: expertClasses) { family = .experts }
    if isNamed(config, types: nextTypes, classes: nextClasses) { family = .next }
    return try Configuration.read(config, as: Configuration.huggingFace(family))
  }

  // MARK: Dialects

  /// The published namings of Qwen3.5 and of Qwen3-Next, each with stacks of experts and with a tensor
  /// for each expert, those of GGUF files, and those of keras-hub.
  package static let dialects = [
    dialect("huggingface", isNext: false, isStacked: true),
    dialect("huggingface-experts", isNext: false, isStacked: false),
    dialect("qwen3-next", isNext: true, isStacked: false),
    dialect("qwen3-next-stacked", isNext: true, isStacked: true),
    gguf, ggufNext,
    kerasHubNaming.dialect(
      Dialect.kerasHub, marker: "final_norm.weight",
      otherParts: ["qwen3_5_vision_encoder", "qwen3_5_interleave_embeddings"]),
    kerasHubNaming.dialect(
      Dialect.namedKerasHub, isNamed: true, marker: "blocks.0.input_layernorm.weight"),
  ]

  /// The class of keras-hub, whose models have no experts.
  package static let kerasHubClasses = [
    KerasHubClass("Qwen3_5", module: "qwen3_5.qwen3_5_backbone")
  ]

  private static let kerasHubNaming: KerasHubNaming = {
    var naming = KerasHubNaming.decoder(
      "qwen3_5", norm: "qwen3_5_layer_norm",
      changing: [
        "input_layernorm": .init("_input_layernorm", "input_layernorm", .norm),
        "post_attention_layernorm": .init(
          "_post_attention_layernorm", "post_attention_layernorm", .norm),
        "self_attn.q_norm": .init(
          "_self_attention_layer._query_norm", "self_attention.query_norm", .norm),
        "self_attn.k_norm": .init(
          "_self_attention_layer._key_norm", "self_attention.key_norm", .norm),
        "linear_attn.z_proj": .init("_linear_attn.in_proj_z", "linear_attn.in_proj_z"),
        "linear_attn.b_proj": .init("_linear_attn.in_proj_b", "linear_attn.in_proj_b"),
        "linear_attn.a_proj": .init("_linear_attn.in_proj_a", "linear_attn.in_proj_a"),
        "linear_attn.norm": .init("_linear_attn.norm", "linear_attn.norm", .norm),
        "linear_attn.out_proj": .init("_linear_attn.out_proj", "linear_attn.out_proj"),
      ])
    let decoder = naming
    naming.others = { tensor, isNamed in
      func path(_ layer: KerasHubNaming.Layer, _ number: Int, _ name: String) -> String {
        let path = decoder.path(isNamed ? layer.name : layer.attribute, of: tensor, isNamed)
        return path + (isNamed ? ".\(name)" : ".vars.\(number)")
      }
      let rule = KerasHubNaming.Layer("_linear_attn", "linear_attn")
      switch tensor.name {
      case "linear_attn.conv1d.weight": return .init(path(rule, 0, "conv1d_kernel"))
      case "linear_attn.dt_bias": return .init(path(rule, 1, "dt_bias"))
      case "linear_attn.A_log": return .init(path(rule, 2, "A_log"))
      case _ where queries.contains(tensor.name):
        let layer = KerasHubNaming.Layer(
          "_self_attention_layer._query_dense", "self_attention.query")
        return tensor.share(
          of: path(layer, 0, "kernel"), queries, .number("n_head"), isTransposed: true,
          form: .split(axis: 1, by: "n_head"))
      default: break
      }
      guard let letter = deltaLetter(tensor.name), ["q", "k", "v"].contains(letter) else {
        return nil
      }
      let layer = KerasHubNaming.Layer("_linear_attn.in_proj_qkv", "linear_attn.in_proj_qkv")
      return tensor.share(
        of: path(layer, 0, "kernel"), ["q", "k", "v"].map(deltaMatrix), .one, isTransposed: true)
    }
    return naming
  }()

  /// The description of a model by keras-hub.
  private static func kerasHub(_ c: Configuration) throws(Refusal) -> JSONObject {
    var isScaledOtherwise = c.rotary.scaling != .none
    if case .linear = c.rotary.scaling { isScaledOtherwise = false }
    try checkExpressible(
      [
        ("experts", c.hasExperts, "perceptrons"),
        ("a scaled rotation of this kind", isScaledOtherwise, "the kind linear, or none"),
      ], in: kerasHubClasses[0].name)
    return kerasHubClasses[0].description(Configuration.kerasHub.json(of: c))
  }

  /// - Parameters:
  ///   - isNext: whether the matrices of the delta rule are joined as in Qwen3-Next.
  ///   - isStacked: whether the matrices of all experts are one tensor.
  private static func dialect(_ name: String, isNext: Bool, isStacked: Bool) -> Dialect {
    let joined = isNext ? "in_proj_qkvz" : "in_proj_qkv"
    let expert = "model.layers.*.mlp.experts.0.down_proj.weight"
    let stack = "model.layers.*.mlp.experts.down_proj"
    // Without experts, the usual naming of the family counts.
    let (isUsual, own, other) = (
      isNext != isStacked, isStacked ? stack : expert, isStacked ? expert : stack
    )
    return Dialect(
      name: name, base: "model.", wrappedBases: ["model.language_model."],
      otherParts: ["model.visual.", "visual.", "mtp."],
      markers: ["model.embed_tokens.weight", "model.layers.*.linear_attn.\(joined).weight"]
        + (isUsual ? [] : [own]),
      absent: isUsual ? [other] : [],
      source: Dialect.sources(.huggingFace) { tensor in
        let (layer, name) = ("model.layers.\(tensor.block).", tensor.name)
        switch name {
        case "linear_attn.conv1d.weight": return .init(layer + name, form: .ones([1]))
        case _ where queries.contains(name):
          return tensor.share(of: layer + "self_attn.q_proj.weight", queries, .number("n_head"))
        default: break
        }
        if let source = expertSource(tensor, isStacked: isStacked) { return source }
        guard let letter = deltaLetter(name) else { return "\(layer)\(name)" }
        func share(
          of tensors: String, _ letters: [String], _ groups: Dialect.Source.Groups
        ) -> Dialect.Source {
          tensor.share(
            of: "\(layer)linear_attn.\(tensors).weight", letters.map(deltaMatrix), groups)
        }
        switch (letter, isNext) {
        case ("q", false), ("k", false), ("v", false):
          return share(of: "in_proj_qkv", ["q", "k", "v"], .one)
        case (_, false): return "\(layer)linear_attn.in_proj_\(letter).weight"
        case ("a", true), ("b", true):
          return share(of: "in_proj_ba", ["b", "a"], .number("n_delta_key_head"))
        case (_, true):
          return share(of: "in_proj_qkvz", ["q", "k", "v", "z"], .number("n_delta_key_head"))
        }
      })
  }

  /// The queries of attention and its gate, which are one matrix in files.
  private static let queries = ["self_attn.q_proj.weight", "self_attn.gate_proj.weight"]

  /// The name of a matrix of the delta rule that reads the stream.
  @Sendable private static func deltaMatrix(_ letter: String) -> String {
    "linear_attn.\(letter)_proj.weight"
  }

  /// The letter of such a matrix; nil for other tensors.
  private static func deltaLetter(_ name: String) -> String? {
    ["q", "k", "v", "z", "b", "a"].first { deltaMatrix($0) == name }
  }

  /// transformers' form of a tensor of experts; nil for others.
  private static func expertSource(
    _ tensor: Dialect.BlockTensor, isStacked: Bool
  ) -> Dialect.Source? {
    guard let name = tensor.expertName(in: "mlp") else { return nil }
    let module = "model.layers.\(tensor.block).mlp."
    switch name {
    case "router.weight": return "\(module)gate.weight"
    case "shared_gate.weight":
      return .init(module + "shared_expert_gate.weight", form: .ones([0]))
    case _ where name.hasPrefix("shared."):
      return "\(module)shared_expert.\(name.dropFirst("shared.".count))"
    case _ where !isStacked:
      return .init(.numbered("\(module)experts.*.\(name.dropFirst("experts.".count))"))
    case "experts.down_proj.weight": return "\(module)experts.down_proj"
    default:
      return tensor.share(
        of: module + "experts.gate_up_proj",
        ["mlp.experts.gate_proj.weight", "mlp.experts.up_proj.weight"], .firstAxis)
    }
  }

  /// llama.cpp repeats key heads in turn, so that its converter orders value heads by their place
  /// in a group. It stores 1 + w of zero-centred norms, and the numbers A themselves.
  private static let gguf = Dialect(
    name: "gguf", markers: ["token_embd.weight", "blk.*.ssm_alpha.weight"],
    source: Dialect.sources(ggufEnds) { ggufSource($0, isNext: false) })

  /// The files of Qwen3-Next: value heads keep their order, and the rows of b and a stay together by key
  /// heads. They are only read; `gguf` describes the same models.
  private static let ggufNext = Dialect(
    name: "gguf-qwen3next", markers: ["token_embd.weight", "blk.*.ssm_ba.weight"],
    source: Dialect.sources(ggufEnds) { ggufSource($0, isNext: true) })

  private static let ggufEnds = Dialect.Ends(
    embedding: "token_embd.weight", finalNorm: .init("output_norm.weight", change: .plusOne),
    head: "output.weight")

  @Sendable private static func ggufSource(
    _ tensor: Dialect.BlockTensor, isNext: Bool
  ) -> Dialect.Source {
    let (block, name) = ("blk.\(tensor.block).", tensor.name)
    func tiled(_ axis: Int = 0, after: [Dialect.Source.RowCount] = []) -> [Dialect.Source.Change] {
      isNext
        ? []
        : [
          .tiledHeads(
            groups: "n_delta_key_head", heads: "n_delta_value_head", axis: axis, after: after)
        ]
    }
    switch name {
    case _ where queries.contains(name):
      return tensor.share(of: block + "attn_q.weight", queries, .number("n_head"))
    case "self_attn.q_norm.weight", "self_attn.k_norm.weight", "input_layernorm.weight",
      "post_attention_layernorm.weight":
      return .init(tensor.gguf(ggufModules), change: .plusOne)
    case "linear_attn.conv1d.weight":
      let queries = ["n_delta_key_head", "delta_key_dim"]
      return .init(
        .tensor(block + "ssm_conv1d.weight"), changes: tiled(after: [queries, queries]))
    case "linear_attn.A_log":
      return .init(.tensor(block + "ssm_a"), changes: [.negativeExponential] + tiled())
    case "linear_attn.dt_bias": return .init(.tensor(block + "ssm_dt.bias"), changes: tiled())
    case "linear_attn.out_proj.weight":
      return .init(.tensor(block + "ssm_out.weight"), changes: tiled(1))
    default: break
    }
    switch deltaLetter(name) {
    case let letter? where ["q", "k", "v"].contains(letter):
      return tensor.share(
        of: block + "attn_qkv.weight", ["q", "k", "v"].map(deltaMatrix), .one,
        changes: letter == "v" ? tiled() : [])
    case let letter? where isNext && letter != "z":
      return tensor.share(
        of: block + "ssm_ba.weight", ["b", "a"].map(deltaMatrix), .number("n_delta_key_head"))
    case let letter?:
      let names = ["z": "attn_gate", "b": "ssm_beta", "a": "ssm_alpha"]
      return .init(.tensor("\(block)\(names[letter] ?? letter).weight"), changes: tiled())
    case nil: return "\(tensor.ggufExpert(in: "mlp") ?? tensor.gguf(ggufModules))"
    }
  }

  private static let ggufModules = [
    "input_layernorm": "attn_norm", "post_attention_layernorm": "post_attention_norm",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "linear_attn.norm": "ssm_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
  ]

  /// The metadata of GGUF files. Those of Qwen3-Next are only read: models with experts are written as
  /// Qwen3.5.
  package static let ggufTables = [
    GGUFTable(
      name: "qwen35", fixed: fixed(.dense),
      rows: GGUFTable.Row.sizes() + ggufRows + [
        .integers("rope.dimension_sections", Configuration.sectionsKey)
      ]),
    GGUFTable(
      name: "qwen3next", hasExperts: true, fixed: fixed(.next) + [("norm_topk_prob", true)],
      rows: ggufExpertRows),
    GGUFTable(
      name: "qwen35moe", hasExperts: true, fixed: fixed(.experts),
      rows: ggufExpertRows + [.integers("rope.dimension_sections", Configuration.sectionsKey)]),
  ]

  private static func fixed(
    _ family: Configuration.Family
  ) -> [(member: String, value: JSONValue)] {
    [
      ("model_type", .string(family.modelType)), ("hidden_act", "silu"), ("attention_bias", false),
    ]
  }

  private static let ggufExpertRows =
    GGUFTable.Row.sizes(inner: false)
    + GGUFTable.Row.experts(count: "num_experts", innerWidth: "moe_intermediate_size") + [
      .integer("expert_shared_feed_forward_length", "shared_expert_intermediate_size"),
      .integer("feed_forward_length", "intermediate_size", ifAbsent: .usual),
    ] + ggufRows

  private static let ggufRows: [GGUFTable.Row] = [
    .expected("nextn_predict_layers", 0), .length,
    .integer("attention.head_count", "num_attention_heads"),
    .integer("attention.head_count_kv", "num_key_value_heads"),
    .number("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
    .recurrentBlocks(interval: 4),
    .integer("ssm.conv_kernel", "linear_conv_kernel_dim"),
    .integer("ssm.state_size", "linear_key_head_dim"),
    .integer("ssm.group_count", "linear_num_key_heads"),
    .integer("ssm.time_step_rank", "linear_num_value_heads"),
    .product("ssm.inner_size", "linear_value_head_dim", times: "linear_num_value_heads"),
    .equal("linear_value_head_dim", "linear_key_head_dim"),
    .rotation(.init(headWidth: "head_dim", part: "partial_rotary_factor")), .tied,
  ]

  /// `config.json` of `Qwen3_5ForCausalLM`, `Qwen3_5MoeForCausalLM` or `Qwen3NextForCausalLM`.
  package static func published(
    _ c: Configuration, dialect: String
  ) throws(Refusal) -> JSONObject {
    if dialect.hasPrefix(Dialect.kerasHub) { return try kerasHub(c) }
    var family = Configuration.Family.next
    if !dialect.hasPrefix("qwen3-next") {
      family = c.hasExperts ? .experts : .dense
      guard !(c.hasExperts && c.hasPerceptrons), c.experts.normalises else {
        throw inexpressible(
          c.experts.normalises
            ? "blocks with experts and blocks with perceptrons" : "weights of experts as they are",
          expected: "a Qwen3.5; the naming qwen3-next has it")
      }
    }
    var object = Configuration.huggingFace(family).json(of: c)
    guard dialect == "gguf" else { return object }
    // Without images, any cut of the rotated pairs into three gives the same: the usual one is even.
    let even = (0..<3).map { (c.rotary.pairCount + 2 - $0) / 3 }
    let sections = (c.positionSections ?? even) + [0]
    object[Configuration.sectionsKey] = .array(sections.map { .integer(Int64($0)) })
    return object
  }

  // MARK: Model

  /// Blocks of [norm, delta rule or attention, add, norm, gated perceptron, add].
  package static func network(_ c: Configuration, _ weights: WeightSource) -> Network {
    var delta = c.delta
    (delta.width, delta.normEpsilon) = (c.width, c.normEpsilon)
    let attention = Attention.Form(
      width: c.width, heads: c.headCount, keyHeads: c.keyHeadCount, headWidth: c.headWidth,
      rotation: 0, norms: .init(names: ("q_norm", "k_norm"), epsilon: c.normEpsilon, addsOne: true))
    var experts = c.experts
    (experts.width, experts.hasSharedGate) = (c.width, experts.sharedWidth != nil)
    func norm(_ name: String, _ weights: WeightSource) -> Norm {
      weights.rmsNorm(name, c.width, epsilon: c.normEpsilon, addsOne: true)
    }
    return Network(
      c, weights, rotations: [c.rotary], contextLength: c.contextLength,
      finalNorm: { norm("final_norm", $0) }
    ) { index, weights in
      let kind = c.layers[index]
      let inputNorm = norm("input_layernorm", weights)
      let mixer =
        switch kind {
        case .delta:
          Part(
            name: "mixer", norm: inputNorm, mixer: GatedDelta(delta, weights.under("linear_attn")))
        case .attention:
          Part(
            name: "attention", norm: inputNorm,
            mixer: Attention(
              attention, weights.under("self_attn"),
              names: ("q_proj", "k_proj", "v_proj", "o_proj"), gate: "gate_proj"))
        }
      let mlpNorm = norm("post_attention_layernorm", weights)
      let hasExperts = c.feedForward.hasExperts(in: index)
      let mlp: any Mixer =
        hasExperts
        ? Experts(experts, weights.under("mlp"))
        : Perceptron(
          weights.under("mlp"), names: (up: "up_proj", gate: "gate_proj", down: "down_proj"),
          width: c.width, innerWidth: c.innerWidth, .silu, hasBias: false)
      return Block(mixer, Part(name: "mlp", norm: mlpNorm, mixer: mlp))
    }
  }
}
