import SextantBytes

/// The mixer of a block, in models where the gated delta rule and attention take turns.
enum DeltaBlock: String, LayerKind {
  case delta, attention

  /// The name that published configurations give it.
  var publishedName: String { self == .delta ? "linear_attention" : "full_attention" }

  /// Every n-th block has attention.
  static func every(_ interval: Int, of count: Int) -> [DeltaBlock] {
    (0..<count).map { ($0 + 1) % interval == 0 ? .attention : .delta }
  }
}

extension ConfigurationForm.Member where C: FormedConfiguration {
  /// The sizes of the gated delta rule in the canonical form.
  static func delta(_ path: WritableKeyPath<C, GatedDelta.Form>) -> Self {
    .group([
      .integer("n_delta_key_head", path.appending(path: \.keyHeads), in: C.heads),
      .integer("n_delta_value_head", path.appending(path: \.valueHeads), in: C.heads),
      .integer("delta_key_dim", path.appending(path: \.keyWidth), in: C.heads),
      .integer("delta_value_dim", path.appending(path: \.valueWidth), in: C.heads),
      .integer("d_conv", path.appending(path: \.kernelWidth), in: C.kernelWidths),
    ])
  }
}

extension ConfigurationForm.Member {
  /// The kinds of all blocks in transformers' form: `layer_types`, or else the rule of
  /// `full_attention_interval`.
  ///
  /// - Parameter usual: the kinds of that many blocks if there is neither.
  static func publishedLayers(
    _ path: WritableKeyPath<C, [DeltaBlock]>,
    usual: @escaping (_ count: Int) -> [DeltaBlock] = { DeltaBlock.every(4, of: $0) }
  ) -> Self {
    let key = "full_attention_interval"
    return Self { node, configuration throws(Refusal) in
      let count = try node.member("num_hidden_layers").integer(supported: Limits.layerCounts)
      func byInterval(_ node: JSONNode) throws(Refusal) -> [DeltaBlock]? {
        guard let interval = try node.optionalMember(key)?.integer(in: 1...Int.max) else {
          return nil
        }
        return DeltaBlock.every(interval, of: count)
      }
      guard let types = try node.optionalMember("layer_types") else {
        configuration[keyPath: path] = try byInterval(node) ?? usual(count)
        return
      }
      let words = DeltaBlock.allCases.map { ($0.publishedName, $0) }
      let kinds = try types.kinds(Dictionary(uniqueKeysWithValues: words), of: count)
      configuration[keyPath: path] = kinds
      // A rule that agrees with the list needs no note.
      if try byInterval(node.unnoted) == kinds { _ = try node.optionalMember(key) }
    } write: {
      let kinds = $0[keyPath: path]
      return [
        ("num_hidden_layers", .integer(Int64(kinds.count))),
        ("layer_types", .array(kinds.map { .string($0.publishedName) })),
      ]
    }
  }
}
