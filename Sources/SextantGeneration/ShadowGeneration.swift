import SextantArtifacts
import SextantBytes
import SextantModels
import SextantTensor
import SextantTokenizers

/// Text that is steered at its start, and an unsteered twin: a second state that reads the same
/// tokens and is never steered.
///
/// A recurrent state keeps effects of steering. When steering ends, the text continues from the
/// twin, which was affected only by the chosen tokens. The divergence of the steered state's
/// predictions from the twin's is measured on the same tokens.
package struct ShadowGeneration: Sendable {
  /// The generated token ids, without the prompt.
  package private(set) var tokens: [Int] = []
  /// The text of the generated tokens.
  package private(set) var text = ""
  /// Tokens that were chosen under steering: while it lasted, and after it had edited something.
  package private(set) var steeredCount = 0
  /// After steering ended, at each choice: the divergence of the steered-then-off prediction from the
  /// never steered one, in nats. The first is at the first choice without steering.
  package private(set) var contamination: [Double] = []
  /// The edits of each intervention.
  package let edits: [EditSummary]
  /// The state that the text continues from: the twin's, once steering has ended.
  package private(set) var state: State

  /// The state from which the text continues when steering ends.
  package enum Continuation: String, Sendable, CaseIterable {
    /// The clean twin: no residue.
    case twin
    /// The steered state, to see its residue.
    case steered
  }

  /// Generates text.
  ///
  /// - Parameters:
  ///   - interventions: at least one that edits, and no others.
  ///   - prompt: token ids, at least one; the steered model reads it steered, the twin does not.
  ///   - steeredTokens: tokens that are chosen under steering, at most those of `options`.
  ///   - options: as for any text; `tokenCount` counts all tokens.
  ///   - continuation: the state that continues.
  ///   - emit: receives text as soon as it is complete UTF-8.
  ///   - tell: receives a record of each token that the steered model read.
  /// - Throws: as `Generator.generate`; `usage.nothing-steered` if nothing edits, `usage.option`
  ///   for interventions that report or end the text, and for more steered tokens than are generated.
  package init(
    _ model: any LanguageModel, _ tokenizer: any Tokenizer, applying interventions: Interventions,
    to prompt: [Int], steeredTokens: Int, _ options: GenerationOptions,
    goingOnFrom continuation: Continuation = .twin, emit: (String) -> Void = { _ in },
    telling tell: ((TokenRecord) -> Void)? = nil
  ) throws(Refusal) {
    guard !prompt.isEmpty else {
      throw Refusal(
        .usageOption, at: .parameter("prompt"), found: "no tokens", expected: "at least one")
    }
    guard (0...options.tokenCount).contains(steeredTokens) else {
      throw Refusal(
        .usageOption, at: .parameter("steeredTokens"), found: "\(steeredTokens)",
        expected: "0 to \(options.tokenCount), the number of tokens to generate")
    }
    try interventions.check(.edits, of: "steer shadow")
    guard interventions.hasEdits else {
      throw Refusal(
        .usageNothingSteered, at: .parameter("apply"), found: "no artifact that edits",
        expected: "a steering vector or an eraser", remedy: "Name one with `apply`.")
    }
    var (own, twin) = (model.initialState(), model.initialState())
    let bound = try interventions.bind(
      to: BoundRun(
        model, tokenizer: tokenizer.digest, prompts: [prompt], from: own,
        readingAfter: steeredTokens - 1, recordsEdits: tell != nil,
        textTokenizer: tokenizer))
    var recorder = TokenRecorder(bound, tokenizer)
    func record(_ tokens: [Int], _ text: String?) {
      guard let tell else { return }
      recorder.records(of: tokens, endingBefore: own.position, text: text).forEach(tell)
    }
    var loop = TokenLoop(tokenizer, options, continuing: prompt)
    var ownLogits = try model.run(TokenBatch(prompt), from: &own, tap: bound.tap).values
    var twinLogits = try model.run(TokenBatch(prompt), from: &twin).values
    record(prompt, nil)
    while !loop.isFull {
      let isSteered = loop.tokens.count < steeredTokens
      if !isSteered {
        contamination.append(
          LogProbabilities(twinLogits).divergence(of: LogProbabilities(ownLogits)))
      }
      let usesOwn = isSteered || continuation == .steered
      guard let token = try loop.choose(from: usesOwn ? ownLogits : twinLogits, emit) else { break }
      if isSteered, bound.hasEdited { steeredCount += 1 }
      // The last token chosen under steering is not read under it: its reading makes the next choice.
      let readsSteered = loop.tokens.count < steeredTokens
      ownLogits = try model.run(
        TokenBatch([token]), from: &own, tap: readsSteered ? bound.tap : nil
      ).values
      twinLogits = try model.run(TokenBatch([token]), from: &twin).values
      record([token], loop.lastPiece)
    }
    loop.finish(emit)
    (tokens, text) = (loop.tokens, loop.text)
    edits = bound.summaries
    state = continuation == .twin && loop.tokens.count >= steeredTokens ? twin : own
  }

  /// The mean contamination over the first tokens after steering; nil if there were none.
  package func meanContamination(over count: Int) -> Double? {
    let first = contamination.prefix(count)
    return first.isEmpty ? nil : first.reduce(0, +) / Double(first.count)
  }
}
