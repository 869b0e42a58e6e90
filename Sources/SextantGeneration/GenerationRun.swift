import SextantBytes
import SextantModels
import SextantTensor
import SextantTokenizers

/// A text while it is generated: a sequence of its tokens, each chosen and read when it is asked for.
///
///     let run = try model.generate("Once upon a time", count: 32)
///     for try await token in run { print(token.text, terminator: "") }
///     print(run.ending ?? .count, run.edits)
///
/// The texts of the tokens, joined, are the text of the run. The run can be iterated once; its
/// results so far can be read at any time. If the task is cancelled, the run ends before the next
/// token, with the ending `cancelled`.
public final class GenerationRun {
  private let model: any LanguageModel
  private var interventions: BoundInterventions
  /// What interventions are bound to.
  private let bound: BoundRun
  private let promptIDs: [Int]
  /// The positions of the tokens that count as the prompt for edits and observers.
  private let promptRange: Range<Int>
  private let readsLast: Bool
  private var loop: TokenLoop
  private var recorder: TokenRecorder?
  private var progress = Progress.prompt(0)
  /// The text that the last chosen token, or the end of the text, added.
  private var shown = ""
  /// The prediction after the prompt, [V], if it was known before anything was read.
  private var knownPrediction: Tensor?
  /// Sees the predictions and the states of a row of a batch.
  package weak var follower: (any RunFollower)?

  /// The prompt's tokens, with the actions of edits and reporters at each of them. Empty until the
  /// first token of the text is requested.
  public private(set) var prompt: [TokenRecord] = []
  /// The state that has read everything so far. After a refusal it is incomplete; discard it.
  public internal(set) var state: State

  /// The next step.
  private enum Progress {
    /// This many tokens of the prompt were read.
    case prompt(Int)
    case read(token: Int, piece: String, shown: String)
    case ended
    case failed(Refusal)
  }

  /// Binds interventions to a run; nothing is read yet.
  ///
  /// - Parameters:
  ///   - isRecorded: whether records of tokens are made.
  ///   - contextCount: the number of tokens of the prompt after which edits take the others for generated
  ///     ones; nil for none of these.
  init(
    _ generator: Generator, _ prompt: [Int], from state: State?, _ options: GenerationOptions,
    isRecorded: Bool, contextCount: Int? = nil
  ) throws(Refusal) {
    guard !prompt.isEmpty else {
      throw Refusal(
        .usageOption, at: .parameter("prompt"), found: "no tokens", expected: "at least one")
    }
    let (model, tokenizer) = (generator.model, generator.tokenizer)
    let state = state ?? model.initialState()
    readsLast = options.completesState || generator.interventions.observes
    let context = contextCount.map { Swift.min(Swift.max($0, 1), prompt.count) } ?? prompt.count
    bound = BoundRun(
      model, tokenizer: tokenizer.digest, prompts: [Array(prompt.prefix(context))], from: state,
      readingAfter: prompt.count - context
        + Swift.max(options.tokenCount - (readsLast ? 0 : 1), 0),
      recordsEdits: isRecorded, textTokenizer: tokenizer)
    interventions = try generator.interventions.bind(to: bound)
    recorder = isRecorded ? TokenRecorder(interventions, tokenizer) : nil
    loop = TokenLoop(tokenizer, options, continuing: prompt)
    promptIDs = prompt
    promptRange = state.position..<state.position + context
    self.model = model
    self.state = state
  }

  /// The ids of the tokens so far, without the prompt.
  public var tokens: [Int] { loop.tokens }

  /// The text so far, without the prompt.
  public var textSoFar: String { loop.text }

  /// The edits of each editing intervention so far, and their strength.
  public var edits: [EditSummary] { interventions.summaries }

  /// Why the text ended; nil while it continues.
  public var ending: Generation.Ending? {
    if case .ended = progress { loop.ending } else { nil }
  }

  /// Chooses and reads the next token.
  ///
  /// - Returns: the token, and the actions of edits and reporters when it was read; nil at the end.
  /// - Throws: `model.*`, and the errors of taps and observers. A run that was refused throws the
  ///   same refusal again.
  public func next() throws(Refusal) -> TokenRecord? {
    if case .prompt = progress { prompt += try advance() ?? [] }
    let own = shownText
    return record(of: try advance(), showing: own)
  }

  /// The text that the token to be read next added; nil if there is none.
  private var shownText: String? {
    if case .read(_, _, let shown) = progress { shown } else { nil }
  }

  /// The record of a token of the text.
  ///
  /// - Parameter own: the text that it added when it was chosen.
  private func record(of records: [TokenRecord]?, showing own: String?) -> TokenRecord? {
    guard var record = records?.first, let own else { return nil }
    record.text = own
    // Bytes that no further token completes belong to the last token.
    if case .ended = progress { record.text += shown }
    return record
  }

  /// Generates the rest.
  ///
  /// - Returns: the whole text, the tokens that were asked for before included, and the state after it.
  /// - Throws: as `next`.
  public func finish() throws(Refusal) -> Generation {
    while try next() != nil {}
    return generation
  }

  /// Generates the rest, and returns the whole text.
  ///
  /// - Throws: as `next`.
  public func text() throws(Refusal) -> String { try finish().text }

  /// The result, once the run has ended.
  var generation: Generation {
    Generation(
      generated: GeneratedText(loop, promptCount: promptIDs.count, edits: edits), state: state)
  }

  /// Reads the prompt, or the token that was chosen last, and chooses the next one.
  ///
  /// - Parameter emit: receives text as soon as it is complete UTF-8.
  /// - Returns: records of the tokens that were read, if records are kept; nil at the end.
  func advance(_ emit: (String) -> Void = { _ in }) throws(Refusal) -> [TokenRecord]? {
    try failing { () throws(Refusal) in
      if Task.isCancelled { cancel(emit) }
      if try chooseFromKnown(emit) { return [] }
      guard let tokens = try pending() else { return nil }
      // [1, 1, V]
      let logits = try model.run(TokenBatch(tokens), from: &state, tap: interventions.tap)
      return try didRead(tokens, endingBefore: state.position, logits, emit)
    }
  }

  /// Remembers the error of `body`: a run that was refused throws the same refusal again.
  private func failing<Value>(
    _ body: () throws(Refusal) -> Value
  ) throws(Refusal) -> Value {
    do throws(Refusal) {
      return try body()
    } catch {
      progress = .failed(error)
      throw error
    }
  }

  /// The tokens that are read next: the prompt or what is left of it, or the token that was chosen
  /// last; nil at the end.
  private func pending() throws(Refusal) -> [Int]? {
    switch progress {
    case .ended: nil
    case .failed(let refusal): throw refusal
    case .prompt(let count): Array(promptIDs[count...])
    case .read(let token, _, _): [token]
    }
  }

  /// Ends the text before the next token.
  ///
  /// - Parameter emit: receives text that was held back.
  func cancel(_ emit: (String) -> Void) {
    switch progress {
    case .ended, .failed: return
    case .prompt, .read:
      loop.end(.cancelled)
      end(emit)
    }
  }

  /// Takes note of tokens that were read, and chooses the next one.
  ///
  /// - Parameters:
  ///   - end: the position after them.
  ///   - logits: the prediction after the last of them, of V elements.
  /// - Returns: records of the tokens, if records are kept.
  private func didRead(
    _ tokens: [Int], endingBefore end: Int, _ logits: Tensor, _ emit: (String) -> Void
  ) throws(Refusal) -> [TokenRecord] {
    let piece: String? = if case .read(_, let own, _) = progress { own } else { nil }
    let verdict = try interventions.didRead(
      tokens, endingBefore: end, prompt: promptRange, logits)
    let records = recorder?.records(of: tokens, endingBefore: end, text: piece)
    if case .stop = verdict { loop.end(.intervention) }
    try choose(from: logits, emit)
    return records ?? []
  }

  /// Chooses the next token, unless the text ends.
  private func choose(
    from logits: Tensor, _ emit: (String) -> Void
  ) throws(Refusal) {
    shown = ""
    let count = loop.tokens.count
    follower?.didPredict(logits)
    let token = try loop.choose(from: logits.values) { text in
      shown += text
      emit(text)
    }
    if let token, loop.tokens.count > count { follower?.didChoose(token) }
    guard let token, readsLast || !loop.isFull else { return end(emit) }
    progress = .read(token: token, piece: loop.lastPiece, shown: shown)
  }

  private func end(_ emit: (String) -> Void) {
    shown = ""
    loop.finish { text in
      shown += text
      emit(text)
    }
    progress = .ended
  }
}

// MARK: - As a row of a batch

/// A batch reads prompts in pieces, and one token of each of its rows at a time. A text has the same
/// bits for any other rows beside it, and for any pieces.
extension GenerationRun {
  /// Whether the prompt was read.
  package var hasReadPrompt: Bool { if case .prompt = progress { false } else { true } }

  /// Tokens of the prompt that were read, or skipped.
  package var readCount: Int {
    if case .prompt(let count) = progress { count } else { promptIDs.count }
  }

  /// The token that was chosen last, which is to be read; nil before the first and at the end.
  var token: Int? { if case .read(let token, _, _) = progress { token } else { nil } }

  /// What acts on the row.
  var tap: (any Tap)? { interventions.tap }

  /// Ends the text before the next token.
  package func cancel() { cancel { _ in } }

  /// A part of the prompt that is read at once.
  struct Piece {
    /// The places of its tokens in the prompt.
    let range: Range<Int>
    /// Its tokens.
    let tokens: [Int]
    /// The predictions that are needed.
    let logits: LogitSelection
  }

  /// The part of the prompt that is read next; nil if nothing of it needs to be read.
  ///
  /// A piece ends where the follower wants to see the state. Cuts change no bit. The prompt is one piece if
  /// the model's rotation depends on its length.
  var nextPiece: Piece? {
    guard case .prompt(let done) = progress, done < promptIDs.count else { return nil }
    let cut = follower?.cut(after: done) ?? promptIDs.count
    var end = promptIDs.count
    if !readsWholePrompt {
      let isNear = cut <= done + GenerationBatch.pieceLength + GenerationBatch.pieceSlack
      end = isNear ? cut : done + GenerationBatch.pieceLength
    }
    let wantsAll = follower?.wantsPredictions(after: done..<end) ?? false
    let wantsLast = end == promptIDs.count || end == cut || interventions.observes
    return Piece(
      range: done..<end, tokens: Array(promptIDs[done..<end]),
      logits: wantsAll ? .all : wantsLast ? .last : .none)
  }

  /// Reads a piece of the prompt; after the last piece, chooses the first token.
  func readPrompt() throws(Refusal) {
    try failing { () throws(Refusal) in
      guard try !chooseFromKnown({ _ in }), let piece = nextPiece else { return }
      // [1, S, V]
      let logits = try model.run(
        TokenBatch(piece.tokens), from: &state, logits: piece.logits, tap: interventions.tap)
      try didRead(piece, logits.reshaped([logits.shape[1], logits.shape[2]]))
    }
  }

  /// Takes note of a piece of the prompt that was read together with others; after the last piece, chooses the
  /// first token.
  ///
  /// - Parameters:
  ///   - state: the state after it.
  ///   - predictions: those that were needed, [S, V].
  func didRead(_ piece: Piece, _ state: State, _ predictions: Tensor) throws(Refusal) {
    try failing { () throws(Refusal) in
      self.state = state
      try didRead(piece, predictions)
    }
  }

  private func didRead(_ piece: Piece, _ predictions: Tensor) throws(Refusal) {
    follower?.didReadPrompt(piece.range, predictions, state)
    let rows = predictions.shape[0]
    if piece.range.upperBound == promptIDs.count {
      let last = predictions.rows(rows - 1..<rows)  // [1, V]
      prompt += try didRead(piece.tokens, endingBefore: state.position, last) { _ in }
    } else {
      if interventions.observes {
        let verdict = try interventions.didRead(
          piece.tokens, endingBefore: state.position, prompt: promptRange,
          predictions.rows(rows - 1..<rows), next: promptIDs[piece.range.upperBound])
        if case .stop = verdict { loop.end(.intervention) }
      }
      prompt +=
        recorder?.records(of: piece.tokens, endingBefore: state.position, text: nil) ?? []
      progress = .prompt(piece.range.upperBound)
    }
  }

  /// Whether the prompt cannot be read in pieces, nor continued from a state in its middle.
  package var readsWholePrompt: Bool { model.description.rotationLength != nil }

  /// The number of tokens of the prompt that are read as without interventions.
  package var plainCount: Int {
    readsWholePrompt ? 0 : interventions.plainCount(of: promptIDs, prompt: promptRange)
  }

  /// Continues after a part of the prompt that was read before, instead of reading it.
  ///
  /// - Parameters:
  ///   - count: tokens of the prompt that `state` has read, under the same interventions.
  ///   - prediction: the prediction after them, [V]; needed if they are the whole prompt.
  package func skip(_ count: Int, _ state: State, prediction: Tensor) {
    guard case .prompt(0) = progress, !readsWholePrompt else { return }
    self.state = state
    progress = .prompt(count)
    knownPrediction = count == promptIDs.count ? prediction : nil
  }

  /// Chooses the first token if the prediction after the prompt is known; whether that is so.
  private func chooseFromKnown(_ emit: (String) -> Void) throws(Refusal) -> Bool {
    guard let logits = knownPrediction, case .prompt(promptIDs.count) = progress else {
      return false
    }
    knownPrediction = nil
    try choose(from: logits, emit)
    return true
  }

  /// Changes what acts on the text, from the next token that is read on. The positions of edits are counted
  /// as from the beginning of the run; the summaries of `edits` begin anew.
  ///
  /// - Throws: the errors of `Interventions.bind`; then nothing has changed.
  package func change(_ new: Interventions) throws(Refusal) {
    interventions = try new.bind(to: bound)
    if let tokenizer = bound.textTokenizer {
      recorder = recorder.map { _ in TokenRecorder(interventions, tokenizer) }
    }
  }

  /// Takes note of the token that was read, and chooses the next one.
  ///
  /// - Parameters:
  ///   - result: the prediction after it, [V], or the error of reading it.
  ///   - end: the position after it.
  /// - Returns: the record of the token.
  func didRead(
    _ result: Result<Tensor, Refusal>, endingBefore end: Int
  ) throws(Refusal) -> TokenRecord? {
    try failing { () throws(Refusal) in
      guard let token else { return nil }
      let own = shownText
      return record(
        of: try didRead([token], endingBefore: end, try result.get()) { _ in }, showing: own)
    }
  }
}

extension GenerationRun: AsyncSequence {
  /// Walks through the tokens of a run.
  public struct Iterator: AsyncIteratorProtocol {
    fileprivate let run: GenerationRun

    /// The next token of the run; nil at the end.
    ///
    /// It is computed on the caller's actor, so that taps may use the caller's values. Other tasks
    /// of the same actor can run between two tokens.
    public mutating func next(
      isolation actor: isolated (any Actor)?
    ) async throws(Refusal) -> TokenRecord? {
      await Task.yield()
      return try run.next()
    }
  }

  /// The tokens that are still to come.
  public func makeAsyncIterator() -> Iterator { Iterator(run: self) }
}
