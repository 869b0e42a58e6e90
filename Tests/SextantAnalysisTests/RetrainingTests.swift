import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantModelTestSupport
import SextantModels
import SextantTestSupport
import SextantTokenizers
import Testing

/// Probes, erasers and lenses, trained again from the records in their manifests.
@Suite struct RetrainingTests {
  private let folder = TemporaryFolder()
  private let demo: DemoModel

  init() throws { demo = try DemoModel() }

  private func written(_ artifact: Artifact) throws -> String {
    let path = folder.path("artifact.safetensors")
    try artifact.write(to: path, replacing: true)
    return path
  }

  private func verify(_ path: String, _ source: RetrainingSource) throws {
    try Retraining(demo.model, demo.tokenizer, source: source, area: { scores, _ in scores[0] })
      .verify(
        Artifact(reading: path), file: path)
  }

  /// The artifact without its record, as older versions wrote it.
  private func forgotten(_ path: String) throws -> String {
    let artifact = try Artifact(reading: path)
    var details = artifact.manifest.details
    details["retraining"] = nil
    let manifest = Manifest(
      kind: artifact.manifest.kind, kindVersion: artifact.manifest.kindVersion,
      model: artifact.manifest.model, sites: artifact.manifest.sites, details: details)
    return try written(Artifact(manifest: manifest, tensors: artifact.tensors))
  }

  private func records(
    _ path: String, where conditions: [(field: String, value: String)] = []
  ) throws -> SelectedRecords {
    try SelectedRecords(
      LabelledRecords(reading: path), label: "alice_label",
      subset: try #require(QuirkySubset("A")), where: conditions)
  }

  @Test func probesAreTrainedAgainToTheBit() throws {
    let path = try demo.firstLines(48, of: "quirky_train.jsonl")
    let records = try records(path)
    let sites = try demo.model.description.sites(named: ["blocks.3.output", "blocks.2.state.ssm"])
    let last = try #require(PositionSelection("last-2"))
    for (methods, positions, pooling) in [
      ([.discriminant, .logistic, .random], last, .mean),
      ([.meanDifference, .clustering, .logisticOnPair], .last, .each),
    ] as [([ProbeMethod], PositionSelection, Probe.Pooling)] {
      let activations = try ActivationReader(
        demo.model, positions: positions, pooling: pooling, batch: 5
      )
      .read(
        ChoicePrompts(records.records, demo.tokenizer), sites: [sites[0]],
        readsPairs: methods.contains(where: \.needsPairs))
      let probe = try ProbeTrainer(methods, seed: 9).probe(
        of: records, activations,
        model: demo.model.description.reference(tokenizer: demo.tokenizer.digest),
        positions: positions, pooling: pooling
      ).probe
      let file = try written(probe.artifact)
      try verify(file, .records(path))
      // Other records, data of another kind, and no record.
      let other = try demo.firstLines(47, of: "quirky_train.jsonl")
      expectRefusal(.artifactRetrain) { try verify(file, .records(other)) }
      expectRefusal(.usageOption) { try verify(file, .pairs(.pairs(path))) }
      let old = try forgotten(file)
      expectRefusal(.artifactRetrain) { try verify(old, .records(path)) }
    }
  }

  @Test func erasersAreTrainedAgainToTheBit() throws {
    let path = try demo.firstLines(120, of: "quirky_train.jsonl")
    let records = try records(path)
    let sites = try demo.model.description.sites(named: ["blocks.3.output"])
    let activations = try ActivationReader(demo.model, batch: 7).read(
      ChoicePrompts(records.records, demo.tokenizer), sites: sites)
    let eraser = try EraserTrainer.eraser(
      of: records, activations,
      model: demo.model.description.reference(tokenizer: demo.tokenizer.digest),
      positions: .last, pooling: .each, applied: try #require(PositionSelection("all"))
    ) { scores, _ in scores[0] }.eraser
    let file = try written(eraser.artifact)
    try verify(file, .records(path))
    // A figure that differs from the computed one.
    try Retraining(
      demo.model, demo.tokenizer, source: .records(path), area: { scores, _ in scores[0] }
    )
    .verify(Artifact(reading: file), file: file)
    expectRefusal(.artifactRetrain) {
      try Retraining(demo.model, demo.tokenizer, source: .records(path), area: { _, _ in 0.5 })
        .verify(
          Artifact(reading: file), file: file)
    }
    let old = try forgotten(file)
    expectRefusal(.artifactRetrain) { try verify(old, .records(path)) }
  }

  @Test func lensesAreTrainedAgainToTheBit() throws {
    let path = try demo.firstLines(12, of: "samples_train.jsonl")
    let corpus = try TextCorpus(
      reading: [path], tokenizer: demo.tokenizer, chunkLength: 32, limit: 512)
    var options = RidgeLensOptions()
    (options.calibrationTokens, options.heldOutEvery) = (64, 4)
    let ridge = try RidgeLensTrainer(
      demo.model, tokenizer: demo.tokenizer.digest, corpus: corpus, options: options
    ).train()
    let ridgeFile = folder.path("ridge.safetensors")
    try ridge.artifact.write(to: ridgeFile, replacing: false)
    let texts = RetrainingSource.texts([path], field: "text", start: nil)
    try verify(ridgeFile, texts)

    var tuned = TunedLensOptions()
    tuned.optimizer.kind = .adam
    try tuned.fit(to: corpus, passes: 1, steps: nil, tokensPerStep: 256)
    #expect(tuned.steps == 2 && tuned.passes(over: corpus) == 1)
    let trainer = try TunedLensTrainer(
      demo.model, tokenizer: demo.tokenizer.digest, corpus: corpus, options: tuned)
    let fromIdentity = try written(trainer.train().artifact)
    try verify(fromIdentity, texts)
    expectRefusal(.usageOption) {
      try verify(fromIdentity, .texts([path], field: "text", start: ridgeFile))
    }
    let fromRidge = try written(trainer.train(from: ridge).artifact)
    try verify(fromRidge, texts)
    try verify(fromRidge, .texts([path], field: "text", start: ridgeFile))
    let other = try demo.firstLines(11, of: "samples_train.jsonl")
    expectRefusal(.artifactRetrain) {
      try verify(fromRidge, .texts([other], field: "text", start: nil))
    }
    let old = try forgotten(fromRidge)
    expectRefusal(.artifactRetrain) { try verify(old, texts) }
  }

  // MARK: Training that makes no progress

  @Test func passesDecideTheSteps() throws {
    let corpus = TextCorpus(chunks: (0..<40).map { _ in [1, 2, 3, 4] })
    for (passes, steps, perStep, expected) in [
      (1, nil, nil, (40, 4)), (10, nil, nil, (250, 4)), (1, nil, 16, (10, 16)),
      (2, nil, 19, (20, 16)), (1, 7, 160, (7, 160)), (100, nil, nil, (250, 64)),
    ] as [(Int, Int?, Int?, (Int, Int))] {
      var options = TunedLensOptions()
      try options.fit(to: corpus, passes: passes, steps: steps, tokensPerStep: perStep)
      #expect(options.steps == expected.0 && options.tokensPerStep == expected.1)
    }
    var options = TunedLensOptions()
    expectRefusal(.usageOption) {
      try options.fit(to: corpus, passes: 1, steps: nil, tokensPerStep: 164)
    }
    expectRefusal(.usageOption) {
      try options.fit(to: corpus, passes: 0, steps: nil, tokensPerStep: nil)
    }
    try options.fit(to: corpus, passes: .max, steps: 3, tokensPerStep: nil)
    expectRefusal(.usageOption) {
      try options.fit(to: corpus, passes: .max, steps: nil, tokensPerStep: nil)
    }
  }

  @Test func ratesThatGoNowhereOrUphillAreRefused() {
    let corpus = TextCorpus(chunks: [[1, 2, 3, 4], [4, 3, 2, 1]])
    for rate in [0, -1, -Double.leastNonzeroMagnitude, .nan, .infinity] {
      var options = TunedLensOptions()
      (options.tokensPerStep, options.optimizer.rateScale) = (8, rate)
      expectRefusal(.usageOption) {
        try TunedLensTrainer(
          demo.model, tokenizer: demo.tokenizer.digest, corpus: corpus, options: options)
      }
    }
  }

  @Test func sitesThatTrainingMadeWorseAreNamed() throws {
    let path = try demo.firstLines(12, of: "samples_train.jsonl")
    let corpus = try TextCorpus(
      reading: [path], tokenizer: demo.tokenizer, chunkLength: 32, limit: 256)
    // One step has no next one that would show its result.
    for (rate, steps, isWorse) in [(1.0, 6, false), (1e6, 6, true), (1e6, 1, true), (1, 1, false)] {
      var options = TunedLensOptions()
      options.optimizer.rateScale = rate
      try options.fit(to: corpus, passes: 1, steps: steps, tokensPerStep: 256)
      let lens = try TunedLensTrainer(
        demo.model, tokenizer: demo.tokenizer.digest, corpus: corpus, options: options
      ).train()
      let worse = lens.sitesMadeWorse
      #expect(worse.isEmpty != isWorse && !worse.contains("blocks.5.output"))
      // The file tells.
      let read = try Lens(reading: written(lens.artifact))
      #expect(read.sitesMadeWorse == worse.sorted())
    }
  }
}
