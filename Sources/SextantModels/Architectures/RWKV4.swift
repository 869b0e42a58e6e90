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

  /// The sizes of an RWKV-4 model.
  package struct Configuration: ModelConfiguration {
    var sizes: RWKV.Sizes

    /// The canonical form.
    package var json: JSONObject { JSONObject(sizes.members) }

    /// Reads the canonical form.
    package init(canonical object: JSONObject) throws(Refusal) {
      sizes = try RWKV.Sizes(canonical: RWKV.node(object))
    }

    fileprivate init(_ sizes: RWKV.Sizes) { self.sizes = sizes }
  }

  /// Whether a published `config.json` describes an RWKV-4 model.
  package static func recognises(_ config: JSONNode) -> Bool {
    isNamed(config, types: ["rwkv"], classes: ["RwkvForCausalLM", "RwkvModel"])
  }

  /// Members of transformers for its own ways to compute.
  package static let inertKeys = RWKV.inertKeys

  /// The configuration: sizes derived from the tensors, and the meaning of a
  /// configuration in transformers' code, if there is one. Its last norm has its own epsilon, and
  /// it halves the stream after every sixth block unless the configuration has another number.
  package static func configuration(
    from config: JSONNode?, checkpoint: CheckpointShapes
  ) throws(Refusal) -> Configuration {
    let tensors = try CanonicalShapes(checkpoint, of: Self.self)
    var sizes = try RWKV.Sizes(tensors, config, epsilonKey: "layer_norm_epsilon")
    if let config, recognises(config) {
      sizes.finalNormEpsilon = RWKV.Sizes.defaultNormEpsilon
      // If the configuration is 0 or less, nothing is halved.
      let interval = try config.optionalMember("rescale_every")?.wholeNumber() ?? 6
      sizes.rescaleInterval = (1...sizes.layerCount).contains(interval) ? interval : 0
    }
    return Configuration(sizes)
  }

  // MARK: Dialects

  /// The original naming, and that of transformers.
  package static let dialects = [
    RWKV.original(marker: "att.time_first", absent: ["att.ln_x.weight"], spread: RWKV.oldShares),
    RWKV.huggingFace(marker: "attention.time_first", spread: RWKV.oldShares),
  ]

  /// `config.json` of `RwkvForCausalLM`.
  package static func published(
    _ c: Configuration, dialect: String
  ) throws(Refusal) -> JSONObject {
    let sizes = c.sizes
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

  // MARK: Model

  /// The blocks of the family, with the mixings of this version.
  package static func network(_ c: Configuration, _ weights: WeightSource) -> Network {
    RWKV.network(
      c.sizes, weights, timeMix: { RWKV4TimeMix(width: c.sizes.width, $1) },
      channelMix: { RWKVChannelMix(c.sizes, $0, shares: "time_mix", sharesPast: false) })
  }
}
