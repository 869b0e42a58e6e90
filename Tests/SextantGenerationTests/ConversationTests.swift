import SextantArtifacts
import SextantBytes
import SextantModelTestSupport
import SextantModels
import SextantTestSupport
import SextantTokenizers
import Testing

@testable import SextantGeneration

/// Conversations turn by turn, compared with reading the whole text at once.
@Suite struct ConversationTests {
  let converted: ConvertedModel
  let model: any LanguageModel
  let tokenizer: any Tokenizer

  init() throws {
    converted = try ConvertedModel("demo-model/model.safetensors")
    model = converted.model
    tokenizer = try #require(converted.tokenizer)
  }

  private func settings(_ name: String, system: String? = nil) throws -> ChatSettings {
    try ChatSettings(ChatTemplate(named: name, for: tokenizer), system: system)
  }

  private func options(
    _ count: Int, temperature: Float = 0, seed: UInt64 = 0
  ) throws -> GenerationOptions {
    GenerationOptions(
      tokenCount: count, sampling: try SamplingOptions(temperature: temperature, seed: seed),
      stopsAtEnd: false)
  }

  /// The ids that the model must have read when it answers the last of these messages.
  private func prompt(_ messages: [ChatMessage], _ settings: ChatSettings) throws -> [Int] {
    try settings.render(messages).ids(tokenizer)
  }

  @Test(arguments: ["plain", "zephyr", "chatml", "rwkv-world"])
  func everyTurnAnswersTheWholeConversation(name: String) throws {
    let settings = try settings(name, system: "You write reviews.")
    var talk = Conversation(model, tokenizer, settings)
    var messages: [ChatMessage] = []
    for question in ["What was the film like?", "Why?", "And the end?"] {
      messages.append(.user(question))
      let expected = try Generator(model, tokenizer).generate(
        prompt(messages, settings), options(9))
      let answer = try talk.answer(question, options(9))
      #expect(answer.tokens == expected.tokens, "\(question)")
      messages.append(.assistant(answer.text))
      #expect(talk.messages == messages)
      #expect(talk.ids.starts(with: try prompt(Array(messages.dropLast()), settings)))
      #expect(talk.ids.count == talk.state?.position)
    }
  }

  @Test func onlyNewTextIsRead() throws {
    let settings = try settings("chatml")
    var talk = Conversation(model, tokenizer, settings)
    _ = try talk.answer("What was the film like?", options(3))
    let before = talk.ids
    _ = try talk.answer("Why?", options(3))
    // The end of the answer, the message, and the tokens of the new answer, of which the last is not read.
    let new = try prompt(Array(talk.messages.dropLast()), settings).count - before.count
    #expect(talk.lastReadCount == new + 2)
    #expect(talk.ids.starts(with: before))
  }

  @Test func anAnswerThatIsSplitOtherwiseWhenItIsReadAgainIsReadAgain() throws {
    // At this temperature nearly every byte is drawn: the text has other tokens.
    let settings = try settings("chatml")
    var talk = Conversation(model, tokenizer, settings)
    _ = try talk.answer("Hm?", options(30, temperature: 8, seed: 3))
    let (first, answer) = (try prompt([.user("Hm?")], settings), talk.ids)
    _ = try talk.answer("Why?", options(4))
    let whole = try prompt(Array(talk.messages.dropLast()), settings)
    #expect(!whole.starts(with: answer))
    #expect(talk.ids.starts(with: whole))
    // Reading goes on after the first message of the user.
    #expect(talk.lastReadCount == whole.count - first.count + 3)
    let expected = try Generator(model, tokenizer).generate(whole, options(4))
    #expect(expected.text == talk.messages.last?.content)
  }

  @Test func aTurnIsTakenBack() throws {
    var talk = Conversation(model, tokenizer, try settings("plain"))
    #expect(talk.state == nil)
    _ = try talk.answer("One?", options(5))
    let (messages, ids) = (talk.messages, talk.ids)
    let second = try talk.answer("Two?", options(5))
    var isUndone = talk.undo()
    #expect(isUndone)
    #expect(talk.messages == messages && talk.ids == ids)
    #expect(try talk.answer("Two?", options(5)).tokens == second.tokens)
    isUndone = talk.undo() && talk.undo() && !talk.undo()
    #expect(isUndone)
    #expect(talk.messages.isEmpty && talk.ids.isEmpty && talk.state == nil)
  }

  @Test func anAnswerThatIsEndedFromOutsideKeepsTextThatWasHeldBack() throws {
    var talk = Conversation(model, tokenizer, try settings("plain"))
    let whole = try talk.answer("One?", options(4))
    _ = talk.undo()
    var (shown, asked) = ("", 0)
    let continues = {
      asked += 1
      return asked < 4
    }
    // All of the answer may begin this text, so that nothing of it is shown before its end.
    var options = try options(20)
    options.stops = try StopTexts([whole.text + "and the rest of a text that never comes"])
    let answer = try talk.answer("One?", options, emit: { shown += $0 }, while: continues)
    #expect(answer.text == whole.text && shown == whole.text)
  }

  @Test func anAnswerIsEndedFromOutside() throws {
    var talk = Conversation(model, tokenizer, try settings("plain"))
    var asked = 0
    let continues = {
      asked += 1
      return asked < 4
    }
    let answer = try talk.answer("One?", options(20), while: continues)
    #expect(answer.tokens.count == 4 && answer.ending == .cancelled)
    #expect(talk.messages.count == 2)
    #expect(try talk.answer("Two?", options(5)).tokens.count == 5)
  }

  @Test func aRefusedTurnChangesNothing() throws {
    var talk = Conversation(model, tokenizer, try settings("qwen3.5"))
    let refusal = #expect(throws: Refusal.self) {
      try talk.answer("<tool_response></tool_response>", options(5))
    }
    #expect(refusal?.code == .chatMessages)
    #expect(talk.messages.isEmpty && talk.state == nil)
    _ = try talk.answer("One?", options(5))
    #expect(talk.messages.count == 2)
  }

  @Test func steeringActsFromItsTurnOn() throws {
    let vector = try SteeringVector.random(
      model.description, ["blocks.3.output"], tokenizer: tokenizer.digest)
    var talk = Conversation(model, tokenizer, try settings("plain"))
    #expect(try talk.answer("One?", options(5)).edits.isEmpty)
    talk.interventions = [
      .steer(vector, strength: 2, positions: PositionSelection("all"))
    ]
    let steered = try talk.answer("Two?", options(5))
    #expect(steered.edits.map(\.tokens) == [talk.lastReadCount])
    talk.interventions = []
    #expect(try talk.answer("Three?", options(5)).edits.isEmpty)
  }

  /// The place of the answer begins with empty thoughts, which earlier turns do not have.
  @Test func onlyNewTextIsReadAfterAMarkThatEarlierTurnsDoNotHave() throws {
    let settings = try ChatSettings(
      ChatTemplate(named: "qwen3", for: tokenizer), thinking: false)
    var talk = Conversation(model, tokenizer, settings)
    let first = try talk.answer("What was the film like?", options(3))
    #expect(talk.ids.starts(with: try prompt([.user("What was the film like?")], settings)))
    let second = try talk.answer("Why?", options(3))
    let whole = try prompt(Array(talk.messages.dropLast()), settings)
    let before = try prompt([.user("What was the film like?")], settings)
    #expect(talk.ids.starts(with: whole) && !talk.ids.starts(with: before))
    // Everything before the mark was known. Of the answer, up to three tokens were read.
    let known = zip(whole, before).prefix { $0 == $1 }.count
    #expect(known > 20 && talk.lastReadCount <= whole.count - known + 3)
    // The mark is read in a piece of its own, which changes no more than the rounding.
    let generator = Generator(model, tokenizer)
    #expect(
      try first.tokens
        == generator.generate(prompt([.user("What was the film like?")], settings), options(3))
        .tokens)
    #expect(try second.tokens == generator.generate(whole, options(3)).tokens)
    // Something that acts on the turn is bound to the whole prompt.
    let vector = try SteeringVector.random(
      model.description, ["blocks.3.output"], tokenizer: tokenizer.digest)
    talk.interventions = [.steer(vector, strength: 0, positions: PositionSelection("all"))]
    _ = try talk.answer("And?", options(3))
    #expect(try talk.ids.starts(with: prompt(Array(talk.messages.dropLast()), settings)))
  }

  @Test func statesOfOldTurnsAreNotKept() throws {
    var talk = Conversation(model, tokenizer, try settings("plain"))
    for turn in 0..<6 { _ = try talk.answer("\(turn)?", options(2)) }
    // Two states for each turn, eight in all: the last four turns can be taken back without reading again.
    for turn in (2..<6).reversed() {
      #expect(talk.state != nil && talk.messages.count == 2 * (turn + 1))
      let isUndone = talk.undo()
      #expect(isUndone)
    }
    #expect(talk.state == nil && talk.ids.isEmpty && talk.messages.count == 4)
    let answer = try talk.answer("2?", options(2))
    let expected = try Generator(model, tokenizer).generate(
      prompt(Array(talk.messages.dropLast()), talk.settings), options(2))
    #expect(answer.tokens == expected.tokens && talk.state != nil)
  }

  @Test func anInterventionThatDoesNotFitIsRefusedBeforeATurn() throws {
    let talk = Conversation(model, tokenizer, try settings("plain"))
    let vector = try SteeringVector.random(
      model.description, ["blocks.3.output"], tokenizer: tokenizer.digest)
    // Which tokens are selected, and a strength in nats, depend on the message.
    try talk.check([
      .steer(vector, strength: 2, positions: PositionSelection("40")),
      .steer(vector, strength: 1, unit: .nats),
    ])
    let other = try SteeringVector.random(
      model.description, ["blocks.3.output"], tokenizer: SHA256.digest([1]))
    expectRefusal(.artifactTokenizerDigest) { try talk.check([.steer(other, strength: 1)]) }
  }
}
