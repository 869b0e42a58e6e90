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
/// last kept state that still fits: those before and after each answer are kept, eight at most. If the place of an
/// answer begins with a mark that earlier turns do not have, as in Qwen3 without thinking, the state before this
/// mark is kept, too. It is not if something acts on the turn: then the whole conversation is read again.
public struct Conversation {
  /// The messages so far, without the instructions of the settings.
  public private(set) var messages: [ChatMessage] = []
  /// The items that act on the answers to come, and on the messages before them.
  public var interventions: Interventions = []
  /// Tokens that the last turn read, those of its answer included.
  public private(set) var lastReadCount = 0

  /// The number of turns.
  package var turnCount: Int { messages.count / 2 }

  private let model: any LanguageModel
  private let tokenizer: ChatTokenizer
  private var memories: [Memory] = []
  private static let memoryLimit = 8

  /// A state of the model, the ids that it has read, and the turn that it belongs to.
  private struct Memory: Sendable {
    var turn: Int
    var ids: [Int]
    var state: State
  }

  /// Starts a conversation.
  package init(_ model: any LanguageModel, _ tokenizer: any Tokenizer, _ settings: ChatSettings) {
    self.model = model
    self.tokenizer = ChatTokenizer(tokenizer, settings)
  }

  /// Checks that interventions fit the model, as far as this is known without a message.
  ///
  /// - Throws: `artifact.*` for one that does not fit; `usage.option`.
  package func check(_ interventions: Interventions) throws(Refusal) {
    try interventions.check(
      fitting: model, tokenizer, from: state ?? model.initialState())
  }

  /// The settings.
  public var settings: ChatSettings { tokenizer.settings }

  /// The state after the last turn; nil before the first one, and if more turns were taken back than states are
  /// kept.
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
    let known = memories.last { $0.ids.count < prompt.count && prompt.starts(with: $0.ids) }
    let lasting = try memory(ofLasting: prompt, asked, from: known)
    let start = lasting ?? known
    let new = Array(prompt.dropFirst(start?.ids.count ?? 0))
    let run = try GenerationRun(
      Generator(model, tokenizer, applying: interventions), new, from: start?.state, options,
      isRecorded: tell != nil)
    var question: Memory?
    while let records = try run.advance(emit) {
      if let tell { records.forEach(tell) }
      question = question ?? Memory(turn: turnCount, ids: prompt, state: run.state)
      if !continues() { run.cancel(emit) }
    }
    let result = run.generation
    let read = result.state.position - (start?.state.position ?? 0) - new.count
    lastReadCount = result.state.position - (known?.state.position ?? 0)
    let answer = Memory(
      turn: turnCount, ids: prompt + result.tokens.prefix(read), state: result.state)
    memories += [lasting, question, answer].compactMap { $0 }
    memories.removeFirst(max(0, memories.count - Self.memoryLimit))
    messages = asked + [.assistant(result.text)]
    return result.generated
  }

  /// Reads the part of a prompt with which later prompts begin, too.
  ///
  /// - Returns: nil if that is the whole prompt, if it was read before, or if something acts on the turn: the
  ///   interventions are bound to the prompt as a whole.
  private func memory(
    ofLasting prompt: [Int], _ asked: [ChatMessage], from start: Memory?
  ) throws(Refusal) -> Memory? {
    guard interventions.items.isEmpty, model.description.rotationLength == nil,
      let later = try? tokenizer.ids(of: asked + [.assistant("x"), .user("x")])
    else { return nil }
    let count = zip(prompt, later).prefix { $0 == $1 }.count
    let known = start?.ids.count ?? 0
    guard count > known, count < prompt.count else { return nil }
    var state = start?.state ?? model.initialState()
    _ = try model.run(TokenBatch(Array(prompt[known..<count])), from: &state, logits: .none)
    return Memory(turn: turnCount, ids: Array(prompt[..<count]), state: state)
  }

  /// Takes back the last turn: its message, its answer and its states.
  ///
  /// - Returns: false if there is none.
  public mutating func undo() -> Bool {
    guard turnCount > 0 else { return false }
    messages.removeLast(2)
    let count = turnCount
    memories.removeAll { $0.turn >= count }
    return true
  }
}
