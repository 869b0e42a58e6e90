import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTestSupport
import SextantTokenizers
import Testing

/// Everything that training writes is valid by the published schemas. They describe every member.
@Suite struct ManifestTests {
  private let folder = TemporaryFolder()
  private let demo: DemoModel
  private let tokenizer: any Tokenizer

  init() throws {
    demo = try DemoModel()
    // Texts that begin with a token of their own are recorded, too.
    tokenizer = BoundedTokenizer(demo.tokenizer, begin: [0])
  }

  private func check(
    _ artifact: Artifact, has members: String..., sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let path = folder.path("artifact.safetensors")
    try artifact.write(to: path, replacing: true)
    let bytes = try InputFile(path).readAll(limit: 1 << 30)
    let length = bytes[..<8].enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
    let header = try JSONNode(
      parsing: Array(bytes[8..<8 + length]), limits: JSONLimits(stringByteCount: 1 << 20),
      code: .artifactSchema, file: path)
    let text = try header.member("__metadata__").member(Artifact.metadataKey).string()
    let manifest = try JSONValue(parsing: Array(text.utf8))
    let schema = try JSONSchema.manifest(of: artifact.manifest.kind)
    #expect(schema.flaws(of: manifest) == [], sourceLocation: sourceLocation)
    #expect(schema.undescribedMembers(of: manifest) == [], sourceLocation: sourceLocation)
    guard case .object(let object) = manifest else { return }
    for member in members {
      #expect(object[member] != nil, "\(member)", sourceLocation: sourceLocation)
    }
  }

  private var reference: ModelReference {
    demo.model.description.reference(tokenizer: tokenizer.digest)
  }

  @Test func vectorsMomentsAndCaptures() throws {
    let sites = try demo.model.description.sites(named: ["blocks.3.output"])
    let pairs = try ContrastPairs(
      reading: demo.firstLines(8, of: "sentiment_pairs.jsonl"), template: nil)
    let (vector, moments) = try SteeringTrainer(
      demo.model, tokenizer, estimator: SteeringEstimator(.lda, shrinkage: 0.5), sites: sites
    ).train(pairs)
    try check(vector.artifact, has: "retraining", "targets", "statistics")
    try check(
      moments.artifact(
        model: reference, data: tokenizer.recordingBeginning(in: pairs.record), positions: .last,
        retraining: vector.training.retraining), has: "retraining")
    try check(
      CaptureReader(demo.model, sites: sites).capture(
        [[0, 5], [0, 6]], tokenizer: tokenizer.digest, beginOfText: [0], isEdited: true),
      has: "begin_of_text", "edited")
  }

  @Test func probesAndErasers() throws {
    let records = try SelectedRecords(
      LabelledRecords(reading: demo.firstLines(120, of: "quirky_train.jsonl")),
      label: "alice_label",
      subset: try #require(QuirkySubset("A")))
    let activations = try ActivationReader(demo.model).read(
      ChoicePrompts(records.records, tokenizer),
      sites: demo.model.description.sites(named: ["blocks.3.output"]))
    let probe = try ProbeTrainer([.logistic]).probe(
      of: records, activations, model: reference, positions: .last, pooling: .each
    ).probe
    try check(probe.artifact, has: "retraining", "statistics", "seed")
    let eraser = try EraserTrainer.eraser(
      of: records, activations, model: reference, positions: .last, pooling: .each, applied: .last
    ) { _, _ in 0.5 }.eraser
    try check(eraser.artifact, has: "retraining", "statistics", "seed")
  }

  @Test func lensesAndTheirCheckpoints() throws {
    let corpus = try TextCorpus(
      reading: [demo.firstLines(4, of: "samples_train.jsonl")], tokenizer: tokenizer,
      chunkLength: 16, limit: 64)
    var options = TunedLensOptions()
    (options.steps, options.tokensPerStep, options.optimizer.warmUp) = (2, 16, 0)
    var checkpoints: [LensCheckpoint] = []
    let lens = try TunedLensTrainer(
      demo.model, tokenizer: tokenizer.digest, corpus: corpus, options: options
    ).train(saveEvery: 1, save: { checkpoints.append($0) })
    try check(lens.artifact, has: "retraining", "statistics", "seed")
    try check(try #require(checkpoints.first).artifact, has: "first_losses", "memories")
  }
}
