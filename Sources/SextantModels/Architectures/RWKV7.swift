import SextantBytes
import SextantStore
import SextantTensor

// RWKV-7 "Goose" with Expressive Dynamic State Evolution (arXiv 2503.14456).
//
// Glossary
//   B  sequences in the batch          T  tokens of each sequence in this run
//   L  blocks                          V  rows of the embedding
//   D  width of the residual stream    F  inner width of the channel mixing, usually 4 D
//   H  heads                           N  size of a head, D = H · N
//   R  ranks of the low-rank products: of decay, rate, value and gate
//   r, k, v  receptance, key, value    S  a head's state: what was stored under which key
//   rate     how much of what stood under a key is replaced ("a", the in-context learning rate)
//   removal  the direction in which it is removed, of length 1 per head ("kk")
// Rows of a [B·T, …] tensor are ordered by sequence, then by position.

/// RWKV-7, as published by BlinkDL, in flash-linear-attention and in keras-hub.
package enum RWKV7: Architecture {
  /// The name in stores and artifacts.
  package static let name = "rwkv7"

  // MARK: Configuration

  /// The sizes of an RWKV-7 model.
  package struct Configuration: ModelConfiguration {
    var sizes: RWKV.Sizes
    var heads: RWKV.Heads
    var decayRank: Int
    var rateRank: Int
    var valueRank: Int  // 0 in a model of one block: only later blocks mix block 0's values in
    var gateRank: Int

    /// The canonical form.
    package var json: JSONObject {
      JSONObject(
        sizes.members + heads.members + [
          ("decay_low_rank_dim", .integer(Int64(decayRank))),
          ("a_low_rank_dim", .integer(Int64(rateRank))),
          ("v_low_rank_dim", .integer(Int64(valueRank))),
          ("gate_low_rank_dim", .integer(Int64(gateRank))),
        ])
    }

    /// Reads the canonical form.
    package init(canonical object: JSONObject) throws(Refusal) {
      let node = RWKV.node(object)
      sizes = try RWKV.Sizes(canonical: node)
      heads = try RWKV.Heads(canonical: node, width: sizes.width)
      decayRank = try node.member("decay_low_rank_dim").integer(in: RWKV.Sizes.range)
      rateRank = try node.member("a_low_rank_dim").integer(in: RWKV.Sizes.range)
      let lowest = sizes.layerCount > 1 ? 1 : 0
      let highest = RWKV.Sizes.range.upperBound
      valueRank = try node.member("v_low_rank_dim").integer(in: lowest...highest)
      gateRank = try node.member("gate_low_rank_dim").integer(in: RWKV.Sizes.range)
    }

    /// Derives the sizes from the tensors; a configuration (of flash-linear-attention) must agree.
    init(_ tensors: CanonicalShapes, _ published: JSONNode?) throws(Refusal) {
      let ofKeras = try published.flatMap { node throws(Refusal) in
        RWKV7.isOfKerasHub(node) ? try KerasHub.backbone(node) : nil
      }
      let config = ofKeras == nil ? published : nil
      sizes = try RWKV.Sizes(tensors, config, epsilonKey: "norm_eps")
      var epsilon = RWKV.Heads.defaultNormEpsilon
      if let config, let size = try config.optionalMember("head_dim") {
        epsilon = sizes.normEpsilon * Double(try size.integer(in: RWKV.Sizes.range))
      }
      epsilon = try config?.optionalEpsilon(RWKV.Heads.epsilonKey) ?? epsilon
      if let config, tensors.isFlat("blocks.0.att.r_k") {
        heads = try RWKV.Heads(
          size: config.member("head_dim"), width: sizes.width, normEpsilon: epsilon)
      } else {
        heads = try RWKV.Heads(
          tensors, tensor: "blocks.0.att.r_k", width: sizes.width, normEpsilon: epsilon)
      }
      decayRank = try tensors.dimensions(of: "blocks.0.att.w1", count: 2)[0]
      rateRank = try tensors.dimensions(of: "blocks.0.att.a1", count: 2)[0]
      valueRank =
        sizes.layerCount > 1 ? try tensors.dimensions(of: "blocks.1.att.v1", count: 2)[0] : 0
      gateRank = try tensors.dimensions(of: "blocks.0.att.g1", count: 2)[0]
      if let ofKeras { try RWKV7KerasHub.check(ofKeras, self) }
      guard let config else { return }
      try config.agree("head_dim", with: heads.size)
      try config.agree("num_heads", with: heads.count)
      try config.agree("decay_low_rank_dim", with: decayRank)
      try config.agree("a_low_rank_dim", with: rateRank)
      try config.agree("gate_low_rank_dim", with: gateRank)
      if valueRank > 0 { try config.agree("v_low_rank_dim", with: valueRank) }
      try config.require("hidden_act", toBe: "sqrelu")
      try config.require("norm_first", toBe: true)
      try config.require("norm_bias", toBe: true)
      // A list of blocks that are attention instead.
      try config.require("attn", toBe: nil)
    }
  }

  /// Whether a published `config.json` describes an RWKV-7 model.
  package static func recognises(_ config: JSONNode) -> Bool {
    isNamed(config, types: ["rwkv7"], classes: ["RWKV7ForCausalLM", "RWKV7Model"])
      || isOfKerasHub(config)
  }

  /// The class of keras-hub.
  package static let kerasHubClasses = [RWKV7KerasHub.name]

  /// Members of flash-linear-attention for its own ways to compute.
  package static let inertKeys = RWKV.inertKeys

  /// The configuration, derived from the tensors.
  package static func configuration(
    from config: JSONNode?, checkpoint: CheckpointShapes
  ) throws(Refusal) -> Configuration {
    try Configuration(CanonicalShapes(checkpoint, of: Self.self), config)
  }

  // MARK: Dialects

  /// The original naming, and those of flash-linear-attention and keras-hub.
  package static let dialects = [
    // Some published files have values to mix into those of block 0, which no code reads.
    RWKV.original(
      marker: "att.r_k", transposed: lowRank,
      spread: shares.union(["w0", "a0", "v0", "k_k", "k_a"]),
      ignores: ["blocks.0.att.v0", "blocks.0.att.v1", "blocks.0.att.v2"]),
    Dialect(
      name: "fla", base: "model.", markers: ["model.embeddings.weight", "model.layers.0.attn.r_k"],
      source: { canonical in
        let isShare = shares.contains(RWKV.lastPart(of: canonical)) && canonical.contains(".att.")
        return Dialect.Source(flaName(of: canonical), form: isShare ? .ones([0, 1]) : .plain)
      }), gguf, RWKV7KerasHub.dialect,
  ]

  /// The order in which GGUF files stack the shares.
  private static let letters = ["r", "w", "k", "v", "a", "g"]
  private static let shares = Set(letters.map { "x_\($0)" })

  /// llama.cpp's converter stacks the shares, flattens the bonus, and gives block 0 unused value
  /// mixing.
  private static let gguf = Dialect(
    name: "gguf", markers: ["token_embd.weight", "blk.0.time_mix_r_k.weight"],
    fillers: ["0", "1", "2"].map {
      .init("blk.0.time_mix_v\($0).weight", copying: "blocks.0.att.a\($0)")
    }
  ) { canonical in
    let parts = canonical.split(separator: ".")  // blocks, index, att or ffn, name, …
    let name = RWKV.ggufName(of: canonical)
    guard parts.count > 3, parts[2] == "att" else { return .init(name) }
    if parts[3] == "r_k" { return .init(name, form: .flat) }
    guard shares.contains(String(parts[3])) else { return .init(name) }
    return .init(
      .share(
        of: "blk.\(parts[1]).time_mix_lerp_fused.weight",
        tensors: letters.map { "blocks.\(parts[1]).att.x_\($0)" }, groups: .one),
      form: .ones([0, 1, 2]))
  }

  /// The metadata of GGUF files.
  package static let ggufTables = [
    GGUFTable(
      name: "rwkv7",
      fixed: [
        ("model_type", "rwkv7"), ("group_norm_epsilon", 64e-5), ("tie_word_embeddings", false),
      ],
      // Its vector loops skip the elements after the last whole step.
      multiple: ("head_dim", of: 64),
      rows: GGUFTable.Row.recurrent + GGUFTable.Row.sizes() + [
        .integer("wkv.head_size", "head_dim"),
        .integer("attention.decay_lora_rank", "decay_low_rank_dim"),
        .integer("attention.iclr_lora_rank", "a_low_rank_dim"),
        .integer("attention.value_residual_mix_lora_rank", "v_low_rank_dim"),
        .integer("attention.gate_lora_rank", "gate_low_rank_dim"),
        .number("attention.layer_norm_epsilon", "norm_eps"),
      ])
  ]

  /// `config.json` of flash-linear-attention.
  package static func published(
    _ c: Configuration, dialect: String
  ) throws(Refusal) -> JSONObject {
    if dialect == Dialect.kerasHub { return try RWKV7KerasHub.description(c) }
    // Code for that naming derives the epsilon; that for the others has one for all.
    let derived = c.sizes.normEpsilon * Double(c.heads.size)
    guard dialect != "fla" || c.heads.normEpsilon == derived else {
      throw inexpressible(
        "a norm of heads with epsilon \(c.heads.normEpsilon)",
        expected: "\(derived), the other epsilon times the size of a head")
    }
    return JSONObject(
      [("architectures", ["RWKV7ForCausalLM"]), ("model_type", "rwkv7")]
        + RWKV.published(c.sizes, epsilonKey: "norm_eps") + [
          ("head_dim", .integer(Int64(c.heads.size))),
          ("num_heads", .integer(Int64(c.heads.count))),
          (
            "value_dim",
            .array(Array(repeating: .integer(Int64(c.sizes.width)), count: c.sizes.layerCount))
          ),
          ("hidden_ratio", .number(Double(c.sizes.innerWidth) / Double(c.sizes.width))),
          ("decay_low_rank_dim", .integer(Int64(c.decayRank))),
          ("a_low_rank_dim", .integer(Int64(c.rateRank))),
          ("v_low_rank_dim", .integer(Int64(max(1, c.valueRank)))),
          ("gate_low_rank_dim", .integer(Int64(c.gateRank))), ("hidden_act", "sqrelu"),
          ("norm_first", true), ("norm_bias", true), ("attn", nil), ("attn_mode", "chunk"),
        ]
        + (c.heads.normEpsilon == derived
          ? [] : [(RWKV.Heads.epsilonKey, .number(c.heads.normEpsilon))]))
  }

  /// The low-rank matrices, which are [in, out] in the original files.
  static let lowRank: Set = ["w1", "w2", "a1", "a2", "v1", "v2", "g1", "g2"]

  private static func flaName(of canonical: String) -> String {
    let parts = canonical.split(separator: ".")
    guard parts.first == "blocks", parts.count > 3 else {
      switch canonical {
      case "embedding.weight": return "model.embeddings.weight"
      case "head.weight": return "lm_head.weight"
      default: return "model.norm.\(parts.last ?? "")"
      }
    }
    let names: [Substring: String] = [
      "ln0": "pre_norm", "ln1": "attn_norm", "ln2": "ffn_norm", "att": "attn",
      "receptance": "r_proj", "key": "k_proj", "value": "v_proj", "output": "o_proj",
      "ln_x": "g_norm",
    ]
    let isPerceptron = parts[2] == "ffn"
    var tail = parts.dropFirst(2).map { isPerceptron ? String($0) : names[$0] ?? String($0) }
    if let last = tail.last, last.count == 2, let letter = last.first, let kind = last.last {
      switch kind {
      case "0": tail[tail.count - 1] = "\(letter)_lora.lora.2.bias"
      case "1": tail[tail.count - 1] = "\(letter)_lora.lora.0.weight"
      case "2": tail[tail.count - 1] = "\(letter)_lora.lora.2.weight"
      default: break
      }
    }
    return "model.layers.\(parts[1]).\(tail.joined(separator: "."))"
  }

  // MARK: Model

  /// The blocks of the family, with the mixings of this version.
  package static func network(_ c: Configuration, _ weights: WeightSource) -> Network {
    RWKV.network(
      c.sizes, weights, timeMix: { RWKV7TimeMix(c, $1, isFirst: $0 == 0) },
      channelMix: { RWKV7ChannelMix(c.sizes, $0) })
  }
}
