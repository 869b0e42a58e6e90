import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantEvaluation
import SextantGeneration
import SextantModelTestSupport
import SextantModels
import SextantReport
import SextantStore
import SextantTensor
import SextantTestSupport
import SextantTexts
import SextantTokenizers
import Testing

/// The search of a dose on the demo model, without the command line.
@Suite struct SteeringSearchTests {
  private let demo: DemoModel
  private let vector: SteeringVector
  private let test: ChoiceTest
  private let text: TextCorpus

  init() throws {
    demo = try DemoModel()
    let pairs = try ContrastPairs(
      reading: demo.firstLines(8, of: "sentiment_pairs.jsonl"), template: nil)
    vector = try SteeringTrainer(
      demo.model, demo.tokenizer,
      sites: demo.model.description.sites(
        named: ["blocks.*.output", "blocks.*.state.ssm"], layers: LayerSelection(3...4))
    ).train(pairs).vector
    test = try ChoiceTest(reading: demo.firstLines(8, of: "sentiment_test.jsonl"), template: nil)
    let neutral = try SteeringSearch.neutralText(nil, demo.tokenizer)
    text = TextCorpus(chunks: Array(neutral.chunks.prefix(6)))
  }

  private func search(_ vector: SteeringVector? = nil, controls: Int = 0) -> SteeringSearch {
    var search = SteeringSearch(vector ?? self.vector, demo.model, demo.tokenizer)
    search.controlCount = controls
    search.space.positions = [.fromLast]
    return search
  }

  private func bytes(_ found: SteeringSearchResult) throws -> [UInt8] {
    try found.vector().artifact.bytes()
  }

  /// The document for programs, without the time.
  private func document(_ found: SteeringSearchResult) -> JSONObject {
    var document = found.json
    document["seconds"] = nil
    return document
  }

  // MARK: Places

  @Test func bandsOfSeveralBlocksOverlapByHalfAndReachTheLastBlock() {
    var space = SearchSpace()
    #expect(space.bands(of: [0, 1, 2]) == [0...0, 1...1, 2...2, 0...1, 1...2, 0...2])
    #expect(space.bands(of: [4, 5, 9]) == [4...4, 5...5, 4...5, 9...9])
    space.widths = [4]
    #expect(space.bands(of: Array(0..<7)) == [0...3, 2...5, 3...6])
    #expect(space.bands(of: [1, 2]) == [])
    space.widths = [1, 3]
    #expect(space.bands(of: [2, 3, 4]) == [2...2, 3...3, 4...4, 2...4])
  }

  // MARK: What was found

  /// The artifact alone, at strength 1 and with its own blocks, sites and tokens, gives the reported
  /// effect and divergence, bit for bit.
  @Test func theFoundVectorAloneHasTheReportedEffect() throws {
    let found = try search().run(on: test, text: text)
    let folder = TemporaryFolder()
    let path = folder.path("best.steer.safetensors")
    try found.vector().artifact.write(to: path)
    let applied = AppliedVector(try SteeringVector(reading: path))
    let predictions = { (tokens: [Int], prompt: Int, isSteered: Bool) throws in
      var state = demo.model.initialState()
      let items = isSteered ? [Intervention.steer(applied)] : []
      let bound = try Interventions(items).bind(
        to: BoundRun(
          demo.model, tokenizer: demo.tokenizer.digest, prompts: [Array(tokens[..<prompt])],
          from: state, readingAfter: tokens.count - prompt))
      let logits = try demo.model.run(
        TokenBatch(tokens), from: &state, logits: .all, tap: bound.tap)
      return Array(LogProbabilities.rows(logits)[(prompt - 1)...])
    }
    // The items of the reported half, by their effects.
    var effects: [Double] = []
    for item in try test.tokenized(by: demo.tokenizer) {
      let matching = try [false, true].map { isSteered in
        let last = try predictions(item.prompt, item.prompt.count, isSteered)[0]
        let sum = { (ids: [[Int]]) in ids.reduce(0) { $0 + last.probabilities[$1[0]] } }
        return sum(item.matching) / (sum(item.matching) + sum(item.other))
      }
      effects.append(matching[1] - matching[0])
    }
    let reported = found.best.reported
    let all = found.best.cell.figures.effects + reported.effects
    #expect(Set(effects) == Set(all) && effects.count == all.count && Set(all).count > 4)
    #expect(reported.effects.count == 4 && reported.effect > 0)
    // And so the passages.
    let divergences = try text.chunks.map { tokens in
      let rows = try [false, true].map { try predictions(tokens, 16, $0) }
      return zip(rows[0], rows[1]).reduce(0) { $0 + $1.0.divergence(of: $1.1) } / 33
    }
    let measured = found.best.cell.figures.divergences + reported.divergences
    #expect(measured.count == 6)
    for value in measured {
      #expect(divergences.contains { abs($0 - value) <= 1e-12 + 1e-9 * value }, "\(value)")
    }
  }

  @Test func theDoseUsesUpTheBudgetAndTheOtherHalfIsReported() throws {
    var search = search(controls: 1)
    search.budget.divergence = 0.05
    let found = try search.run(on: test, text: text)
    let best = found.best
    #expect(best.cell.harm <= 1 && best.cell.isWhole)
    #expect(best.cell.figures.divergence <= 0.05)
    // Nothing that was tried on the whole half is better within the budget.
    for cell in found.tried where cell.isWhole && cell.harm <= 1 {
      #expect(cell.figures.effect <= best.cell.figures.effect)
    }
    // The verdict is that of the interval on the other half.
    let interval = found.divergence(best.reported).interval
    switch found.verdict {
    case .within: #expect(interval.high <= 0.05)
    case .unclear: #expect(interval.contains(0.05))
    case .above: #expect(interval.low > 0.05)
    }
    #expect(interval.contains(best.reported.divergence))
    // A front: with more divergence comes more effect.
    for (one, next) in zip(found.front, found.front.dropFirst()) {
      #expect(one.cell.figures.divergence < next.cell.figures.divergence)
      #expect(one.cell.figures.effect < next.cell.figures.effect)
    }
    #expect(found.front.contains { $0.cell.figures == best.cell.figures })
    #expect(found.controls.count == 1 && found.controlProbability != nil)
    // A larger budget has at least as much effect on the half that it is chosen on.
    search.budget.divergence = 0.4
    search.controlCount = 0
    let more = try search.run(on: test, text: text)
    #expect(more.best.cell.figures.effect > best.cell.figures.effect)
    #expect(more.best.cell.figures.divergence > 0.05)
  }

  @Test func otherQuestionsLimitTheDose() throws {
    // The opposite answers: every bit of effect makes right answers wrong.
    let opposite = try ChoiceTest(
      test.items.map { .init(prompt: $0.prompt, matching: $0.other, other: $0.matching) })
    var search = search()
    (search.budget.divergence, search.budget.loss) = (1, 0.01)
    let free = try search.run(on: test, text: text)
    let kept = try search.run(on: test, text: text, keeping: opposite)
    #expect(kept.best.cell.figures.losses.count == 4)
    #expect(CellFigures.mean(kept.best.cell.figures.losses) <= 0.01)
    #expect(kept.best.cell.figures.effect < free.best.cell.figures.effect)
    #expect(kept.loss(kept.best.reported) != nil && free.loss(free.best.reported) == nil)
  }

  @Test func randomDirectionsGetTheSameSearch() throws {
    let found = try search(controls: 1).run(on: test, text: text)
    for (index, control) in found.controls.enumerated() {
      let random = vector.randomControl(seed: UInt64(index) + 1)
      let cell = try #require(control.cell)
      let alone = try search(random).run(on: test, text: text)
      #expect(alone.best.cell.place == cell.place && alone.best.cell.strength == cell.strength)
      #expect(alone.best.reported == control.reported)
    }
  }

  @Test func fixedStrengthsAreMeasuredAsTheyAre() throws {
    var search = search()
    search.space.widths = [2]
    search.space.sites = [.residual]
    (search.strengths, search.budget.divergence) = ([0.25, 0.5], 100)
    let found = try search.run(on: test, text: text)
    #expect(found.tried.map(\.strength) == [0.25, 0.5])
    #expect(found.tried.allSatisfy { $0.isWhole && $0.place.blocks == 3...4 })
    #expect(found.best.cell.strength == 0.5)
    let written = found.vector()
    #expect(written.vectors.map(\.site.name) == ["blocks.3.output", "blocks.4.output"])
    let own = vector.vectors.first { $0.site.name == "blocks.3.output" }
    #expect(written.vectors[0].value.values == own?.value.values.map { $0 * 0.5 })
  }

  // MARK: Going on

  @Test func aSearchThatGoesOnGivesTheSameBytes() throws {
    let folder = TemporaryFolder()
    let path = folder.path("search.jsonl")
    var search = search(controls: 1)
    let whole = try search.run(on: test, text: text)
    search.checkpoint = path
    let kept = try search.run(on: test, text: text)
    #expect(try bytes(kept) == bytes(whole) && document(kept) == document(whole))
    let lines = try InputFile(path).readAll(limit: 1 << 26).split(separator: 0x0A)
    #expect(lines.count > 20)
    for count in [1, lines.count / 2] {
      folder.write(Array(lines[..<count].joined(separator: [0x0A])), to: "search.jsonl")
      let resumed = try search.run(on: test, text: text)
      #expect(try bytes(resumed) == bytes(whole) && document(resumed) == document(whole))
    }
    // Measurements are taken from the file: with other numbers there, another result.
    let changed = lines.map { line in
      String(decoding: line, as: UTF8.self)
        .replacing(#/"effect":\[[-+.0-9e]+/#, with: "\"effect\":[0.001")
    }
    folder.write(Array(changed.joined(separator: "\n").utf8), to: "search.jsonl")
    let other = try search.run(on: test, text: text)
    #expect(document(other) != document(whole))
    // Numbers of other data, and numbers that no measurement gives, are refused.
    for (key, number) in [("effect", "0.001,"), ("nonsense", "3,")] {
      let damaged = lines.map { line in
        String(decoding: line, as: UTF8.self)
          .replacing("\"\(key)\":[", with: "\"\(key)\":[\(number)")
          .replacing(",]", with: "]")
      }
      folder.write(Array(damaged.joined(separator: "\n").utf8), to: "search.jsonl")
      expectRefusal(.dataRecord) { try search.run(on: test, text: text) }
    }
  }

  @Test func theCheckpointOfAnotherSearchIsRefused() throws {
    let folder = TemporaryFolder()
    var search = search()
    search.checkpoint = folder.path("search.jsonl")
    search.space.layers = LayerSelection(3...3)
    _ = try search.run(on: test, text: text)
    search.seed = 1
    let refusal = expectRefusal(.usageOption) { try search.run(on: test, text: text) }
    #expect(refusal?.place == .parameter("checkpoint") && refusal?.found.contains("seed") == true)
    search.checkpoint = folder.write(Array("{\"cell\": \"a\"}\n".utf8), to: "none.jsonl")
    expectRefusal(.dataRecord) { try search.run(on: test, text: text) }
    search.checkpoint = folder.write(Array("\n".utf8), to: "empty.jsonl")
    expectRefusal(.dataEmpty) { try search.run(on: test, text: text) }
  }

  // MARK: Refusals

  @Test func whatCannotBeSearchedIsRefused() throws {
    let found = vector.dosed(
      .init(layers: 3...3, sites: "residual", strength: 2, search: JSONObject())
    ) { _ in true }
    let projected = vector.applied(as: .project, at: .fromLast)
    let refused: [(SteeringVector?, (inout SteeringSearch) -> Void, Refusal.Code, String?)] = [
      (projected, { _ in }, .usageOption, "apply"),
      (found, { _ in }, .usageOption, "apply"),
      (nil, { $0.budget.divergence = 0 }, .usageOption, "budget"),
      (nil, { $0.budget.divergence = .nan }, .usageOption, "budget"),
      (nil, { $0.budget.nonsense = -1 }, .usageOption, "nonsenseBudget"),
      (nil, { $0.budget.loss = .infinity }, .usageOption, "keepBudget"),
      (nil, { $0.space.widths = [0] }, .usageOption, "widths"),
      (nil, { $0.space.widths = [1, 1] }, .usageOption, "widths"),
      (nil, { $0.space.widths = [4] }, .artifactEmpty, nil),
      (nil, { $0.strengths = [] }, .usageOption, "strengths"),
      (nil, { $0.strengths = [1, 0] }, .usageOption, "strengths"),
      (nil, { $0.space.positions = [.last, .last] }, .usageOption, "positions"),
      (nil, { $0.space.positions = [PositionSelection([.token(3)])] }, .usageOption, "positions"),
      (nil, { $0.space.sites = [.component("wkv")] }, .artifactEmpty, "sites"),
      (nil, { $0.space.layers = LayerSelection(0...1) }, .artifactEmpty, nil),
      (nil, { $0.strengths = [1e6, 1e36] }, .artifactScale, nil),
    ]
    for (other, change, code, parameter) in refused {
      var search = search(other)
      change(&search)
      let refusal = expectRefusal(code) { try search.run(on: test, text: text) }
      if let parameter { #expect(refusal?.place == .parameter(parameter)) }
    }
  }

  @Test func tooLittleDataForTwoHalvesIsRefused() throws {
    let few = try ChoiceTest(Array(test.items.prefix(3)))
    #expect(
      expectRefusal(.dataEmpty) { try search().run(on: few, text: text) }?.place
        == .parameter("pairs"))
    let short = TextCorpus(chunks: Array(text.chunks.prefix(1)))
    #expect(
      expectRefusal(.dataEmpty) { try search().run(on: test, text: short) }?.place
        == .parameter("text"))
    let one = try ChoiceTest(Array(test.items.prefix(1)))
    #expect(
      expectRefusal(.dataEmpty) { try search().run(on: test, text: text, keeping: one) }?.place
        == .parameter("keep"))
  }

  // MARK: The artifact

  @Test func theManifestTellsHowTheDoseWasFound() throws {
    var search = search(controls: 2)
    search.space.sites = [.residual]
    let found = try search.run(on: test, text: text)
    let written = found.vector()
    let read = try SteeringVector(
      Artifact(manifest: written.artifact.manifest, tensors: written.artifact.tensors))
    let dose = try #require(read.dose)
    #expect(dose == written.dose)
    #expect(dose.layers == found.place.blocks && dose.strength == found.best.cell.strength)
    #expect(SteeredSites(dose.sites) == found.place.sites)
    #expect(read.positions == found.place.positions)
    #expect(dose.search["random_directions"] == 2)
    // Sites of no other block, and none that was not chosen.
    for (site, _) in read.vectors {
      let site = try #require(site.site)
      #expect(site.block.map(found.place.blocks.contains) == true)
      #expect(found.place.sites.includes(site))
    }
    #expect(Set(read.statistics.members.map(\.key)) == Set(read.vectors.map(\.site.name)))
  }

  @Test func aFoundVectorCanBeTrainedAgain() throws {
    let pairs = try demo.firstLines(8, of: "sentiment_pairs.jsonl")
    let folder = TemporaryFolder()
    let path = folder.path("best.steer.safetensors")
    var search = search()
    search.space.sites = [.both]
    try search.run(on: test, text: text).vector().artifact.write(to: path)
    try Retraining(demo.model, demo.tokenizer, source: .pairs(.pairs(pairs)))
      .verify(Artifact(reading: path), file: path)
  }

  @Test func thePageShowsTheFrontEveryCellAndThreeDoses() throws {
    var search = search(controls: 1)
    search.space.layers = LayerSelection(3...3)
    (search.textCount, search.tokenCount) = (2, 6)
    let found = try search.run(on: test, text: text)
    #expect(found.texts.count == 2 && found.texts.allSatisfy { $0.continued.count == 4 })
    // Dose 0 is the model without steering.
    for text in found.texts {
      let plain = try Generator(demo.model, demo.tokenizer).generate(
        demo.tokenizer.encodeText(text.prompt),
        GenerationOptions(tokenCount: 6, sampling: SamplingOptions(temperature: 0.8, seed: 0)))
      #expect(plain.text == text.continued[0])
    }
    let html = found.page.html
    #expect(html.contains("Texts at three doses") && html.contains("Every cell that was tried"))
    #expect(found.cellTable.rows.count == found.tried.count)
    #expect(found.report(output: "b").text.contains("1 random direction"))
  }
}
