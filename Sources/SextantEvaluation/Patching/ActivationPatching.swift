import SextantBytes
import SextantModels
import SextantReport
import SextantStore
import SextantTensor
import SextantTokenizers

/// Activation patching and causal tracing: where in a model the answer to a prompt is decided.
///
/// Two runs read prompts that differ in one fact. One value of one run, at one place and one token, is replaced by
/// that of the other run. The share of the difference between the two answers that returns shows how much of the fact
/// passes through this place (Meng et al. 2022, arXiv 2202.05262; Zhang and Nanda 2024, arXiv 2309.16042).
public struct ActivationPatching {
  /// The places: `stream` (the embedding and the output of every block), `parts` (what each part of a block adds),
  /// `state` (every component of the state, before each token), `all`, or names of sites with `*` for every block.
  public var sites = ["stream"]
  /// The blocks; nil for all.
  public var layers: LayerSelection?
  /// Whether each head of a state component is patched by itself, too.
  public var heads = false
  /// Whether values of the corrupted run are put into the clean one, instead of the reverse.
  public var reverse = false
  /// Gaussian noise at the subject's tokens in place of a corrupted prompt: its standard deviation as a multiple of
  /// that of the embedding at the subjects; nil for none.
  public var noise: Double?
  /// Noises of each prompt; a figure is their mean.
  public var seeds = 10
  /// The seed of noise and of intervals.
  public var seed: UInt64 = 0

  private let model: any LanguageModel
  private let tokenizer: (any Tokenizer)?

  /// An experiment with the settings of the properties above, which can be changed.
  public init(_ model: any LanguageModel, _ tokenizer: any Tokenizer) {
    (self.model, self.tokenizer) = (model, tokenizer)
  }

  /// An experiment on tokens alone.
  package init(_ model: any LanguageModel) { (self.model, tokenizer) = (model, nil) }

  /// Patches every place at every token of the prompts.
  ///
  /// Pairs whose prompts have equally many tokens everywhere are averaged token by token, and others by the
  /// parts of their named spans.
  ///
  /// - Parameters:
  ///   - file: the file of the pairs, for refusals; nil for none.
  ///   - progress: receives tokens done and in all.
  /// - Throws: `data.tokenization` for prompts whose tokens do not stand for each other; `data.record`,
  ///   `data.empty`, `artifact.site`, `usage.option`, `model.*`, `system.memory`.
  public func run(
    on pairs: [PatchingPair], file: String? = nil,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> PatchingResult {
    guard let tokenizer else {
      throw Refusal(
        .modelTokenizer, found: "a model without a tokenizer", expected: "one, to read text with")
    }
    var tokens: [PatchingTokens] = []
    for (index, pair) in pairs.enumerated() {
      tokens.append(
        try PatchingTokens(
          pair, tokenizer, isNoised: noise != nil, at: pairs.count > 1 ? (file, index) : nil))
    }
    do throws(Refusal) { return try run(on: tokens, tokenizer, progress) } catch {
      throw file.map { error.code == .dataRecord ? error.inFile($0) : error } ?? error
    }
  }

  /// Patches every place at every token of prompts that are tokens already.
  package func run(on pairs: [PatchingTokens]) throws(Refusal) -> PatchingResult {
    try run(on: pairs, nil) { _, _ in }
  }

  private func run(
    on pairs: [PatchingTokens], _ tokenizer: (any Tokenizer)?,
    _ progress: (_ done: Int, _ total: Int) -> Void
  ) throws(Refusal) -> PatchingResult {
    let clock = Stopwatch()
    guard !pairs.isEmpty else {
      throw Refusal(.dataEmpty, found: "no pairs", expected: "at least one")
    }
    try check(pairs)
    let places = try PatchedPlace.places(
      named: sites, layers: layers, heads: heads, in: model.description)
    let columns = try PatchingColumns(pairs, tokenizer)
    let grid = PatchingGrid(model, places)
    let deviation = try noise.map { scale throws(Refusal) in
      try scale * embeddingDeviation(pairs)
    }
    let samples = deviation == nil ? 1 : seeds
    let total = samples * pairs.reduce(0) { $0 + $1.places.count }
    try checkMemory(MemoryBudget.product(pairs.count, samples, places.count, columns.count))
    var done = 0
    var units: [PatchingUnit] = []
    for (index, pair) in pairs.enumerated() {
      let clean = try PatchedRun(model, pair.clean, parts: grid.parts)
      for sample in 0..<samples {
        let corrupted = try PatchedRun(
          model, pair.corrupted, parts: grid.parts,
          noise: deviation.map {
            Self.noise(
              $0, seed: seed, pair: index, sample: sample, at: pair.subject,
              [pair.clean.count, model.description.width])
          })
        let (base, source) = reverse ? (clean, corrupted) : (corrupted, clean)
        let tokens = pair.places.map { place in
          reverse
            ? PatchingGrid.Token(base: place.clean, source: place.corrupted)
            : PatchingGrid.Token(base: place.corrupted, source: place.clean)
        }
        let outcomes = try grid.outcomes(of: base, by: source, at: tokens, pair) {
          done += 1
          progress(done, total)
        }
        units.append(
          PatchingUnit(
            pair: index, clean: try PatchingOutcome.rows(clean.logits(), pair)[0],
            corrupted: try PatchingOutcome.rows(corrupted.logits(), pair)[0],
            cells: outcomes.map { columns.outcomes(of: $0, pair: index) }))
      }
    }
    return try PatchingResult(
      model: model.description.reference(tokenizer: tokenizer?.digest), self,
      noise: deviation.map { ($0, samples) }, pairs, places, columns, units, tokenizer,
      seconds: clock.seconds)
  }

  private func check(_ pairs: [PatchingTokens]) throws(Refusal) {
    let vocabulary = 0..<model.description.vocabularySize
    for pair in pairs {
      let answers = [pair.answer] + [pair.against].compactMap { $0 }
      for id in [pair.clean, pair.corrupted, answers].joined() where !vocabulary.contains(id) {
        throw Refusal(
          .modelToken, found: "id \(id)", expected: "0 to \(vocabulary.upperBound - 1)")
      }
    }
    guard Set(pairs.map { $0.against == nil }).count == 1 else {
      throw Refusal(
        .dataRecord, found: "pairs with an answer to compare with, and pairs without one",
        expected: "one kind of pairs: their measures are not the same")
    }
    guard let noise else { return }
    guard noise > 0, noise.isFinite else {
      throw Refusal(
        .usageOption, at: .parameter("noise"), found: "\(noise)", expected: "a number above 0")
    }
    guard (1...1_000_000).contains(seeds) else {
      throw Refusal(
        .usageOption, at: .parameter("seeds"), found: "\(seeds)", expected: "1 to 1,000,000")
    }
  }

  private func checkMemory(_ cells: Int) throws(Refusal) {
    try MemoryBudget.check(
      MemoryBudget.product(cells, MemoryLayout<PatchingOutcome?>.stride),
      for: "the results of \(counted(cells, "cell"))",
      remedy: "Take fewer pairs, seeds or `sites`, or leave `heads` out.")
  }

  // MARK: Noise

  /// The standard deviation of the embedding's values at the subjects of all prompts.
  private func embeddingDeviation(_ pairs: [PatchingTokens]) throws(Refusal) -> Double {
    var (count, sum, squares) = (0.0, 0.0, 0.0)
    for pair in pairs {
      let stream = try model.begin(
        TokenBatch(pair.clean), at: 0, textLength: pair.clean.count)  // [T, D]
      stream.residual.rows(pair.subject).withFloats { values in
        for value in values {
          (count, sum) = (count + 1, sum + Double(value))
          squares += Double(value) * Double(value)
        }
      }
    }
    let mean = sum / count
    return max(squares / count - mean * mean, 0).squareRoot()
  }

  /// Noise at some tokens of a prompt, and zero at the others.
  ///
  /// - Parameters:
  ///   - seed, pair, sample: each combination gives other numbers.
  ///   - shape: [T, D].
  package static func noise(
    _ deviation: Double, seed: UInt64, pair: Int, sample: Int, at tokens: Range<Int>, _ shape: [Int]
  ) -> Tensor {
    let own = SeededRandom.mixed(UInt64(pair) << 32 | UInt64(sample))
    var random = SeededRandom(seed: SeededRandom.mixed(seed) ^ own)
    var noise = Tensor(zeros: shape)
    noise.withMutableFloats { values in
      for index in tokens.lowerBound * shape[1]..<tokens.upperBound * shape[1] {
        values[index] = Float(deviation * random.gaussian())
      }
    }
    return noise
  }
}
