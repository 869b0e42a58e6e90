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

/// Probes and erasers of the demo model, from records to figures, without the command line.
@Suite struct ProbeEvaluationTests {
  private let demo: DemoModel

  init() throws { demo = try DemoModel() }

  /// The first records of a quirky file.
  private func records(_ name: String, _ count: Int) throws -> LabelledRecords {
    let all = try LabelledRecords(reading: PackageFiles.fixture("demo-model/\(name).jsonl"))
    return try LabelledRecords(Array(all.records.prefix(count)))
  }

  private func probe(
    _ words: [String], _ methods: [ProbeMethod] = [.logistic]
  ) throws -> Probe {
    try Probe.train(
      on: SelectedRecords(records("quirky_train", 60), label: "alice_label"), demo.model,
      demo.tokenizer,
      sites: demo.model.description.sites(named: words, layers: LayerSelection(3...3)),
      methods: methods
    ).probe
  }

  @Test func figuresAreThoseOfScoresAndLabels() throws {
    let probe = try probe(["residual"], [.logistic, .meanDifference])
    let held = try SelectedRecords(records("quirky_test", 40), label: "alice_label")
    let activations = try probe.activations(of: held.records, demo.model, demo.tokenizer)
    let found = ProbeEvaluation(of: probe.entries, on: activations, labels: held.labels)
    #expect(found.rows.map(\.entry) == probe.entries && found.count == 40)
    for row in found.rows {
      let scores = try #require(row.entry.scores(of: activations))
      let right = zip(scores, held.labels).count { ($0 >= row.entry.threshold) == $1 }
      #expect(row.measured.accuracy == Double(right) / 40)
      #expect(row.measured.roc?.area == ROC(scores, held.labels)?.area)
    }
    let output = try #require(found.output)
    #expect(
      output.roc?.area == ROC(activations.outputs.map { Double($0) }, held.labels)?.area)
    #expect(found.chance.count == 1 && found.chance[0].areas == found.chance[0].areas.sorted())
    #expect(found.chance[0].areas.count { $0 < found.chance[0].bound } >= 190)
    #expect(found.table.rows.count == 2)
    let page = found.page(title: "Probes", subtitle: "of a test").html
    #expect(page.contains("AUROC at output") && page.contains("Every probe"))
  }

  @Test func probesOfAnotherModelAreRefused() throws {
    let probe = try probe(["residual"])
    let other = Probe(
      model: ModelReference(
        architecture: probe.model.architecture, identity: SHA256.digest([1]),
        weights: probe.model.weights, width: probe.model.width, layerCount: probe.model.layerCount,
        tokenizer: probe.model.tokenizer),
      sites: probe.sites, entries: probe.entries, training: probe.training, statistics: JSONObject()
    )
    let held = try records("quirky_test", 4).records
    expectRefusal(.artifactModelDigest) {
      try other.activations(of: held, demo.model, demo.tokenizer)
    }
    let accepted = try other.activations(
      of: held, demo.model, demo.tokenizer, allowsModelMismatch: true)
    #expect(accepted.count == 4)
  }

  @Test func erasingLeavesAFreshProbeLess() throws {
    let selected = try SelectedRecords(records("quirky_train", 120), label: "alice_label")
    let sites = try demo.model.description.sites(named: ["blocks.3.output"])
    let activations = try ActivationReader(demo.model).read(
      ChoicePrompts(selected.records, demo.tokenizer), sites: sites)
    let (eraser, certificate) = try EraserTrainer.certifiedEraser(
      of: selected, activations,
      model: demo.model.description.reference(tokenizer: demo.tokenizer.digest),
      positions: .last, pooling: .each)
    #expect(certificate.heldOutCount == 24 && certificate.rows.count == 1)
    let row = certificate.rows[0]
    let (before, after) = (try #require(row.before).area, try #require(row.after).area)
    #expect(before > after)
    #expect(
      eraser.statistics["blocks.3.output"]
        == ["auroc_before": .number(before), "auroc_after": .number(after)])
  }

  @Test func answersFollowReflectionsMoreThanControls() throws {
    let probe = try probe(["residual"], [.logistic, .random])
    let held = try SelectedRecords(records("quirky_test", 40), label: "alice_label")
    let prompts = try ChoicePrompts(held.records, demo.tokenizer)
    let found = try ProbeInterventionResult(
      of: probe.entries, demo.model, tokenizer: demo.tokenizer.digest, on: prompts,
      labels: held.labels)
    #expect(found.rows.count == 2 && found.table.rows.count == 2 && found.json.count == 2)
    for row in found.rows {
      let answers = row.answers
      let change = zip(answers.before, answers.after).map { abs($0 - $1) }.reduce(0, +) / 40
      #expect(abs(row.changes[0] - change) < 1e-12)
      #expect(row.areas[0] == ROC(answers.before, held.labels)?.area)
    }
    let bare = ChoicePrompts(prompts: prompts.prompts, choices: nil)
    expectRefusal(.dataRecord) {
      try ProbeInterventionResult(
        of: probe.entries, demo.model, tokenizer: demo.tokenizer.digest, on: bare,
        labels: held.labels)
    }
  }

  @Test func aMapScoresEveryToken() throws {
    let probe = try probe(["blocks.3.state.conv", "blocks.3.output"])
    let map = try ProbeMap(
      probe, of: "59 + 5 = 64. Bob:", choices: [" False", " True"], demo.model, demo.tokenizer)
    #expect(map.texts.joined() == "59 + 5 = 64. Bob:" && map.scores.count == 2)
    // The last token's scores are those of the activations that the probes were trained on.
    let record = LabelledRecord(
      text: "59 + 5 = 64. Bob:", choices: [" False", " True"], fields: JSONObject())
    let activations = try probe.activations(of: [record], demo.model, demo.tokenizer)
    for (entry, scores) in zip(map.entries, map.scores) {
      let whole = try #require(entry.scores(of: activations)?.first)
      #expect(abs(try #require(scores.last) - whole) < 1e-3 * max(1, abs(whole)))
    }
    #expect(abs(try #require(map.output.last) - Double(activations.outputs[0])) < 1e-3)
    for place in map.disagreements {
      #expect(map.entries[place.entry].site.isState)
      #expect(
        (map.scores[place.entry][place.position] >= 0) != (map.output[place.position] >= 0))
    }
    expectRefusal(.usageOption) {
      try ProbeMap(probe, of: "59", choices: [" True", " True"], demo.model, demo.tokenizer)
    }
    expectRefusal(.usageOption) {
      try ProbeMap(probe, of: "", choices: [" False", " True"], demo.model, demo.tokenizer)
    }
  }

  /// If only the floor is trained on Bob's statements, what is found of Alice's probes is the same.
  private func checkFloorAlone(like whole: TransferResult) throws {
    let parts = { (names: String...) in names.compactMap { QuirkySubset($0) } }
    var experiment = TransferExperiment(
      sources: parts("A"), targets: parts("A", "B", "AH", "BH"), methods: [.logistic])
    experiment.floorSource = QuirkySubset("B")
    let found = try experiment.run(
      demo.model, demo.tokenizer, training: records("quirky_train", 120),
      test: records("quirky_test", 120),
      sites: demo.model.description.sites(named: ["residual"], layers: LayerSelection(2...3)))
    #expect(
      found.bounds.floor == whole.bounds.floor && found.bounds.ceiling == whole.bounds.ceiling)
    // Two blocks of Alice's probes, and one of Bob's.
    #expect(found.rows.count == (2 + 1) * 4)
    for target in ["A", "B", "AH", "BH"] {
      let summaries = [found, whole].map { $0.summary("A", target, "output", "lr") }
      let (alone, both) = (try #require(summaries[0]), try #require(summaries[1]))
      #expect(alone.layer == both.layer && alone.roc.area == both.roc.area)
      #expect(alone.recovered == both.recovered)
    }
  }

  @Test func aTransferReportsEveryPartAndPicksABlock() throws {
    let parts = { (names: String...) in names.compactMap { QuirkySubset($0) } }
    let experiment = TransferExperiment(
      sources: parts("A", "B"), targets: parts("A", "B", "AH", "BH"), methods: [.logistic])
    let found = try experiment.run(
      demo.model, demo.tokenizer, training: records("quirky_train", 120),
      test: records("quirky_test", 120),
      sites: demo.model.description.sites(named: ["residual"], layers: LayerSelection(2...3)))
    #expect(found.rows.count == 2 * 4 * 2 && found.outputs.count == 4)
    let own = try #require(found.summary("A", "B", "output", "lr"))
    let source = try #require(QuirkySubset("A"))
    let within = found.curve(source, source, "output", "lr", in: found.within)
    #expect(
      within.firstIndex { $0.probe.layer == own.layer }
        == Transfer.earliestInformativeLayer(within.map(\.area)))
    let (floor, ceiling) = (
      try #require(found.bounds.floor), try #require(found.bounds.ceiling)
    )
    let hard = try #require(found.summary("A", "BH", "output", "lr"))
    #expect(
      hard.recovered == Transfer.gapRecovered(area: hard.roc.area, floor: floor, ceiling: ceiling))
    #expect(found.table.rows.count == found.rows.count)
    try checkFloorAlone(like: found)
    var page = HTMLPage(title: "Transfer", subtitle: "of a test")
    found.add(to: &page)
    #expect(page.html.contains("From part to part"))
  }
}
