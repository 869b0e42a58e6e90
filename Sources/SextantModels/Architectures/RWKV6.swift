import SextantBytes
import SextantStore
import SextantTensor

// Eagle and Finch: RWKV with Matrix-Valued States and Dynamic Recurrence (arXiv 2404.05892): Finch.
//
// Glossary
//   B  sequences in the batch          T  tokens of each sequence in this run
//   L  blocks                          V  rows of the embedding
//   D  width of the residual stream    F  inner width of the channel mixing, usually 3.5 D
//   H  heads                           N  size of a head, D = H · N
//   M  rank of the data-dependent mixing          R  rank of the data-dependent decay
//   w, k, v, r, g  decay, key, value, receptance, gate: the order in which the files have them
// Rows of a [B·T, …] tensor are ordered by sequence, then by position.

/// RWKV-6 ("Finch"), as published by BlinkDL and converted for transformers.
package enum RWKV6: Architecture {
  /// The name in stores and artifacts.
  package static let name = "rwkv6"

  // MARK: Configuration

  /// The sizes of an RWKV-6 model.
  package struct Configuration: ModelConfiguration {
    var gated: RWKV.GatedSizes
    var mixRank: Int  // M
    var decayRank: Int  // R

    /// The canonical form.
    package var json: JSONObject {
      JSONObject(
        gated.members + [
          ("time_mix_extra_dim", .integer(Int64(mixRank))),
          ("time_decay_extra_dim", .integer(Int64(decayRank))),
        ])
    }

    /// Reads the canonical form.
    package init(canonical object: JSONObject) throws(Refusal) {
      let node = RWKV.node(object)
      gated = try RWKV.GatedSizes(canonical: node)
      mixRank = try node.member("time_mix_extra_dim").integer(in: RWKV.Sizes.range)
      decayRank = try node.member("time_decay_extra_dim").integer(in: RWKV.Sizes.range)
    }

    /// Derives the sizes from the tensors; a configuration must agree.
    init(_ tensors: CanonicalShapes, _ config: JSONNode?) throws(Refusal) {
      gated = try RWKV.GatedSizes(tensors, config)
      let mix = try tensors.dimensions(of: "blocks.0.att.time_maa_w2", count: 3)  // [5, D, M]
      mixRank = mix[2]
      decayRank = try tensors.dimensions(of: "blocks.0.att.time_decay_w2", count: 2)[1]  // [D, R]
    }
  }

  /// Whether a published `config.json` describes an RWKV-6 model.
  package static func recognises(_ config: JSONNode) -> Bool {
    isNamed(config, types: ["rwkv6"], classes: ["Rwkv6ForCausalLM", "Rwkv6Model"])
  }

  /// Members of the published code for its own ways to compute.
  package static let inertKeys = RWKV.inertKeys

  /// The configuration, derived from the tensors.
  package static func configuration(
    from config: JSONNode?, checkpoint: CheckpointShapes
  ) throws(Refusal) -> Configuration {
    try Configuration(CanonicalShapes(checkpoint, of: Self.self), config)
  }

  // MARK: Dialects

  private static let letters = RWKV6TimeMix.letters

  /// The original naming, those of the published conversions for transformers, and of GGUF files.
  package static let dialects = [
    RWKV.original(marker: "att.time_maa_x", transposed: lowRank, spread: spread),
    RWKV.huggingFace(marker: "attention.time_maa_x", transposed: lowRank, spread: spread), gguf,
  ]

  /// llama.cpp's converter stacks all shares except the common one, and halves the additions to the
  /// stream if its original code halves the stream.
  private static let gguf = Dialect(
    name: "gguf", markers: ["token_embd.weight", "blk.0.time_mix_lerp_x.weight"]
  ) { canonical in
    let parts = canonical.split(separator: ".")  // blocks, index, att or ffn, name, …
    let name = RWKV.ggufName(of: canonical)
    guard parts.count > 3, let block = Int(parts[1]) else { return .init(name) }
    if parts[2] == "att", letters.contains(where: { parts[3] == "time_maa_\($0)" }) {
      return .init(
        .share(
          of: "blk.\(block).time_mix_lerp_fused.weight",
          tensors: letters.map { "blocks.\(block).att.time_maa_\($0)" }, groups: .one),
        form: .ones([0, 1, 2]))
    }
    let isHalved =
      (parts[2], parts[3]) == ("att", "output") || (parts[2], parts[3]) == ("ffn", "value")
    return .init(
      name, change: isHalved ? .halved(block: block, every: "rwkv6.rescale_every_n_layers") : nil)
  }

  /// The metadata of GGUF files.
  package static let ggufTables = [
    GGUFTable(
      name: "rwkv6",
      fixed: [
        ("model_type", "rwkv6"), ("group_norm_epsilon", 64e-5), ("tie_word_embeddings", false),
      ],
      rows: GGUFTable.Row.recurrent + [.constant("rescale_every_n_layers", 0)]
        + GGUFTable.Row.sizes() + [
          .integer("wkv.head_size", "head_size"),
          .integer("time_mix_extra_dim", "time_mix_extra_dim"),
          .integer("time_decay_extra_dim", "time_decay_extra_dim"),
          .number("attention.layer_norm_epsilon", "layer_norm_epsilon"),
        ])
  ]

  /// `config.json` of the published conversions for transformers.
  package static func published(
    _ c: Configuration, dialect: String
  ) throws(Refusal) -> JSONObject {
    return JSONObject(try RWKV.published(c.gated, name: "Rwkv6ForCausalLM", type: "rwkv6"))
  }

  /// The vectors that are [1, 1, D] in the files.
  private static let spread = Set("xwkvrg".map { "time_maa_\($0)" }).union(["time_decay"])

  /// The low-rank matrices, which are [in, out] in the files.
  private static let lowRank: Set = [
    "time_maa_w1", "time_maa_w2", "time_decay_w1", "time_decay_w2",
  ]

  // MARK: Model

  /// The blocks of the family, with the mixings of this version.
  package static func network(_ c: Configuration, _ weights: WeightSource) -> Network {
    RWKV.network(
      c.gated.sizes, weights,
      timeMix: { RWKV6TimeMix(c.gated.heads, $1, mixRank: c.mixRank, decayRank: c.decayRank) },
      channelMix: { RWKVChannelMix(c.gated.sizes, $0, shares: "time_maa", sharesPast: true) })
  }
}
