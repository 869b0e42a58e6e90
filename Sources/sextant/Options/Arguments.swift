import ArgumentParser
import SextantAnalysis
import SextantArtifacts
import SextantGeneration
import SextantTensor

/// Blocks, written `3` or `2-5`, both ends included.
struct LayerRange: ExpressibleByArgument {
  /// The blocks.
  let blocks: ClosedRange<Int>

  init?(argument: String) {
    let ends = argument.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
    guard (1...2).contains(ends.count), let first = ends[0], let last = ends[ends.count - 1],
      0 <= first, first <= last
    else { return nil }
    blocks = first...last
  }
}

/// An artifact and its strength, written `FILE`, `FILE:2`, `FILE:10%` or `FILE:0.1nats`.
struct AppliedFile: ExpressibleByArgument {
  /// The artifact's path.
  let path: String
  /// How strongly it is applied, in `unit`s.
  let strength: Float
  /// What the strength counts.
  let unit: StrengthUnit

  /// Splits at the last colon, if a strength follows it: a path may have colons itself.
  init?(argument: String) {
    if let colon = argument.lastIndex(of: ":"),
      let (strength, unit) = Self.strength(argument[argument.index(after: colon)...])
    {
      path = String(argument[..<colon])
      (self.strength, self.unit) = (strength, unit)
    } else {
      path = argument
      (strength, unit) = (1, .raw)
    }
    if path.isEmpty { return nil }
  }

  private static func strength(_ text: Substring) -> (Float, StrengthUnit)? {
    if text.hasSuffix("%") { return Float(text.dropLast()).map { ($0 / 100, .share) } }
    if text.hasSuffix("nats") { return Float(text.dropLast(4)).map { ($0, .nats) } }
    return Float(text).map { ($0, .raw) }
  }

  /// The strength as it was written.
  var strengthText: String {
    switch unit {
    case .raw: "\(strength)"
    case .share: "\(strength * 100)% of the norm"
    case .nats: "\(strength) nats"
    }
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
