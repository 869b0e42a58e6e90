import SextantBytes
import SextantGeneration
import SextantTokenizers

extension Service {
  /// `POST /v1/completions`.
  func completions(
    _ request: ServingRequest, _ grant: Access.Grant
  ) async throws -> ServingResponse {
    let body = try RequestBody(request.body, .completions)
    var text = try TextRequest(
      body, self, tokenizer: tokenizer, salt: grant.salt, count: body.integer("max_tokens") ?? 16,
      repetition: "repetition_penalty")
    text.echo = try body.boolean("echo") ?? false
    if let node = try body.value("logprobs") { text.logprobs = try node.requestInteger(in: 0...20) }
    if let best = try body.integer("best_of"), best > text.samples {
      throw ServingError(
        .option, "best_of may be at most n: texts that are not shown are not made.",
        parameter: "best_of")
    }
    let begins = try body.boolean("add_special_tokens") ?? true
    (text.prompts, text.addedCount) = try prompts(try body.value("prompt"), begins: begins)
    try text.checkPrompts(self)
    try text.readContext(body.value("context_tokens"))
    return try await answer(text, request, { CompletionForm($0, self) })
  }

  /// `POST /v1/chat/completions`.
  func chatCompletions(
    _ request: ServingRequest, _ grant: Access.Grant
  ) async throws -> ServingResponse {
    let body = try RequestBody(request.body, .chat)
    var settings = chat
    if let node = try body.value("chat_template_kwargs") {
      try node.allowOnly(keys: ["enable_thinking"])
      settings.thinking = try node.optionalMember("enable_thinking")?.boolean()
    }
    let tokenizer = ChatTokenizer(self.tokenizer, settings)
    let count = try body.integer("max_completion_tokens") ?? body.integer("max_tokens") ?? 512
    var text = try TextRequest(
      body, self, tokenizer: tokenizer, salt: grant.salt, count: count,
      repetition: "repetition_penalty", templateStops: settings.template.stops)
    let top = try body.integer("top_logprobs") ?? 0
    if let node = try body.value("logprobs"), try node.boolean() {
      text.logprobs = top
    } else if top > 0 {
      throw ServingError(
        .option, "top_logprobs needs `logprobs: true`.", parameter: "top_logprobs")
    }
    guard let node = try body.value("messages") else {
      throw ServingError(.option, "messages is missing.", parameter: "messages")
    }
    let messages = try Self.messages(node)
    text.prompts = [try tokenizer.ids(of: messages)]
    text.boundaries = Self.boundaries(messages, text.prompts[0], settings, self.tokenizer)
    try text.checkPrompts(self)
    if let chatWarning { text.warnings.append(chatWarning) }
    return try await answer(text, request, { ChatAnswerForm($0, self) })
  }

  /// `POST /completion`, llama.cpp's own.
  func llamaCompletion(
    _ request: ServingRequest, _ grant: Access.Grant
  ) async throws -> ServingResponse {
    let body = try RequestBody(request.body, .llama)
    let count = try body.integer("n_predict") ?? -1
    var text = try TextRequest(
      body, self, tokenizer: tokenizer, salt: grant.salt, count: count < 0 ? 100_000 : count,
      repetition: "repeat_penalty")
    if let probes = try body.integer("n_probs"), probes > 0 { text.logprobs = probes }
    (text.prompts, text.addedCount) = try prompts(try body.value("prompt"), begins: true)
    guard text.prompts.count == 1 else {
      throw ServingError(
        .option, "This path takes one prompt. `/v1/completions` takes several.",
        parameter: "prompt")
    }
    try text.checkPrompts(self)
    return try await answer(text, request, { LlamaForm($0, self) })
  }

  /// Lets the engine make the texts, and answers with them.
  private func answer(
    _ text: TextRequest, _ request: ServingRequest, _ form: (TextRequest) -> any AnswerForm
  ) async throws -> ServingResponse {
    if Task.isCancelled { throw ServingError(.cancelled, "The client left.") }
    let job = try text.job(self, lane(of: request))
    try engine.submit(job)
    var form = form(text)
    if text.isStream { return .events(AnswerPieces(job.queue, form)) }
    while let events = try await job.queue.next() {
      for event in events { _ = form.chunks(event) }
    }
    if job.queue.isCancelled { throw ServingError(.cancelled, "The client left.") }
    return .json(form.whole())
  }

  /// Requests of this server's own page come first in turn with all others.
  private func lane(of request: ServingRequest) -> Lane {
    request.values(of: "sec-fetch-site") == ["same-origin"] ? .page : .api
  }

  // MARK: Prompts

  /// The ids of prompts: a text, ids, or a list of texts or of lists of ids.
  ///
  /// - Returns: the ids, and how many of them were added at the beginning of each.
  private func prompts(
    _ node: JSONNode?, begins: Bool
  ) throws -> (prompts: [[Int]], addedCount: Int) {
    let added = begins ? tokenizer.beginOfTextIDs : []
    guard let node else { return ([added], 0) }
    if case .string(let text) = node.value {
      return ([added + tokenizer.encode(text)], added.count)
    }
    let elements = try node.elements()
    guard let first = elements.first else { return ([[]], 0) }
    switch first.value {
    case .string:
      try checkCount(elements.count, node)
      var prompts: [[Int]] = []
      for element in elements { prompts.append(added + tokenizer.encode(try element.string())) }
      return (prompts, added.count)
    case .array:
      try checkCount(elements.count, node)
      var prompts: [[Int]] = []
      for element in elements { prompts.append(try ids(element)) }
      return (prompts, 0)
    default: return ([try ids(node)], 0)
    }
  }

  private func checkCount(_ count: Int, _ node: JSONNode) throws(Refusal) {
    guard count <= 256 else {
      throw node.refusal(found: counted(count, "prompt"), expected: "at most 256")
    }
  }

  private func ids(_ node: JSONNode) throws(Refusal) -> [Int] {
    try node.ids(below: vocabularySize, limit: options.maximumPrompt)
  }

  // MARK: Messages

  /// Messages as clients send them: `developer` is `system`; names are ignored; tools and images are refused.
  private static func messages(_ node: JSONNode) throws -> [ChatMessage] {
    var messages: [ChatMessage] = []
    for element in try node.elements() {
      let role = try element.member("role")
      let name = try role.string()
      guard let known = ChatMessage.Role(rawValue: name == "developer" ? "system" : name) else {
        throw role.refusal(expected: "system, developer, user or assistant; there are no tools")
      }
      for key in ["tool_calls", "function_call", "audio"] {
        guard let calls = try element.optionalMember(key), calls.value != .array([]) else {
          continue
        }
        throw calls.refusal(found: "`\(key)`", expected: "messages with text alone")
      }
      messages.append(ChatMessage(known, try content(of: element)))
    }
    guard !messages.isEmpty else { throw node.refusal(expected: "at least one message") }
    return messages
  }

  private static func content(of message: JSONNode) throws(Refusal) -> String {
    guard let content = try message.optionalMember("content") else { return "" }
    if case .string(let text) = content.value { return text }
    var text = ""
    for part in try content.elements() {
      let type = try part.member("type")
      guard try type.string() == "text" else {
        throw type.refusal(expected: "\"text\": images and sound are not supported")
      }
      text += try part.member("text").string()
    }
    return text
  }

  /// The places of the prompt at which its last messages end. The next request may write the last answer
  /// otherwise; then it still shares these beginnings.
  private static func boundaries(
    _ messages: [ChatMessage], _ ids: [Int], _ settings: ChatSettings, _ tokenizer: any Tokenizer
  ) -> [Int] {
    (max(1, messages.count - 3)..<max(messages.count, 1)).compactMap { count in
      let text = try? settings.template.render(
        Array(messages[..<count]), answers: false, thinking: settings.thinking, date: settings.date)
      guard let own = text?.ids(tokenizer) else { return nil }
      return commonCount(own, ids)
    }.filter { $0 > 0 }
  }
}
