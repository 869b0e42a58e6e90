import SextantBytes
import SextantTexts

/// How a text becomes a conversation: the template, and what the user does not write.
public struct ChatSettings: Sendable {
  /// The template that writes the conversation.
  public var template: ChatTemplate
  /// Instructions before the first message; nil for the template's own, if it has some.
  public var system: String?
  /// Whether the model thinks before it answers; nil for the template's default.
  public var thinking: Bool?
  /// Today, for templates that tell it to the model; nil for others.
  public var date: ChatSettings.Date?

  /// Creates settings.
  ///
  /// - Parameter date: today; nil for the clock's day, if the template tells it to the model.
  /// - Throws: `chat.messages`, `chat.template`, `usage.option` for settings that the template has no
  ///   place for.
  public init(
    _ template: ChatTemplate, system: String? = nil, thinking: Bool? = nil,
    date: ChatSettings.Date? = nil
  ) throws(Refusal) {
    (self.template, self.system, self.thinking) = (template, system, thinking)
    self.date = date ?? (template.isDated ? .today : nil)
    guard date == nil || template.isDated else {
      throw Refusal(
        .usageOption, at: .parameter("chatDate"),
        found: "the chat template \"\(template.name)\", which contains no date",
        expected: "a template with one")
    }
    _ = try render([.user("?")])
  }

  /// A conversation up to the place of the model's answer.
  ///
  /// - Throws: as `ChatTemplate.render`; `usage.option` for messages with instructions of their own beside
  ///   `system`.
  public func render(_ messages: [ChatMessage]) throws(Refusal) -> ChatTemplate.Text {
    guard system == nil || messages.first?.role != .system else {
      throw Refusal(
        .usageOption, at: .parameter("system"), found: "messages with instructions of their own",
        expected: "one of both")
    }
    return try template.render(
      (system.map { [.system($0)] } ?? []) + messages, thinking: thinking, date: date)
  }

  /// A manifest's record of the settings.
  package var record: JSONObject {
    JSONObject([
      ("template", .string(template.name)), ("system", system.map { .string($0) } ?? .null),
      ("thinking", thinking.map { .boolean($0) } ?? .null),
      ("date", date.map { .string($0.description) } ?? .null),
    ])
  }
}

/// A tokenizer for which every whole text is a message of the user: its ids are those of the conversation, up to
/// the place of the model's answer.
package struct ChatTokenizer: WrappingTokenizer {
  package let base: any Tokenizer
  /// How texts become conversations.
  package let settings: ChatSettings
  package let endOfTextIDs: [Int]

  /// Makes conversations of texts.
  package init(_ base: any Tokenizer, _ settings: ChatSettings) {
    (self.base, self.settings) = (base, settings)
    let end = settings.template.endOfTurnIDs(base)
    endOfTextIDs = base.endOfTextIDs + end.filter { !base.endOfTextIDs.contains($0) }
  }

  /// The ids of a conversation up to the place of the model's answer.
  ///
  /// - Throws: as `ChatSettings.render`.
  package func ids(of messages: [ChatMessage]) throws(Refusal) -> [Int] {
    try settings.render(messages).ids(base)
  }

  /// The ids of a conversation that begins with this message.
  package func encodeText(_ text: String, continues: Bool) throws(Refusal) -> [Int] {
    try ids(of: [.user(text)])
  }

  /// None: the template writes the beginning of a conversation.
  package var beginOfTextIDs: [Int] { [] }
  package var readingRecord: JSONObject? { settings.record }
}

extension ChatTokenizer {
  /// Reads conversations: records with `messages`, or prompts, each of which is a message of the user.
  ///
  /// - Throws: `file.*`, `limit.file`, `text.*`, `json.*`, `data.record`, `data.empty`; as `ids`.
  package func readPrompts(_ path: String) throws(Refusal) -> [[Int]] {
    let file = try TextFile(reading: path)
    let records = try TextRecords(
      file, fields: ["messages"] + PromptFile.fields, acceptsText: true)
    let prompts = try records.map { record, _ throws(Refusal) -> [Int] in
      if case .string = record.value { return try ids(of: [.user(record.text())]) }
      if let messages = try record.optionalField(["messages"]) {
        return try ids(of: ChatMessage.read(messages))
      }
      return try ids(of: [.user(record.field(PromptFile.fields).text())])
    }
    guard !prompts.isEmpty else {
      throw Refusal(.dataEmpty, file: file.path, found: "no prompts", expected: "at least one")
    }
    return prompts
  }
}

extension ChatMessage {
  /// Whether a file has records with `messages`.
  package static func areRecords(of file: TextFile) -> Bool {
    let records = try? TextRecords(file, fields: ["messages"])
    let found = try? records?.map { record, _ throws(Refusal) in
      try record.optionalMember("messages") != nil
    }
    return found?.contains(true) == true
  }
}
