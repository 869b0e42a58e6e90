import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantEvaluation
import SextantGeneration
import SextantModelTestSupport
import SextantModels
import SextantReport
import SextantStore
import SextantTestSupport
import SextantTexts
import SextantTokenizers
import Testing

/// A vector of the demo model is measured together with controls, without the command line.
@Suite struct SteeringExperimentTests {
  private let demo: DemoModel

  init() throws { demo = try DemoModel() }

  private func vector(_ words: [String]) throws -> SteeringVector {
    let pairs = try ContrastPairs(
      reading: demo.firstLines(6, of: "sentiment_pairs.jsonl"), template: nil)
    return try SteeringTrainer(
      demo.model, demo.tokenizer,
      sites: demo.model.description.sites(named: words, layers: LayerSelection(3...3))
    ).train(pairs).vector
  }

  private func experiment(_ vector: SteeringVector) -> SteeringExperiment {
    var experiment = SteeringExperiment(vector, demo.model, demo.tokenizer)
    (experiment.multipliers, experiment.controlCount) = ([-1, 1], 2)
    return experiment
  }

  @Test func aGridThatMeasuresNothingOrTheSameTwiceIsRefused() throws {
    let (state, residual) = (try vector(["state"]), try vector(["residual"]))
    let test = try ChoiceTest(
      reading: demo.firstLines(2, of: "sentiment_test.jsonl"), template: nil)
    let rows:
      [(
        vector: SteeringVector, multipliers: [Float], sites: [SteeredSites]?, code: Refusal.Code,
        place: String
      )] =
        [
          (residual, [], nil, .usageOption, "multipliers"),
          (residual, [0], nil, .usageOption, "multipliers"),
          (residual, [1, 2, 1], nil, .usageOption, "multipliers"),
          (residual, [0, -0, 1], nil, .usageOption, "multipliers"),
          (residual, [1], [.residual, .residual], .usageOption, "sites"),
          (residual, [1], [.both], .artifactEmpty, "sites"),
          (state, [1], [.both], .artifactEmpty, "sites"),
          (state, [1], [.state, .residual], .artifactEmpty, "sites"),
        ]
    for row in rows {
      var experiment = experiment(row.vector)
      (experiment.multipliers, experiment.sites) = (row.multipliers, row.sites)
      let refusal = expectRefusal(row.code) { try experiment.run(on: test) }
      #expect(refusal?.place == .parameter(row.place), "\(row.multipliers) \(row.sites ?? [])")
    }
  }

  /// The block in which steering both sets of sites works best may be one of attention, without state.
  @Test func aHybridIsMeasuredAtItsAttentionBlock() throws {
    let folder = TemporaryFolder()
    let configuration = try #require(
      RandomModel.withExperts.first { $0.name == "granitemoehybrid" }?.configuration)
    let store = try RandomModel.store(
      configuration.replacing("\"vocab_size\": 96", with: "\"vocab_size\": 260"),
      at: folder.path("m.sxt"))
    let model = try Architectures.open(store)
    let tokenizer = try Tokenizers.load(bytes: #require(Tokenizers.builtIn(named: "bytes")))
    let pairs = folder.write(
      Array("{\"positive\": \"good\", \"negative\": \"bad\"}\n".utf8), to: "pairs.jsonl")
    let sites = try model.description.trainableSites(named: ["all"]).sites
    let vector = try SteeringTrainer(model, tokenizer, sites: sites)
      .train(ContrastPairs(reading: pairs, template: nil)).vector
    let lines = ["The film", "The play", "It was"].map {
      #"{"prompt": "\#($0)", "matching": ["a"], "other": ["b"]}"# + "\n"
    }
    let path = folder.write(Array(lines.joined().utf8), to: "test.jsonl")
    let test = try ChoiceTest(reading: path, template: nil)
    var experiment = SteeringExperiment(vector, model, tokenizer)
    (experiment.multipliers, experiment.controlCount) = ([-1, 1], 2)
    experiment.layers = LayerSelection(1...1)
    experiment.side.tests = [("again", try test.tokenized(by: tokenizer))]
    // Unless others are named, the sets of sites are those that the vector has in the chosen blocks.
    #expect(try experiment.run(on: test).summary.curves.map(\.sites) == [.residual])
    experiment.sites = [.residual, .both]
    let found = try experiment.run(on: test)
    #expect(found.controls.curves.map(\.layer) == [1, 1])
    #expect(found.controls.curves[0].contrasts == found.controls.curves[1].contrasts)
    #expect(found.sideEffects.count == 5)
  }

  @Test func contrastPairsAreNoTest() throws {
    let path = try demo.firstLines(2, of: "sentiment_pairs.jsonl")
    let refusal = expectRefusal(.dataRecord) { try ChoiceTest(reading: path, template: nil) }
    #expect(refusal?.found.contains("contrast pairs") == true)
  }

  /// The report counts the tokens that contamination was measured on.
  @Test func contaminationIsReportedOverItsTokens() throws {
    let vector = try vector(["all"])
    func line(_ steered: Int) throws -> String {
      try ShadowGeneration(
        demo.model, demo.tokenizer, applying: [.steer(AppliedVector(vector))],
        to: try demo.tokenizer.encodeText("The film"), steeredTokens: steered,
        GenerationOptions(
          tokenCount: 4, sampling: SamplingOptions(temperature: 0), stopsAtEnd: false)
      ).line
    }
    #expect(try line(2).contains(" nats over 2 tokens, "))
    #expect(try line(3).contains(" nats over 1 token, "))
    #expect(try line(4).contains("contamination was not measured"))
  }

  @Test func everySetOfSitesIsMeasuredBesideWhatItCostsElsewhere() throws {
    let vector = try vector(["all"])
    var experiment = experiment(vector)
    let path = try demo.firstLines(4, of: "sentiment_test.jsonl")
    let test = try ChoiceTest(reading: path, template: nil)
    experiment.side.text = "The film was good. The acting was poor."
    experiment.side.tests = [("again", try test.tokenized(by: demo.tokenizer))]
    experiment.side.prompts = ["The film"]
    experiment.side.tokenCount = 3
    let found = try experiment.run(on: test)
    #expect(found.summary.curves.map(\.sites) == [.residual, .state, .both])
    #expect(found.controls.count == 2 && found.unit == .raw && found.template == nil)
    // Without steering once, then the two compared strengths of each set.
    #expect(found.sideEffects.map(\.multiplier) == [0, -1, 1, -1, 1, -1, 1])
    let tokens = demo.tokenizer.encodeDocument("The film was good. The acting was poor.")
    #expect(
      try found.sideEffects[0].loss
        == SideEffects.loss(of: demo.model, tokenizer: nil, on: tokens, applying: nil))
    #expect(found.sideEffects.allSatisfy { $0.accuracies[0].right.count == 4 })
    #expect(found.continuations.map(\.multiplier) == [-1, 0, 1])
    let plain = try Generator(demo.model, demo.tokenizer).generate(
      try demo.tokenizer.encodeText("The film"),
      GenerationOptions(tokenCount: 3, sampling: SamplingOptions(temperature: 0.8, seed: 0)))
    #expect(found.continuations[1].text == plain.text)
    #expect(found.report().text.contains("4 prompts, 6 cells"))
    #expect(found.cellTable.rows.count == 6)
    #expect(found.page.html.contains("Continuations, side by side"))
    #expect(found.json["prompts"] == 4)
  }

  @Test func cellsAreThoseOfTheSweep() throws {
    let vector = try vector(["residual"])
    let test = try ChoiceTest(
      reading: demo.firstLines(4, of: "sentiment_test.jsonl"), template: nil)
    let found = try experiment(vector).run(on: test)
    let sweep = try SteeringSweep(
      demo.model, tokenizer: demo.tokenizer.digest, vector: vector,
      options: .init(positions: .last),
      multipliers: [-1, 1], sites: [.residual]
    ).run(on: test.tokenized(by: demo.tokenizer))
    for row in found.summary.rows {
      let cell = try #require(
        sweep.cell(layer: row.layer, sites: row.sites, multiplier: row.multiplier))
      #expect(row.matching.value == cell.reduce(0) { $0 + $1.matching } / 4)
    }
  }

  @Test func positionsOfAStateThatIsNotEditedAreRefused() throws {
    var experiment = experiment(try vector(["residual"]))
    experiment.statePositions = .last
    let test = try ChoiceTest(
      reading: demo.firstLines(2, of: "sentiment_test.jsonl"), template: nil)
    expectRefusal(.usageNothingSteered) { try experiment.run(on: test) }
  }
}
