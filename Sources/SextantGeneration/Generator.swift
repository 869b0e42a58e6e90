import SextantArtifacts
import SextantBytes
import SextantModels
import SextantTokenizers

/// A text that was generated after a prompt.
public struct GeneratedText: Sendable {
  /// The generated token ids, without the prompt.
  public let tokens: [Int]
  /// The text of the generated tokens.
  public let text: String
  /// Tokens of the prompt.
  public let promptCount: Int
  /// The edits of each editing intervention, and their strength.
  public let edits: [EditSummary]
  /// Why the text ended.
  public let ending: Generation.Ending
  /// Tokens per second, after the first; nil for fewer than two tokens.
  public let tokensPerSecond: Double?

  /// Whether an intervention ended the text.
  public var wasStopped: Bool { ending == .intervention }

  /// The text of a loop that is finished.
  init(_ loop: TokenLoop, promptCount: Int, edits: [EditSummary]) {
    (tokens, text, self.promptCount, self.edits) = (loop.tokens, loop.text, promptCount, edits)
    (ending, tokensPerSecond) = (loop.ending ?? .count, loop.tokensPerSecond)
  }
}

/// A generated text, and the state of the model after it.
@dynamicMemberLookup
public struct Generation: Sendable {
  /// The text.
  public let generated: GeneratedText
  /// The state after the last token that was run: the one before the last of `tokens`, unless
  /// `completesState` was set or there was an observer.
  public let state: State

  /// A member of the text.
  public subscript<Member>(dynamicMember member: KeyPath<GeneratedText, Member>) -> Member {
    generated[keyPath: member]
  }
}

/// Reads a prompt, then chooses and reads one token after the other.
package struct Generator {
  let model: any LanguageModel
  let tokenizer: any Tokenizer
  let interventions: Interventions

  /// Generates with a model, under interventions. Observers among them are those of one text at a time.
  package init(
    _ model: any LanguageModel, _ tokenizer: any Tokenizer,
    applying interventions: Interventions = []
  ) {
    self.model = model
    self.tokenizer = tokenizer
    self.interventions = interventions
  }

  /// Starts to continue a prompt: the tokens are made one by one, as they are asked for.
  ///
  /// - Parameters:
  ///   - prompt: token ids, at least one.
  ///   - state: where to continue from; nil for an empty state.
  /// - Throws: the errors of `Interventions.bind`.
  package func start(
    _ prompt: [Int], from state: State? = nil, _ options: GenerationOptions
  ) throws(Refusal) -> GenerationRun {
    // The sequence has a record of every token, so that the last one is read, too.
    var options = options
    options.completesState = true
    return try GenerationRun(self, prompt, from: state, options, isRecorded: true)
  }

  /// Starts to continue a prompt as a row of a batch.
  ///
  /// - Parameters:
  ///   - prompt: token ids, at least one.
  ///   - state: where to continue from; nil for an empty state.
  ///   - isRecorded: whether records of tokens are made.
  ///   - contextCount: the number of tokens of the prompt after which the others are a text to be scored, which
  ///     edits take for generated tokens; nil for a prompt without such tokens.
  /// - Throws: the errors of `Interventions.bind`.
  package func row(
    _ prompt: [Int], from state: State? = nil, _ options: GenerationOptions, isRecorded: Bool,
    contextCount: Int? = nil
  ) throws(Refusal) -> GenerationRun {
    try GenerationRun(
      self, prompt, from: state, options, isRecorded: isRecorded, contextCount: contextCount)
  }

  /// Continues a prompt.
  ///
  /// - Parameters:
  ///   - prompt: token ids, at least one.
  ///   - state: where to continue from; nil for an empty state.
  ///   - emit: receives text as soon as it is complete UTF-8.
  ///   - tell: receives a record of each token that was read.
  /// - Throws: the errors of `Interventions.bind`, before anything is generated; `model.*`.
  package func generate(
    _ prompt: [Int], from state: State? = nil, _ options: GenerationOptions,
    emit: (String) -> Void = { _ in }, telling tell: ((TokenRecord) -> Void)? = nil
  ) throws(Refusal) -> Generation {
    let run = try GenerationRun(self, prompt, from: state, options, isRecorded: tell != nil)
    while let records = try run.advance(emit) {
      if let tell { records.forEach(tell) }
    }
    return run.generation
  }
}
