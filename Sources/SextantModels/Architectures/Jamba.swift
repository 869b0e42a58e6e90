import SextantBytes
import SextantStore
import SextantTensor

// Jamba: A Hybrid Transformer-Mamba Language Model (arXiv 2403.19887): blocks of [RMSNorm, Mamba-1
// mixer or attention, add, RMSNorm, gated perceptron or experts, add]. The mixer norms delta's low
// rank, b and c. Attention has no positions.
//
// Glossary
//   B  sequences in the batch          T  tokens of each sequence in this run
//   L  blocks                          V  rows of the embedding
//   D  width of the residual stream    F  inner width of a perceptron or an expert
//   H  query heads                     G  key and value heads
//   W  channels of a head, usually D / H
// The letters of the Mamba-1 mixer and of the experts are in Blocks/.

/// Jamba, as published in Hugging Face transformers.
package enum Jamba: Architecture {
  /// The name in stores and artifacts.
  package static let name = "jamba"

  // MARK: Configuration

  /// What mixes the tokens in a block.
  enum Kind: String, LayerKind { case mamba, attention }

  /// The sizes of a Jamba.
  package struct Configuration: DecoderConfiguration {
    var decoder = DecoderSizes()
    var layers: [Kind] = []  // L
    /// What follows in each block; empty if no block has experts.
    var feedForwards: [FeedForward] = []
    var mamba = Mamba1Mixer.Form()
    var experts = Experts.Form()

    var layerCount: Int { layers.count }
    var hasMamba: Bool { layers.contains(.mamba) }
    var hasExperts: Bool { feedForwards.contains(.experts) }

    package init() {}

    package static var canonicalForm: ConfigurationForm<Self> {
      ConfigurationForm([
        .decoder, .layers(\.layers, in: layerCounts),
        .experts(\.experts, in: \.feedForwards, counts: layerCounts),
        .when(
          \.hasMamba,
          .group([
            .integer("d_inner", \.mamba.innerWidth, in: sizes),
            .integer("d_state", \.mamba.stateSize, in: states),
            .integer("dt_rank", \.mamba.rank, in: sizes),
            .integer("d_conv", \.mamba.kernelWidth, in: kernelWidths),
            .flag("use_bias", \.mamba.hasLinearBias),
            .flag("use_conv_bias", \.mamba.hasConvolutionBias),
          ])),
      ])
    }

    /// `config.json` of `JambaForCausalLM`; absent keys have transformers' defaults.
    static var huggingFace: ConfigurationForm<Self> {
      ConfigurationForm([
        .written("architectures", ["JambaForCausalLM"]), .written("model_type", "jamba"),
        .publishedDecoder(keyHeads: 8, contextLength: 262_144, normEpsilon: 1e-6), kinds,
        feedForwards, .onlySiLU, .when(\.hasMamba, mixer),
      ])
    }

    private static var mixer: ConfigurationForm<Self>.Member {
      .group([
        .custom { node, c throws(Refusal) in
          c.mamba.innerWidth =
            (try node.optionalMember("mamba_expand")?.integer(in: 1...64) ?? 2) * c.width
        } write: {
          [("mamba_expand", .integer(Int64($0.mamba.innerWidth / $0.width)))]
        },
        .integer("mamba_d_state", \.mamba.stateSize, in: states) { _ in 16 },
        .integer("mamba_dt_rank", \.mamba.rank, in: sizes, automatic: "auto") {
          ($0.width + 15) / 16
        },
        .integer("mamba_d_conv", \.mamba.kernelWidth, in: kernelWidths) { _ in 4 },
        .flag("mamba_proj_bias", \.mamba.hasLinearBias, default: false),
        .flag("mamba_conv_bias", \.mamba.hasConvolutionBias, default: true),
        .expected("mamba_inner_layernorms", true),
      ])
    }

    /// What mixes the tokens: every n-th block has attention, from some block on.
    private static var kinds: ConfigurationForm<Self>.Member {
      .custom { node, c throws(Refusal) in
        let count = try node.member("num_hidden_layers").integer(supported: layerCounts)
        let rule = try Rule(node, "attn_layer", usual: Rule(period: 8, offset: 4))
        c.layers = (0..<count).map { rule.applies(to: $0) ? .attention : .mamba }
        guard let listed = try node.optionalMember(listedKinds) else { return }
        c.layers = try listed.kinds(["mamba": .mamba, "attention": .attention], of: count)
      } write: { c in
        [("num_hidden_layers", .integer(Int64(c.layerCount)))]
          + Rule(c.layers.map { $0 == .attention }).members("attn_layer")
      }
    }

    /// Where there are experts: in every n-th block, from some block on, if there are at least two.
    private static var feedForwards: ConfigurationForm<Self>.Member {
      .custom { node, c throws(Refusal) in
        let rule = try Rule(node, "expert_layer", usual: Rule(period: 2, offset: 1))
        var count = try node.optionalMember("num_experts")
        if count == nil { count = try node.optionalMember("num_local_experts") }
        c.experts.count = try count?.integer(supported: Experts.Form.counts) ?? 16
        let chosen = try node.optionalMember("num_experts_per_tok")
        c.experts.chosen = try chosen?.integer(supported: Experts.Form.counts) ?? 2
        c.experts.normalises = false
        c.experts.innerWidth = c.decoder.innerWidth
        let hasExperts = c.experts.count > 1
        c.feedForwards = c.layers.indices.map {
          hasExperts && rule.applies(to: $0) ? .experts : .mlp
        }
        if let listed = try node.optionalMember(listedExperts) {
          c.feedForwards = []
          for element in try listed.elements() {
            c.feedForwards.append(try element.boolean() ? .experts : .mlp)
          }
        }
        if !c.hasExperts { (c.experts, c.feedForwards) = (.init(), []) }
      } write: { c in
        [
          ("num_experts", .integer(Int64(c.hasExperts ? c.experts.count : 1))),
          ("num_experts_per_tok", .integer(Int64(c.hasExperts ? c.experts.chosen : 1))),
        ] + Rule(c.layers.indices.map(c.feedForwards.hasExperts)).members("expert_layer")
      }
    }

    /// Members that stand in the place of the rules in the configuration of a GGUF file.
    static let (listedKinds, listedExperts) = ("layers_block_type", "layers_with_experts")

    package func check(_ node: JSONNode) throws(Refusal) {
      try decoder.check(node)
      try node.check(experts, in: feedForwards, of: layerCount)
      if hasMamba, !Self.sizes.contains(2 * mamba.innerWidth) {
        throw node.refusal(
          found: "an inner width of \(mamba.innerWidth)",
          expected: "at most \(Self.sizes.upperBound / 2)")
      }
    }
  }

  /// A rule of published configurations for the blocks that have something: those whose number has
  /// the remainder `offset` when it is divided by `period`.
  private struct Rule: Equatable {
    var period: Int
    var offset: Int

    func applies(to block: Int) -> Bool { block % period == offset }

    init(period: Int, offset: Int) { (self.period, self.offset) = (period, offset) }

    /// - Parameter key: the beginning of its two keys.
    init(_ node: JSONNode, _ key: String, usual: Rule) throws(Refusal) {
      period = try node.optionalMember(key + "_period")?.integer(in: 1...Int.max) ?? usual.period
      let member = try node.optionalMember(key + "_offset")
      offset = try member?.integer(in: 0...Int.max) ?? usual.offset
      guard offset < period else {
        throw (member ?? node).refusal(
          found: "an offset of \(offset) and a period of \(period)", expected: "a smaller offset")
      }
    }

    /// The rule for these blocks; it may apply to others, too, if there is none.
    init(_ blocks: [Bool]) {
      let places = blocks.indices.filter { blocks[$0] }
      offset = places.first ?? blocks.count
      period = places.count > 1 ? places[1] - places[0] : blocks.count + 1
      if offset >= period { offset %= period }
    }

    func members(_ key: String) -> [(String, JSONValue)] {
      [
        (key + "_period", .integer(Int64(period))), (key + "_offset", .integer(Int64(offset))),
      ]
    }
  }

  /// Whether a published `config.json` describes a Jamba.
  package static func recognises(_ config: JSONNode) -> Bool {
    isNamed(config, types: ["jamba"], classes: ["JambaForCausalLM", "JambaModel"])
  }

  /// Members for training and for ways to compute, and of the first published code.
  package static let inertKeys: Set = [
    "use_mamba_kernels", "use_mambapy", "use_associative_scan", "output_router_logits",
    "router_aux_loss_coef", "num_logits_to_keep", "calc_logits_for_entire_prompt", "n_ctx",
    "sliding_window",
  ]

  /// The configuration that a published one means.
  package static func configuration(
    from config: JSONNode?, checkpoint: CheckpointShapes
  ) throws(Refusal) -> Configuration {
    try Configuration.read(required(config), as: Configuration.huggingFace)
  }

  // MARK: Dialects

  /// The published naming, in which each expert has tensors of its own, and that of GGUF files.
  package static let dialects = [
    Dialect(
      name: "huggingface", base: "model.",
      markers: ["model.embed_tokens.weight", "model.layers.*.mamba.dt_layernorm.weight"],
      source: Dialect.sources(
        .init(
          embedding: "model.embed_tokens.weight", finalNorm: "model.final_layernorm.weight",
          head: "lm_head.weight")
      ) { tensor in
        let layer = "model.layers.\(tensor.block)."
        let experts = "feed_forward.experts."
        guard tensor.name.hasPrefix(experts) else {
          return .init(
            layer + tensor.name, form: tensor.name == "mamba.conv1d.weight" ? .ones([1]) : .plain)
        }
        return .init(.numbered("\(layer)\(experts)*.\(tensor.name.dropFirst(experts.count))"))
      }),
    Dialect(
      name: "gguf", markers: ["token_embd.weight", "blk.*.ssm_dt_norm.weight"],
      source: Dialect.sources(.gguf) { tensor in
        guard tensor.name.hasPrefix("mamba.") else {
          return "\(tensor.ggufExpert(in: "feed_forward") ?? tensor.gguf(ggufModules))"
        }
        return Mamba.ggufSource(
          tensor.name.dropFirst("mamba.".count), block: "blk.\(tensor.block).")
      }),
  ]

  private static let ggufModules = Llama.ggufModules.merging([
    "pre_ff_layernorm": "ffn_norm", "feed_forward.gate_proj": "ffn_gate",
    "feed_forward.up_proj": "ffn_up", "feed_forward.down_proj": "ffn_down",
  ]) { $1 }

  /// The metadata of GGUF files.
  package static let ggufTables = [
    GGUFTable(
      name: "jamba",
      fixed: [
        ("model_type", "jamba"), ("hidden_act", "silu"), ("mamba_proj_bias", false),
        ("mamba_conv_bias", true), ("mamba_expand", 2),
      ],
      rows: [.length] + GGUFTable.Row.sizes() + [
        .integer("attention.head_count", "num_attention_heads"),
        .kinds(
          .init(
            Configuration.listedKinds,
            marks: [("attention.head_count_kv", "num_key_value_heads", kind: "attention")],
            rest: "mamba")),
        .number("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
        .integer("ssm.conv_kernel", "mamba_d_conv"), .integer("ssm.state_size", "mamba_d_state"),
        .integer("ssm.time_step_rank", "mamba_dt_rank"),
        .product("ssm.inner_size", "mamba_expand", times: "hidden_size"),
        .integer("expert_count", "num_experts"),
        .integer("expert_used_count", "num_experts_per_tok"),
        .tensorOfBlocks("blk.*.ffn_gate_inp.weight", Configuration.listedExperts), .tied,
      ])
  ]

  /// `config.json` of `JambaForCausalLM`.
  package static func published(
    _ c: Configuration, dialect: String
  ) throws(Refusal) -> JSONObject {
    guard !c.hasMamba || c.mamba.innerWidth % c.width == 0 else {
      throw inexpressible(
        "an inner width of \(c.mamba.innerWidth)", expected: "a multiple of the width, \(c.width)")
    }
    var object = Configuration.huggingFace.json(of: c)
    let (attention, experts) = (
      c.layers.map { $0 == .attention }, c.layers.indices.map(c.feedForwards.hasExperts)
    )
    if dialect == "gguf" {
      guard c.decoder.headsShareWidth else {
        throw inexpressible(
          "heads of \(c.decoder.headWidth)", expected: "heads that share the width, \(c.width)")
      }
      object[Configuration.listedKinds] = .array(c.layers.map { .string($0.rawValue) })
      object[Configuration.listedExperts] = .array(experts.map { .boolean($0) })
      return object
    }
    for (blocks, what) in [(attention, "attention"), (experts, "experts")] {
      let rule = Rule(blocks)
      guard blocks.indices.allSatisfy({ rule.applies(to: $0) == blocks[$0] }) else {
        throw inexpressible(
          "\(what) in blocks \(blocks.indices.filter { blocks[$0] })",
          expected: "every n-th block from some block on")
      }
    }
    return object
  }

  // MARK: Model

  /// Blocks of [norm, Mamba-1 mixer or attention, add, norm, gated perceptron or experts, add].
  package static func network(_ c: Configuration, _ weights: WeightSource) -> Network {
    var mamba = c.mamba
    mamba.width = c.width
    mamba.selectionNorms = .init(epsilon: c.normEpsilon, haveWeights: true)
    var experts = c.experts
    experts.width = c.width
    return Network(c, weights, contextLength: c.decoder.contextLength) { index, weights in
      let inputNorm = c.decoder.norm("input_layernorm", weights)
      let first =
        switch c.layers[index] {
        case .mamba:
          Part(
            name: "mixer", norm: inputNorm, mixer: Mamba1Mixer(mamba, weights.under("mamba")))
        case .attention:
          Part(
            name: "attention", norm: inputNorm,
            mixer: Attention(
              c.decoder.attention, weights.under("self_attn"),
              names: ("q_proj", "k_proj", "v_proj", "o_proj")))
        }
      let feedForward = weights.under("feed_forward")
      let second: any Mixer =
        c.feedForwards.hasExperts(in: index)
        ? Experts(experts, feedForward) : c.decoder.perceptron(feedForward)
      return Block(
        first,
        Part(name: "mlp", norm: c.decoder.norm("pre_ff_layernorm", weights), mixer: second))
    }
  }
}
