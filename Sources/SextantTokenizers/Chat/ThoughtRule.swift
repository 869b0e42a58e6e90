import SextantBytes

/// A part of an answer: a text of the form, or of the message.
enum ChatPart: Equatable {
  case mark(String)
  case text(String)
}

/// What becomes of thoughts, which answers have between `<think>` and `</think>`, when a conversation is read
/// again.
enum ThoughtRule: Sendable, Equatable {
  /// They stay.
  case kept
  /// Those after the last question stay, in a form of their own; those before it are removed. Answers before
  /// the last message have that form only if they have thoughts.
  case afterQuestion
  /// The same, with white space removed around every part, and that form for every answer after the question.
  case afterQuestionTrimmed
  /// Those of all answers but the last are removed, with the white space around the rest.
  case inLastAnswer
  /// Those of all messages but the last are removed, with the line feeds before the rest.
  case inLastMessage
  /// Those of all answers are removed.
  case removed
  /// Every answer has thoughts, be they empty; those before the last question are emptied.
  case emptied
  /// `/think` and `/no_think` in messages of system and user are switches, which are removed from the text, as
  /// the thoughts of all answers are.
  case switchedByMessages

  /// Whether words in messages switch thinking on and off.
  var isSwitchedByMessages: Bool { self == .switchedByMessages }

  /// Whether the model is to think; nil for the default of the form.
  func thinks(_ messages: [ChatMessage], asked: Bool?) -> Bool? {
    guard isSwitchedByMessages else { return asked }
    return messages.reduce(true) { thinks, message in
      if message.role == .assistant { return thinks }
      if message.content.utf8.contains("/think") { return true }
      return message.content.utf8.contains("/no_think") ? false : thinks
    }
  }

  /// The text of a message of system or user.
  func userText(_ content: String) -> String {
    guard isSwitchedByMessages else { return content }
    return ChatPart.stripped(content.removing("/think").removing("/no_think"))
  }

  /// The parts of an answer.
  ///
  /// - Throws: `chat.messages` for an answer at the end, where the form has no place for one.
  func answer(
    _ messages: [ChatMessage], _ index: Int, form: String
  ) throws(Refusal) -> [ChatPart] {
    let content = messages[index].content
    let isLast = index == messages.count - 1
    switch self {
    case .kept: return [.text(content)]
    case .afterQuestion:
      let (thought, rest) = content.thought()
      guard index > lastQuestion(messages), isLast || !thought.isEmpty else {
        return [.text(rest)]
      }
      return [
        .mark("<think>\n"), .text(thought.trimmingLineFeeds()), .mark("\n</think>\n\n"),
        .text(rest.trimmingLineFeeds(atEnd: false)),
      ]
    case .afterQuestionTrimmed:
      let (thought, rest) = ChatPart.stripped(content).thought()
      guard index > lastQuestion(messages) else { return [.text(rest)] }
      return [
        .mark("<think>\n"), .text(ChatPart.stripped(thought)), .mark("\n</think>\n\n"), .text(rest),
      ]
    case .inLastAnswer:
      let isLastAnswer = !messages[(index + 1)...].contains { $0.role == .assistant }
      guard !isLastAnswer, content.utf8.contains("</think>") else { return [.text(content)] }
      return [.text(ChatPart.stripped(content.afterLast("</think>")))]
    case .inLastMessage:
      guard !isLast, content.utf8.contains("</think>"), content.utf8.contains("<think>") else {
        return [.text(content)]
      }
      return [.text(content.afterLast("</think>").trimmingLineFeeds(atEnd: false))]
    case .removed: return [.text(ChatPart.stripped(content.afterLast("</think>")))]
    case .emptied: return Self.emptied(content, isAfter: index > messages.lastUser)
    case .switchedByMessages:
      guard !isLast else {
        throw Refusal(
          .chatMessages, found: "an answer at the end (message \(index + 1))",
          expected: "a message of the user at the end, for the chat template \"\(form)\"")
      }
      let parts = content.parts(separatedBy: "</think>")
      return [.text(ChatPart.stripped(parts.count > 1 ? parts[1] : content))]
    }
  }

  /// Whether a message is a question of the user, and not the result of a tool.
  func isQuestion(_ message: ChatMessage) -> Bool {
    guard message.role == .user else { return false }
    guard self == .afterQuestion || self == .afterQuestionTrimmed else { return true }
    let content =
      self == .afterQuestion ? message.content : ChatPart.stripped(message.content)
    return
      !(content.utf8.starts(with: "<tool_response>".utf8)
      && content.utf8.reversed().starts(with: "</tool_response>".utf8.reversed()))
  }

  /// The place of the last question; that of the last message if there is none.
  private func lastQuestion(_ messages: [ChatMessage]) -> Int {
    messages.lastIndex(where: isQuestion) ?? messages.count - 1
  }

  private static func emptied(_ content: String, isAfter: Bool) -> [ChatPart] {
    let (opens, closes) = (content.utf8.contains("<think>"), content.utf8.contains("</think>"))
    guard opens || closes else {
      // White space is removed around the whole, which begins with the mark.
      return [.mark("<think></think>"), .text(ChatPart.strippedEnd(content))]
    }
    guard !isAfter, opens, closes else { return [.text(ChatPart.stripped(content))] }
    return [
      .mark("<think></think>"), .text(ChatPart.strippedEnd(content.afterLast("</think>"))),
    ]
  }
}

extension [ChatMessage] {
  /// The place of the last message of the user; -1 if there is none.
  fileprivate var lastUser: Int { lastIndex { $0.role == .user } ?? -1 }
}

// MARK: Text, as Python handles it

extension ChatPart {
  /// The text without white space around it, as Python's `str.strip` returns it.
  static func stripped(_ text: String) -> String { strippedStart(strippedEnd(text)) }

  /// The text without white space at its start.
  static func strippedStart(_ text: String) -> String {
    String(text.unicodeScalars.drop(while: isSpace))
  }

  /// The text without white space at its end.
  static func strippedEnd(_ text: String) -> String {
    let scalars = text.unicodeScalars
    guard let last = scalars.lastIndex(where: { !isSpace($0) }) else { return "" }
    return String(scalars[...last])
  }

  /// White space by Python's `str.isspace`: the separators of Unicode, and the controls that separate.
  private static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F,
      0x205F, 0x3000:
      true
    default: false
    }
  }
}

extension String.UTF8View {
  /// Whether the bytes of a text are among these.
  func contains(_ text: String) -> Bool { !ranges(of: Array(text.utf8)).isEmpty }
}

extension String {
  /// The parts between the places of a text, as Python's `str.split` returns them.
  func parts(separatedBy separator: String) -> [String] {
    var parts: [String] = []
    var start = utf8.startIndex
    for range in utf8.ranges(of: Array(separator.utf8)) {
      parts.append(String(decoding: utf8[start..<range.lowerBound], as: UTF8.self))
      start = range.upperBound
    }
    return parts + [String(decoding: utf8[start...], as: UTF8.self)]
  }

  /// The text after the last place of another one; all of it if there is none.
  func afterLast(_ separator: String) -> String {
    parts(separatedBy: separator).last ?? self
  }

  /// The text without another one, wherever it is.
  func removing(_ part: String) -> String { parts(separatedBy: part).joined() }

  /// The text without line feeds around it.
  func trimmingLineFeeds(atStart: Bool = true, atEnd: Bool = true) -> String {
    var bytes = utf8[...]
    if atStart { bytes = bytes.drop { $0 == UInt8(ascii: "\n") } }
    while atEnd, bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The thought of an answer, without its marks, and the text after it, both without the line feeds between
  /// them and the marks.
  func thought() -> (thought: String, rest: String) {
    let parts = parts(separatedBy: "</think>")
    guard let last = parts.last, parts.count > 1 else { return ("", self) }
    let thought = parts[0].trimmingLineFeeds(atStart: false).afterLast("<think>")
      .trimmingLineFeeds(atEnd: false)
    return (thought, last.trimmingLineFeeds(atEnd: false))
  }
}
