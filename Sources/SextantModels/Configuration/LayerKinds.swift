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
}
