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
  enum Version: String, Sendable {
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

  /// The sizes of an RWKV-5 model.
  package struct Configuration: ModelConfiguration {
    var gated: RWKV.GatedSizes
    var version: Version

    /// The canonical form.
    package var json: JSONObject { JSONObject(gated.members + version.members) }

    /// Reads the canonical form.
    package init(canonical object: JSONObject) throws(Refusal) {
      gated = try RWKV.GatedSizes(canonical: RWKV.node(object))
      version = try Version(canonical: RWKV.node(object))
    }

    fileprivate init(_ tensors: CanonicalShapes, _ config: JSONNode?) throws(Refusal) {
      gated = try RWKV.GatedSizes(tensors, config)
      version = Version(tensors)
    }
  }

  /// Whether a published `config.json` describes an RWKV-5 model.
  package static func recognises(_ config: JSONNode) -> Bool {
    isNamed(config, types: ["rwkv5"], classes: ["Rwkv5ForCausalLM", "Rwkv5Model"])
  }

  /// Members of the published code for its own ways to compute.
  package static let inertKeys = RWKV.inertKeys

  /// The configuration, derived from the tensors.
  ///
  /// The epsilon of the norm of each head is 64e-5 unless the configuration has another value. Code
  /// with 1e-5 exists (rwkv.cpp), and so do weights trained for it: `group_norm_epsilon` sets it.
  package static func configuration(
    from config: JSONNode?, checkpoint: CheckpointShapes
  ) throws(Refusal) -> Configuration {
    try Configuration(CanonicalShapes(checkpoint, of: Self.self), config)
  }

  // MARK: Dialects

  /// The original naming, and that of the published conversions for transformers.
  package static let dialects = [
    RWKV.original(
      marker: "att.ln_x.weight", absent: ["att.time_maa_x", "att.r_k"], spread: RWKV.oldShares),
    RWKV.huggingFace(marker: "attention.time_mix_gate", spread: RWKV.oldShares),
  ]

  /// `config.json` of the published conversions for transformers.
  package static func published(
    _ c: Configuration, dialect: String
  ) throws(Refusal) -> JSONObject {
    let version = c.version
    guard dialect != "huggingface" || version == .channels else {
      throw Refusal(
        .exportInexpressible, found: "RWKV-\(version.rawValue)",
        expected: "RWKV-5.2, which code for transformers runs")
    }
    return JSONObject(try RWKV.published(c.gated, name: "Rwkv5ForCausalLM", type: "rwkv5"))
  }

  // MARK: Model

  /// The blocks of the family, with the mixings of this version.
  package static func network(_ c: Configuration, _ weights: WeightSource) -> Network {
    RWKV.network(
      c.gated.sizes, weights,
      timeMix: {
        RWKV5TimeMix(
          c.gated.heads, $1, hasGate: c.version.hasGate, isPerChannel: c.version.isPerChannel)
      },
      channelMix: { RWKVChannelMix(c.gated.sizes, $0, shares: "time_mix", sharesPast: false) })
  }
}
