import SextantGeneration
import SextantModels
import SextantTensor

/// The figures that a request wants of its tokens.
struct ScoreWish: Sendable {
  /// Scores of the prompt's tokens.
  var ofPrompt = false
  /// Scores of generated tokens.
  var ofTokens = false
  /// Most probable tokens at each place.
  var top = 0
}

/// How a text uses the prefix cache.
struct CacheUse: Sendable {
  /// The tree; equal keys have equal states after equal tokens.
  var key: String
  /// Tokens of the prompt that belong to the tree at most: those before the first edit of another text.
  var most: Int
  /// Whether the answer belongs to the tree, too.
  var takesAnswer: Bool
  /// Places of the prompt, such as ends of messages, after which the state is kept.
  var boundaries: [Int] = []
}

/// A text that is bound to its artifacts, and can start.
struct PreparedText {
  /// The run.
  var run: GenerationRun
  /// How it uses the cache; nil for not at all.
  var cacheUse: CacheUse?
}

/// One text of a request while the engine makes it.
///
/// It is made by the request's task, and then belongs to the engine's thread.
final class ServedText: RunFollower, @unchecked Sendable {
  /// The place among the request's texts.
  let index: Int
  /// The ids of the prompt.
  let prompt: [Int]
  /// The run; nil until the text is prepared.
  private var prepared: PreparedText?
  private let prepare: () throws(ServingError) -> PreparedText
  private let wish: ScoreWish
  private let isRecorded: Bool
  /// The text whose reading of the same prompt this one continues; nil to read by itself.
  let source: ServedText?

  private weak var cache: PrefixCache?
  private var tokens32: [Int32] = []
  private var cuts: [Int] = []
  private var promptScores: [TokenScore] = []
  private var promptTokens: [ScoredToken] = []
  private var tokenScores: [TokenScore] = []
  /// Tokens that were chosen and not told yet: several in one step, if the prompt was read in it.
  private var chosen: [GeneratedToken] = []
  private var prediction: Tensor?
  private var cachedCount = 0
  /// The number of tokens of each edit in the part of the prompt that another text has read; empty for none.
  private var skippedCounts: [Int] = []
  private var hasToldPrompt = false
  /// Tokens of the prompt of which the reader was told that they were read.
  private var toldCount = 0
  private var toldBytes = 0
  /// The state and the prediction after the prompt, while other texts wait for them.
  private(set) var afterPrompt: Snapshot?
  /// Texts that wait for `afterPrompt`.
  var dependents = 0
  /// Whether the text has ended or was dropped.
  var isOver = false
  /// The branch of a run that the text is; nil for the texts of other requests.
  var branch: Branch?
  /// Since when the text rests; nil while it does not.
  var restingSince: ContinuousClock.Instant?

  init(
    index: Int, _ prompt: [Int], _ wish: ScoreWish, isRecorded: Bool, source: ServedText?,
    _ prepare: @escaping () throws(ServingError) -> PreparedText
  ) {
    (self.index, self.prompt, self.wish) = (index, prompt, wish)
    (self.isRecorded, self.source, self.prepare) = (isRecorded, source, prepare)
    source?.dependents += 1
  }

  /// A text whose run is there already.
  convenience init(
    index: Int, _ prompt: [Int], _ run: GenerationRun, _ wish: ScoreWish, isRecorded: Bool,
    cacheUse: CacheUse?, source: ServedText?
  ) {
    self.init(index: index, prompt, wish, isRecorded: isRecorded, source: source) {
      PreparedText(run: run, cacheUse: cacheUse)
    }
    prepared = PreparedText(run: run, cacheUse: cacheUse)
  }

  /// Binds the text to its artifacts, unless that was done. Until then it takes no memory.
  @discardableResult
  func run() throws(ServingError) -> GenerationRun {
    if let prepared { return prepared.run }
    let own = try prepare()
    prepared = own
    return own.run
  }

  /// Whether the reading that the text continues is done.
  var sourceIsRead: Bool { source.map { $0.isOver || $0.afterPrompt != nil } ?? true }

  // MARK: A beginning that several texts share

  /// Tokens that must be left to be read, so that waiting for another text is worth it.
  private static let leastShared = 8
  /// The text whose reading this one waits for, and the number of tokens that both share.
  private var awaited: (reader: ServedText, count: Int)?

  /// Whether the text is to wait, because another one is about to read a beginning that both share. The
  /// other one keeps its state there.
  func awaits(_ readers: some Sequence<ServedText>) -> Bool {
    if let (reader, count) = awaited, reader.isReading(before: count) { return true }
    awaited = nil
    // A text that cannot be prepared is refused when it starts.
    guard (try? run()) != nil, let use = prepared?.cacheUse, findsSnapshots else { return false }
    var most = 0
    for reader in readers {
      let count = reader.countToShare(with: self, use)
      if count > most { (most, awaited) = (count, (reader, count)) }
    }
    awaited?.reader.keepState(after: most)
    return awaited != nil
  }

  /// Whether the figures of the cache are all that is wanted: it has no more than one token at each place.
  private var findsSnapshots: Bool { !wish.ofPrompt || wish.top <= 1 }

  /// Whether it is reading its prompt, and has not come to that place.
  private func isReading(before count: Int) -> Bool {
    guard let run = prepared?.run, !isOver, restingSince == nil else { return false }
    return !run.hasReadPrompt && run.readCount < count
  }

  /// The number of tokens that another text can take over from this one when it has read them; 0 for too few.
  private func countToShare(with other: ServedText, _ use: CacheUse) -> Int {
    guard let own = prepared?.cacheUse, own.key == use.key, wish.ofPrompt || !other.wish.ofPrompt
    else { return 0 }
    let count = min(commonCount(prompt, other.prompt), own.most, use.most)
    return isReading(before: count - Self.leastShared + 1) ? count : 0
  }

  private func keepState(after count: Int) {
    guard !cuts.contains(count) else { return }
    cuts = (cuts + [count]).sorted()
  }

  /// Lets the run continue what was read before, as far as possible, before it is added to the batch.
  ///
  /// - Returns: tokens that need not be read.
  func start(_ run: GenerationRun, _ cache: PrefixCache) -> Int {
    let cacheUse = prepared?.cacheUse
    run.follower = self
    if wish.ofPrompt || cacheUse != nil {
      promptScores = Array(repeating: .unknown, count: prompt.count)
    }
    defer { source?.releaseDependent() }
    if let source, let after = source.afterPrompt {
      run.skip(prompt.count, after.state, prediction: after.prediction)
      skippedCounts = after.editedCounts
      (promptTokens, promptScores) = (source.promptTokens, source.promptScores)
      cachedCount = source.cachedCount
      return prompt.count
    }
    guard let cacheUse else {
      noteFirst()
      return 0
    }
    self.cache = cache
    tokens32 = prompt.map { Int32($0) }
    let isScored = wish.ofPrompt
    let most = findsSnapshots ? cacheUse.most : 0
    let found = cache.find(tokens32, key: cacheUse.key, most: most, needsScores: isScored)
    setCuts(cacheUse, after: found.count, junction: found.matched, isScored: isScored)
    noteFirst()
    guard let snapshot = found.snapshot else { return 0 }
    promptScores.replaceSubrange(0..<found.count, with: found.scores)
    if isScored {
      promptTokens += (1..<found.count).map {
        Scoring.token(prompt[$0], found.scores[$0], top: wish.top)
      }
      // The token after the snapshot is scored by the prediction that was kept with it.
      scorePrompt(found.count..<min(found.count + 1, prompt.count), by: snapshot.prediction)
    }
    cachedCount = found.count
    skippedCounts = snapshot.editedCounts
    run.skip(found.count, snapshot.state, prediction: snapshot.prediction)
    return found.count
  }

  private func noteFirst() {
    if wish.ofPrompt, let first = prompt.first { promptTokens = [ScoredToken(id: first)] }
  }

  /// Tokens at the end of a scored prompt that are taken for an answer: other answers to the same question follow.
  private static let answerCount = 12

  /// The places after which the state is kept: where this prompt leaves others, ends of messages, every 256
  /// tokens, and the end.
  private func setCuts(_ use: CacheUse, after start: Int, junction: Int, isScored: Bool) {
    let most = min(use.most, prompt.count)
    let step = max(256, prompt.count / 64 / 64 * 64)
    var places = Set(stride(from: step, to: prompt.count, by: step))
    places.formUnion(use.boundaries)
    places.formUnion([junction, most, prompt.count])
    if isScored {
      // Most answers are short. Before longer ones, the state is kept where the reading pauses anyway.
      let pause = (prompt.count - 1) / GenerationBatch.pieceLength * GenerationBatch.pieceLength
      places.formUnion([
        prompt.count - 1 - Self.answerCount, pause, pause - GenerationBatch.pieceLength,
      ])
    }
    cuts = places.filter { $0 > start && $0 <= most }.sorted()
  }

  private func releaseDependent() {
    dependents -= 1
    if dependents == 0 { afterPrompt = nil }
  }

  /// The text has ended or was dropped: its state is not needed any more.
  func finish() {
    isOver = true
    prepared = nil
    prediction = nil
  }

  // MARK: While the prompt is read

  func cut(after count: Int) -> Int? { cuts.first { $0 > count } }

  func wantsPredictions(after tokens: Range<Int>) -> Bool { wish.ofPrompt }

  func didReadPrompt(_ tokens: Range<Int>, _ predictions: Tensor, _ state: State) {
    if wish.ofPrompt {
      let scored = tokens.lowerBound + 1..<min(tokens.upperBound + 1, prompt.count)
      scorePrompt(scored, by: predictions.rows(0..<scored.count))
    }
    let isEnd = tokens.upperBound == prompt.count
    let isKept = cache != nil && cuts.contains(tokens.upperBound)
    guard isKept || (isEnd && dependents > 0) else { return }
    let last = predictions.shape[0] - 1
    let snapshot = Snapshot(
      state: state, prediction: Tensor.concatenated([predictions.rows(last..<last + 1)]),
      editedCounts: prepared.map { editedCounts($0.run) } ?? [])
    if isEnd, dependents > 0 { afterPrompt = snapshot }
    guard isKept, let cacheUse = prepared?.cacheUse else { return }
    cache?.insert(
      Array(tokens32[..<tokens.upperBound]), Array(promptScores[..<tokens.upperBound]),
      key: cacheUse.key, snapshot)
  }

  private func scorePrompt(_ places: Range<Int>, by predictions: Tensor) {
    guard !places.isEmpty else { return }
    let rows = predictions.reshaped([places.count, predictions.count / places.count])
    let scores = Scoring.scores(of: Array(prompt[places]), rows, top: wish.top)
    for (place, own) in zip(places, scores) {
      promptScores[place] = own.score
      promptTokens.append(own.token)
    }
  }

  // MARK: While tokens are generated

  func didPredict(_ logits: Tensor) {
    prediction = logits
    branch?.didPredict(logits)
  }

  func didChoose(_ token: Int) {
    var own = GeneratedToken(id: token, text: "", score: nil, record: nil)
    if let run = prepared?.run { own.text = newText(run) }
    if wish.ofTokens, let prediction {
      let scored = Scoring.scores(
        of: [token], prediction.reshaped([1, prediction.count]), top: wish.top)[0]
      tokenScores.append(scored.score)
      own.score = scored.token
    }
    chosen.append(own)
  }

  /// What is new since the last call.
  ///
  /// - Parameter record: of a token that was read in the last step.
  func news(_ run: GenerationRun, _ record: TokenRecord?) -> [TextEvent] {
    var events: [TextEvent] = []
    if branch != nil, !run.hasReadPrompt, run.readCount > toldCount {
      toldCount = run.readCount
      events.append(.reading(text: index, read: toldCount))
    }
    if !hasToldPrompt, run.hasReadPrompt {
      hasToldPrompt = true
      events.append(
        .prompt(text: index, tokens: promptTokens, records: run.prompt, cached: cachedCount))
      promptTokens = dependents > 0 ? promptTokens : []
    }
    if isRecorded {
      // A token is told when it was read, with what was seen there.
      guard let record, !chosen.isEmpty else { return events }
      var token = chosen.removeFirst()
      (token.text, token.record) = (record.text, record)
      return events + [.token(text: index, token)]
    }
    events += chosen.map { .token(text: index, $0) }
    chosen = []
    return events
  }

  /// The last event.
  func end(_ run: GenerationRun) -> TextEvent {
    .end(
      text: index,
      EndedText(
        // A record's text has what was held back.
        rest: isRecorded ? "" : newText(run), ending: run.ending ?? .count, count: run.tokens.count,
        edits: zip(run.edits, editedCounts(run)).map { edit, count in
          EditedTokens(item: edit.item, strength: edit.strength, count: count)
        }))
  }

  /// The number of edited tokens of each edit so far, those included that another text has read.
  private func editedCounts(_ run: GenerationRun) -> [Int] {
    let counts = run.edits.map(\.tokens)
    guard skippedCounts.count == counts.count else { return counts }
    return zip(counts, skippedCounts).map { $0 + $1 }
  }

  /// Whether something edits the text.
  var isSteered: Bool { prepared?.run.edits.isEmpty == false }

  /// The text that was shown since the last call.
  private func newText(_ run: GenerationRun) -> String {
    let text = run.textSoFar.utf8
    defer { toldBytes = text.count }
    return String(decoding: text.dropFirst(toldBytes), as: UTF8.self)
  }

  /// Keeps the state after the answer, so that the conversation goes on from there.
  func keepAnswer(_ run: GenerationRun) {
    guard let cache, let cacheUse = prepared?.cacheUse, cacheUse.takesAnswer, let prediction,
      run.ending != .cancelled
    else { return }
    let count = run.state.position
    guard count > prompt.count else { return }
    let ids = tokens32 + run.tokens.map { Int32($0) }
    let unknown = Array(
      repeating: TokenScore.unknown,
      count: max(0, ids.count - promptScores.count - tokenScores.count))
    cache.insert(
      Array(ids.prefix(count)), Array((promptScores + tokenScores + unknown).prefix(count)),
      key: cacheUse.key,
      Snapshot(
        state: run.state,
        prediction: Tensor.concatenated([prediction.reshaped([1, prediction.count])]),
        editedCounts: editedCounts(run)))
  }
}
