import SextantArtifacts
import SextantBytes
import SextantModels
import SextantTensor
import SextantTokenizers

/// Text that is steered for a while, beside a clean twin: a second state that reads the same tokens and
/// is never steered.
///
/// A recurrent state remembers having been steered. When steering ends, the text goes on from the
/// twin, as if nothing but the chosen tokens had happened; how far the steered state's predictions
/// stay away from the twin's is measured on the same tokens.
public struct ShadowGeneration: Sendable {
  /// The generated token ids, without the prompt.
  public private(set) var tokens: [Int] = []
  /// The text of the generated tokens.
  public private(set) var text = ""
  /// Of the tokens, the first so many were chosen by the steered model.
  public private(set) var steeredCount = 0
  /// After steering ended, at each choice: the divergence of the steered-then-off prediction from the
  /// never steered one, in nats. The first is at the first choice without steering.
  public private(set) var contamination: [Double] = []
  /// What each applied vector edited.
  public let steered: [SteeringSummary]
  /// The state that the text goes on from: the twin's, once steering has ended.
  public private(set) var state: State

  /// What the text goes on from when steering ends.
  public enum Continuation: String, Sendable, CaseIterable {
    /// The clean twin: no residue.
    case twin
    /// The steered state, to see its residue.
    case steered
  }

  /// Generates text.
  ///
  /// - Parameters:
  ///   - prompt: token ids, at least one; the steered model reads it steered, the twin does not.
  ///   - steeredTokens: tokens that are chosen under steering.
  ///   - options: as for any text; `tokenCount` counts all tokens.
  ///   - continuation: what goes on.
  ///   - emit: receives text as soon as it is complete UTF-8.
  /// - Throws: as `Generator.generate`.
  public init(
    _ model: any LanguageModel, _ tokenizer: any Tokenizer, applying applied: [AppliedVector],
    to prompt: [Int], steeredTokens: Int, _ options: GenerationOptions,
    goingOnFrom continuation: Continuation = .twin, emit: (String) -> Void = { _ in }
  ) throws(FormatError) {
    guard !prompt.isEmpty else {
      throw FormatError(
        .usageOption, at: .option("--prompt"), found: "no tokens", expected: "at least one")
    }
    var (own, twin) = (model.initialState(), model.initialState())
    let taps = try SteeringTaps(
      applied, on: prompt, from: own, model: model, tokenizer: tokenizer.digest)
    let tap: (any Tap)? = taps.taps.isEmpty ? nil : TapChain(taps.taps)
    var sampler = Sampler(options.sampling, continuing: prompt)
    var decoder = StreamingDecoder(tokenizer, continuing: true)
    var ownLogits = try model.run(TokenBatch(prompt), from: &own, tap: tap).values
    var twinLogits = try model.run(TokenBatch(prompt), from: &twin).values
    var made: [Int] = []
    var all = ""
    while made.count < options.tokenCount {
      let isSteered = made.count < steeredTokens
      if !isSteered {
        contamination.append(
          LogProbabilities(twinLogits).divergence(of: LogProbabilities(ownLogits)))
      }
      let usesOwn = isSteered || continuation == .steered
      let token = try sampler.choose(usesOwn ? ownLogits : twinLogits)
      if options.stopsAtEnd, tokenizer.endOfTextIDs.contains(token) { break }
      made.append(token)
      let piece = decoder.append(token)
      all += piece
      if !piece.isEmpty { emit(piece) }
      // The last token chosen under steering is not read under it: its reading makes the next choice.
      let readsSteered = made.count < steeredTokens
      ownLogits = try model.run(TokenBatch([token]), from: &own, tap: readsSteered ? tap : nil)
        .values
      twinLogits = try model.run(TokenBatch([token]), from: &twin).values
    }
    let rest = decoder.flush()
    all += rest
    if !rest.isEmpty { emit(rest) }
    (tokens, text) = (made, all)
    steeredCount = min(steeredTokens, made.count)
    steered = taps.summaries
    state = continuation == .twin && made.count >= steeredTokens ? twin : own
  }

  /// The mean contamination over the first tokens after steering; nil where there were none.
  public func meanContamination(over count: Int) -> Double? {
    let first = contamination.prefix(count)
    return first.isEmpty ? nil : first.reduce(0, +) / Double(first.count)
  }
}
