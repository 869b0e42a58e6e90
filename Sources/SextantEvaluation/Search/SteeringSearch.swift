import Glibc
import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModels
import SextantReport
import SextantStore
import SextantTensor
import SextantTokenizers

/// Searches where and how strongly to steer: the blocks, the sites, the tokens and the strength with the
/// largest effect of a vector within a budget of harm.
///
/// Everything is chosen on one half of the data and reported on the other, beside random directions of
/// equal norm that were given the same search.
package struct SteeringSearch {
  /// The places that are considered.
  package var space = SearchSpace()
  /// The harm that a dose may do.
  package var budget = HarmBudget()
  /// Strengths that are measured at every place, instead of a search for them; nil to search.
  package var strengths: [Float]?
  /// Random directions of equal norm.
  package var controlCount = 8
  /// The seed of the halves, the random directions, the intervals and the texts.
  package var seed: UInt64 = 0
  /// Whether a vector of another model of the same width and depth is accepted.
  package var allowsModelMismatch = false
  /// The file that keeps the measurements, from which an interrupted search goes on; nil for none.
  package var checkpoint: String?
  /// Prompts that are continued with the found dose; 0 for none.
  package var textCount = 0
  /// Tokens of a continuation.
  package var tokenCount = 48

  private let model: any LanguageModel
  private let tokenizer: any Tokenizer
  private let vector: SteeringVector

  /// A search with the settings of the properties above, which can be changed.
  package init(_ vector: SteeringVector, _ model: any LanguageModel, _ tokenizer: any Tokenizer) {
    (self.vector, self.model, self.tokenizer) = (vector, model, tokenizer)
  }

  /// How far a search is.
  package struct Progress {
    /// Cells that were measured.
    package var done = 0
    /// Cells that will be measured, at most.
    package var total = 0
    /// The cell of the vector with the largest effect within the budget so far.
    package var best: TriedCell?
  }

  /// Neutral text, cut into passages.
  ///
  /// - Parameter path: a file of text; nil for the text that comes with Sextant.
  /// - Throws: `file.*`, `text.*`, `json.*`, `data.*`.
  package static func neutralText(
    _ path: String?, _ tokenizer: any Tokenizer
  ) throws(Refusal) -> TextCorpus {
    let (length, limit) = (
      SearchData.passageLength, SearchData.passageLength * SearchData.passageLimit
    )
    if let path {
      return try TextCorpus(
        reading: [path], tokenizer: tokenizer, chunkLength: length, limit: limit)
    }
    let texts = HTMLPage.text(PackageResources.neutral_txt).split(separator: "\n").map(String.init)
    return try TextCorpus(texts, tokenizer: tokenizer, chunkLength: length, limit: limit)
  }

  /// Runs the search.
  ///
  /// - Parameters:
  ///   - test: prompts with answers that match the behaviour, and others.
  ///   - text: neutral text, from `neutralText`.
  ///   - others: other questions, whose answers should stay right; nil for none.
  ///   - progress: receives how far the search is.
  /// - Throws: `artifact.*` for a vector that does not fit the model or the sites; `artifact.scale` if no
  ///   cell has an effect within the budget; `usage.option`; `usage.nothing-steered`; `data.*`,
  ///   `model.*`; the errors of the checkpoint.
  package func run(
    on test: ChoiceTest, text: TextCorpus, keeping others: ChoiceTest? = nil,
    progress: (Progress) -> Void = { _ in }
  ) throws(Refusal) -> SteeringSearchResult {
    let clock = Stopwatch()
    try check()
    let data = try SearchData(
      test.tokenized(by: tokenizer), passages: text.chunks,
      others: others?.tokenized(by: tokenizer) ?? [], seed: seed)
    let prepared = try prepared(vector)
    let places = space.places(of: prepared.map(\.vector))
    guard !places.isEmpty else {
      throw Refusal(
        .artifactEmpty, file: vector.file, found: "no place to steer with these blocks and sites",
        expected: "at least one", remedy: "Name other `layers`, `widths` or `sites`.")
    }
    let store = try journal(for: settings(data))
    var state = Progress()
    let perVector = DoseSearch.cellCount(places.count, fixed: strengths?.count ?? 0)
    state.total = MemoryBudget.product(perVector, 1 + controlCount)
    return try withoutActuallyEscaping(progress) { progress throws(Refusal) in
      store.measured = { count in
        state.done = min(state.done + count, state.total)
        progress(state)
      }
      defer { store.measured = { _ in } }
      let bench = SearchBench(prepared, name: "vector", store)
      var search = DoseSearch(data: data, budget: budget, bench: bench)
      search.improved = { cell in
        guard cell.harm <= 1, cell.round >= state.best?.round ?? 0 else { return }
        let best = cell.round > state.best?.round ?? -1 ? nil : state.best
        if cell.figures.effect > best?.figures.effect ?? 0 { state.best = cell }
      }
      let tried = try search.run(places, strengths: strengths)
      state.done = perVector
      guard let best = DoseSearch.best(of: tried) else { throw withoutEffect(tried) }
      var result = try found(best, among: tried, bench, data)
      (result.test, result.text, result.others) = (test.digest, text.digest, others?.digest)
      result.model = model.description.reference(tokenizer: tokenizer.digest)
      result.placeCount = places.count
      for index in 0..<controlCount {
        result.controls.append(try control(index, places, data, store))
        state.done = (index + 2) * perVector
      }
      result.texts = try texts(of: result.vector(), test)
      result.seconds = clock.seconds
      return result
    }
  }

  /// Refuses settings that search nothing, and vectors that a search cannot scale.
  private func check() throws(Refusal) {
    guard vector.operation.isAddition else {
      throw Refusal(
        .usageOption, file: vector.file, at: .parameter("apply"),
        found: "a vector with the operation \(vector.operation.rawValue)",
        expected: "add or add-preserving-norm: other operations have a scale of their own")
    }
    guard vector.dose == nil else {
      throw Refusal(
        .usageOption, file: vector.file, at: .parameter("apply"),
        found: "a vector that a search has made", expected: "a vector as it was trained")
    }
    let numbers: [(parameter: String, value: Double)] = [
      ("budget", budget.divergence), ("nonsenseBudget", budget.nonsense),
      ("keepBudget", budget.loss),
    ]
    for (parameter, value) in numbers where !(value > 0 && value.isFinite) {
      throw Refusal(
        .usageOption, at: .parameter(parameter), found: "\(value)", expected: "more than 0")
    }
    let widths = space.widths ?? [1]
    guard widths.allSatisfy({ $0 > 0 }), !widths.isEmpty else {
      throw Refusal(
        .usageOption, at: .parameter("widths"), found: "\(widths)", expected: "1 or more")
    }
    let words = strengths ?? [1]
    guard words.allSatisfy({ $0.isFinite && $0 != 0 }), !words.isEmpty else {
      throw Refusal(
        .usageOption, at: .parameter("strengths"), found: "\(words)",
        expected: "numbers other than 0")
    }
    let lists: [(parameter: String, words: [String])] = [
      ("positions", space.positions.map(\.description)), ("widths", widths.map { "\($0)" }),
      ("sites", (space.sites ?? []).map(\.description)), ("strengths", words.map { "\($0)" }),
    ]
    for (parameter, words) in lists {
      var seen: Set<String> = []
      guard let word = words.first(where: { !seen.insert($0).inserted }) else { continue }
      throw Refusal(
        .usageOption, at: .parameter(parameter), found: "\(word) twice", expected: "each once")
    }
  }

  /// A vector for each selection of tokens.
  private func prepared(
    _ vector: SteeringVector
  ) throws(Refusal) -> [(positions: PositionSelection, vector: PreparedVector)] {
    var prepared: [(positions: PositionSelection, vector: PreparedVector)] = []
    for positions in space.positions {
      let options = SteeringOptions(
        positions: positions, allowsModelMismatch: allowsModelMismatch)
      let one = try PreparedVector(
        vector, for: model, tokenizer: tokenizer.digest, options, layers: space.layers)
      if let sites = space.sites {
        try SteeringSweep.check(sites, of: vector, Set(one.edits.keys))
      }
      prepared.append((positions, one))
    }
    return prepared
  }

  /// What the measurements depend on. Other settings only determine which of them are made.
  private func settings(_ data: SearchData) throws(Refusal) -> JSONObject {
    func digest(_ value: some Any) -> JSONValue {
      .string(SHA256.digest(Array("\(value)".utf8)).description)
    }
    return JSONObject([
      ("model", model.description.reference(tokenizer: tokenizer.digest).json),
      ("vector", .string(try self.digest.description)),
      ("prompts", digest(data.items.map { [[$0.prompt], $0.matching, $0.other] })),
      ("text", digest(data.passages)),
      ("keep", digest(data.others.map { [[$0.prompt], $0.matching, $0.other] })),
      ("seed", .string("\(seed)")), ("precision", .string(Precision.current.rawValue)),
    ])
  }

  private var digest: Digest {
    get throws(Refusal) { SHA256.digest(try vector.artifact.bytes()) }
  }

  private func journal(for settings: JSONObject) throws(Refusal) -> SearchBench.JournalStore {
    guard let checkpoint else {
      return SearchBench.JournalStore(SearchJournal(settings)) { _ in }
    }
    let journal =
      if access(checkpoint, F_OK) == 0 {
        try SearchJournal(reading: checkpoint, for: settings)
      } else {
        SearchJournal(settings)
      }
    return SearchBench.JournalStore(journal) { journal throws(Refusal) in
      try FilePublisher.publish(journal.bytes, to: checkpoint, replacing: true)
    }
  }

  private func withoutEffect(_ tried: [TriedCell]) -> Refusal {
    let whole = tried.filter(\.isWhole)
    let hasDose = whole.contains { $0.harm <= 1 }
    return Refusal(
      .artifactScale, file: vector.file,
      found: hasDose
        ? "no cell in which the vector makes the matching answers more probable"
        : "no cell within the budget of harm",
      expected: "an effect within the budget",
      remedy: hasDose
        ? "Check the vector with `sextant steer eval`; a vector of the opposite sign needs exchanged answers."
        : "Raise `budget`, `nonsenseBudget` or `keepBudget`, or name smaller `strengths`.")
  }

  /// The result of the vector, with the figures of the half that is reported.
  private func found(
    _ best: TriedCell, among tried: [TriedCell], _ bench: SearchBench, _ data: SearchData
  ) throws(Refusal) -> SteeringSearchResult {
    let front = DoseSearch.front(of: tried)
    let cells = front.map { SearchCell(place: $0.place, strength: $0.strength) }
    let own = SearchCell(place: best.place, strength: best.strength)
    let against = SearchCell(place: best.place, strength: -best.strength)
    let figures = try bench.figures(of: [own, against] + cells, on: data.reporting)
    return SteeringSearchResult(
      searched: vector, digest: try digest, budget: budget, seed: seed, tried: tried,
      best: .init(cell: best, reported: figures[0]), against: figures[1],
      front: zip(front, figures.dropFirst(2)).map { .init(cell: $0, reported: $1) },
      data: data)
  }

  /// The best cell of a random direction, and its figures on the half that is reported.
  private func control(
    _ index: Int, _ places: [SteeringPlace], _ data: SearchData, _ store: SearchBench.JournalStore
  ) throws(Refusal) -> SteeringSearchResult.Control {
    let random = vector.randomControl(seed: seed &+ UInt64(index) &+ 1)
    let bench = SearchBench(try prepared(random), name: "random \(index + 1)", store)
    let tried = try DoseSearch(data: data, budget: budget, bench: bench)
      .run(places, strengths: strengths)
    guard let best = DoseSearch.best(of: tried) else { return .init(cell: nil, reported: nil) }
    let figures = try bench.figures(
      of: [SearchCell(place: best.place, strength: best.strength)], on: data.reporting)
    return .init(cell: best, reported: figures[0])
  }

  /// Prompts of the reported half, continued without steering and at three doses.
  private func texts(
    of vector: SteeringVector, _ test: ChoiceTest
  ) throws(Refusal) -> [SteeringSearchResult.Text] {
    var texts: [SteeringSearchResult.Text] = []
    for index in Halves(of: test.items.count, seed: seed).reporting.prefix(textCount).sorted() {
      let prompt = test.items[index].prompt
      let continued = try SteeringSearchResult.textDoses.map { dose throws(Refusal) in
        let applied = AppliedVector(
          vector, SteeringOptions(strength: dose, allowsModelMismatch: allowsModelMismatch))
        return try Generator(model, tokenizer, applying: [.steer(applied)]).generate(
          tokenizer.encodeText(prompt),
          GenerationOptions(
            tokenCount: tokenCount, sampling: SamplingOptions(temperature: 0.8, seed: seed))
        ).text
      }
      texts.append(.init(prompt: prompt, continued: continued))
    }
    return texts
  }
}
