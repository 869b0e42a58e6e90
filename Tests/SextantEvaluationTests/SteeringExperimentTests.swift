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

/// A vector of the demo model, measured beside controls, without the command line.
@Suite struct SteeringExperimentTests {
  private let converted: ConvertedModel
  private let tokenizer: any Tokenizer
  private let folder = TemporaryFolder()

  init() throws {
    converted = try ConvertedModel("demo-model/model.safetensors")
    tokenizer = try #require(converted.tokenizer)
  }

  private var model: any LanguageModel { converted.model }

  /// A file with the first lines of a fixture.
  private func lines(_ name: String, _ count: Int) throws -> String {
    let text = try TextFile(reading: PackageFiles.fixture("demo-model/\(name)")).text
    return folder.write(
      text.split(separator: "\n").prefix(count).joined(separator: "\n"), to: name)
  }

  private func vector(_ words: [String]) throws -> SteeringVector {
    let pairs = try ContrastPairs(reading: lines("sentiment_pairs.jsonl", 6), template: nil)
    return try SteeringTrainer(
      model, tokenizer, sites: model.description.sites(named: words, layers: LayerSelection(3...3))
    ).train(pairs).vector
  }

  private func experiment(_ vector: SteeringVector) -> SteeringExperiment {
    var experiment = SteeringExperiment(vector, model, tokenizer)
    (experiment.multipliers, experiment.controlCount) = ([-1, 1], 2)
    return experiment
  }

  @Test func everySetOfSitesIsMeasuredBesideWhatItCostsElsewhere() throws {
    let vector = try vector(["all"])
    var experiment = experiment(vector)
    let path = try lines("sentiment_test.jsonl", 4)
    let test = try ChoiceTest(reading: path, template: nil)
    experiment.side.text = "The film was good. The acting was poor."
    experiment.side.tests = [("again", try test.tokenized(by: tokenizer))]
    experiment.side.prompts = ["The film"]
    experiment.side.tokenCount = 3
    let found = try experiment.run(on: test)
    #expect(found.summary.curves.map(\.sites) == [.residual, .state, .both])
    #expect(found.controls.count == 2 && found.unit == .raw && found.template == nil)
    // Without steering once, then the two compared strengths of each set.
    #expect(found.sideEffects.map(\.multiplier) == [0, -1, 1, -1, 1, -1, 1])
    let tokens = tokenizer.encodeDocument("The film was good. The acting was poor.")
    #expect(
      try found.sideEffects[0].loss
        == SideEffects.loss(of: model, tokenizer: nil, on: tokens, applying: nil))
    #expect(found.sideEffects.allSatisfy { $0.accuracies[0].right.count == 4 })
    #expect(found.continuations.map(\.multiplier) == [-1, 0, 1])
    let plain = try Generator(model, tokenizer).generate(
      tokenizer.encodeText("The film"),
      GenerationOptions(tokenCount: 3, sampling: SamplingOptions(temperature: 0.8, seed: 0)))
    #expect(found.continuations[1].text == plain.text)
    #expect(found.report().text.contains("4 prompts, 6 cells"))
    #expect(found.cellTable.rows.count == 6)
    #expect(found.page.html.contains("Continuations, side by side"))
    #expect(found.json["prompts"] == 4)
  }

  @Test func cellsAreThoseOfTheSweep() throws {
    let vector = try vector(["residual"])
    let test = try ChoiceTest(reading: lines("sentiment_test.jsonl", 4), template: nil)
    let found = try experiment(vector).run(on: test)
    let sweep = try SteeringSweep(
      model, tokenizer: tokenizer.digest, vector: vector, options: .init(positions: .last),
      multipliers: [-1, 1], sites: [.residual]
    ).run(on: test.tokenized(by: tokenizer))
    for row in found.summary.rows {
      let cell = try #require(
        sweep.cell(layer: row.layer, sites: row.sites, multiplier: row.multiplier))
      #expect(row.matching.value == cell.reduce(0) { $0 + $1.matching } / 4)
    }
  }

  @Test func positionsOfAStateThatIsNotEditedAreRefused() throws {
    var experiment = experiment(try vector(["residual"]))
    experiment.statePositions = .last
    let test = try ChoiceTest(reading: lines("sentiment_test.jsonl", 2), template: nil)
    expectRefusal(.usageNothingSteered) { try experiment.run(on: test) }
  }
}
