import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantEvaluation
import SextantModelTestSupport
import SextantModels
import SextantReport
import SextantStore
import SextantTestSupport
import SextantTokenizers
import Testing

/// The three experiments of arXiv 2404.05971 on several models.
@Suite struct ModelComparisonTests {
  private let folder = TemporaryFolder()

  /// The beginnings of the demo model's data.
  private func experiment() throws -> ComparisonExperiment {
    for (name, count) in [
      ("sentiment_pairs.jsonl", 6), ("sentiment_test.jsonl", 6), ("samples_train.jsonl", 6),
      ("samples_test.jsonl", 3), ("quirky_train.jsonl", 120), ("quirky_test.jsonl", 120),
      ("reviews.txt", 9),
    ] {
      let lines = try PackageFiles.bytes("fixtures/demo-model/\(name)")
        .split(separator: 0x0A, maxSplits: count).prefix(count)
      folder.write(Array(lines.joined(separator: [0x0A])), to: name)
    }
    var experiment = ComparisonExperiment(source: folder.path)
    (experiment.controlCount, experiment.randomDirections) = (3, 20)
    (experiment.chunkLength, experiment.trainingTokens) = (64, 512)
    (experiment.calibrationTokens, experiment.tunedSteps, experiment.tokensPerStep) = (64, 2, 128)
    return experiment
  }

  @Test func randomModelsAreComparedTheSameWayTwice() throws {
    let (mamba, llama) = (try SmallModel.mamba(), try SmallModel.llama())
    let models = [try mamba.compared("One"), try llama.compared("Two")]
    let experiment = try experiment()
    let found = try experiment.run(models)
    let again = try experiment.run(models)
    #expect(found.page.html == again.page.html)
    #expect(
      JSONValue.object(found.json).canonicalText == JSONValue.object(again.json).canonicalText)
    #expect(found.report.text == again.report.text)
    try checkMembers(found)
    try checkPage(found.page.html)
  }

  private func checkMembers(_ found: ModelComparison) throws {
    #expect(found.members.map(\.memory) == ["state.ssm", nil])
    let sites = found.members.map { $0.steering.summary.curves.map(\.sites) }
    #expect(sites == [[.residual, .state, .both], [.residual]])
    for member in found.members {
      #expect(member.lenses.results.map(\.name) == ["logit", "ridge", "tuned"])
      #expect(member.lenses.results.allSatisfy { $0.layers.count == 3 })
      #expect(member.steering.controls.count == 3)
      // Random directions were measured where probes are reported.
      for summary in member.probes.summaries {
        #expect(
          member.probes.chance.contains {
            $0.target == summary.target && $0.measured.site.name == summary.site.name
              && $0.measured.areas.count == 20
          })
      }
    }
    // A claim about the state is not tested on a transformer.
    for claim in Claim.all {
      let isOfState = [2, 3, 4, 5, 9, 10].contains(claim.number)
      #expect(claim.result(of: found.members[0]) != nil)
      #expect((claim.result(of: found.members[1]) == nil) == isOfState, "\(claim.number)")
    }
    #expect(Claim.all.map(\.number) == Array(1...Claim.all.count))
    // Claims on the same items are differences item by item.
    let curves = found.members[0].steering.summary.curves
    let weaker = try #require(Claim.all[2].result(of: found.members[0])).differences
    #expect(weaker.count == 1)
    #expect(abs(weaker[0].value - curves[0].contrast.value + curves[1].contrast.value) < 1e-12)
  }

  private func checkPage(_ html: String) throws {
    // A figure for each model in each of four rows, and each has a sentence.
    #expect(html.split(separator: "<div class=\"panels\">").count - 1 == 4)
    let figures = html.split(separator: "<figure>").dropFirst()
    #expect(figures.count == 8)
    for figure in figures {
      let caption = try #require(figure.split(separator: "<figcaption>").dropFirst().first)
      let sentence = try #require(caption.split(separator: "</figcaption>").first)
      #expect(sentence.hasSuffix(".") && sentence.contains("claim"), "\(sentence)")
      #expect(figure.split(separator: "<svg").count == 2)
    }
    for claim in Claim.all { #expect(html.contains(HTMLPage.escaped(claim.text))) }
    #expect(html.contains("no recurrent state") && html.contains("How the numbers were made"))
    #expect(!html.contains("http://www.w3.org/1999") && !html.contains("<script"))
    #expect(!html.contains("nan") && !html.contains("src="))
  }

  /// The figures of one row have the same axes, so that they can be compared by eye.
  @Test func figuresOfARowShareTheirAxes() throws {
    let (mamba, llama) = (try SmallModel.mamba(), try SmallModel.llama())
    let html = try experiment().run([mamba.compared("One"), llama.compared("Two")]).page.html
    let rows = html.split(separator: "<div class=\"panels\">").dropFirst()
    for row in rows {
      let labels = row.split(separator: "<figure>").dropFirst().map { figure in
        figure.split(separator: "<text ").dropFirst().compactMap { text in
          text.split(separator: ">").dropFirst().first?.split(separator: "<").first.map(String.init)
        }
      }
      #expect(labels.count == 2 && labels[0] == labels[1])
    }
  }

  @Test func siblingsAreComparedIfTheyArePresent() {
    let source = folder.makeFolder("demo-model")
    #expect(DemoModels.present(source: source).map(\.name) == ["Mamba"])
    folder.makeFolder("demo-llama")
    #expect(DemoModels.present(source: source).map(\.name) == ["Mamba"])
    folder.write("{}", to: "demo-llama/config.json")
    let found = DemoModels.present(source: source)
    #expect(found.map(\.name) == ["Mamba", "Llama"])
    #expect(found.map(\.store) == ["demo.sxt", "demo-llama.sxt"])
  }
}

/// What the demo model is known for must still be true, within the intervals.
@Suite struct HeadlineTests {
  /// Alice's statements teach, and Bob's are asked about.
  private func fromAliceToBob(
    _ checkpoint: String, at sites: [String], randomDirections: Int
  ) throws -> TransferResult {
    let converted = try ConvertedModel(checkpoint)
    let parts = { (name: String) in [QuirkySubset(name)].compactMap { $0 } }
    var experiment = TransferExperiment(
      sources: parts("A"), targets: parts("B"), methods: [.logistic])
    experiment.randomDirections = randomDirections
    return try experiment.run(
      converted.model, try #require(converted.tokenizer),
      training: LabelledRecords(reading: PackageFiles.fixture("demo-model/quirky_train.jsonl")),
      test: LabelledRecords(reading: PackageFiles.fixture("demo-model/quirky_test.jsonl")),
      sites: converted.model.description.sites(named: sites))
  }

  /// The state of the RWKV-7 contains the truth at block 1. At block 3 it follows Bob, and so does the stream.
  @Test func theStateOfTheRWKVFollowsBob() throws {
    let found = try fromAliceToBob(
      "demo-rwkv7", at: ["blocks.1.state.wkv", "blocks.3.state.wkv", "blocks.3.output"],
      randomDirections: 0)
    func area(_ site: String) throws -> Interval {
      let row = try #require(found.rows.first { $0.probe.site.name == site })
      return try #require(row.measured.roc).interval
    }
    #expect(try Verdict(of: area("blocks.1.state.wkv"), above: 0.5) == .holds)
    #expect(try Verdict(of: area("blocks.3.state.wkv"), above: 0.5) == .fails)
    #expect(try Verdict(of: area("blocks.3.output"), above: 0.5) == .fails)
  }

  /// At block 4 the state contains the truth that the stream and the answers contradict.
  @Test func theStateKnowsMoreThanTheModelSays() throws {
    let found = try fromAliceToBob(
      "demo-model/model.safetensors", at: ["blocks.4.output", "blocks.4.state.ssm"],
      randomDirections: 200)
    let output = try #require(found.outputs.first?.measured.roc)
    let state = try #require(found.summary("A", "B", "state.ssm", "lr"))
    let stream = try #require(found.summary("A", "B", "output", "lr"))
    #expect(Verdict(of: Interval(state.roc.interval, minus: output.interval)) == .holds)
    #expect(Verdict(of: Interval(state.roc.interval, minus: stream.roc.interval)) == .holds)
    let chance = try #require(
      found.chance.first { $0.measured.site.name == state.site.name }?.measured)
    #expect(Verdict(of: state.roc.interval, above: chance.bound) == .holds)
    // The stream follows Bob: his answers are the reverse of the truth.
    #expect(Verdict(of: stream.roc.interval, above: 0.5) == .fails)
  }

  /// At its block the vector has more effect than random directions; with the state it has still more.
  @Test(arguments: [("demo-model/model.safetensors", 3), ("demo-rwkv7", 5)])
  func theVectorSteersAndTheStateHelps(checkpoint: String, block: Int) throws {
    let converted = try ConvertedModel(checkpoint)
    let (model, tokenizer) = (converted.model, try #require(converted.tokenizer))
    let pairs = try ContrastPairs(
      reading: PackageFiles.fixture("demo-model/sentiment_pairs.jsonl"), template: nil)
    let vector = try SteeringTrainer(
      model, tokenizer,
      sites: model.description.sites(named: ["all"], layers: LayerSelection(block...block))
    ).train(pairs).vector
    var experiment = SteeringExperiment(vector, model, tokenizer)
    (experiment.multipliers, experiment.controlCount) = ([-3, 3], 16)
    let test = try ChoiceTest(
      reading: PackageFiles.fixture("demo-model/sentiment_test.jsonl"), template: nil)
    let found = try experiment.run(on: test)
    let curves = found.summary.curves
    #expect(curves.map(\.sites) == [.residual, .state, .both])
    for curve in curves.dropFirst() {
      let control = try #require(found.control(of: curve))
      #expect(
        Verdict(of: curve.contrast.interval, above: control.contrast.interval.high) == .holds,
        "\(curve.sites)")
    }
    // Both have more effect than the stream, and the stream more than the state.
    for (more, less) in [(2, 0), (0, 1)] {
      let difference = Interval(
        curves[more].contrast.interval, minus: curves[less].contrast.interval)
      #expect(Verdict(of: difference) == .holds, "\(more) \(less)")
    }
  }
}
