import SextantBytes

// The limits of delta, the step size of Mamba-2.

extension ConfigurationForm.Member {
  /// The limits, a pair; no upper one is written as transformers writes infinity.
  static func stepLimits(
    _ key: String, _ smallest: WritableKeyPath<C, Double>, _ largest: WritableKeyPath<C, Double?>
  ) -> Self {
    let infinity: JSONValue = ["__float__": "Infinity"]
    return Self { node, configuration throws(Refusal) in
      guard let member = try node.optionalMember(key) else { return }
      let limits = try member.elements()
      guard limits.count == 2 else { throw member.refusal(expected: "two numbers") }
      configuration[keyPath: smallest] = try limits[0].number()
      configuration[keyPath: largest] =
        limits[1].value == infinity ? nil : try limits[1].number()
    } write: {
      let largest = $0[keyPath: largest].map { JSONValue.number($0) } ?? infinity
      return [(key, .array([.number($0[keyPath: smallest]), largest]))]
    }
  }
}

extension JSONNode {
  /// Refuses limits that no step size is within.
  ///
  /// - Throws: the node's code.
  func checkStepLimits(_ smallest: Double, _ largest: Double?) throws(Refusal) {
    guard smallest >= 0, smallest <= largest ?? smallest else {
      throw refusal(
        found: "step sizes from \(smallest) to \(largest ?? .infinity)",
        expected: "limits from 0 upwards")
    }
  }
}
