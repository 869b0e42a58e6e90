import SextantBytes
import SextantStore
import SextantTensor

// RWKV: Reinventing RNNs for the Transformer Era (arXiv 2305.13048).
//
// Glossary
//   B  sequences in the batch          T  tokens of each sequence in this run
//   L  blocks                          V  rows of the embedding
//   D  width of the residual stream    F  inner width of the channel mixing, usually 4 D
//   r, k, v  receptance, key, value
//   decay    how fast a channel forgets ("w"), bonus  what the current token's key gets on top ("u")
// Rows of a [B·T, …] tensor are ordered by sequence, then by position.

/// RWKV-4, as published by BlinkDL and in Hugging Face transformers.
package enum RWKV4: Architecture {
  /// The name in stores and artifacts.
  package static let name = "rwkv4"

  // MARK: Configuration

  /// Whether a published `config.json` describes an RWKV-4 model.
  package static func recognises(_ config: JSONNode) -> Bool {
    isNamed(config, types: ["rwkv"], classes: ["RwkvForCausalLM", "RwkvModel"])
  }

  /// Members of transformers for its own ways to compute.
  package static let inertKeys = RWKV.inertKeys

  /// The canonical configuration: sizes derived from the tensors, and the meaning of a
  /// configuration in transformers' code, if there is one. Its last norm has its own epsilon, and
  /// it halves the stream after every sixth block unless the configuration has another number.
  package static func configuration(
    from config: JSONNode?, checkpoint: CheckpointShapes
  ) throws(Refusal) -> JSONObject {
    let tensors = try CanonicalShapes(checkpoint, of: Self.self)
    var sizes = try RWKV.Sizes(tensors, config, epsilonKey: "layer_norm_epsilon")
    if let config, recognises(config) {
      sizes.finalNormEpsilon = RWKV.Sizes.defaultNormEpsilon
      // If the configuration is 0 or less, nothing is halved.
      let interval = try config.optionalMember("rescale_every")?.wholeNumber() ?? 6
      sizes.rescaleInterval = (1...sizes.layerCount).contains(interval) ? interval : 0
    }
    return JSONObject(sizes.members)
  }

  // MARK: Weights

  /// The tensors of a model with this canonical configuration.
  package static func weights(_ configuration: JSONObject) throws(Refusal) -> [WeightSpec] {
    let sizes = try RWKV.Sizes(canonical: RWKV.node(configuration))
    let d = sizes.width
    return RWKV.weights(sizes) { index in
      let block = "blocks.\(index)."
      let vectors = ["time_mix_k", "time_mix_v", "time_mix_r", "time_decay", "time_first"]
      return vectors.map { WeightSpec("\(block)att.\($0)", [d]) }  // [D]
        + ["receptance", "key", "value", "output"].map {
          WeightSpec("\(block)att.\($0).weight", [d, d], .matrix)  // [D, D]
        } + RWKV.ChannelMix.specs(sizes, block: block, shares: "time_mix")
    }
  }

  /// The embedding and the head, which no published model ties.
  package static let tiedPair = RWKV.tiedPair

  // MARK: Dialects

  /// The original naming, and that of transformers.
  package static let dialects = [
    RWKV.original(marker: "att.time_first", absent: ["att.ln_x.weight"], spread: RWKV.oldShares),
    RWKV.huggingFace(marker: "attention.time_first", spread: RWKV.oldShares),
  ]

  /// `config.json` of `RwkvForCausalLM`.
  package static func published(
    _ configuration: JSONObject, dialect: String
  ) throws(Refusal) -> JSONObject {
    let sizes = try RWKV.Sizes(canonical: RWKV.node(configuration))
    guard sizes.finalNormEpsilon == RWKV.Sizes.defaultNormEpsilon else {
      throw inexpressible(
        "a last norm with epsilon \(sizes.finalNormEpsilon)",
        expected: "\(RWKV.Sizes.defaultNormEpsilon), the only one of that code")
    }
    return JSONObject(
      [("architectures", ["RwkvForCausalLM"]), ("model_type", "rwkv")]
        + RWKV.published(sizes, epsilonKey: "layer_norm_epsilon") + [
          ("attention_hidden_size", .integer(Int64(sizes.width))),
          ("rescale_every", .integer(Int64(sizes.rescaleInterval))),
        ])
  }

  // MARK: State

  /// The sums over the past are kept divided by e^exponent, so that no key overflows them.
  private static func state(_ sizes: RWKV.Sizes) -> [StateComponent] {
    let component = { (name: String, initialValue: Float) in
      StateComponent(
        name: name, shape: [sizes.width], axes: ["channel"], initialValue: initialValue)
    }
    return RWKV.state(
      sizes,
      recurrent: [
        component("numerator", 0), component("denominator", 0), component("exponent", -1e30),
      ])
  }

  // MARK: Model

  /// A model that runs from an open store.
  package static func open(_ store: ModelStore) throws(Refusal) -> any LanguageModel {
    let sizes = try RWKV.Sizes(canonical: RWKV.node(store.configuration))
    let weights = try StoredWeights(store, specs: try weights(store.configuration))
    return RWKV.Model(name, store, weights, sizes, state: state(sizes)) { Block(weights, $0) }
  }

  /// The weights of one block's mixing.
  private struct Block: RWKV.Block {
    // The share of the current token in each input, [D] each.
    private let rShare, kShare, vShare: Tensor
    private let decay: Tensor  // [D], negative
    private let bonus: Tensor  // [D]
    private let receptance, key, value, output: Tensor  // [D, D]
    private let channelMix: RWKV.ChannelMix

    init(_ weights: StoredWeights, _ index: Int) {
      let block = "blocks.\(index)."
      let att = block + "att."
      rShare = weights.vector(att + "time_mix_r")
      kShare = weights.vector(att + "time_mix_k")
      vShare = weights.vector(att + "time_mix_v")
      var decay = weights.vector(att + "time_decay")
      Kernels.exp(&decay)
      Kernels.scale(&decay, by: -1)
      self.decay = decay  // -exp(time_decay)
      bonus = weights.vector(att + "time_first")
      receptance = weights.matrix(att + "receptance.weight")
      key = weights.matrix(att + "key.weight")
      value = weights.matrix(att + "value.weight")
      output = weights.matrix(att + "output.weight")
      channelMix = RWKV.ChannelMix(weights, block: block, shares: "time_mix", sharesPast: false)
    }

    /// Section 3.1 of the paper; the state is `time_shift`, `numerator`, `denominator`, `exponent`,
    /// `channel_shift`.
    func mixTime(_ x: Tensor, _ state: inout [Tensor], _ stream: inout BlockStream) -> Tensor {
      let shifted = RWKV.Shifted(x, state: &state[0], batch: stream.batch)
      var r = Linear.apply(shifted.mixed(presentShare: rShare), weight: receptance)  // [B·T, D]
      Kernels.sigmoid(&r)
      let k = Linear.apply(shifted.mixed(presentShare: kShare), weight: key)  // [B·T, D]
      let v = Linear.apply(shifted.mixed(presentShare: vShare), weight: value)  // [B·T, D]
      var (numerator, denominator, exponent) = (state[1], state[2], state[3])  // [B, D]
      var average = Kernels.wkv4(  // [B·T, D]
        k: k, v: v, decay: decay, bonus: bonus, numerator: &numerator, denominator: &denominator,
        exponent: &exponent, batch: stream.batch)
      (state[1], state[2], state[3]) = (numerator, denominator, exponent)
      Kernels.multiply(&average, by: r)
      return Linear.apply(average, weight: output)  // [B·T, D]
    }

    func mixChannels(_ x: Tensor, _ shift: inout Tensor, batch: Int) -> Tensor {
      channelMix(x, &shift, batch: batch)
    }
  }
}
