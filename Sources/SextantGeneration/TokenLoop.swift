import SextantBytes
import SextantModels
import SextantTensor
import SextantTokenizers

/// The options of a generation.
package struct GenerationOptions: Sendable {
  /// Tokens to generate at most.
  package var tokenCount: Int
  /// How tokens are chosen.
  package var sampling: SamplingOptions
  /// Stop at the token that ends a text.
  package var stopsAtEnd: Bool

  /// Run the last token too, so that the state has read all of the text and can be continued.
  package var completesState: Bool

  /// Texts that end the text before them.
  package var stops = StopTexts()
  /// Further tokens that end a text, in addition to those of the tokenizer.
  package var endIDs: [Int] = []
  /// The number of tokens before which no token ends the text.
  package var minimumCount = 0

  /// Creates options.
  package init(
    tokenCount: Int = 64, sampling: SamplingOptions, stopsAtEnd: Bool = true,
    completesState: Bool = false
  ) {
    self.tokenCount = tokenCount
    self.sampling = sampling
    self.stopsAtEnd = stopsAtEnd
    self.completesState = completesState
  }
}

extension Generation {
  /// Why a text ended.
  public enum Ending: String, Sendable {
    /// It has the requested number of tokens.
    case count
    /// The model chose the token that ends a text.
    case endOfText
    /// The text came to one of the texts that it was to stop at.
    case stopText
    /// An intervention ended it.
    case intervention
    /// The task that made it was cancelled.
    case cancelled
  }
}

/// The token loop of one text: chooses one token after the other until the text ends.
///
/// The caller reads the tokens, so that one loop supports every way to read them: with
/// interventions, with a twin, or as one row of a batch.
struct TokenLoop {
  private let options: GenerationOptions
  private let tokenizer: any Tokenizer
  private var sampler: Sampler
  private var decoder: StreamingDecoder
  private var stops: StopTexts
  /// The tokens that were chosen.
  private(set) var tokens: [Int] = []
  /// Their text, as far as it is complete UTF-8.
  private(set) var text = ""
  /// The text that the last token added.
  private(set) var lastPiece = ""
  /// Why the text ended; nil while it continues.
  private(set) var ending: Generation.Ending?
  /// When the first and the last token were chosen.
  private var chosenAt: (first: ContinuousClock.Instant, last: ContinuousClock.Instant)?

  /// A text without tokens, after a prompt.
  init(_ tokenizer: any Tokenizer, _ options: GenerationOptions, continuing prompt: [Int]) {
    self.options = options
    self.tokenizer = tokenizer
    sampler = Sampler(options.sampling, continuing: prompt)
    decoder = StreamingDecoder(tokenizer, continuing: true)
    stops = options.stops
    if options.tokenCount <= 0 { ending = .count }
  }

  /// Whether the text has the requested number of tokens: no further one is chosen.
  var isFull: Bool { tokens.count >= options.tokenCount }

  /// Tokens chosen per second, after the first; nil for fewer than two tokens.
  var tokensPerSecond: Double? {
    guard tokens.count > 1, let (first, last) = chosenAt else { return nil }
    let (seconds, attoseconds) = first.duration(to: last).components
    let elapsed = Double(seconds) + Double(attoseconds) * 1e-18
    return elapsed > 0 ? Double(tokens.count - 1) / elapsed : nil
  }

  /// Chooses the next token, unless the text ends here.
  ///
  /// - Parameters:
  ///   - logits: the prediction after all tokens so far, [V].
  ///   - emit: receives text as soon as it is complete UTF-8.
  /// - Throws: `model.nonfinite`.
  mutating func choose(
    from logits: [Float], _ emit: (String) -> Void
  ) throws(Refusal) -> Int? {
    if isFull { ending = ending ?? .count }
    if ending != nil { return nil }
    let isShort = tokens.count < options.minimumCount
    let token = try sampler.choose(logits, excluding: isShort ? endIDs : [])
    if endsText(token) {
      ending = .endOfText
      return nil
    }
    let now = ContinuousClock.now
    chosenAt = (chosenAt?.first ?? now, now)
    tokens.append(token)
    lastPiece = decoder.append(token)
    add(lastPiece, emit)
    if isFull { ending = ending ?? .count }
    return token
  }

  /// Ends the text for a reason from outside.
  mutating func end(_ reason: Generation.Ending) { ending = reason }

  /// Hands out the bytes that no token completed.
  mutating func finish(_ emit: (String) -> Void) {
    add(decoder.flush(), emit)
    if ending != .stopText { show(stops.finish(), emit) }
  }

  /// Whether a token ends the text, and is not part of it.
  private func endsText(_ token: Int) -> Bool { endIDs.contains(token) }

  /// The tokens that end the text.
  private var endIDs: [Int] {
    options.endIDs + (options.stopsAtEnd ? tokenizer.endOfTextIDs : [])
  }

  private mutating func add(_ piece: String, _ emit: (String) -> Void) {
    if ending == .stopText { return }
    let (shown, isFound) = stops.append(piece)
    show(shown, emit)
    if isFound { ending = .stopText }
  }

  private mutating func show(_ piece: String, _ emit: (String) -> Void) {
    text += piece
    if !piece.isEmpty { emit(piece) }
  }
}
