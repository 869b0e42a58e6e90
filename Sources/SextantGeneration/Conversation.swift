import SextantBytes
import SextantModels
import SextantTokenizers

/// A conversation with a model, turn by turn.
///
///     var talk = try model.conversation(system: "You are terse.")
///     print(try talk.answer("What is a state?").text)
///
/// The state goes on from turn to turn: only new text is read. What the model has read is always the token ids of
/// the conversation as its template writes it. Where the template writes earlier turns otherwise than they were
/// read (it removes thoughts, or the answer has other tokens when it is read again), the model reads again from the
/// last kept state that still fits: those before and after each answer are kept. If the place of an answer begins
/// with a mark that earlier turns do not have, as in Qwen3 without thinking, no state fits, and the whole
/// conversation is read again.
public struct Conversation {
  /// The messages so far, without the instructions of the settings.
  public private(set) var messages: [ChatMessage] = []
  /// The items that act on the answers to come, and on the messages before them.
  public var interventions: Interventions = []
  /// Tokens that the last turn read, those of its answer included.
  public private(set) var lastReadCount = 0

  /// The number of turns.
  package var turnCount: Int { turns.count }

  private let model: any LanguageModel
  private let tokenizer: ChatTokenizer
  private var memories: [Memory] = []
  /// The number of kept states before each turn. A turn has two messages.
  private var turns: [Int] = []

  /// A state of the model, and the ids that it has read.
  private struct Memory: Sendable {
    var ids: [Int]
    var state: State
  }

  /// Starts a conversation.
  package init(_ model: any LanguageModel, _ tokenizer: any Tokenizer, _ settings: ChatSettings) {
    self.model = model
    self.tokenizer = ChatTokenizer(tokenizer, settings)
  }

  /// The settings.
  public var settings: ChatSettings { tokenizer.settings }

  /// The state after the last turn; nil before the first one.
  public var state: State? { memories.last?.state }

  /// The token ids that the state has read.
  public var ids: [Int] { memories.last?.ids ?? [] }

  /// Reads a message of the user and generates the answer.
  ///
  /// A turn that is refused leaves the conversation as it was.
  ///
  /// - Parameters:
  ///   - options: how tokens are chosen, and where the answer ends.
  ///   - emit: receives text as soon as it is complete UTF-8.
  ///   - tell: receives a record of each token that was read.
  ///   - continues: asked before each token; false ends the answer there.
  /// - Throws: `chat.*`; the errors of `Interventions.bind`; `model.*`.
  package mutating func answer(
    _ message: String, _ options: GenerationOptions, emit: (String) -> Void = { _ in },
    telling tell: ((TokenRecord) -> Void)? = nil, while continues: () -> Bool = { true }
  ) throws(Refusal) -> GeneratedText {
    let asked = messages + [.user(message)]
    let prompt = try tokenizer.ids(of: asked)
    let start = memories.last { $0.ids.count < prompt.count && prompt.starts(with: $0.ids) }
    let new = Array(prompt.dropFirst(start?.ids.count ?? 0))
    let run = try GenerationRun(
      Generator(model, tokenizer, applying: interventions), new, from: start?.state, options,
      isRecorded: tell != nil)
    var question: Memory?
    while let records = try run.advance(emit) {
      if let tell { records.forEach(tell) }
      question = question ?? Memory(ids: prompt, state: run.state)
      if !continues() { run.cancel(emit) }
    }
    let result = run.generation
    turns.append(memories.count)
    messages = asked + [.assistant(result.text)]
    if let question { memories.append(question) }
    lastReadCount = result.state.position - (start?.state.position ?? 0)
    let read = lastReadCount - new.count
    memories.append(Memory(ids: prompt + result.tokens.prefix(read), state: result.state))
    return result.generated
  }

  /// Takes back the last turn: its message, its answer and its states.
  ///
  /// - Returns: false if there is none.
  public mutating func undo() -> Bool {
    guard let memoryCount = turns.popLast() else { return false }
    messages.removeLast(2)
    memories.removeSubrange(memoryCount...)
    return true
  }
}
