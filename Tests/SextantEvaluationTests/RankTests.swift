import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantCollective
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

/// Measurements give the same figures for every number of ranks. The ranks are threads.
@Suite struct RankTests {
  static let sizes = 1...8
  private let demo: DemoModel

  init() throws { demo = try DemoModel() }

  @Test(arguments: sizes)
  func sweepsOfSteering(size: Int) throws {
    let pairs = try ContrastPairs(
      reading: demo.firstLines(6, of: "sentiment_pairs.jsonl"), template: nil)
    let vector = try SteeringTrainer(
      demo.model, demo.tokenizer,
      sites: demo.model.description.sites(
        named: ["residual", "state"], layers: LayerSelection(3...4))
    ).train(pairs).vector
    let test = try ChoiceTest(
      reading: demo.firstLines(5, of: "sentiment_test.jsonl"), template: nil)
    let measure = { @Sendable (ranks: any Collective) throws(Refusal) -> [String] in
      var experiment = SteeringExperiment(vector, demo.model, demo.tokenizer)
      (experiment.multipliers, experiment.controlCount) = ([-1, 1], 3)
      (experiment.ranks, experiment.side.text) = (ranks, "A fine film.")
      var found = try experiment.run(on: test).json
      for key in ["seconds", "sweep_seconds"] { found[key] = nil }
      if !ranks.isFirst { found["side_effects"] = nil }
      return [JSONValue.object(found).canonicalText]
    }
    let expected = try measure(Alone())
    #expect(try ThreadGroup.run(size, measure)[0] == expected)
  }

  @Test(arguments: sizes)
  func evaluationsOfLenses(size: Int) throws {
    let corpus = try TextCorpus(
      reading: [PackageFiles.fixture("demo-model/reviews.txt")], tokenizer: demo.tokenizer,
      chunkLength: 260, limit: 1820)
    let sites = demo.model.description.lensSites
    let lens = Lens(
      model: demo.model.description.reference(tokenizer: nil),
      translators: sites.dropFirst(3).map { ($0.reference, .init(identity: $0.elementCount)) },
      training: .init(method: "imported", options: JSONObject(), data: JSONObject()),
      statistics: JSONObject())
    let measure = { @Sendable (ranks: any Collective) throws(Refusal) -> String in
      JSONValue.object(
        try LensEvaluation(
          of: [NamedLens(name: "some", lens: lens)], demo.model, tokenizer: nil, on: corpus,
          ranks: ranks
        ).json
      ).canonicalText
    }
    let expected = try measure(Alone())
    // Every rank has the figures.
    #expect(try ThreadGroup.run(size, measure) == Array(repeating: expected, count: size))
  }

  @Test func driftsOfModels() throws {
    let measure = { @Sendable (ranks: any Collective) throws(Refusal) -> String in
      var comparison = DriftComparison(
        with: demo.model, in: demo.store, demo.tokenizer, on: "A fine film it was.")
      try comparison.add(
        ["a", "b", "c"], ranks: ranks, open: { _ in (demo.model, demo.store) })
      return JSONValue.object(comparison.report(reference: "r").json).canonicalText
    }
    let expected = try measure(Alone())
    for size in Self.sizes { #expect(try ThreadGroup.run(size, measure)[0] == expected) }
  }
}
