import SextantBytes

/// The file of a form: JSON with what stands before and after each message. `formats/chat-template.md`
/// describes it.
extension ChatForm {
  private static let format = "sextant-chat"
  private static let version = 1

  /// Reads a form from a file.
  ///
  /// - Throws: `file.*`, `json.*`, `chat.template`.
  init(reading path: String) throws(Refusal) {
    let bytes = try InputFile(path).readAll(limit: 1 << 20)
    let root = try JSONNode(parsing: bytes, code: .chatTemplate, file: path)
    let format = try root.member("format")
    guard try format.string() == Self.format else {
      throw format.refusal(expected: "\"\(Self.format)\"")
    }
    let version = try root.member("version")
    guard try version.integer() == Self.version else {
      throw version.refusal(expected: "\(Self.version)")
    }
    try root.allowOnly([
      "format", "version", "start", "system", "user", "assistant", "default_system", "answer",
      "thinking_answer", "direct_answer", "stop",
    ])
    let system = try root.optionalMember("system").map { node throws(Refusal) in try Turn(node) }
    self.init(
      name: path, system: system, user: try Turn(root.member("user")),
      assistant: try Turn(root.member("assistant")), systemRule: system == nil ? .refused : .turns,
      answer: try root.member("answer").string())
    start = try root.optionalMember("start")?.string() ?? ""
    if let node = try root.optionalMember("default_system") {
      guard let system else { throw node.refusal(expected: "a member \"system\", too") }
      withoutSystem = system.prefix + (try node.string()) + system.suffix
    }
    thinkingAnswer = try root.optionalMember("thinking_answer")?.string()
    directAnswer = try root.optionalMember("direct_answer")?.string()
    guard (thinkingAnswer == nil) == (directAnswer == nil) else {
      throw root.refusal(
        found: "one of \"thinking_answer\" and \"direct_answer\"", expected: "both or none")
    }
    for stop in try root.optionalMember("stop")?.elements() ?? [] {
      let text = try stop.string()
      guard !text.isEmpty else { throw stop.refusal(expected: "a text that is not empty") }
      stops.append(text)
    }
  }
}

extension ChatForm.Turn {
  fileprivate init(_ node: JSONNode) throws(Refusal) {
    try node.allowOnly(["prefix", "suffix", "trim"])
    self.init(
      prefix: try node.member("prefix").string(), suffix: try node.member("suffix").string(),
      trims: try node.optionalMember("trim")?.boolean() ?? false)
  }
}

extension ChatTemplate {
  private static var choice: String {
    "Choose one with `chatTemplate`: \(names.joined(separator: ", ")); or a file."
  }

  /// The template of that name, or the one in the file of that path.
  ///
  /// - Parameter tokenizer: names the tokens that begin and end a text, unless `published` does.
  /// - Throws: `file.*`, `json.*`, `chat.template`.
  package init(
    named name: String, for tokenizer: any Tokenizer, published: PublishedChat? = nil
  ) throws(Refusal) {
    let form: ChatForm
    if let known = ChatForm.named(name) {
      form = known
    } else {
      do throws(Refusal) {
        form = try ChatForm(reading: name)
      } catch {
        guard error.code == .fileMissing else { throw error }
        throw Refusal(
          .chatTemplate, at: .parameter("chatTemplate"), found: "\"\(printable(name, limit: 80))\"",
          expected: "the name of a template, or the path of a file", remedy: Self.choice)
      }
    }
    let tokens = published ?? PublishedChat(templates: [], for: tokenizer)
    self.init(form, bos: tokens.bos, eos: tokens.eos)
  }

  /// The template that a model was published with.
  ///
  /// - Throws: `chat.template` for one that is not recognised, and for a model without one.
  package init(
    _ published: PublishedChat?, file: String?
  ) throws(Refusal) {
    guard let published, let template = published.main else {
      throw Refusal(
        .chatTemplate, file: file, found: "a model without a chat template",
        expected: "one, or the name of a template", remedy: Self.choice)
    }
    guard let name = Self.name(ofPublished: template), let form = ChatForm.named(name) else {
      let lines = template.split(whereSeparator: \.isNewline)
      let first = lines.first { $0.contains { !$0.isWhitespace } } ?? ""
      throw Refusal(
        .chatTemplate, file: file,
        found:
          "an unknown chat template that begins with \"\(printable(String(first), limit: 80))\"",
        expected: "a known one, or the name of a template", remedy: Self.choice)
    }
    self.init(form, bos: published.bos, eos: published.eos)
  }
}
