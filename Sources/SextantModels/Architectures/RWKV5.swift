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

/// RWKV-5.2 ("Eagle"), as published by BlinkDL and converted for transformers.
///
/// Of RWKV-5 this is the last and widespread version. 5.0 and 5.1, which have one decay per head, and
/// of which 5.0 has no gate, are refused.
public enum RWKV5: Architecture {
  /// The name in stores and artifacts.
  public static let name = "rwkv5"

  // MARK: Configuration

  /// Whether a published `config.json` describes an RWKV-5 model.
  public static func recognises(_ config: JSONNode) -> Bool {
    guard case .object(let object) = config.value else { return false }
    return object["model_type"] == "rwkv5"
  }

  /// The canonical configuration, derived from the tensors.
  ///
  /// The epsilon of the norm of each head is 64e-5 unless the configuration says otherwise. Code that
  /// takes 1e-5 exists (rwkv.cpp), and so do weights trained for it: `group_norm_epsilon` sets it.
  public static func configuration(
    from config: JSONNode?, checkpoint: CheckpointShapes
  ) throws(FormatError) -> JSONObject {
    let tensors = try CanonicalShapes(checkpoint, of: Self.self)
    return JSONObject(try RWKV.GatedSizes(tensors, config).members)
  }

  // MARK: Weights

  /// The tensors of a model with this canonical configuration.
  public static func weights(_ configuration: JSONObject) throws(FormatError) -> [WeightSpec] {
    let c = try RWKV.GatedSizes(canonical: RWKV.node(configuration))
    return RWKV.weights(c.sizes) { index in
      let block = "blocks.\(index)."
      let att = block + "att."
      return "rkvg".map { WeightSpec("\(att)time_mix_\($0)", [c.sizes.width]) }  // [D]
        + [WeightSpec(att + "time_decay", [c.heads.count, c.heads.size])]  // [H, N]
        + RWKV.GatedAttention.specs(c.sizes, c.heads, att: att)
        + RWKV.ChannelMix.specs(c.sizes, block: block, shares: "time_mix")
    }
  }

  /// The embedding and the head, which no published model ties.
  public static let tiedPair = RWKV.tiedPair

  // MARK: Dialects

  /// The original naming, and that of the published conversions for transformers.
  public static let dialects = [
    RWKV.original(marker: "att.time_mix_g", spread: RWKV.oldShares),
    RWKV.huggingFace(marker: "attention.time_mix_gate", spread: RWKV.oldShares),
  ]

  /// `config.json` of the published conversions for transformers.
  public static func published(
    _ configuration: JSONObject, dialect: String
  ) throws(FormatError) -> JSONObject {
    let c = try RWKV.GatedSizes(canonical: RWKV.node(configuration))
    return JSONObject(try RWKV.published(c, name: "Rwkv5ForCausalLM", type: "rwkv5"))
  }

  // MARK: Model

  /// A model that runs from an open store.
  public static func open(_ store: ModelStore) throws(FormatError) -> any LanguageModel {
    let c = try RWKV.GatedSizes(canonical: RWKV.node(store.configuration))
    let weights = try StoredWeights(store, specs: try weights(store.configuration))
    let state = RWKV.state(c.sizes, recurrent: [RWKV.GatedAttention.state(c.heads)])
    return RWKV.Model(name, store, weights, c.sizes, state: state) { Block(weights, c.heads, $0) }
  }

  /// The weights of one block's mixing.
  private struct Block: RWKV.Block {
    // How much of each input is the current token's, [D] each.
    private let rShare, kShare, vShare, gShare: Tensor
    private let decay: Tensor  // [D], from 0 to 1
    private let attention: RWKV.GatedAttention
    private let channelMix: RWKV.ChannelMix

    init(_ weights: StoredWeights, _ heads: RWKV.Heads, _ index: Int) {
      let block = "blocks.\(index)."
      let att = block + "att."
      rShare = weights.vector(att + "time_mix_r")
      kShare = weights.vector(att + "time_mix_k")
      vShare = weights.vector(att + "time_mix_v")
      gShare = weights.vector(att + "time_mix_g")
      var decay = weights.vector(att + "time_decay")
      Kernels.exp(&decay)
      Kernels.scale(&decay, by: -1)
      Kernels.exp(&decay)
      self.decay = decay.reshaped([decay.count])  // exp(-exp(time_decay))
      attention = RWKV.GatedAttention(weights, heads, att: att)
      channelMix = RWKV.ChannelMix(weights, block: block, shares: "time_mix", sharesPast: false)
    }

    /// Section 4.1 of the paper; the state is `time_shift`, `wkv`, `channel_shift`.
    func mixTime(_ x: Tensor, _ state: inout [Tensor], _ stream: inout BlockStream) -> Tensor {
      let shifted = RWKV.Shifted(x, state: &state[0], batch: stream.batch)
      let mixed = (
        r: shifted.mixed(presentShare: rShare), k: shifted.mixed(presentShare: kShare),
        v: shifted.mixed(presentShare: vShare), g: shifted.mixed(presentShare: gShare)
      )  // [B·T, D] each
      return attention(mixed, decay: decay, state: &state[1])
    }

    var keyDecay: Tensor? { decay }

    func mixChannels(_ x: Tensor, _ shift: inout Tensor, batch: Int) -> Tensor {
      channelMix(x, &shift, batch: batch)
    }
  }
}
