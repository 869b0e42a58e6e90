import SextantBytes
import SextantGeneration
import SextantModels

extension LoadedModel {
  /// Continues a text.
  ///
  ///     let text = try model.generate("The film was", count: 32, temperature: 0).text()
  ///
  ///     let run = try model.generate("The film was", with: [.steer(joy, strength: 2)])
  ///     for try await token in run { print(token.text, token.edits.count) }
  ///
  /// Everything is checked before this function returns. A token is generated when the caller asks the run
  /// for it.
  /// The same seed makes the same text. The defaults are those of `sextant generate`.
  ///
  /// - Parameters:
  ///   - count: tokens to generate at most.
  ///   - temperature: logits are divided by it; 0 takes the most probable token.
  ///   - topK: choose among this number of most probable tokens; 0 for all.
  ///   - topP: choose among the most probable tokens whose probabilities add up to it.
  ///   - minP: choose among tokens whose probability is at least this share of the largest one.
  ///   - repetitionPenalty: reduces the probability of tokens that the text already contains; 1
  ///     changes nothing.
  ///   - stops: texts that end the text before them.
  ///   - stopsAtEnd: whether the token that ends a text ends it.
  ///   - interventions: the items that act on the run, in this order.
  ///   - state: the state to continue from; nil for the beginning of a text.
  /// - Throws: `model.tokenizer` for a model without one; `usage.option` for an argument out of
  ///   range and a prompt without tokens; the errors of `Interventions`.
  public func generate(
    _ prompt: String, count: Int = 64, temperature: Float = 0.8, topK: Int = 0, topP: Float = 1,
    minP: Float = 0, repetitionPenalty: Float = 1, seed: UInt64 = 0,
    stoppingAt stops: [String] = [],
    stopsAtEnd: Bool = true, with interventions: Interventions = [], from state: State? = nil
  ) throws(Refusal) -> GenerationRun {
    var options = GenerationOptions(
      tokenCount: count,
      sampling: try SamplingOptions(
        temperature: temperature, topK: topK, topP: topP, minP: minP,
        repetitionPenalty: repetitionPenalty, seed: seed),
      stopsAtEnd: stopsAtEnd)
    options.stops = try StopTexts(stops + answerStops)
    return try Generator(model, textTokenizer(), applying: interventions).start(
      ids(of: prompt, continuing: state), from: state, options)
  }
}
