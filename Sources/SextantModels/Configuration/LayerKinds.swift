import SextantBytes

/// The kinds of blocks of a family, under the names that canonical configurations give them.
protocol LayerKind: RawRepresentable, CaseIterable, Sendable where RawValue == String {}

extension ConfigurationForm.Member {
  /// The kind of each block in the canonical form, which spells out all blocks.
  ///
  /// - Parameter key: that of the list.
  static func layers<Kind: LayerKind>(
    _ path: WritableKeyPath<C, [Kind]>, in range: ClosedRange<Int>, key: String = "layers"
  ) -> Self {
    let words = Dictionary(uniqueKeysWithValues: Kind.allCases.map { ($0.rawValue, $0) })
    return Self { node, configuration throws(Refusal) in
      let layers = try node.member(key)
      configuration[keyPath: path] = try layers.kinds(words)
      guard range.contains(configuration[keyPath: path].count) else {
        throw layers.unsupported(
          found: "\(configuration[keyPath: path].count) blocks",
          expected: "\(range.lowerBound) to \(range.upperBound) blocks")
      }
    } write: {
      [(key, .array($0[keyPath: path].map { .string($0.rawValue) }))]
    }
  }

  /// The kind of each block in transformers' form: `num_hidden_layers`, and `layer_types` with a
  /// name for each block.
  ///
  /// - Parameters:
  ///   - names: the published names.
  ///   - usual: the kinds of that many blocks if the configuration does not list them.
  static func publishedKinds<Kind: LayerKind>(
    _ path: WritableKeyPath<C, [Kind]>, _ names: [String: Kind], in range: ClosedRange<Int>,
    usual: @escaping (_ node: JSONNode, _ count: Int) throws(Refusal) -> [Kind]
  ) -> Self {
    let words = Dictionary(uniqueKeysWithValues: names.map { ($0.value.rawValue, $0.key) })
    return Self { node, configuration throws(Refusal) in
      let count = try node.member("num_hidden_layers").integer(supported: range)
      let kinds = try usual(node, count)
      guard let types = try node.optionalMember("layer_types") else {
        configuration[keyPath: path] = kinds
        return
      }
      configuration[keyPath: path] = try types.kinds(names, of: count)
    } write: {
      let kinds = $0[keyPath: path]
      return [
        ("num_hidden_layers", .integer(Int64(kinds.count))),
        ("layer_types", .array(kinds.map { .string(words[$0.rawValue] ?? $0.rawValue) })),
      ]
    }
  }
}

extension JSONNode {
  /// An array of names of kinds.
  ///
  /// - Parameter words: the kinds by their published names.
  /// - Throws: `model.unsupported` for other names, the node's code for other values.
  func kinds<Kind>(_ words: [String: Kind]) throws(Refusal) -> [Kind] {
    var result: [Kind] = []
    for element in try elements() {
      guard let kind = try words[element.string()] else {
        throw element.unsupported(expected: words.keys.sorted().joined(separator: ", "))
      }
      result.append(kind)
    }
    return result
  }

  /// The kinds of `count` blocks.
  ///
  /// - Throws: as `kinds`; the node's code for another number of them.
  func kinds<Kind>(_ words: [String: Kind], of count: Int) throws(Refusal) -> [Kind] {
    let kinds = try kinds(words)
    guard kinds.count == count else {
      throw refusal(
        found: "the types of \(counted(kinds.count, "block"))", expected: "\(count)")
    }
    return kinds
  }
}
