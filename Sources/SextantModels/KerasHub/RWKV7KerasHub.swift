import SextantBytes

/// How keras-hub spells RWKV-7: variables have numbers, and dense kernels are [in, out].
///
/// The numbers follow the order in which a layer made its variables. Block 0 makes none to mix
/// values in, so that from number 12 on the same number is another tensor there than in later
/// blocks: 17 variables of the time mixing in block 0, 20 in the others.
enum RWKV7KerasHub {
  /// The time mixing's own variables, in the order of their creation.
  private static let timeMix = [
    "x_r", "x_w", "x_k", "x_v", "x_a", "x_g", "w0", "w1", "w2", "a0", "a1", "a2", "v0", "v1", "v2",
    "g1", "g2", "k_k", "k_a", "r_k",
  ]
  /// Those that only later blocks have.
  private static let valueMix: Set = ["v0", "v1", "v2"]

  /// The class of keras-hub.
  static let name = KerasHubClass("RWKV7", module: "rwkv7.rwkv7_backbone")

  /// The naming.
  static let dialect = Dialect(
    name: Dialect.kerasHub,
    markers: ["layers.embedding.vars.0", "layers.rwkv7__block.att.vars.0"],
    countsVariables: true,
    ignores: KerasHubNaming.isRandomState,
    source: source)

  private static func source(_ canonical: String) -> Dialect.Source {
    let parts = canonical.split(separator: ".").map(String.init)
    let number = parts.last == "bias" ? 1 : 0
    guard parts.first == "blocks", parts.count > 3 else {
      switch parts.first {
      case "embedding": return "layers.embedding.vars.0"
      case "head": return Dialect.Source("layers.dense.vars.0", isTransposed: true)
      default: return "layers.layer_normalization.vars.\(number)"
      }
    }
    let isFirst = parts[1] == "0"
    let block = "layers.rwkv7__block" + (isFirst ? "" : "_\(parts[1])")
    let (part, tensor) = (parts[2], parts[3])
    switch (part, tensor) {
    case ("att", "ln_x"): return "\(block).att.ln_x.vars.\(number)"
    case ("att", _) where parts.count == 4:
      let order = isFirst ? timeMix.filter { !valueMix.contains($0) } : timeMix
      // No place: a name that no file has, which is then missed by name.
      let place = order.firstIndex(of: tensor).map(String.init) ?? tensor
      return Dialect.Source(
        "\(block).att.vars.\(place)", isTransposed: RWKV7.lowRank.contains(tensor))
    case ("ffn", "x_k"): return "\(block).ffn.vars.0"
    case ("att", _), ("ffn", _):
      let layer = tensor == "output" ? "output_layer" : tensor
      return Dialect.Source("\(block).\(part).\(layer).vars.0", isTransposed: true)
    default: return "\(block).\(part).vars.\(number)"
    }
  }

  // MARK: Configuration

  /// The configuration of a model.
  ///
  /// - Throws: `export.inexpressible` for what the class has no member for.
  static func description(_ c: RWKV7.Configuration) throws(Refusal) -> JSONObject {
    let epsilons = (c.sizes.normEpsilon, c.sizes.finalNormEpsilon, c.heads.normEpsilon)
    let usual = (RWKV.Sizes.defaultNormEpsilon, RWKV.Heads.defaultNormEpsilon)
    try RWKV7.checkExpressible(
      [
        (
          "norms with epsilons of \(epsilons.0), \(epsilons.1) and \(epsilons.2)",
          epsilons != (usual.0, usual.0, usual.1), "\(usual.0), and \(usual.1) for heads"
        ),
        ("a stream that is halved", c.sizes.rescaleInterval > 0, "one that is not"),
        ("one tensor for embedding and head", c.sizes.tiesEmbeddings, "a head of its own"),
      ], in: name.name)
    let members = sizes(of: c).map { ($0.key, JSONValue.integer(Int64($0.value))) }
    return name.description(
      JSONObject(
        members + [("mv_lora", .integer(Int64(max(1, c.valueRank)))), ("dropout_rate", 0)]))
  }

  /// The members with a size that every model has.
  private static func sizes(of c: RWKV7.Configuration) -> [(key: String, value: Int)] {
    [
      ("hidden_size", c.sizes.width), ("num_layers", c.sizes.layerCount),
      ("vocabulary_size", c.sizes.vocabularySize), ("intermediate_dim", c.sizes.innerWidth),
      ("head_size", c.heads.size), ("decay_lora", c.decayRank), ("aaa_lora", c.rateRank),
      ("gate_lora", c.gateRank),
    ]
  }

  /// Compares it with the tensors.
  ///
  /// - Throws: `model.config`.
  static func check(
    _ backbone: JSONNode, _ found: RWKV7.Configuration
  ) throws(Refusal) {
    for (key, value) in sizes(of: found) { try backbone.agree(key, with: value) }
    if found.valueRank > 0 { try backbone.agree("mv_lora", with: found.valueRank) }
  }
}
