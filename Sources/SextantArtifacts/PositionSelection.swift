import SextantBytes

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

  /// The largest number of members of a list: each member is checked for each token.
  static let partLimit = 1024

  /// Reads the written form; nil if it is not valid.
  public init?(_ text: String) {
    var parts: [Part] = []
    for word in text.split(separator: ",", omittingEmptySubsequences: false) {
      guard parts.count < Self.partLimit else { return nil }
      switch word {
      case "all": parts.append(.all)
      case "prompt": parts.append(.prompt)
      case "generated": parts.append(.generated)
      case "last": parts.append(.last(count: 1))
      default:
        guard let part = Self.part(word) else { return nil }
        parts.append(part)
      }
    }
    self.init(parts)
  }

  /// A member with a number in it.
  private static func part(_ word: Substring) -> Part? {
    let count = { (prefix: String) -> Int? in
      guard word.hasPrefix(prefix) else { return nil }
      return integer(word.dropFirst(prefix.count)).flatMap { $0 > 0 ? $0 : nil }
    }
    if let count = count("last-") { return .last(count: count) }
    if let count = count("generated-") { return .firstGenerated(count: count) }
    if let stride = count("every-") { return .every(stride: stride) }
    if word.hasPrefix("token="), let id = integer(word.dropFirst(6)), id >= 0 { return .token(id) }
    let ends = word.split(separator: ":", omittingEmptySubsequences: false).map(integer)
    switch ends.count {
    case 1: return ends[0].map { .index($0) }
    case 2:
      guard let first = ends[0], let last = ends[1], first <= last, (first < 0) == (last < 0) else {
        return nil
      }
      return .window(first, last)
    default: return nil
    }
  }

  /// A number in its one spelling: no plus sign, no leading zeros, no -0.
  private static func integer(_ word: Substring) -> Int? {
    guard let value = Int(word), String(value) == word else { return nil }
    return value
  }

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
      throw node.refusal(expected: "last, last-K, all, prompt, generated, every-K or indices")
    }
    self = selection
  }
}
