import SextantBytes

/// Which tokens of a text: where values are read when training, and edited when applying.
///
/// Written as a list of `last`, `last-K` (the last K), `all`, `prompt`, `generated`, or indices
/// (negative ones count from the prompt's end, so that -1 is `last`; others from the prompt's start,
/// and may lie behind it), joined by commas, without spaces.
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
    /// One position; negative ones count from the prompt's end.
    case index(Int)
  }

  /// The members; a position is selected when any of them selects it.
  public let parts: [Part]

  /// The positions that the parts select together.
  public init(_ parts: [Part]) {
    self.parts = parts
  }

  /// The last position of the prompt.
  public static let last = PositionSelection([.last(count: 1)])
  /// Every position whose output chooses a generated token: the prompt's last and all after it.
  public static let fromLast = PositionSelection([.last(count: 1), .generated])

  /// The most members of a list that is read: each is looked at for each token.
  static let partLimit = 1024

  /// Reads the written form; nil when it is none.
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
        if word.hasPrefix("last-"), let count = Self.integer(word.dropFirst(5)), count > 0 {
          parts.append(.last(count: count))
        } else if let index = Self.integer(word) {
          parts.append(.index(index))
        } else {
          return nil
        }
      }
    }
    self.init(parts)
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
      case .index(let index): String(index)
      }
    }.joined(separator: ",")
  }

  /// Whether a position is selected, where the prompt is at `prompt` of the sequence.
  public func contains(_ position: Int, prompt: Range<Int>) -> Bool {
    parts.contains { part in
      switch part {
      case .all: true
      case .prompt: prompt.contains(position)
      case .generated: position >= prompt.upperBound
      case .last(let count):
        prompt.contains(position) && prompt.upperBound - position <= count
      case .index(let index):
        position - (index < 0 ? prompt.upperBound : prompt.lowerBound) == index
      }
    }
  }

  /// Whether any of these positions is selected, without walking through them.
  public func selectsAny(of positions: Range<Int>, prompt: Range<Int>) -> Bool {
    parts.contains { part in
      switch part {
      case .all: return !positions.isEmpty
      case .prompt: return positions.overlaps(prompt)
      case .generated:
        return positions.upperBound > max(prompt.upperBound, positions.lowerBound)
      case .last(let count):
        return positions.overlaps(prompt.upperBound - min(count, prompt.count)..<prompt.upperBound)
      case .index(let index):
        let base = index < 0 ? prompt.upperBound : prompt.lowerBound
        let (position, overflow) = base.addingReportingOverflow(index)
        return !overflow && positions.contains(position)
      }
    }
  }

  init(_ node: JSONNode) throws(FormatError) {
    guard let selection = PositionSelection(try node.string()) else {
      throw node.refusal(expected: "last, last-K, all, prompt, generated or indices")
    }
    self = selection
  }
}
