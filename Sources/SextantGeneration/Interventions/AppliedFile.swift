import SextantBytes
import SextantStore

/// A strength as it is written: `2`, `10%`, `0.1nats`, or one for each block: `3=1.5,5-7=0.5`.
package struct WrittenStrength: Sendable {
  /// The strength, in `unit`s.
  package private(set) var value: Float = 1
  /// A strength for each block instead; nil for one.
  package private(set) var layers: SteeringOptions.LayerStrengths?
  /// The unit of the strengths.
  package private(set) var unit = SteeringOptions.Unit.raw

  /// 1, the same as no strength.
  package init() {}

  /// The written forms, for people.
  static let forms =
    "a number, such as 2, 10% or 0.1nats, or one for each block, such as 3=1.5,5-7=0.5"

  /// Whether it is one number without a unit.
  package var isPlain: Bool { unit == .raw && layers == nil }

  /// Reads the written form; nil when the text is not one.
  ///
  /// - Throws: `usage.option` for a number beyond the range of F32.
  package init?(_ text: Substring) throws(Refusal) {
    guard text.contains("=") else {
      guard let (value, unit) = try Self.number(text) else { return nil }
      (self.value, self.unit) = (value, unit)
      return
    }
    var parts: [SteeringOptions.LayerStrengths.Part] = []
    var units: Set<SteeringOptions.Unit> = []
    for word in text.split(separator: ",", omittingEmptySubsequences: false) {
      let sides = word.split(separator: "=", omittingEmptySubsequences: false)
      guard sides.count == 2, let layers = LayerSelection.range(sides[0]),
        let (value, unit) = try Self.number(sides[1])
      else { return nil }
      parts.append(.init(layers, value))
      units.insert(unit)
    }
    guard units.count == 1, let unit = units.first,
      let layers = SteeringOptions.LayerStrengths(parts)
    else {
      return nil
    }
    (self.layers, self.unit) = (layers, unit)
  }

  private static func number(
    _ text: Substring
  ) throws(Refusal) -> (Float, SteeringOptions.Unit)? {
    if text.hasSuffix("%") { return try Float.written(text.dropLast()).map { ($0 / 100, .share) } }
    if text.hasSuffix("nats") { return try Float.written(text.dropLast(4)).map { ($0, .nats) } }
    return try Float.written(text).map { ($0, .raw) }
  }

  /// The strength times a factor.
  func scaled(by factor: Float) -> WrittenStrength {
    var scaled = self
    (scaled.value, scaled.layers) = (value * factor, layers?.scaled(by: factor))
    return scaled
  }

  /// The strength for people.
  package var text: String {
    guard let layers else { return text(value) }
    return layers.parts.map { "\(text($0.strength)) in block \(LayerSelection.text($0.layers))" }
      .joined(separator: ", ")
  }

  private func text(_ value: Float) -> String {
    switch unit {
    case .raw: "\(value)"
    case .share: "\(value * 100)% of the norm"
    case .nats: "\(value) nats"
    }
  }
}

/// An artifact and its strength, written `FILE`, `FILE:2`, `FILE:10%`, `FILE:0.1nats` or
/// `FILE:3=1.5,5-7=0.5`.
package struct AppliedFile: Sendable {
  /// The artifact's path.
  package let path: String
  /// How strongly it is applied.
  package private(set) var strength: WrittenStrength
  /// Whether a strength was written.
  package let hasStrength: Bool

  /// Reads the written form; nil when the text is not one.
  package init?(argument: String) {
    do throws(Refusal) { try self.init(written: argument) } catch { return nil }
  }

  /// Splits at the last colon, if a strength follows it: a path may have colons itself.
  ///
  /// - Throws: `usage.option` for an empty path, and for a number beyond the range of F32.
  package init(written argument: String) throws(Refusal) {
    let colon = argument.lastIndex(of: ":")
    let written = try colon.flatMap { colon throws(Refusal) in
      try WrittenStrength(argument[argument.index(after: colon)...])
    }
    path = String(colon.flatMap { written == nil ? nil : argument[..<$0] } ?? argument[...])
    strength = written ?? WrittenStrength()
    hasStrength = written != nil
    guard !path.isEmpty else {
      throw Refusal(.usageOption, found: "no path", expected: "FILE or FILE:STRENGTH")
    }
  }

  /// The file at a strength times a factor.
  func scaled(by factor: Float) -> AppliedFile {
    var scaled = self
    scaled.strength = strength.scaled(by: factor)
    return scaled
  }

  /// The files that may be read: in `FILE#NAME` the part before the mark, too.
  package var inputs: [String] { [path] + (ProbeFile(argument: path).map { [$0.path] } ?? []) }
}
