import SextantArtifacts
import SextantBytes
import SextantModels
import SextantTensor
import SextantTokenizers

/// What to generate.
public struct GenerationOptions: Sendable {
  /// Tokens to generate at most.
  public var tokenCount: Int
  /// How tokens are chosen.
  public var sampling: SamplingOptions
  /// Stop at the token that ends a text.
  public var stopsAtEnd: Bool

  /// Run the last token too, so that the state has read all of the text and can be continued.
  public var completesState: Bool

  /// Creates options.
  public init(
    tokenCount: Int = 64, sampling: SamplingOptions, stopsAtEnd: Bool = true,
    completesState: Bool = false
  ) {
    self.tokenCount = tokenCount
    self.sampling = sampling
    self.stopsAtEnd = stopsAtEnd
    self.completesState = completesState
  }
}

/// What was generated.
public struct Generation: Sendable {
  /// The generated token ids, without the prompt.
  public var tokens: [Int] = []
  /// The text of the generated tokens.
  public var text = ""
  /// Tokens of the prompt.
  public var promptCount = 0
  /// What each applied vector edited, and how strongly.
  public var steered: [SteeringSummary] = []
  /// The state after the last token that was run: the one before the last of `tokens`, unless
  /// `completesState` was asked for or somebody observed.
  public var state: State
  /// Whether an observer ended the text.
  public var wasStopped = false
}

/// The token loop: reads a prompt, then chooses one token after the other.
public struct Generator {
  private let model: any LanguageModel
  private let tokenizer: any Tokenizer
  private let applied: [AppliedVector]
  private let erasers: [AppliedEraser]
  private let observers: [any GenerationObserver]

  /// Generates with a model, steering vectors and then erasers that are applied in this order, and
  /// observers that read along, after the artifacts have edited a value. Observers are those of one
  /// text at a time.
  public init(
    _ model: any LanguageModel, _ tokenizer: any Tokenizer, applying applied: [AppliedVector] = [],
    erasing erasers: [AppliedEraser] = [], observing observers: [any GenerationObserver] = []
  ) {
    self.model = model
    self.tokenizer = tokenizer
    self.applied = applied
    self.erasers = erasers
    self.observers = observers
  }

  /// Continues a prompt.
  ///
  /// - Parameters:
  ///   - prompt: token ids, at least one.
  ///   - state: where to continue from; nil for an empty state.
  ///   - emit: receives text as soon as it is complete UTF-8.
  /// - Throws: `artifact.*` for a vector that does not fit, `usage.nothing-steered` when one with a
  ///   strength other than 0 selects no token of the run; both before anything runs. `model.*`.
  public func generate(
    _ prompt: [Int], from state: State? = nil, _ options: GenerationOptions,
    emit: (String) -> Void = { _ in }
  ) throws(FormatError) -> Generation {
    guard !prompt.isEmpty else {
      throw FormatError(
        .usageOption, at: .option("--prompt"), found: "no tokens", expected: "at least one")
    }
    var state = state ?? model.initialState()
    let range = state.position..<state.position + prompt.count
    try checkPositions(range, options)
    let taps = try SteeringTaps(
      applied, on: prompt, from: state, model: model, tokenizer: tokenizer.digest)
    var claims = ExclusiveSites("an eraser")
    let erasing = try erasers.map { item throws(FormatError) in
      let tap = try EraserTap(
        item, model: model.description, tokenizer: tokenizer.digest, prompt: range)
      let (sites, positions) = tap.exclusiveSites
      try claims.claim(sites, at: positions, prompt: range, by: item.eraser.file)
      return tap
    }
    let chain: [any Tap] = taps.gates + taps.taps + erasing + observers
    let tap: (any Tap)? = chain.isEmpty ? nil : TapChain(chain)
    var result = Generation(state: state)
    result.promptCount = prompt.count
    var sampler = Sampler(options.sampling, continuing: prompt)
    var decoder = StreamingDecoder(tokenizer, continuing: true)
    var logits = try model.run(TokenBatch(prompt), from: &state, tap: tap)  // [1, 1, V]
    result.wasStopped = try tell(prompt, before: state, prompt: range, logits)
    while result.tokens.count < options.tokenCount, !result.wasStopped {
      let token = try sampler.choose(logits.values)
      if options.stopsAtEnd, tokenizer.endOfTextIDs.contains(token) { break }
      result.tokens.append(token)
      let text = decoder.append(token)
      result.text += text
      if !text.isEmpty { emit(text) }
      let isLast = result.tokens.count == options.tokenCount
      if isLast && !readsLast(options) { break }
      logits = try model.run(TokenBatch([token]), from: &state, tap: tap)
      result.wasStopped = try tell([token], before: state, prompt: range, logits)
    }
    let rest = decoder.flush()
    result.text += rest
    if !rest.isEmpty { emit(rest) }
    result.state = state
    result.steered = taps.summaries
    return result
  }

  /// Whether the last generated token is read, too.
  private func readsLast(_ options: GenerationOptions) -> Bool {
    options.completesState || !observers.isEmpty
  }

  /// Tells every observer of tokens that were read last; whether one of them wants to stop.
  private func tell(
    _ tokens: [Int], before state: State, prompt: Range<Int>, _ logits: Tensor
  ) throws(FormatError) -> Bool {
    guard !observers.isEmpty else { return false }
    let step = GenerationStep(
      tokens: tokens, positions: state.position - tokens.count..<state.position, prompt: prompt,
      logits: logits.reshaped([logits.count]))
    var stops = false
    for observer in observers {
      if case .stop = try observer.didRead(step) { stops = true }
    }
    return stops
  }

  /// Refuses a vector that no token of this run could meet: a mistake in the positions must not look
  /// like a vector without effect. A text that ends early is no mistake.
  private func checkPositions(
    _ prompt: Range<Int>, _ options: GenerationOptions
  ) throws(FormatError) {
    let count = max(options.tokenCount - (readsLast(options) ? 0 : 1), 0)
    let (end, overflow) = prompt.upperBound.addingReportingOverflow(count)
    let tokens = prompt.lowerBound..<(overflow ? Int.max : end)
    for item in applied where item.options.strength != 0 {
      let positions = item.options.positions ?? item.vector.positions
      let parts = positions.parts + (item.options.statePositions?.parts ?? [])
      guard PositionSelection(parts).selectsAny(of: tokens, prompt: prompt) else {
        throw FormatError(
          .usageNothingSteered, file: item.vector.file, found: "no token at positions \(positions)",
          expected: "at least one token to steer")
      }
    }
  }
}
