import Sextant
import SextantTestSupport
import Testing

/// Training on Swift values gives the same artifact as the command gives for a file.
@Suite struct TrainingTests {
  private let folder = TemporaryFolder()

  /// Writes the artifact, and expects the bytes that the command writes.
  private func expectBytes(
    _ learned: some WritableArtifact, of arguments: [String],
    location: SourceLocation = #_sourceLocation
  ) throws {
    let path = folder.path("by-command.safetensors")
    let run = CommandRun.sextant(arguments + ["-m", Demo.path, "-o", path, "--force"])
    #expect(run.end == .exited(0), "\(run.errors)", sourceLocation: location)
    #expect(
      try learned.artifact.bytes() == Artifact(reading: path).bytes(), sourceLocation: location)
  }

  @Test func steeringVectors() throws {
    let model = try Demo.model()
    let file = folder.write(ContrastPairs.jsonLines(of: Demo.pairs), to: "pairs.jsonl")
    let pairs = try ContrastPairs(Demo.pairs)
    let vector = try SteeringVector.train(on: pairs, for: model)
    try expectBytes(vector, of: ["steer", "train", "--pairs", file])
    try expectBytes(
      SteeringVector.train(
        on: pairs, for: model, at: ["all"], layers: 2...3, method: .ldaDiagonal, scale: .unit,
        reading: PositionSelection([.last(count: 2)]), operation: .project,
        steering: PositionSelection([.all])),
      of: [
        "steer", "train", "--pairs", file, "--sites", "all", "--layers", "2-3", "--method",
        "lda-diagonal",
        "--scale", "unit", "--positions", "last-2", "--operation", "project", "--steer-at", "all",
      ])
    let path = folder.path("vector.steer.safetensors")
    try vector.write(to: path)
    #expect(try SteeringVector(reading: path).artifact.bytes() == vector.artifact.bytes())
    #expect(throws: Refusal.self) { try vector.write(to: path) }
    #expect(
      CommandRun.sextant([
        "verify", path, "--retrain", "-m", Demo.path, "--pairs", file,
      ]).end == .exited(0))
    #expect(throws: Refusal.self) { try ContrastPairs([]) }
    #expect(throws: Refusal.self) { try ContrastPairs([(positive: "a", negative: "a")]) }
  }

  @Test func probesAndErasers() throws {
    let model = try Demo.model()
    let file = folder.write(SelectedRecords.jsonLines(of: Demo.examples), to: "records.jsonl")
    let records = try SelectedRecords(Demo.examples)
    let data = ["--data", file, "--label", "label"]
    let probe = try Probe.train(on: records, for: model, at: ["all"], layers: 1...2)
    try expectBytes(
      probe,
      of: ["probe", "train", "--sites", "all", "--layers", "1-2"] + data)
    try expectBytes(Probe.train(on: records, for: model), of: ["probe", "train"] + data)
    let (eraser, certificate) = try ConceptEraser.train(on: records, for: model, layers: 3...3)
    try expectBytes(eraser, of: ["probe", "erase", "--layers", "3"] + data)
    #expect(certificate.heldOutCount == 2 && certificate.rows.count == 1)
    let path = folder.path("probes.probe.safetensors")
    try probe.write(to: path)
    let run = CommandRun.sextant(
      ["probe", "eval", "-m", Demo.path, "--probe", path, "--json"] + data)
    let found = try probe.evaluate(on: records, with: model)
    #expect(found.rows.map(\.entry.name) == probe.entries.map(\.name))
    #expect(found.count == records.labels.count && found.chance.count == probe.sites.count)
    for row in found.rows {
      let area = try #require(row.measured.roc).area
      #expect(run.output.contains("\(area)"))
      #expect(run.output.contains("\(row.measured.calibrationError)"))
    }
    let name = probe.entries[1].name
    #expect(
      try probe.evaluate(on: records, with: model, name: name).rows.map(\.entry.name) == [name])
    #expect(throws: Refusal.self) {
      try Probe.train(on: SelectedRecords([("one", true), ("two", true)]), for: model)
    }
  }

  @Test func lenses() throws {
    let model = try Demo.model()
    let texts = (0..<12).map { "The film of \($0) was superb, and the acting was boring." }
    let file = folder.write(TextCorpus.jsonLines(of: texts), to: "texts.jsonl")
    let corpus = try model.corpus(of: texts, chunkLength: 32)
    let data = ["--text", file, "--chunk", "32"]
    var options = RidgeLensOptions()
    options.calibrationTokens = 0
    let lens = try Lens.train(on: corpus, for: model, by: .ridge(options))
    try expectBytes(
      lens, of: ["lens", "train", "--method", "ridge", "--calibration-tokens", "0"] + data)
    try expectBytes(Lens.train(on: corpus, for: model), of: ["lens", "train"] + data)
    let fromFile = try model.corpus(reading: [file], chunkLength: 32)
    #expect(fromFile.chunks == corpus.chunks && fromFile.digest == corpus.digest)
    let path = folder.path("ridge.lens.safetensors")
    try lens.write(to: path)
    let run = CommandRun.sextant(
      ["lens", "eval", "-m", Demo.path, "--lens", path, "--json"] + data)
    let evaluation = try lens.evaluate(on: corpus, with: model)
    for layer in try #require(evaluation.results.last).layers {
      #expect(run.output.contains("\(layer.crossEntropy.mean)"))
      #expect(run.output.contains("\(layer.divergence.mean)"))
    }
  }

  @Test func sweeps() throws {
    let model = try Demo.model()
    let items = ["film", "acting", "story", "music"].map {
      ChoiceTest.Item(
        prompt: "I think the \($0) was very", matching: [" good"], other: [" bad"])
    }
    let file = folder.write(ChoiceTest.jsonLines(of: items), to: "test.jsonl")
    let vector = try SteeringVector.train(on: ContrastPairs(Demo.pairs), for: model)
    let path = folder.path("vector.steer.safetensors")
    try vector.write(to: path)
    let found = try vector.evaluate(on: ChoiceTest(items), with: model, seed: 4)
    let results = folder.path("results")
    let run = CommandRun.sextant([
      "steer", "eval", "-m", Demo.path, "--apply", path, "--pairs", file, "--seed", "4", "-o",
      results,
      "--json",
    ])
    #expect(run.end == .exited(0), "\(run.errors)")
    let curve = try #require(found.summary.curves.first)
    #expect(run.output.contains("\(curve.contrast.value)"))
    #expect(found.summary.rows.count == 6 * 8)
    let control = try #require(found.control(of: curve))
    #expect(found.controls.count == 16)
    #expect(run.output.contains("\(control.probability)"))
    #expect(run.output.contains("\(control.contrast.value)"))
  }
}
