import SextantBytes
import SextantStore
import SextantTensor

@testable import SextantModels

/// A made-up architecture: its namings use everything that a dialect can express.
///
/// Glossary: D width 32, Hk key heads 2 of K channels, Hv value heads 6 of V channels, H query heads
/// 2 of W channels, X experts 3 of F channels, C = 2 Hk K + Hv V channels of the convolution.
enum Patchwork: Architecture {
  static let name = "patchwork"

  static let configuration = JSONObject([
    ("d_model", 32), ("n_key_head", 2), ("key_width", 3), ("n_value_head", 6), ("value_width", 5),
    ("n_head", 2), ("head_dim", 4), ("n_expert", 3), ("d_expert", 64),
    ("multiplier", 0.5), ("multipliers", [2.0, 0.25]),
  ])

  static let (d, queries, keys, values, heads) = (32, 8, 6, 30, 6)
  static let channels = 2 * keys + values

  /// The members as they are.
  struct Configuration: ModelConfiguration {
    let json: JSONObject
    init(canonical object: JSONObject) { json = object }
  }

  static func network(_ c: Configuration, _ weights: WeightSource) -> Network {
    let embedding = weights.embedding(7, d)  // [V, D]
    for (name, rows) in [
      ("q", keys), ("k", keys), ("v", values), ("z", values), ("b", heads), ("a", heads),
      ("query", queries), ("gate", queries),
    ] {
      _ = weights.matrix(name, [rows, d])
    }
    _ = weights.matrix("out", [d, values])
    _ = weights.vector("conv", [channels, 4])
    _ = weights.vector("A_log", [heads])
    _ = weights.vector("norm", [d])
    _ = weights.experts("expert.gate", count: 3, [64, d])
    _ = weights.experts("expert.up", count: 3, [64, d])
    _ = weights.experts("expert.down", count: 3, [d, 64])
    return Network(
      embedding: embedding, blocks: [],
      readout: Readout(norm: weights.rmsNorm("final_norm", d, epsilon: 1e-6), head: embedding))
  }

  static let dialects = [joined, grouped, tiled]

  /// Names that the dialects do not change.
  private static func other(_ canonical: String, _ prefix: String) -> Dialect.Source {
    switch canonical {
    case "embedding.weight": "\(prefix)embed.weight"
    case "final_norm.weight": "\(prefix)norm_f.weight"
    default: "\(prefix)\(canonical)"
    }
  }

  /// All rows of q, then of k and of v in one matrix; query and gate by heads; gate and up by
  /// experts. The model may be a part of another one.
  static let joined = Dialect(
    name: "joined", base: "model.", wrappedBases: ["model.language."],
    otherParts: ["model.visual.", "mtp."],
    markers: ["model.embed.weight", "model.layers.*.qkv"]
  ) { canonical in
    switch canonical {
    case "q", "k", "v":
      .init(.share(of: "model.layers.3.qkv", tensors: ["q", "k", "v"], groups: .one))
    case "query", "gate":
      .init(
        .share(
          of: "model.layers.3.query_gate", tensors: ["query", "gate"], groups: .number("n_head")))
    case "expert.gate", "expert.up":
      .init(
        .share(
          of: "model.layers.3.gate_up", tensors: ["expert.gate", "expert.up"],
          groups: .firstAxis))
    case "conv": .init("model.layers.3.conv", form: .ones([1]))
    case "expert.down": .init("model.layers.3.down", isTransposed: true)
    default: other(canonical, "model.")
    }
  }

  /// Rows by groups of heads, one matrix for each expert, and one convolution for each of q, k, v.
  static let grouped = Dialect(
    name: "grouped", markers: ["embed.weight", "qkvz"]
  ) { canonical in
    switch canonical {
    case "q", "k", "v", "z":
      .init(
        .share(of: "qkvz", tensors: ["q", "k", "v", "z"], groups: .number("n_key_head")))
    case "b", "a":
      .init(.share(of: "ba", tensors: ["b", "a"], groups: .number("n_key_head")))
    case "conv":
      .init(
        .sequence([
          .init("conv_q", count: ["n_key_head", "key_width"]),
          .init("conv_k", count: ["n_key_head", "key_width"]),
          .init("conv_v", count: ["n_value_head", "value_width"]),
        ]), form: .ones([1]))
    case "expert.gate", "expert.up": .init(.numbered("experts.*.\(canonical.dropFirst(7))"))
    case "expert.down": .init(.numbered("experts.*.down"), isTransposed: true)
    default: other(canonical, "")
    }
  }

  /// The changes of a program that repeats keys by tiling, turns neighbouring channels, and has no
  /// multipliers.
  static let tiled = Dialect(
    name: "tiled", markers: ["t.embed.weight", "t.qkv"]
  ) { canonical in
    func heads(axis: Int = 0, after: [[String]] = []) -> Dialect.Source.Change {
      .tiledHeads(groups: "n_key_head", heads: "n_value_head", axis: axis, after: after)
    }
    switch canonical {
    case "q", "k": return .init(.share(of: "t.qkv", tensors: ["q", "k", "v"], groups: .one))
    case "v":
      return .init(
        .share(of: "t.qkv", tensors: ["q", "k", "v"], groups: .one), changes: [heads()])
    case "b", "a": return .init("t.\(canonical)", change: heads())
    case "A_log":
      return .init(.tensor("t.A"), changes: [heads(), .negativeExponential], form: .ones([1]))
    case "out": return .init("t.out", change: heads(axis: 1))
    case "conv":
      let key = ["n_key_head", "key_width"]
      return .init("t.conv", change: heads(after: [key, key]))
    case "norm": return .init("t.norm", change: .plusOne)
    case "query":
      return .init(
        .tensor("t.query"),
        changes: [
          .scaled([.init(by: ["multiplier"])]), .pairedRows(headWidth: "head_dim"),
        ])
    case "gate":
      return .init(
        "t.gate",
        change: .scaled([
          .init(by: ["multiplier", "multipliers/0"], rows: ["n_key_head"]),
          .init(by: ["multipliers/1"]),
        ]))
    default: return other(canonical, "t.")
    }
  }

  static func recognises(_ config: JSONNode) -> Bool { false }

  static func configuration(
    from config: JSONNode?, checkpoint: CheckpointShapes
  ) throws(Refusal) -> Configuration { Configuration(canonical: configuration) }

  static func published(
    _ configuration: Configuration, dialect: String
  ) throws(Refusal) -> JSONObject { configuration.json }
}
