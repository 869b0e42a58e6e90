import SextantBytes

extension JSONNode {
  /// A refusal at this place of something that is right, and that Sextant does not have.
  func unsupported(found: String? = nil, expected: String) -> Refusal {
    let refusal = refusal(found: found, expected: expected)
    return Refusal(
      .modelUnsupported, file: refusal.file, at: refusal.place, found: refusal.found,
      expected: expected)
  }

  /// The value as an integer in a range that is a limit of this program.
  ///
  /// - Throws: `model.unsupported` for other natural numbers, the node's code for other values.
  func integer(supported range: ClosedRange<Int>) throws(Refusal) -> Int {
    let number = try integer(in: min(1, range.lowerBound)...Int.max)
    guard range.contains(number) else {
      throw unsupported(expected: "an integer between \(range.lowerBound) and \(range.upperBound)")
    }
    return number
  }

  /// The number `key`, above 0.
  func positive(_ key: String) throws(Refusal) -> Double {
    if let number = try optionalPositive(key) { return number }
    return try member(key).number()
  }

  /// The number `key`, above 0, or nil if it is absent.
  func optionalPositive(_ key: String) throws(Refusal) -> Double? {
    guard let member = try optionalMember(key) else { return nil }
    let number = try member.number()
    guard number > 0 else { throw member.refusal(expected: "a positive number") }
    return number
  }

  /// Refuses an integer `key` that differs from the checkpoint's tensors.
  ///
  /// - Throws: the node's code.
  func agree(_ key: String, with value: Int) throws(Refusal) {
    guard let member = try optionalMember(key) else { return }
    guard member.value == .integer(Int64(value)) else {
      throw member.refusal(expected: "\(value), as the tensors have it")
    }
  }

  /// Refuses a value of `key` other than the only supported one.
  ///
  /// - Throws: `model.unsupported`, and the node's code for a value of another type.
  func require(_ key: String, toBe value: JSONValue) throws(Refusal) {
    guard let member = try optionalMember(key) else { return }
    switch (member.value, value) {
    case (value, _): return
    case (.boolean, .boolean), (.string, .string), (_, .null), (_, .array):
      throw member.unsupported(expected: value.canonicalText)
    default: throw member.refusal(expected: value.canonicalText)
    }
  }

  /// The value as an integer of either sign.
  func wholeNumber() throws(Refusal) -> Int {
    guard case .integer(let integer) = value else { throw refusal(expected: "an integer") }
    return Int(integer)
  }

  /// The number `key` between 0 and 1, both excluded, or nil if it is absent.
  ///
  /// - Throws: the node's code.
  func optionalEpsilon(_ key: String) throws(Refusal) -> Double? {
    guard let member = try optionalMember(key) else { return nil }
    let number = try member.number()
    guard number > 0, number < 1 else { throw member.refusal(expected: "between 0 and 1") }
    return number
  }
}

extension JSONNode {
  /// Refuses a number that is not the epsilon of a norm.
  ///
  /// - Throws: the node's code.
  func checkNormEpsilon(_ epsilon: Double) throws(Refusal) {
    guard epsilon > 0, epsilon < 1 else {
      throw refusal(
        found: "a norm epsilon of \(epsilon)", expected: "a number between 0 and 1")
    }
  }
}
