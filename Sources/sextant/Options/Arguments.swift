import ArgumentParser
import Sextant
import SextantGeneration
import SextantReport

/// Values of options whose reader tells what is wrong with a text. The parser shows the reason.
enum Written {
  /// Reads `I/N`: a shard, counted from 0, and the number of shards.
  static func shard(_ text: String) throws -> WrittenShard {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let number = Int(parts[0]), let count = Int(parts[1]), count >= 1 else {
      throw ValidationError("\(text) is not a shard such as 0/16.")
    }
    guard (0..<count).contains(number) else {
      throw ValidationError("There is no shard \(number) of \(count): they are 0 to \(count - 1).")
    }
    return WrittenShard(number: number, count: count)
  }

  /// Reads `3`, `2-4` or `1,3,10-12`.
  static func layers(_ text: String) throws -> LayerSelection {
    try explained { () throws(Refusal) in try LayerSelection(written: text) }
  }

  /// Reads `last`, `last-3`, `all`, `prompt`, `generated`, indices, or several joined by commas.
  static func positions(_ text: String) throws -> PositionSelection {
    try explained { () throws(Refusal) in try PositionSelection(written: text) }
  }

  /// Reads the places of tokens, from 0: `3` or `2-5`, both ends included.
  static func tokens(_ text: String) throws -> ClosedRange<Int> {
    try explained { () throws(Refusal) in try LayerSelection.range(written: text[...]) }
  }

  /// Reads an artifact and its strength.
  static func applied(_ text: String) throws -> AppliedFile {
    try explained { () throws(Refusal) in try AppliedFile(written: text) }
  }

  /// Reads a condition on a probe's score.
  static func condition(_ text: String) throws -> ProbeCondition {
    try explained { () throws(Refusal) in try ProbeCondition(written: text) }
  }

  /// Reads methods joined by commas; `all` for every one.
  static func methods(_ text: String) throws -> [ProbeMethod] {
    try explained { () throws(Refusal) in try ProbeMethod.list(text) }
  }

  /// Reads a number in single precision.
  static func single(_ text: String) throws -> Float {
    try explained { () throws(Refusal) in
      guard let value = try Float.written(text) else {
        throw Refusal(.usageOption, found: "\"\(text.prefix(100))\"", expected: "a number")
      }
      return value
    }
  }

  /// Reads a value, and shows a refusal in the sentence of the parser.
  static func explained<Value>(_ read: () throws(Refusal) -> Value) throws -> Value {
    do throws(Refusal) {
      return try read()
    } catch {
      throw ValidationError("Found: \(error.found); expected: \(error.expected).")
    }
  }
}

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

extension SteeringMethod: ExpressibleByArgument {}

extension SteeringMethod.Scale: ExpressibleByArgument {}

extension SteeringVector.Operation: ExpressibleByArgument {}

/// The types that matrices can be stored in.
enum StoredType: String, CaseIterable, ExpressibleByArgument {
  case keep, f32, bf16, f16, q8, q4

  /// The type; nil to keep each tensor's own.
  var dataType: DataType? { DataType.allCases.first { $0.word == rawValue } }
}

/// A shard of the data, and the number of shards.
struct WrittenShard {
  let number: Int
  let count: Int
}
