import SextantBytes

// Members that several families of models have.

extension ConfigurationForm.Member {
  /// Several members, in their order.
  static func group(_ members: [Self]) -> Self {
    let form = ConfigurationForm(members)
    return Self { node, configuration throws(Refusal) in
      try form.read(node, into: &configuration)
    } write: { configuration in
      members.flatMap { $0.write(configuration) }
    }
  }

  /// A member that counts only for some models. Others are read and written without it.
  static func when(_ condition: KeyPath<C, Bool>, _ member: Self) -> Self {
    Self { node, configuration throws(Refusal) in
      if configuration[keyPath: condition] { try member.read(node, &configuration) }
    } write: {
      $0[keyPath: condition] ? member.write($0) : []
    }
  }

  /// A value that must be one of these if it is there. It is not written.
  static func expected(_ key: String, _ values: JSONValue...) -> Self {
    Self { node, _ throws(Refusal) in
      guard let member = try node.optionalMember(key), !values.contains(member.value) else {
        return
      }
      throw member.unsupported(expected: values.map(\.canonicalText).joined(separator: " or "))
    } write: { _ in
      []
    }
  }

  /// The width of a head, `head_dim`. If it is absent, the heads share the width of the model.
  ///
  /// - Parameters:
  ///   - path: the width of a head.
  ///   - width: the width of the model.
  ///   - heads: the number of query heads.
  ///   - usual: the default of models whose heads do not share their width.
  static func headWidth(
    _ path: WritableKeyPath<C, Int>, of width: KeyPath<C, Int>, among heads: KeyPath<C, Int>,
    in range: ClosedRange<Int>, usual: Int? = nil
  ) -> Self {
    Self { node, configuration throws(Refusal) in
      let (width, heads) = (configuration[keyPath: width], configuration[keyPath: heads])
      let explicit = try node.optionalMember("head_dim")?.integer(supported: range) ?? usual
      let headWidth = explicit ?? width / heads
      guard explicit != nil || width % heads == 0, range.contains(headWidth) else {
        throw node.refusal(
          found: "\(counted(heads, "head")) of \(counted(width, "channel"))",
          expected: "heads of equal width")
      }
      configuration[keyPath: path] = headWidth
    } write: {
      [("head_dim", .integer(Int64($0[keyPath: path])))]
    }
  }

  /// The number of key and value heads, `num_key_value_heads`. Null means as many as query heads.
  ///
  /// - Parameters:
  ///   - path: the number.
  ///   - heads: the number of query heads.
  ///   - usual: the number if the key is absent; nil for as many as query heads.
  static func keyHeads(
    _ path: WritableKeyPath<C, Int>, of heads: KeyPath<C, Int>, in range: ClosedRange<Int>,
    usual: Int? = nil
  ) -> Self {
    let key = "num_key_value_heads"
    return Self { node, configuration throws(Refusal) in
      var count = try node.optionalMember(key)?.integer(supported: range)
      if let usual, try node.object()[key] == nil { count = usual }
      configuration[keyPath: path] = count ?? configuration[keyPath: heads]
    } write: {
      [(key, .integer(Int64($0[keyPath: path])))]
    }
  }

  /// The factor of a model's values; 1 if it is absent.
  static func multiplier(_ key: String, _ path: WritableKeyPath<C, Double>) -> Self {
    Self { node, configuration throws(Refusal) in
      configuration[keyPath: path] = try node.optionalMember(key)?.multiplier() ?? 1
    } write: {
      [(key, .number($0[keyPath: path]))]
    }
  }

  /// The factors of several values, an array; all 1 if it is absent.
  static func multipliers(
    _ key: String, _ path: WritableKeyPath<C, [Double]>, count: Int
  ) -> Self {
    Self { node, configuration throws(Refusal) in
      var factors: [Double] = []
      if let member = try node.optionalMember(key) {
        for element in try member.elements() { factors.append(try element.multiplier()) }
        guard factors.count == count else {
          throw member.refusal(expected: counted(count, "number"))
        }
      } else {
        factors = Array(repeating: 1, count: count)
      }
      configuration[keyPath: path] = factors
    } write: {
      [(key, .array($0[keyPath: path].map { .number($0) }))]
    }
  }
}

extension JSONNode {
  /// A factor that is not 0, within the range of single precision.
  fileprivate func multiplier() throws(Refusal) -> Double {
    let number = try number()
    guard (1e-30...1e30).contains(abs(number)) else {
      throw refusal(expected: "a factor other than 0, such as 0.22")
    }
    return number
  }
}
