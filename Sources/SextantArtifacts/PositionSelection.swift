import SextantBytes
import SextantStore

/// A selection of tokens in a text, at which values are read in training, and edited on
/// application.
///
/// Written as a list, joined by commas, without spaces, of
/// - `last`, `last-K` (the last K of the prompt), `prompt`, `all`;
/// - `generated`, `generated-K` (the first K after the prompt);
/// - `every-K`: the prompt's last, and then every K-th;
/// - indices (negative ones count from the prompt's end, so that -1 is `last`; others from the
///   prompt's start, and may be after its end), and windows of them, `A:B`, both ends included;
/// - `token=ID`: wherever the token has this id.
public struct PositionSelection: Sendable, Equatable, CustomStringConvertible {
  /// One member of the list.
  public enum Part: Sendable, Equatable {
    /// Every position.
    case all
    /// The positions of the prompt.
    case prompt
    /// The positions after the prompt.
    case generated
    /// The last `count` positions of the prompt.
    case last(count: Int)
    /// The first `count` positions after the prompt.
    case firstGenerated(count: Int)
    /// The prompt's last position, and from there on every `stride`-th.
    case every(stride: Int)
    /// One position; negative ones count from the prompt's end.
    case index(Int)
    /// The positions from one index to another, both of one sign, both included.
    case window(Int, Int)
    /// Every position whose token has this id.
    case token(Int)
  }

  /// The members; a position is selected when any of them selects it.
  public let parts: [Part]

  /// The positions that the parts select together.
  public init(_ parts: [Part]) {
    self.parts = parts
  }

  /// The last position of the prompt.
  public static let last = PositionSelection([.last(count: 1)])
  /// Every position whose output determines a generated token: the prompt's last and all after it.
  public static let fromLast = PositionSelection([.last(count: 1), .generated])

  /// Reads the written form; nil if it is not valid.
  public init?(_ text: String) {
    do throws(Refusal) { try self.init(written: text) } catch { return nil }
  }

  /// Reads the written form.
  ///
  /// - Throws: `usage.option` with the member of the list that is wrong.
  package init(written text: String) throws(Refusal) {
    self.init(
      try WrittenList.members(of: text) { word throws(Refusal) in try Self.part(word) })
  }

  private static func part(_ word: Substring) throws(Refusal) -> Part {
    switch word {
    case "all": return .all
    case "prompt": return .prompt
    case "generated": return .generated
    case "last": return .last(count: 1)
    default: break
    }
    func number(after prefix: String, from least: Int) throws(Refusal) -> Int? {
      guard word.hasPrefix(prefix) else { return nil }
      let value = try Int(written: word.dropFirst(prefix.count))
      guard value >= least else {
        throw Refusal(
          .usageOption, found: "\(word)", expected: "\(least) or more after \"\(prefix)\"")
      }
      return value
    }
    if let count = try number(after: "last-", from: 1) { return .last(count: count) }
    if let count = try number(after: "generated-", from: 1) { return .firstGenerated(count: count) }
    if let stride = try number(after: "every-", from: 1) { return .every(stride: stride) }
    if let id = try number(after: "token=", from: 0) { return .token(id) }
    return try place(word)
  }

  /// An index, or a window of them.
  private static func place(_ word: Substring) throws(Refusal) -> Part {
    let ends = word.split(separator: ":", omittingEmptySubsequences: false)
    guard (1...2).contains(ends.count), !word.contains(where: \.isLetter) else {
      throw Refusal(.usageOption, found: "\"\(word.prefix(100))\"", expected: forms)
    }
    let numbers = try ends.map { end throws(Refusal) in try Int(written: end) }
    guard numbers.count == 2 else { return .index(numbers[0]) }
    guard (numbers[0] < 0) == (numbers[1] < 0) else {
      throw Refusal(
        .usageOption, found: "\(word), from an index of the start to one of the end",
        expected: "two indices of one sign")
    }
    guard numbers[0] <= numbers[1] else {
      throw Refusal(
        .usageOption, found: "\(word), whose end is before its start",
        expected: "the smaller index first, such as 2:5")
    }
    return .window(numbers[0], numbers[1])
  }

  private static let forms =
    "last, last-K, all, prompt, generated, generated-K, every-K, an index, a window such as 2:5, or token=ID"

  /// The written form.
  public var description: String {
    parts.map { part in
      switch part {
      case .all: "all"
      case .prompt: "prompt"
      case .generated: "generated"
      case .last(let count): count == 1 ? "last" : "last-\(count)"
      case .firstGenerated(let count): "generated-\(count)"
      case .every(let stride): "every-\(stride)"
      case .index(let index): String(index)
      case .window(let first, let last): "\(first):\(last)"
      case .token(let id): "token=\(id)"
      }
    }.joined(separator: ",")
  }

  /// Whether it selects one position of every text, or none.
  package var selectsAtMostOne: Bool {
    switch parts.first {
    case .last(count: 1), .index: parts.count == 1
    case .window(let first, let last): parts.count == 1 && first == last
    default: false
    }
  }

  /// Whether the selection depends on the token ids.
  public var dependsOnTokens: Bool {
    !tokenIDs.isEmpty
  }

  /// The ids of tokens that are selected at any position.
  public var tokenIDs: [Int] {
    parts.compactMap { if case .token(let id) = $0 { id } else { nil } }
  }

  /// Refuses ids of tokens that no text of a model has.
  ///
  /// - Parameter parameter: the parameter that names them.
  /// - Throws: `usage.option`.
  package func check(
    vocabularySize: Int, parameter: String = "positions", file: String? = nil
  ) throws(Refusal) {
    guard let id = tokenIDs.first(where: { $0 >= vocabularySize }) else { return }
    throw Refusal(
      .usageOption, file: file, at: .parameter(parameter), found: "token=\(id)",
      expected: "an id below \(vocabularySize), the size of the model's vocabulary")
  }

  /// Whether a position is selected, if the prompt is at `prompt` of the sequence.
  ///
  /// - Parameter token: the id of the token there; nil if it is not known, and not selected by its
  ///   id.
  public func contains(_ position: Int, prompt: Range<Int>, token: Int? = nil) -> Bool {
    parts.contains { part in
      switch part {
      case .all: true
      case .prompt: prompt.contains(position)
      case .generated: position >= prompt.upperBound
      case .last(let count):
        prompt.contains(position) && prompt.upperBound - position <= count
      case .firstGenerated(let count):
        position >= prompt.upperBound && position - prompt.upperBound < count
      case .every(let stride):
        !prompt.isEmpty && position >= prompt.upperBound - 1
          && (position - prompt.upperBound + 1) % stride == 0
      case .index(let index):
        position - Self.base(index, prompt) == index
      case .window(let first, let last):
        (first...last).contains(position - Self.base(first, prompt))
      case .token(let id): token == id
      }
    }
  }

  /// The position that an index is counted from.
  private static func base(_ index: Int, _ prompt: Range<Int>) -> Int {
    index < 0 ? prompt.upperBound : prompt.lowerBound
  }

  /// Whether any of these positions is selected, without walking through them; for tokens by their
  /// id, whether any could be.
  public func selectsAny(of positions: Range<Int>, prompt: Range<Int>) -> Bool {
    parts.contains { part in
      switch part {
      case .all, .token: return !positions.isEmpty
      case .prompt: return positions.overlaps(prompt)
      case .generated:
        return positions.upperBound > max(prompt.upperBound, positions.lowerBound)
      case .last(let count):
        return positions.overlaps(prompt.upperBound - min(count, prompt.count)..<prompt.upperBound)
      case .firstGenerated(let count):
        let (end, overflow) = prompt.upperBound.addingReportingOverflow(count)
        return positions.overlaps(prompt.upperBound..<(overflow ? Int.max : end))
      case .every(let stride):
        guard !prompt.isEmpty, positions.upperBound >= prompt.upperBound else { return false }
        // The first selected position that is not before them.
        let start = max(positions.lowerBound - prompt.upperBound + 1, 0)
        let skipped = (stride - start % stride) % stride
        return !positions.isEmpty && skipped < positions.upperBound - prompt.upperBound + 1 - start
      case .index(let index):
        let (position, overflow) = Self.base(index, prompt).addingReportingOverflow(index)
        return !overflow && positions.contains(position)
      case .window(let first, let last):
        let base = Self.base(first, prompt)
        guard !positions.isEmpty else { return false }
        let (start, end) = (positions.lowerBound - base, positions.upperBound - 1 - base)
        return start <= last && first <= end
      }
    }
  }

  init(_ node: JSONNode) throws(Refusal) {
    guard let selection = PositionSelection(try node.string()) else {
      throw node.refusal(expected: Self.forms)
    }
    self = selection
  }
}
