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

  /// The naming.
  static let dialect = Dialect(
    name: "keras-hub",
    markers: ["layers.embedding.vars.0", "layers.rwkv7__block.att.vars.0"],
    countsVariables: true,
    // Dropout stores the state of its random numbers with the weights.
    ignores: { $0.contains(".seed_generator.") || $0.hasPrefix("seed_generator.") },
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

  /// Members of Keras for any layer, here and in the inner configurations.
  static let inertKeys: Set<String> = Set(
    ["", "config.", "config.backbone.", "config.backbone.config."].flatMap { prefix in
      [
        "module", "class_name", "registered_name", "name", "trainable", "dtype", "dropout_rate",
        "build_config", "compile_config", "preprocessor", "weights", "assets", "metadata",
      ].map { prefix + $0 }
    })

  private static let classes: Set = ["RWKV7Backbone", "RWKV7CausalLM"]

  /// Whether a Keras description is that of such a model.
  static func describes(_ object: JSONObject) -> Bool {
    guard case .string(let name) = object["class_name"] else { return false }
    return classes.contains(name)
  }

  /// The backbone's own configuration in a Keras description, or nil in other files.
  ///
  /// - Throws: `model.config`.
  static func backbone(_ config: JSONNode) throws(Refusal) -> JSONNode? {
    guard case .object(let object) = config.value, describes(object) else { return nil }
    let inner = try config.member("config")
    guard let backbone = try inner.optionalMember("backbone") else { return inner }
    return try backbone.member("config")
  }

  /// Compares it with the tensors.
  ///
  /// - Throws: `model.config`.
  static func check(
    _ backbone: JSONNode, _ found: RWKV7.Configuration
  ) throws(Refusal) {
    try backbone.agree("hidden_size", with: found.sizes.width)
    try backbone.agree("num_layers", with: found.sizes.layerCount)
    try backbone.agree("vocabulary_size", with: found.sizes.vocabularySize)
    try backbone.agree("intermediate_dim", with: found.sizes.innerWidth)
    try backbone.agree("head_size", with: found.heads.size)
    try backbone.agree("decay_lora", with: found.decayRank)
    try backbone.agree("aaa_lora", with: found.rateRank)
    try backbone.agree("gate_lora", with: found.gateRank)
    if found.valueRank > 0 { try backbone.agree("mv_lora", with: found.valueRank) }
  }
}
