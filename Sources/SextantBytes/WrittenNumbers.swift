extension Int {
  /// Reads a whole number in its one spelling: without a plus sign, zeros before it, or -0.
  ///
  /// - Throws: `usage.option` for any other text.
  package init(written word: Substring) throws(Refusal) {
    let digits = word.hasPrefix("-") ? word.dropFirst() : word
    guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
      throw Refusal(
        .usageOption, found: word.isEmpty ? "nothing" : "\"\(word.prefix(100))\"",
        expected: "a whole number")
    }
    guard let value = Int(word) else {
      throw Refusal(
        .usageOption, found: "\(word.prefix(100))",
        expected: "a whole number from \(Int.min) to \(Int.max)")
    }
    guard String(value) == word else {
      throw Refusal(
        .usageOption, found: "\(word.prefix(100))",
        expected: "\(value), without a sign or zeros before it")
    }
    self = value
  }
}

extension BinaryFloatingPoint where Self: LosslessStringConvertible {
  /// Reads a number; nil for a text that is not a number.
  ///
  /// - Throws: `usage.option` for a number that the type would round to infinity or to 0.
  package static func written(_ text: some StringProtocol) throws(Refusal) -> Self? {
    guard let value = Self(String(text)) else { return nil }
    let mantissa = text.lowercased().prefix { $0 != "e" && $0 != "p" }
    let isInfinite = value.isInfinite && !mantissa.contains("n")
    let isLost = value == 0 && mantissa.contains { ("1"..."9").contains($0) }
    guard !isInfinite, !isLost else {
      throw Refusal(
        .usageOption, found: "\(text.prefix(100))",
        expected: isLost
          ? "0, or a magnitude of at least \(Self.leastNonzeroMagnitude)"
          : "a magnitude of at most \(Self.greatestFiniteMagnitude)")
    }
    return value
  }
}
