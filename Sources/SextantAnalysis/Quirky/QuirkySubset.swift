import SextantBytes

/// A part of a quirky data set: the speaker, and the difficulty of the example.
///
/// Written as in elk-generalization: `A` (Alice's contexts), `B` (Bob's), with `E` for the easiest and
/// `H` for the hardest quarter: `AE`, `AH`, `BE`, `BH`; `E` and `H` alone for both speakers; `all`.
public struct QuirkySubset: Sendable, Hashable, CustomStringConvertible {
  /// The difficulties of a part.
  public enum Difficulty: String, Sendable {
    /// Quantiles up to 0.25.
    case easy = "E"
    /// Quantiles from 0.75.
    case hard = "H"
  }

  /// The speaker; nil for both.
  public let character: String?
  /// The difficulty; nil for all.
  public let difficulty: Difficulty?

  /// The part of this speaker and difficulty.
  public init(character: String?, difficulty: Difficulty?) {
    self.character = character
    self.difficulty = difficulty
  }

  /// Reads the written form; nil when it is none.
  public init?(_ text: String) {
    if text == "all" {
      self.init(character: nil, difficulty: nil)
      return
    }
    var rest = text[...]
    var character: String?
    if let first = rest.first, first == "A" || first == "B" {
      character = first == "A" ? "Alice" : "Bob"
      rest = rest.dropFirst()
    }
    let difficulty = Difficulty(rawValue: String(rest))
    guard rest.isEmpty ? character != nil : difficulty != nil else { return nil }
    self.init(character: character, difficulty: difficulty)
  }

  /// The written form.
  public var description: String {
    if character == nil && difficulty == nil { return "all" }
    return (character.map { String($0.prefix(1)) } ?? "") + (difficulty?.rawValue ?? "")
  }

  /// The fields that decide whether a record is part of it.
  var fields: [String] {
    (character == nil ? [] : ["character"])
      + (difficulty == nil ? [] : [DifficultyQuantiles.field, "difficulty"])
  }

  /// Whether a record is part of it.
  public func contains(_ record: LabelledRecord) -> Bool {
    if let character {
      guard let own = record.text(of: "character"), ExactString(own) == ExactString(character)
      else { return false }
    }
    guard let difficulty else { return true }
    guard let quantile = record.number(of: DifficultyQuantiles.field) else { return false }
    return difficulty == .easy ? quantile <= 0.25 : quantile >= 0.75
  }
}

/// How hard each example is, compared with the others of its set.
enum DifficultyQuantiles {
  static let field = "difficulty_quantile"

  /// The records, with quantiles if all of them have difficulties and none has a quantile: (rank +
  /// 1/2) / n, equal difficulties sharing the mean of their ranks.
  static func filled(in records: [LabelledRecord]) -> [LabelledRecord] {
    guard records.allSatisfy({ $0.fields[field] == nil }) else { return records }
    let difficulties = records.compactMap { $0.number(of: "difficulty") }
    guard difficulties.count == records.count else { return records }
    let quantiles = quantiles(of: difficulties)
    var filled = records
    for (index, quantile) in quantiles.enumerated() {
      filled[index].fields[field] = .number(quantile)
    }
    return filled
  }

  /// The quantile of each value among all.
  static func quantiles(of values: [Double]) -> [Double] {
    let order = values.indices.sorted { values[$0] < values[$1] }
    var quantiles = [Double](repeating: 0, count: values.count)
    var start = 0
    while start < order.count {
      var end = start
      while end < order.count, values[order[end]] == values[order[start]] { end += 1 }
      let rank = Double(start + end - 1) / 2
      for place in start..<end {
        quantiles[order[place]] = (rank + 0.5) / Double(values.count)
      }
      start = end
    }
    return quantiles
  }
}
