import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantTokenizers

extension LoadedModel {
  /// The chat template that the model was published with, or another one.
  ///
  /// - Parameter name: the name of a template, or the path of a file with one; nil for the model's own.
  /// - Throws: `chat.template` if the own one is unknown or there is none; `file.*`, `model.tokenizer`.
  public func chatTemplate(_ name: String? = nil) throws(Refusal) -> ChatTemplate {
    let tokenizer = try textTokenizer()
    guard let name else { return try ChatTemplate(publishedChat, file: store.path) }
    return try ChatTemplate(named: name, for: tokenizer, published: publishedChat)
  }

  /// Settings for conversations with the model.
  ///
  /// - Parameters:
  ///   - template: as for `chatTemplate`.
  ///   - system: instructions for the model.
  ///   - thinking: whether it thinks before it answers; nil for the template's default.
  ///   - date: today, for templates that contain it; nil for the clock's.
  /// - Throws: as `chatTemplate` and `ChatSettings`.
  public func chatSettings(
    template: String? = nil, system: String? = nil, thinking: Bool? = nil,
    date: ChatSettings.Date? = nil
  ) throws(Refusal) -> ChatSettings {
    try ChatSettings(
      chatTemplate(template), system: system, thinking: thinking, date: date)
  }

  /// Starts a conversation with the model.
  ///
  ///     var talk = try model.conversation(system: "You are terse.")
  ///     print(try talk.answer("What is a state?").text)
  ///
  /// - Throws: as `chatSettings`.
  public func conversation(
    template: String? = nil, system: String? = nil, thinking: Bool? = nil,
    date: ChatSettings.Date? = nil
  ) throws(Refusal) -> Conversation {
    let settings = try chatSettings(
      template: template, system: system, thinking: thinking, date: date)
    return Conversation(model, try textTokenizer(), settings)
  }

  /// The same model, for which every whole text is a message of the user: functions that take text read it in
  /// a conversation, up to the place of the model's answer.
  ///
  ///     let chat = model.chatting(try model.chatSettings())
  ///     let text = try chat.generate("What is a state?").text()
  ///
  /// - Throws: `model.tokenizer` for a model without one.
  public func chatting(_ settings: ChatSettings) throws(Refusal) -> LoadedModel {
    LoadedModel(self, tokenizer: ChatTokenizer(try textTokenizer(), settings))
  }

  /// The model that reads texts as an artifact's training did: as messages, if the artifact records it.
  ///
  /// - Throws: `artifact.schema` for a record of another form; as `chatSettings`.
  package func chatting(asRecordedIn artifact: Artifact) throws(Refusal) -> LoadedModel {
    guard case .object(let data)? = artifact.manifest.details["data"], let record = data["chat"]
    else { return self }
    let node = JSONNode(
      record, code: .artifactSchema, file: artifact.file, pointer: "/data/chat")
    let date = try node.optionalMember("date").map { node throws(Refusal) in
      guard let date = ChatSettings.Date(try node.string()) else {
        throw node.refusal(expected: "a date such as 2025-03-09")
      }
      return date
    }
    return try chatting(
      chatSettings(
        template: node.member("template").string(),
        system: node.optionalMember("system")?.string(),
        thinking: node.optionalMember("thinking")?.boolean(), date: date))
  }
}

extension Conversation {
  /// Reads a message of the user and generates the answer, with the defaults of `sextant chat`.
  ///
  /// - Parameters: as for `LoadedModel.generate`.
  /// - Throws: `chat.*`; as `LoadedModel.generate`.
  @discardableResult
  public mutating func answer(
    _ message: String, count: Int = 512, temperature: Float = 0.8, topK: Int = 0, topP: Float = 1,
    minP: Float = 0, repetitionPenalty: Float = 1, seed: UInt64 = 0,
    emit: (String) -> Void = { _ in }
  ) throws(Refusal) -> GeneratedText {
    var options = GenerationOptions(
      tokenCount: count,
      sampling: try SamplingOptions(
        temperature: temperature, topK: topK, topP: topP, minP: minP,
        repetitionPenalty: repetitionPenalty, seed: seed))
    options.stops = try StopTexts(settings.template.stops)
    return try answer(message, options, emit: emit)
  }
}
