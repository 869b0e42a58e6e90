import SextantBytes
import SextantStore
import SextantTensor

// Eagle and Finch: RWKV with Matrix-Valued States and Dynamic Recurrence (arXiv 2404.05892): Eagle.
//
// Glossary
//   B  sequences in the batch          T  tokens of each sequence in this run
//   L  blocks                          V  rows of the embedding
//   D  width of the residual stream    F  inner width of the channel mixing, usually 3.5 D
//   H  heads                           N  size of a head, D = H · N
//   r, k, v, g  receptance, key, value, gate
//   decay    how fast a key's row of the state fades ("w"), the same in every step
// Rows of a [B·T, …] tensor are ordered by sequence, then by position.

/// RWKV-5 ("Eagle"), as published by BlinkDL and converted for transformers.
///
/// The paper's is 5.2, the last and widespread version. Before it, in 5.0 and 5.1, a head has one
/// decay and one bonus, which is stored as its logarithm; and 5.0 has no gate.
package enum RWKV5: Architecture {
  /// The name in stores and artifacts.
  package static let name = "rwkv5"

  // MARK: Configuration

  /// The differences of the versions.
  enum Version: String {
    case heads = "5.0"
    case gated = "5.1"
    case channels = "5.2"

    private static let key = "version"

    /// The member of the canonical form; the last version needs none.
    var members: [(String, JSONValue)] { self == .channels ? [] : [(Self.key, .string(rawValue))] }

    /// Reads the canonical form.
    init(canonical node: JSONNode) throws(Refusal) {
      guard let member = try node.optionalMember(Self.key) else {
        self = .channels
        return
      }
      guard let version = Version(rawValue: try member.string()), version != .channels else {
        throw member.refusal(expected: "\"5.0\" or \"5.1\"")
      }
      self = version
    }

    /// Tells the version by the tensors.
    init(_ tensors: CanonicalShapes) {
      let hasGate = tensors.contains("blocks.0.att.gate.weight")
      let isPerHead = tensors.contains("blocks.0.att.time_first")
      self = isPerHead ? (hasGate ? .gated : .heads) : .channels
    }

    var hasGate: Bool { self != .heads }
    /// Whether decay and bonus differ between the channels of a head.
    var isPerChannel: Bool { self == .channels }
  }

  /// Whether a published `config.json` describes an RWKV-5 model.
  package static func recognises(_ config: JSONNode) -> Bool {
    isNamed(config, types: ["rwkv5"], classes: ["Rwkv5ForCausalLM", "Rwkv5Model"])
  }

  /// Members of the published code for its own ways to compute.
  package static let inertKeys = RWKV.inertKeys

  /// The canonical configuration, derived from the tensors.
  ///
  /// The epsilon of the norm of each head is 64e-5 unless the configuration has another value. Code
  /// with 1e-5 exists (rwkv.cpp), and so do weights trained for it: `group_norm_epsilon` sets it.
  package static func configuration(
    from config: JSONNode?, checkpoint: CheckpointShapes
  ) throws(Refusal) -> JSONObject {
    let tensors = try CanonicalShapes(checkpoint, of: Self.self)
    return JSONObject(
      try RWKV.GatedSizes(tensors, config).members + Version(tensors).members)
  }

  // MARK: Weights

  /// The tensors of a model with this canonical configuration.
  package static func weights(_ configuration: JSONObject) throws(Refusal) -> [WeightSpec] {
    let c = try RWKV.GatedSizes(canonical: RWKV.node(configuration))
    let version = try Version(canonical: RWKV.node(configuration))
    return RWKV.weights(c.sizes) { index in
      let block = "blocks.\(index)."
      let att = block + "att."
      var shared = RWKV.GatedAttention.specs(c.sizes, c.heads, att: att)
      if !version.hasGate { shared.removeAll { $0.name == att + "gate.weight" } }
      let perHead = version.isPerChannel ? [c.heads.count, c.heads.size] : [c.heads.count]
      if !version.isPerChannel {
        shared.removeAll { $0.name == att + "time_faaaa" }
        shared.append(WeightSpec(att + "time_first", perHead))  // [H]
      }
      return (version.hasGate ? "rkvg" : "rkv").map {
        WeightSpec("\(att)time_mix_\($0)", [c.sizes.width])  // [D]
      } + [WeightSpec(att + "time_decay", perHead)]  // [H, N] or [H]
        + shared + RWKV.ChannelMix.specs(c.sizes, block: block, shares: "time_mix")
    }
  }

  /// The embedding and the head, which no published model ties.
  package static let tiedPair = RWKV.tiedPair

  // MARK: Dialects

  /// The original naming, and that of the published conversions for transformers.
  package static let dialects = [
    RWKV.original(
      marker: "att.ln_x.weight", absent: ["att.time_maa_x", "att.r_k"], spread: RWKV.oldShares),
    RWKV.huggingFace(marker: "attention.time_mix_gate", spread: RWKV.oldShares),
  ]

  /// `config.json` of the published conversions for transformers.
  package static func published(
    _ configuration: JSONObject, dialect: String
  ) throws(Refusal) -> JSONObject {
    let c = try RWKV.GatedSizes(canonical: RWKV.node(configuration))
    let version = try Version(canonical: RWKV.node(configuration))
    guard dialect != "huggingface" || version == .channels else {
      throw Refusal(
        .exportInexpressible, found: "RWKV-\(version.rawValue)",
        expected: "RWKV-5.2, which code for transformers runs")
    }
    return JSONObject(try RWKV.published(c, name: "Rwkv5ForCausalLM", type: "rwkv5"))
  }

  // MARK: Model

  /// A model that runs from an open store.
  package static func open(_ store: ModelStore) throws(Refusal) -> any LanguageModel {
    let c = try RWKV.GatedSizes(canonical: RWKV.node(store.configuration))
    let version = try Version(canonical: RWKV.node(store.configuration))
    let weights = try StoredWeights(store, specs: try weights(store.configuration))
    let state = RWKV.state(c.sizes, recurrent: [RWKV.GatedAttention.state(c.heads)])
    return RWKV.Model(name, store, weights, c.sizes, state: state) {
      Block(weights, c.heads, version, $0)
    }
  }

  /// The number of each head [H] for each of its channels: [H, N].
  private static func spread(_ perHead: Tensor, _ heads: RWKV.Heads) -> Tensor {
    let values = perHead.withFloats { Array($0) }
    return Tensor(
      values.flatMap { Array(repeating: $0, count: heads.size) }, shape: [heads.count, heads.size])
  }

  /// The weights of one block's mixing.
  private struct Block: RWKV.Block {
    // The share of the current token in each input, [D] each.
    private let rShare, kShare, vShare: Tensor
    private let gShare: Tensor?
    private let decay: Tensor  // [D], from 0 to 1
    private var attention: RWKV.GatedAttention
    private let channelMix: RWKV.ChannelMix

    init(_ weights: StoredWeights, _ heads: RWKV.Heads, _ version: Version, _ index: Int) {
      let block = "blocks.\(index)."
      let att = block + "att."
      rShare = weights.vector(att + "time_mix_r")
      kShare = weights.vector(att + "time_mix_k")
      vShare = weights.vector(att + "time_mix_v")
      gShare = version.hasGate ? weights.vector(att + "time_mix_g") : nil
      var decay = weights.vector(att + "time_decay")
      var bonus: Tensor?
      if !version.isPerChannel {
        decay = spread(decay, heads)  // [H, N]
        var perHead = weights.vector(att + "time_first")  // [H]
        Kernels.exp(&perHead)
        bonus = spread(perHead, heads)  // [H, N]
      }
      Kernels.exp(&decay)
      Kernels.scale(&decay, by: -1)
      Kernels.exp(&decay)
      self.decay = decay.reshaped([decay.count])  // exp(-exp(time_decay))
      attention = RWKV.GatedAttention(
        weights, heads, att: att, bonus: bonus, hasGate: version.hasGate)
      channelMix = RWKV.ChannelMix(weights, block: block, shares: "time_mix", sharesPast: false)
    }

    /// Section 4.1 of the paper; the state is `time_shift`, `wkv`, `channel_shift`.
    func mixTime(_ x: Tensor, _ state: inout [Tensor], _ stream: inout BlockStream) -> Tensor {
      let shifted = RWKV.Shifted(x, state: &state[0], batch: stream.batch)
      let mixed = (
        r: shifted.mixed(presentShare: rShare), k: shifted.mixed(presentShare: kShare),
        v: shifted.mixed(presentShare: vShare), g: gShare.map { shifted.mixed(presentShare: $0) }
      )  // [B·T, D] each
      return attention(mixed, decay: decay, state: &state[1])
    }

    var keyDecay: Tensor? { decay }

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
