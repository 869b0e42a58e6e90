import ArgumentParser
import SextantAnalysis
import SextantArtifacts
import SextantGeneration
import SextantStore
import SextantTensor

extension LayerSelection: ExpressibleByArgument {
  /// Reads `3`, `2-4` or `1,3,10-12`.
  public init?(argument: String) { self.init(argument) }
}

/// Tokens of a text, written `3` or `2-5`, both ends included.
struct TokenRange: ExpressibleByArgument {
  /// The places of the tokens, from 0.
  let range: ClosedRange<Int>

  init?(argument: String) {
    guard let range = LayerSelection.range(argument[...]) else { return nil }
    self.range = range
  }
}

/// A strength as it is written: `2`, `10%`, `0.1nats`, or one for each block: `3=1.5,5-7=0.5`.
struct WrittenStrength {
  /// The strength, in `unit`s.
  var value: Float = 1
  /// A strength for each block instead; nil for one.
  var layers: LayerStrengths?
  /// The unit of the strengths.
  var unit = StrengthUnit.raw

  /// 1, the same as no strength.
  init() {}

  /// Whether it is one number without a unit.
  var isPlain: Bool { unit == .raw && layers == nil }

  /// Reads the written form; nil when the text is not one.
  init?(_ text: Substring) {
    guard text.contains("=") else {
      guard let (value, unit) = Self.number(text) else { return nil }
      (self.value, self.unit) = (value, unit)
      return
    }
    var parts: [LayerStrengths.Part] = []
    var units: Set<StrengthUnit> = []
    for word in text.split(separator: ",", omittingEmptySubsequences: false) {
      let sides = word.split(separator: "=", omittingEmptySubsequences: false)
      guard sides.count == 2, let layers = LayerSelection.range(sides[0]),
        let (value, unit) = Self.number(sides[1])
      else { return nil }
      parts.append(.init(layers, value))
      units.insert(unit)
    }
    guard units.count == 1, let unit = units.first, let layers = LayerStrengths(parts) else {
      return nil
    }
    (self.layers, self.unit) = (layers, unit)
  }

  private static func number(_ text: Substring) -> (Float, StrengthUnit)? {
    if text.hasSuffix("%") { return Float(text.dropLast()).map { ($0 / 100, .share) } }
    if text.hasSuffix("nats") { return Float(text.dropLast(4)).map { ($0, .nats) } }
    return Float(text).map { ($0, .raw) }
  }

  /// The strength for people.
  var text: String {
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
struct AppliedFile: ExpressibleByArgument {
  /// The artifact's path.
  let path: String
  /// How strongly it is applied.
  let strength: WrittenStrength
  /// Whether a strength was written.
  let hasStrength: Bool

  /// Splits at the last colon, if a strength follows it: a path may have colons itself.
  init?(argument: String) {
    let colon = argument.lastIndex(of: ":")
    let written = colon.flatMap { WrittenStrength(argument[argument.index(after: $0)...]) }
    path = String(colon.flatMap { written == nil ? nil : argument[..<$0] } ?? argument[...])
    strength = written ?? WrittenStrength()
    hasStrength = written != nil
    if path.isEmpty { return nil }
  }
}

/// Words joined by commas.
struct WordList: ExpressibleByArgument {
  /// The words.
  let words: [String]

  init(_ words: [String]) {
    self.words = words
  }

  init?(argument: String) {
    words = argument.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    if words.contains("") { return nil }
  }

  var defaultValueDescription: String { words.joined(separator: ",") }
}

/// Token ids joined by commas.
struct TokenList: ExpressibleByArgument {
  /// The ids.
  let tokens: [Int]

  init?(argument: String) {
    let ids = argument.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
    tokens = ids.compactMap { $0 }
    if tokens.count != ids.count { return nil }
  }
}

extension PositionSelection: ExpressibleByArgument {
  /// Reads `last`, `last-3`, `all`, `prompt`, `generated`, indices, or several joined by commas.
  public init?(argument: String) { self.init(argument) }

  /// The written form.
  public var defaultValueDescription: String { description }
}

extension SteeringMethod: ExpressibleByArgument {}

extension SteeringScale: ExpressibleByArgument {}

extension SteeringVector.Operation: ExpressibleByArgument {}

/// The types that matrices can be stored in.
enum StoredType: String, CaseIterable, ExpressibleByArgument {
  case keep, f32, bf16, f16, q8

  /// The type; nil to keep each tensor's own.
  var dataType: DataType? { DataType.allCases.first { $0.word == rawValue } }
}
