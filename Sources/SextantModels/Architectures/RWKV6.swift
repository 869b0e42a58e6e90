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
  struct Configuration: Equatable {
    var gated: RWKV.GatedSizes
    var mixRank: Int  // M
    var decayRank: Int  // R

    /// The canonical form.
    var json: JSONObject {
      JSONObject(
        gated.members + [
          ("time_mix_extra_dim", .integer(Int64(mixRank))),
          ("time_decay_extra_dim", .integer(Int64(decayRank))),
        ])
    }

    /// Reads the canonical form.
    init(canonical object: JSONObject) throws(Refusal) {
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

  /// The canonical configuration, derived from the tensors.
  package static func configuration(
    from config: JSONNode?, checkpoint: CheckpointShapes
  ) throws(Refusal) -> JSONObject {
    try Configuration(CanonicalShapes(checkpoint, of: Self.self), config).json
  }

  // MARK: Weights

  /// The tensors of a model with this canonical configuration.
  package static func weights(_ configuration: JSONObject) throws(Refusal) -> [WeightSpec] {
    let c = try Configuration(canonical: configuration)
    let (sizes, heads) = (c.gated.sizes, c.gated.heads)
    let (d, m, r) = (sizes.width, c.mixRank, c.decayRank)
    return RWKV.weights(sizes) { index in
      let block = "blocks.\(index)."
      let att = block + "att."
      return "xwkvrg".map { WeightSpec("\(att)time_maa_\($0)", [d]) }  // [D]
        + [
          WeightSpec(att + "time_maa_w1", [letters.count * m, d], .matrix),  // [5M, D]
          WeightSpec(att + "time_maa_w2", [letters.count, d, m], .matrix),  // [5, D, M]
          WeightSpec(att + "time_decay", [d]),  // [D]
          WeightSpec(att + "time_decay_w1", [r, d], .matrix),  // [R, D]
          WeightSpec(att + "time_decay_w2", [d, r], .matrix),  // [D, R]
        ] + RWKV.GatedAttention.specs(sizes, heads, att: att)
        + RWKV.ChannelMix.specs(sizes, block: block, shares: "time_maa")
    }
  }

  /// The order of the inputs in the mixing's low-rank matrices.
  private static let letters = ["w", "k", "v", "r", "g"]

  /// The embedding and the head, which no published model ties.
  package static let tiedPair = RWKV.tiedPair

  // MARK: Dialects

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
    _ configuration: JSONObject, dialect: String
  ) throws(Refusal) -> JSONObject {
    let c = try Configuration(canonical: configuration)
    return JSONObject(try RWKV.published(c.gated, name: "Rwkv6ForCausalLM", type: "rwkv6"))
  }

  /// The vectors that are [1, 1, D] in the files.
  private static let spread = Set("xwkvrg".map { "time_maa_\($0)" }).union(["time_decay"])

  /// The low-rank matrices, which are [in, out] in the files.
  private static let lowRank: Set = [
    "time_maa_w1", "time_maa_w2", "time_decay_w1", "time_decay_w2",
  ]

  // MARK: Model

  /// A model that runs from an open store.
  package static func open(_ store: ModelStore) throws(Refusal) -> any LanguageModel {
    let c = try Configuration(canonical: store.configuration)
    let weights = try StoredWeights(store, specs: try weights(store.configuration))
    let (sizes, heads) = (c.gated.sizes, c.gated.heads)
    let state = RWKV.state(sizes, recurrent: [RWKV.GatedAttention.state(heads)])
    return RWKV.Model(name, store, weights, sizes, state: state) { Block(weights, heads, $0) }
  }

  /// The weights of one block's mixing.
  private struct Block: RWKV.Block {
    /// The share of the previous token in the input of the other shares.
    private let commonShare: Tensor  // [D]
    private let mixDown: Tensor  // [5M, D]
    /// One per input, in the order of `letters`.
    private let mixUp: [Tensor]  // [D, M]
    private let shares: [Tensor]  // [D]
    private let decayDown: Tensor  // [R, D]
    private let decayUp: Tensor  // [D, R]
    private let decayBase: Tensor  // [D]
    private var attention: RWKV.GatedAttention
    private let channelMix: RWKV.ChannelMix

    init(_ weights: StoredWeights, _ heads: RWKV.Heads, _ index: Int) {
      let block = "blocks.\(index)."
      let att = block + "att."
      commonShare = weights.vector(att + "time_maa_x")
      mixDown = weights.matrix(att + "time_maa_w1")
      let stacked = weights.matrix(att + "time_maa_w2")  // [5, D, M]
      mixUp = letters.indices.map {
        stacked.rows($0..<$0 + 1).reshaped(Array(stacked.shape.dropFirst()))  // [D, M]
      }
      shares = letters.map { weights.vector("\(att)time_maa_\($0)") }
      decayDown = weights.matrix(att + "time_decay_w1")
      decayUp = weights.matrix(att + "time_decay_w2")
      decayBase = weights.vector(att + "time_decay")
      attention = RWKV.GatedAttention(weights, heads, att: att)
      channelMix = RWKV.ChannelMix(weights, block: block, shares: "time_maa", sharesPast: true)
    }

    /// Section 4.2 of the paper; the state is `time_shift`, `wkv`, `channel_shift`.
    func mixTime(_ x: Tensor, _ state: inout [Tensor], _ stream: inout BlockStream) -> Tensor {
      let shifted = RWKV.Shifted(x, state: &state[0], batch: stream.batch)
      var low = Linear.apply(shifted.mixed(pastShare: commonShare), weight: mixDown)  // [B·T, 5M]
      Kernels.tanh(&low)
      let rank = low.columnCount / letters.count
      let mixed = letters.indices.map { input in
        let share = Linear.apply(  // [B·T, D]
          low.columns(input * rank..<(input + 1) * rank), weight: mixUp[input],
          bias: shares[input])
        return shifted.mixed(pastShare: share)  // [B·T, D]
      }
      let (w, k, v, r, g) = (mixed[0], mixed[1], mixed[2], mixed[3], mixed[4])
      return attention((r: r, k: k, v: v, g: g), decay: decay(w), state: &state[1])
    }

    /// exp(-exp(base + up · tanh(down · x))): [B·T, D], from 0 to 1.
    private func decay(_ x: Tensor) -> Tensor {
      var low = Linear.apply(x, weight: decayDown)  // [B·T, R]
      Kernels.tanh(&low)
      var decay = Linear.apply(low, weight: decayUp, bias: decayBase)  // [B·T, D]
      Kernels.exp(&decay)
      Kernels.scale(&decay, by: -1)
      Kernels.exp(&decay)
      return decay
    }

    var readingStateOnly: Self? {
      var copy = self
      copy.attention = attention.readingStateOnly
      return copy
    }

    func output(ofRead values: Tensor) -> Tensor? { attention.output(ofRead: values) }

    func mixChannels(_ x: Tensor, _ shift: inout Tensor, batch: Int) -> Tensor {
      channelMix(x, &shift, batch: batch)
    }
  }
}
