import SextantBytes
import SextantModels
import SextantTensor

/// One of the texts of a run with several prompts, or several samples of a prompt.
package struct SampledText: Sendable {
  /// The place of the prompt among the prompts, from 0.
  package let prompt: Int
  /// The number of the sample, from 0.
  package let sample: Int
  /// The seed of the sample's choices.
  package let seed: UInt64
  /// The text.
  package let generated: GeneratedText
}

/// How many texts are generated from each prompt, and how many together.
package struct BatchOptions: Sendable {
  /// Texts of one run at most.
  static let textLimit = 1 << 24

  /// Texts of each prompt. Sample k uses the seed of the options plus k.
  package var samples: Int
  /// Texts that are continued together at most: memory grows with them, the texts do not depend on it.
  package var batch: Int

  /// Creates options; counts under 1 count as 1.
  package init(samples: Int = 1, batch: Int = 8) {
    (self.samples, self.batch) = (max(samples, 1), max(batch, 1))
  }
}

extension Generator {
  /// Continues several prompts, each with several samples.
  ///
  /// Prompts of one length are read together, and the samples of a prompt share that reading. The
  /// texts are then rows of a batch, and each one is dropped when it ends. A row has the same bits
  /// for any other rows, so that the texts do not depend on the size of the batch. They are those
  /// of `generate(_:from:_:emit:telling:)` with the seed of the sample.
  ///
  /// If interventions concern one text (gates, strengths in nats, probes, lenses, conditions that
  /// end a text, custom taps and observers), or if there is a handler for tokens, the texts are
  /// generated one after the other, each exactly as by the function for one prompt.
  ///
  /// - Parameters:
  ///   - prompts: token ids, at least one for each prompt.
  ///   - batches: the number of samples, and of texts that are continued together.
  ///   - start: a state of one sequence that every prompt continues; nil for an empty state.
  ///   - options: as for one text; `completesState` has no effect, because no state is kept.
  ///   - tell: receives a record of each token that was read.
  ///   - finish: receives each text as soon as it and all texts before it are complete: the samples of
  ///     the first prompt, then those of the second one, and so on.
  /// - Throws: as for one text; `usage.option` for a prompt without tokens, for seeds that are too
  ///   large and for more than 16,777,216 texts; `model.state` for a state of several sequences;
  ///   `system.memory` if the states of the texts do not fit into memory.
  package func generate(
    _ prompts: [[Int]], _ batches: BatchOptions, from start: State? = nil,
    _ options: GenerationOptions,
    telling tell: ((_ prompt: Int, _ sample: Int, TokenRecord) -> Void)? = nil,
    finish: @escaping (SampledText) -> Void
  ) throws(Refusal) {
    let start = start ?? model.initialState()
    try check(prompts, batches, start, options)
    var options = options
    options.completesState = false
    guard tell == nil, interventions.suitBatches else {
      for prompt in prompts.indices {
        for sample in 0..<batches.samples {
          let own = options.sample(sample)
          let result = try generate(
            prompts[prompt], from: start, own,
            telling: tell.map { tell in { tell(prompt, sample, $0) } })
          finish(
            SampledText(
              prompt: prompt, sample: sample, seed: own.sampling.seed, generated: result.generated))
        }
      }
      return
    }
    let groups = groups(of: prompts, batches)
    // All are bound before anything is generated, so that refusals come first.
    for group in groups { _ = try bind(group.map { prompts[$0] }, start, options) }
    var ordered = OrderedTexts(samples: batches.samples, finish)
    for group in groups {
      try generate(group, of: prompts, batches, from: start, options) { ordered.add($0) }
    }
  }

  private func check(
    _ prompts: [[Int]], _ batches: BatchOptions, _ start: State, _ options: GenerationOptions
  ) throws(Refusal) {
    if let empty = prompts.firstIndex(where: \.isEmpty) {
      throw Refusal(
        .usageOption, at: .parameter(prompts.count == 1 ? "prompt" : "prompts"),
        found: "no tokens in prompt \(empty)",
        expected: "at least one")
    }
    guard start.batch == 1 else {
      throw Refusal(
        .modelState, found: "a state of \(counted(start.batch, "sequence"))",
        expected: "one sequence")
    }
    let texts = MemoryBudget.product(prompts.count, batches.samples)
    guard texts <= BatchOptions.textLimit else {
      throw Refusal(
        .usageOption, at: .parameter("samples"),
        found: "\(counted(batches.samples, "sample")) of \(counted(prompts.count, "prompt"))",
        expected: "at most \(BatchOptions.textLimit) texts")
    }
    let seed = options.sampling.seed
    guard !seed.addingReportingOverflow(UInt64(batches.samples - 1)).overflow else {
      throw Refusal(
        .usageOption, at: .parameter("seed"),
        found: "\(seed) for \(counted(batches.samples, "sample"))",
        expected: "a seed that stays under 2^64 when the number of each sample is added")
    }
    // The states of the prompts are kept while the texts are continued with copies of them.
    let rows = MemoryBudget.product(2, min(batches.batch, texts))
    let size = model.description.stateLayout.joined().filter { !$0.grows }
      .reduce(0) { $0 + $1.shape.reduce(1, *) }
    try MemoryBudget.check(
      MemoryBudget.product(rows, size, 4), for: "the states of \(counted(rows, "text"))",
      remedy: "Generate fewer texts at a time: give a smaller `batch`.")
  }

  /// Prompts that are read together, by their places: those of one length, in the order of the first
  /// prompt of each length.
  private func groups(of prompts: [[Int]], _ batches: BatchOptions) -> [[Int]] {
    RunBatch.batches(of: prompts.map(\.count)) { model.sequencesAtOnce(batches.batch, length: $0) }
      .map(\.members).sorted { $0[0] < $1[0] }
  }

  private func bind(
    _ prompts: [[Int]], _ start: State, _ options: GenerationOptions
  ) throws(Refusal) -> BoundInterventions {
    try interventions.bind(
      to: BoundRun(
        model, tokenizer: tokenizer.digest, prompts: prompts, from: start,
        readingAfter: options.tokenCount - 1, recordsEdits: true, textTokenizer: tokenizer))
  }

  /// Reads prompts of one length, and continues each of them with all samples.
  private func generate(
    _ group: [Int], of prompts: [[Int]], _ batches: BatchOptions, from start: State,
    _ options: GenerationOptions, _ finish: (SampledText) -> Void
  ) throws(Refusal) {
    let tokens = TokenBatch(group.map { prompts[$0] })
    var state = start.selecting(group.map { _ in 0 })
    let bound = try bind(tokens.sequences, state, options)
    // [P, 1, V].
    let logits = try model.run(tokens, from: &state, logits: .last, tap: bound.tap)
    var edits = group.map { _ in TextEdits() }
    for record in bound.takeRecords() { edits[record.sequence].add(record) }
    let predictions = Self.rows(of: logits)
    let count = group.count * batches.samples
    for first in stride(from: 0, to: count, by: batches.batch) {
      let texts = first..<min(first + batches.batch, count)
      let sources = texts.map { $0 / batches.samples }  // the row of each text's prompt
      let rows = texts.map { text in
        let source = text / batches.samples
        let own = options.sample(text % batches.samples)
        return BatchRow(
          prompt: group[source], sample: text % batches.samples, seed: own.sampling.seed,
          loop: TokenLoop(tokenizer, own, continuing: prompts[group[source]]),
          edits: edits[source])
      }
      try go(
        on: rows, from: state.selecting(sources), sources.map { predictions[$0] }, bound
      ) { row in
        finish(
          SampledText(
            prompt: row.prompt, sample: row.sample, seed: row.seed,
            generated: GeneratedText(
              row.loop, promptCount: tokens.length, edits: bound.summaries(of: row.edits))))
      }
    }
  }

  /// Continues the rows of a batch until all texts have ended.
  ///
  /// - Parameters:
  ///   - state: of the rows, which have read equally many tokens.
  ///   - logits: the logits of each row, [V].
  ///   - finish: receives each row when its text has ended.
  private func go(
    on rows: [BatchRow], from state: State, _ logits: [[Float]], _ bound: BoundInterventions,
    _ finish: (BatchRow) -> Void
  ) throws(Refusal) {
    var (rows, state, logits) = (rows, state, logits)
    while !rows.isEmpty {
      var (kept, chosen): ([Int], [Int]) = ([], [])
      for index in rows.indices {
        let token = try rows[index].loop.choose(from: logits[index]) { _ in }
        if let token, !rows[index].loop.isFull {
          kept.append(index)
          chosen.append(token)
        } else {
          rows[index].loop.finish { _ in }
          finish(rows[index])
        }
      }
      rows = kept.map { rows[$0] }
      if rows.isEmpty { return }
      state = state.selecting(kept)
      let next = try model.run(
        TokenBatch(chosen.map { [$0] }), from: &state, logits: .last, tap: bound.tap)  // [B, 1, V]
      for record in bound.takeRecords() { rows[record.sequence].edits.add(record) }
      logits = Self.rows(of: next)
    }
  }

  /// The rows of logits [B, 1, V], each [V].
  private static func rows(of logits: Tensor) -> [[Float]] {
    let (values, width) = (logits.values, logits.shape[2])
    return (0..<logits.shape[0]).map { Array(values[$0 * width..<($0 + 1) * width]) }
  }
}

/// A text while it is a row of a batch.
private struct BatchRow {
  let prompt: Int
  let sample: Int
  let seed: UInt64
  var loop: TokenLoop
  var edits: TextEdits
}

/// Delivers texts in the order of the prompts and their samples, independent of the order in which
/// they end.
private struct OrderedTexts {
  private let samples: Int
  private let finish: (SampledText) -> Void
  private var next = 0
  private var waiting: [Int: SampledText] = [:]

  init(samples: Int, _ finish: @escaping (SampledText) -> Void) {
    (self.samples, self.finish) = (samples, finish)
  }

  mutating func add(_ text: SampledText) {
    waiting[text.prompt * samples + text.sample] = text
    while let text = waiting.removeValue(forKey: next) {
      finish(text)
      next += 1
    }
  }
}

extension GenerationOptions {
  /// The options of a sample: the same, with a seed of its own.
  fileprivate func sample(_ number: Int) -> GenerationOptions {
    var options = self
    options.sampling.seed += UInt64(number)
    return options
  }
}
