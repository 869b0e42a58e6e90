import SextantBytes

/// The fixed form in which a model reads conversations: what stands before and after each message.
///
/// A form has no loops and no expressions. Its texts may contain `{bos}` and `{eos}`, the tokens that begin
/// and end a text, and `{day}`, `{mon}`, `{month}` and `{year}`, today's date (`09`, `Mar`, `March`, `2025`).
package struct ChatForm: Sendable, Equatable {
  /// What stands before and after the text of a message.
  struct Turn: Sendable, Equatable {
    var prefix: String
    var suffix: String
    /// Whether white space around the text is removed.
    var trims = false
  }

  /// Where instructions stand.
  enum SystemRule: Sendable, Equatable {
    /// Every message with instructions is a turn in its place.
    case turns
    /// The first message may have instructions; later ones are handled so.
    case first(later: LaterSystem)
    /// The last instructions of all stand at the beginning.
    case lastToFront
    /// They are a part of the first or the last message of the user.
    case inUser(InUser)
    /// They are refused.
    case refused
  }

  /// What becomes of instructions after the first message.
  enum LaterSystem: Sendable, Equatable { case turn, skipped, refused }

  /// Instructions inside a message of the user, between two texts.
  struct InUser: Sendable, Equatable {
    var prefix = ""
    var suffix = "\n\n"
    /// Whether they are in the last message of the user and not in the first one.
    var isLast = false
    /// Whether white space is removed around both together, and not around the message alone.
    var trimsBoth = false
  }

  /// The name by which people choose the form.
  var name: String
  /// The text before everything.
  var start = ""
  /// The turn of instructions; nil if the form has none.
  var system: Turn?
  /// The turn of instructions at the beginning, if it is another one.
  var firstSystem: Turn?
  var user: Turn
  var assistant: Turn
  var systemRule = SystemRule.turns
  /// The text in place of instructions, for a conversation that does not begin with them.
  var withoutSystem = ""
  /// Whether that text is only for conversations without any instructions.
  var withoutAnySystem = false
  /// Whether empty instructions at the beginning count as none.
  var skipsEmptySystem = false
  /// Whether a message of the user is needed.
  var needsUser = false
  /// Whether messages of user and assistant alternate, the user's first.
  var alternates = false
  /// What becomes of the thoughts in earlier answers.
  var thoughts = ThoughtRule.kept
  /// The suffix of the last message, if that is an answer and the suffix is another one.
  var lastAnswerSuffix: String?
  /// The text after which the model answers.
  var answer = ""
  /// The same, with thinking switched on; nil if the form has no such switch.
  var thinkingAnswer: String?
  /// The same, with thinking switched off; nil if the form has no such switch.
  var directAnswer: String?
  /// Texts at which an answer ends, for forms whose turns end without a token.
  var stops: [String] = []

  /// Whether thinking can be switched on and off.
  var hasThinkingSwitch: Bool { thinkingAnswer != nil && !thoughts.isSwitchedByMessages }

  /// All texts of the form.
  var texts: [String] {
    let turns = [system, firstSystem, user, assistant].compactMap { $0 }
    var inUser: [String] = []
    if case .inUser(let part) = systemRule { inUser = [part.prefix, part.suffix] }
    return [start, withoutSystem, answer] + turns.flatMap { [$0.prefix, $0.suffix] } + inUser
      + [lastAnswerSuffix, thinkingAnswer, directAnswer].compactMap { $0 }
  }
}

/// The values that a form's texts contain by name.
package struct ChatValues: Sendable, Equatable {
  /// The tokens that begin and end a text; nil if none is known.
  package var bos: String?
  package var eos: String?
  /// Today.
  package var date: ChatSettings.Date

  /// Creates values.
  package init(bos: String? = nil, eos: String? = nil, date: ChatSettings.Date) {
    (self.bos, self.eos, self.date) = (bos, eos, date)
  }

  /// The text with its values.
  func filled(_ text: String) -> String {
    guard text.utf8.contains(UInt8(ascii: "{")) else { return text }
    var result = text
    for (name, value) in [
      ("{bos}", bos ?? ""), ("{eos}", eos ?? ""), ("{day}", date.twoDigitDay),
      ("{mon}", String(date.monthName.prefix(3))), ("{month}", date.monthName),
      ("{year}", "\(date.year)"),
    ] { result = result.parts(separatedBy: name).joined(separator: value) }
    return result
  }
}

extension ChatSettings {
  /// A day of the calendar.
  public struct Date: Sendable, Equatable, CustomStringConvertible {
    public let year: Int
    public let month: Int
    public let day: Int

    /// The first day of Unix time, for a clock whose year is out of range.
    static let epoch = ChatSettings.Date(existing: (1970, 1, 1))

    private init(existing day: (Int, Int, Int)) { (year, month, self.day) = day }

    /// A day; nil if there is none with these numbers.
    public init?(year: Int, month: Int, day: Int) {
      let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
      let lengths = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
      guard (1...9999).contains(year), (1...12).contains(month),
        (1...lengths[month - 1]).contains(day)
      else { return nil }
      (self.year, self.month, self.day) = (year, month, day)
    }

    /// A day that is written as `2025-03-09`; nil for another text.
    public init?(_ text: String) {
      let parts = text.split(separator: "-", omittingEmptySubsequences: false)
      guard parts.map(\.utf8.count) == [4, 2, 2],
        parts.allSatisfy({ $0.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")) ~= $0 } })
      else { return nil }
      let numbers = parts.compactMap { Int($0) }
      self.init(year: numbers[0], month: numbers[1], day: numbers[2])
    }

    /// The written form, such as `2025-03-09`.
    public var description: String {
      let digits = String(year)
      return "\(String(repeating: "0", count: 4 - digits.count))\(digits)-\(Self.twoDigits(month))-"
        + twoDigitDay
    }

    fileprivate var twoDigitDay: String { Self.twoDigits(day) }

    private static func twoDigits(_ number: Int) -> String {
      number < 10 ? "0\(number)" : "\(number)"
    }

    fileprivate var monthName: String {
      [
        "January", "February", "March", "April", "May", "June", "July", "August", "September",
        "October", "November", "December",
      ][month - 1]
    }
  }
}
