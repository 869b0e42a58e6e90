import SextantBytes

/// Blocks of a model, written as a list of indices and ranges: `3`, `2-4` or `1,3,10-12`.
public struct LayerSelection: Sendable, Equatable, CustomStringConvertible {
  /// The members of the list; both ends of a range are included.
  public let parts: [ClosedRange<Int>]

  /// The blocks of some ranges.
  public init(_ parts: ClosedRange<Int>...) {
    self.parts = parts
  }

  /// The blocks of a list of ranges.
  public init(parts: [ClosedRange<Int>]) {
    self.parts = parts
  }

  /// Reads the written form; nil when the text is not one.
  public init?(_ text: String) {
    do throws(Refusal) { try self.init(written: text) } catch { return nil }
  }

  /// Reads the written form.
  ///
  /// - Throws: `usage.option` with the member of the list that is wrong.
  package init(written text: String) throws(Refusal) {
    parts = try WrittenList.members(of: text) { word throws(Refusal) in
      try Self.range(written: word)
    }
  }

  /// One member of a list: `3` or `2-4`; nil for any other text.
  package static func range(_ word: Substring) -> ClosedRange<Int>? { try? range(written: word) }

  /// One member of a list: `3` or `2-4`.
  ///
  /// - Throws: `usage.option`.
  package static func range(written word: Substring) throws(Refusal) -> ClosedRange<Int> {
    let ends = word.split(separator: "-", omittingEmptySubsequences: false)
    guard (1...2).contains(ends.count) else {
      throw Refusal(
        .usageOption, found: "\"\(word.prefix(100))\"",
        expected: "a number from 0, or two with - between them, such as 10-12")
    }
    let numbers = try ends.map { end throws(Refusal) in try Int(written: end) }
    guard let first = numbers.first, let last = numbers.last, first <= last else {
      throw Refusal(
        .usageOption, found: "\(word), whose end is before its start",
        expected: "the smaller number first, such as 10-12")
    }
    return first...last
  }

  /// The written form of one member.
  package static func text(_ range: ClosedRange<Int>) -> String {
    // Not by the count, which overflows for 0...Int.max.
    range.lowerBound == range.upperBound
      ? "\(range.lowerBound)" : "\(range.lowerBound)-\(range.upperBound)"
  }

  /// Whether a block is selected.
  public func contains(_ layer: Int) -> Bool { parts.contains { $0.contains(layer) } }

  /// Refuses blocks that a model does not have.
  ///
  /// - Parameter parameter: the parameter that names them.
  /// - Throws: `usage.option`.
  package func check(
    blockCount: Int, parameter: String = "layers"
  ) throws(Refusal) {
    let outside = parts.first { $0.lowerBound < 0 || $0.upperBound >= blockCount }
    guard let outside else { return }
    throw Refusal(
      .usageOption, at: .parameter(parameter), found: "block \(Self.text(outside))",
      expected: "blocks between 0 and \(blockCount - 1): the model has "
        + counted(blockCount, "block"))
  }

  /// The written form.
  public var description: String { parts.map(Self.text).joined(separator: ",") }
}
