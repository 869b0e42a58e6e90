import SextantBytes

extension ChatForm {
  /// Writes a conversation in this form.
  ///
  /// - Parameters:
  ///   - answers: whether the text ends where the model's answer begins.
  ///   - thinking: whether the model thinks before it answers; nil for the form's own default.
  /// - Throws: `chat.messages` for messages that the form has no place for; `chat.template` if it needs a
  ///   token that is not known, or has no switch for thinking.
  func render(
    _ messages: [ChatMessage], answers: Bool, thinking: Bool?, _ values: ChatValues
  ) throws(Refusal) -> ChatTemplate.Text {
    try check(values, thinking)
    guard !messages.isEmpty, !needsUser || messages.contains(where: thoughts.isQuestion) else {
      throw Refusal(
        .chatMessages, found: "no message of the user",
        expected: "one, for the chat template \"\(name)\"")
    }
    var writer = ChatWriter(values)
    writer.mark(start)
    let first = try writeSystem(messages, &writer)
    try checkRoles(messages[first...])
    for index in messages.indices[first...] {
      try write(messages, index, first: first, &writer)
    }
    if answers {
      let thinks = thoughts.thinks(messages, asked: thinking)
      writer.mark(
        thinks.map { $0 ? thinkingAnswer ?? answer : directAnswer ?? answer } ?? answer)
    }
    return writer.result
  }

  private func check(_ values: ChatValues, _ thinking: Bool?) throws(Refusal) {
    guard thinking == nil || hasThinkingSwitch else {
      throw Refusal(
        .usageOption, at: .parameter("thinking"),
        found: "the chat template \"\(name)\", which has no switch for thinking",
        expected: "a template with one")
    }
    for (mark, value) in [("{bos}", values.bos), ("{eos}", values.eos)]
    // A start without its token is what Jinja writes, too; anywhere else it fails.
    where value == nil && texts.dropFirst().contains(where: { $0.contains(mark) }) {
      throw Refusal(
        .chatTemplate, found: "\"\(name)\", which needs the token for \(mark)",
        expected: "a tokenizer that names it")
    }
  }

  private func refusal(_ place: Int, found: String, expected: String) -> Refusal {
    Refusal(
      .chatMessages, found: "\(found) (message \(place + 1))",
      expected: "\(expected), for the chat template \"\(name)\"")
  }

  /// Writes the instructions at the beginning; returns the place of the first message after them.
  private func writeSystem(
    _ messages: [ChatMessage], _ writer: inout ChatWriter
  ) throws(Refusal) -> Int {
    let isFirst = messages.first?.role == .system
    switch systemRule {
    case .refused:
      if let place = messages.firstIndex(where: { $0.role == .system }) {
        throw refusal(place, found: "instructions", expected: "no message of the role system")
      }
      return 0
    case .inUser: return isFirst ? 1 : 0
    case .lastToFront:
      let last = messages.last { $0.role == .system }
      if let last, !last.content.isEmpty { writer.write(last.content, in: firstSystem ?? system) }
      return 0
    case .turns, .first:
      guard isFirst, let turn = firstSystem ?? system else {
        let hasOther = withoutAnySystem && messages.contains { $0.role == .system }
        if !hasOther { writer.mark(withoutSystem) }
        return 0
      }
      let content = thoughts.userText(messages[0].content)
      if skipsEmptySystem && content.isEmpty {
        writer.mark(withoutSystem)
      } else {
        writer.write(content, in: turn)
      }
      return 1
    }
  }

  private func checkRoles(_ messages: ArraySlice<ChatMessage>) throws(Refusal) {
    guard alternates else { return }
    for (number, message) in messages.enumerated() {
      let expected: ChatMessage.Role = number.isMultiple(of: 2) ? .user : .assistant
      guard message.role == expected else {
        throw refusal(
          messages.startIndex + number, found: "the role \(message.role.rawValue)",
          expected: "\(expected.rawValue): user and assistant take turns, the user first")
      }
    }
  }

  private func write(
    _ messages: [ChatMessage], _ index: Int, first: Int, _ writer: inout ChatWriter
  ) throws(Refusal) {
    let message = messages[index]
    switch message.role {
    case .system: try writeLaterSystem(message, at: index, &writer)
    case .user:
      let content = thoughts.userText(message.content)
      guard case .inUser(let part) = systemRule, first == 1,
        index == (part.isLast ? messages.count - 1 : 1)
      else { return writer.write(content, in: user) }
      writer.write(content, in: user, after: messages[0].content, part)
    case .assistant:
      let isLast = index == messages.count - 1
      let turn = Turn(
        prefix: assistant.prefix,
        suffix: isLast ? lastAnswerSuffix ?? assistant.suffix : assistant.suffix,
        trims: assistant.trims)
      let parts = try thoughts.answer(messages, index, form: name)
      writer.write(parts, in: turn)
    }
  }

  private func writeLaterSystem(
    _ message: ChatMessage, at index: Int, _ writer: inout ChatWriter
  ) throws(Refusal) {
    switch systemRule {
    case .turns, .first(later: .turn): writer.write(message.content, in: system)
    case .first(later: .skipped), .lastToFront: break
    case .first(later: .refused), .inUser, .refused:
      throw refusal(index, found: "instructions", expected: "instructions at the beginning alone")
    }
  }
}

/// Writes the turns of a conversation.
struct ChatWriter {
  private(set) var result = ChatTemplate.Text()
  private let values: ChatValues

  init(_ values: ChatValues) { self.values = values }

  /// Adds a text of the form.
  mutating func mark(_ text: String) { result.mark(values.filled(text)) }

  /// Adds a message in its turn.
  mutating func write(_ content: String, in turn: ChatForm.Turn?) {
    write([.text(content)], in: turn)
  }

  /// Adds the parts of an answer in their turn.
  mutating func write(_ parts: [ChatPart], in turn: ChatForm.Turn?) {
    guard let turn else { return }
    mark(turn.prefix)
    for part in parts {
      switch part {
      case .mark(let text): result.mark(text)
      case .text(let text): result.add(turn.trims ? ChatPart.stripped(text) : text)
      }
    }
    mark(turn.suffix)
  }

  /// Adds a message of the user with instructions before it.
  mutating func write(
    _ content: String, in turn: ChatForm.Turn, after system: String, _ part: ChatForm.InUser
  ) {
    mark(turn.prefix)
    mark(part.prefix)
    result.add(system)
    let inner = turn.trims && !part.trimsBoth ? ChatPart.stripped(content) : content
    let kept = turn.trims ? ChatPart.strippedEnd(inner) : inner
    // A message without text leaves nothing that protects the white space before it.
    mark(part.trimsBoth && kept.isEmpty ? ChatPart.strippedEnd(part.suffix) : part.suffix)
    result.add(kept)
    mark(turn.suffix)
  }
}
