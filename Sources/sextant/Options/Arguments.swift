import ArgumentParser
import Sextant
import SextantGeneration
import SextantReport

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

extension AppliedFile: ExpressibleByArgument {}

/// A value of a list that is joined by commas.
protocol ListedValue {
  /// Reads the written form.
  init?(word: String)
  /// The written form.
  var word: String { get }
}

extension String: ListedValue {
  init?(word: String) { if word.isEmpty { return nil } else { self = word } }
  var word: String { self }
}

extension Int: ListedValue {
  init?(word: String) { self.init(word) }
  var word: String { String(self) }
}

extension Float: ListedValue {
  init?(word: String) {
    self.init(word)
    if !isFinite { return nil }
  }
  var word: String { Format.plain(self) }
}

extension QuirkySubset: ListedValue {
  init?(word: String) { self.init(word) }
  var word: String { description }
}

/// Values joined by commas.
struct CommaList<Value: ListedValue>: ExpressibleByArgument {
  /// The values, in the order given.
  let values: [Value]

  init(_ values: [Value]) { self.values = values }

  init?(argument: String) {
    let words = argument.split(separator: ",", omittingEmptySubsequences: false)
    values = words.compactMap { Value(word: String($0)) }
    if values.count != words.count { return nil }
  }

  var defaultValueDescription: String { values.map(\.word).joined(separator: ",") }
}

extension PositionSelection: ExpressibleByArgument {
  /// Reads `last`, `last-3`, `all`, `prompt`, `generated`, indices, or several joined by commas.
  public init?(argument: String) { self.init(argument) }

  /// The written form.
  public var defaultValueDescription: String { description }
}

extension SteeringMethod: ExpressibleByArgument {}

extension SteeringMethod.Scale: ExpressibleByArgument {}

extension SteeringVector.Operation: ExpressibleByArgument {}

/// The types that matrices can be stored in.
enum StoredType: String, CaseIterable, ExpressibleByArgument {
  case keep, f32, bf16, f16, q8

  /// The type; nil to keep each tensor's own.
  var dataType: DataType? { DataType.allCases.first { $0.word == rawValue } }
}
