import SextantArtifacts
import SextantBytes
import SextantCollective
import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import SextantTokenizers
import Testing

@testable import SextantAnalysis

/// Artifacts have the same bytes for every number of ranks. The ranks are threads.
@Suite struct RankTests {
  static let sizes = 1...8
  private let folder = TemporaryFolder()
  private let demo: DemoModel

  init() throws { demo = try DemoModel() }

  private var reference: ModelReference {
    demo.model.description.reference(tokenizer: demo.tokenizer.digest)
  }

  /// Runs `body` on each number of ranks, and compares what the first rank returns with `expected`.
  private func expectSame(
    _ expected: [[UInt8]], sizes: [Int] = Array(sizes),
    sourceLocation: SourceLocation = #_sourceLocation,
    _ body: @escaping @Sendable (any Collective) throws(Refusal) -> [[UInt8]]
  ) throws {
    for size in sizes {
      let found = try ThreadGroup.run(size, body)[0]
      #expect(found.count == expected.count, sourceLocation: sourceLocation)
      for (found, expected) in zip(found, expected) {
        #expect(found == expected, "\(size) ranks", sourceLocation: sourceLocation)
      }
    }
  }

  // MARK: Steering vectors

  private func pairs(_ count: Int) throws -> (pairs: ContrastPairs, path: String) {
    let path = try demo.firstLines(count, of: "sentiment_pairs.jsonl")
    return (try ContrastPairs(reading: path, template: nil), path)
  }

  /// Sites of different sizes, except where each needs a covariance.
  private func sites(_ method: SteeringMethod) throws(Refusal) -> [SiteDescription] {
    try demo.model.description.sites(
      named: ["blocks.1.output", "blocks.2.output", "blocks.4.output"]
        + (method == .pca ? [] : ["blocks.3.state.conv"]))
  }

  private func trainer(
    _ method: SteeringMethod, shards: Int? = nil, ranks: any Collective = Alone()
  ) throws(Refusal) -> SteeringTrainer {
    try SteeringTrainer(
      demo.model, demo.tokenizer, estimator: SteeringEstimator(method),
      sites: sites(method), batch: 2, shards: shards, ranks: ranks)
  }

  /// The bytes of the vector and of all moments, on the first rank.
  private func steer(
    _ pairs: ContrastPairs, _ method: SteeringMethod, shards: Int?, _ ranks: any Collective
  ) throws(Refusal) -> [[UInt8]] {
    let trainer = try trainer(method, shards: shards, ranks: ranks)
    let (vector, own) = try trainer.train(pairs)
    guard let moments = try own.gathered(sites(method), by: ranks) else { return [] }
    return [
      try vector.artifact.bytes(),
      try moments.artifact(
        model: vector.model, data: trainer.description(of: pairs), positions: .last,
        retraining: vector.training.retraining
      ).bytes(),
    ]
  }

  @Test(arguments: [SteeringMethod.mean, .pca], [nil, 3])
  func steeringVectors(method: SteeringMethod, shards: Int?) throws {
    let pairs = try pairs(11).pairs
    let expected = try steer(pairs, method, shards: shards, Alone())
    try expectSame(expected) { ranks throws(Refusal) in
      try steer(pairs, method, shards: shards, ranks)
    }
  }

  @Test func shardsAddUpToOneRun() throws {
    let (pairs, path) = try pairs(11)
    let count = 4
    let whole = try steer(pairs, .ldaDiagonal, shards: count, Alone())
    var parts: [String] = []
    for shard in 0..<count {
      parts.append(folder.path("\(shard).moments.safetensors"))
      try trainer(.ldaDiagonal, shards: count).moments(ofShard: shard, of: pairs)
        .write(to: parts[shard])
    }
    // In any order of the files.
    for order in [[0, 1, 2, 3], [3, 1, 0, 2]] {
      let merged = try MomentShards(order.map { parts[$0] })
      #expect(try merged.artifact.bytes() == whole[1])
    }
    let all = folder.path("all.moments.safetensors")
    try MomentShards(parts).artifact.write(to: all)
    let vector = try SteeringVector.train(
      fromMoments: all, SteeringEstimator(.ldaDiagonal), sites: nil, layers: nil)
    #expect(try vector.artifact.bytes() == whole[0])
    // The record is enough to train again.
    let file = folder.path("v.steer.safetensors")
    try vector.artifact.write(to: file)
    try Retraining(demo.model, demo.tokenizer, source: .pairs(.pairs(path))).verify(
      Artifact(reading: file), file: file)

    // A shard twice, a missing one, of other data, of another number of shards, and no shard.
    let others = try self.pairs(10).pairs
    let (foreign, other, plain) = (
      folder.path("foreign.safetensors"), folder.path("other.safetensors"),
      folder.path("plain.safetensors")
    )
    try trainer(.ldaDiagonal, shards: count).moments(ofShard: 3, of: others).write(to: foreign)
    try trainer(.ldaDiagonal, shards: 3).moments(ofShard: 2, of: pairs).write(to: other)
    try FilePublisher.publish(InputFile(all).readAll(limit: 1 << 30), to: plain)
    for (files, found) in [
      (parts + [parts[2]], "shard 2"), (Array(parts.dropLast()), "no shard 3"),
      ([parts[1]], "no shard 0, 2, 3"), (Array(parts[..<3]) + [foreign], "other data"),
      (Array(parts[..<3]) + [other], "a shard of 3"), (parts + [plain], "no shard"),
    ] {
      let refusal = expectRefusal(.dataShard) { try MomentShards(files) }
      #expect(refusal?.found.contains(found) == true, "\(refusal?.found ?? "")")
    }
    let refusal = expectRefusal(.usageOption) {
      try trainer(.ldaDiagonal, shards: 12).train(pairs)
    }
    #expect(refusal?.place == .parameter("shards"))
    expectRefusal(.usageOption) {
      try trainer(.ldaDiagonal, shards: 4).moments(ofShard: 4, of: pairs)
    }
  }

  @Test func shardsAreCutByTokens() throws {
    var random = SplitMix64(seed: 8)
    for count in [1, 2, 5, 40] {
      let texts = (0..<count).map { _ in [Int](repeating: 1, count: 1 + random.int(below: 50)) }
      let pairs = TokenPairs(positive: texts, negative: texts.reversed())
      let sizes = zip(pairs.positive, pairs.negative).map { $0.count + $1.count }
      for shards in 1...count {
        let ranges = try pairs.shards(shards)
        #expect(ranges.count == shards && ranges.allSatisfy { !$0.isEmpty })
        #expect(ranges.flatMap { Array($0) } == Array(0..<count))
        // No shard is much larger than its share.
        let largest = ranges.map { range in range.reduce(0) { $0 + sizes[$1] } }.max() ?? 0
        #expect(largest <= sizes.reduce(0, +) / shards + 2 * (sizes.max() ?? 0))
      }
    }
  }

  // MARK: Lenses

  @Test func ridgeLenses() throws {
    // Chunks of several batches, so that several ranks read.
    let corpus = try TextCorpus(
      reading: [demo.firstLines(40, of: "samples_train.jsonl")], tokenizer: demo.tokenizer,
      chunkLength: 520, limit: 2080)
    var options = RidgeLensOptions()
    (options.calibrationTokens, options.heldOutEvery) = (32, 3)
    (options.calibrationSteps, options.refinementSteps) = (2, 1)
    options.strengths = [0.01, 1]
    let settings = options
    let train = { @Sendable (ranks: any Collective) throws(Refusal) -> [[UInt8]] in
      let lens = try RidgeLensTrainer(
        demo.model, tokenizer: demo.tokenizer.digest, corpus: corpus, options: settings,
        ranks: ranks
      ).trainTogether()
      guard let lens else { return [] }
      return [try lens.artifact.bytes()]
    }
    try expectSame(train(Alone()), train)
    // Every rank can get the lens.
    let everywhere = try ThreadGroup.run(3) { ranks throws(Refusal) -> [UInt8] in
      try RidgeLensTrainer(
        demo.model, tokenizer: demo.tokenizer.digest, corpus: corpus, options: settings,
        ranks: ranks
      ).trainTogether(everywhere: true)?.artifact.bytes() ?? []
    }
    #expect(try everywhere.allSatisfy { try $0 == train(Alone())[0] })
  }

  @Test(arguments: [
    (LensLoss.kl, TunedLensOptions.Optimizer.Kind.sgd, Array(sizes)), (.ce, .adam, [3]),
  ])
  func tunedLensesAndTheirCheckpoints(
    loss: LensLoss, optimizer: TunedLensOptions.Optimizer.Kind, sizes: [Int]
  ) throws {
    let corpus = try TextCorpus(
      reading: [demo.firstLines(12, of: "samples_train.jsonl")], tokenizer: demo.tokenizer,
      chunkLength: 520, limit: 1040)
    var options = TunedLensOptions()
    (options.loss, options.optimizer.kind) = (loss, optimizer)
    try options.fit(to: corpus, passes: 2, steps: 2, tokensPerStep: 1040)
    let settings = options
    let train = {
      @Sendable (ranks: any Collective, resumed: LensCheckpoint?) throws(Refusal) -> [[UInt8]] in
      let trainer = try TunedLensTrainer(
        demo.model, tokenizer: demo.tokenizer.digest, corpus: corpus, options: settings,
        ranks: ranks)
      var files: [[UInt8]] = []
      let lens = try trainer.trainTogether(
        resuming: resumed, saveEvery: resumed == nil ? 1 : 0,
        save: { checkpoint throws(Refusal) in
          files.append(try checkpoint.artifact.bytes())
        })
      return files + (try lens.map { lens throws(Refusal) in [try lens.artifact.bytes()] } ?? [])
    }
    let expected = try train(Alone(), nil)
    #expect(expected.count == 2)
    try expectSame(expected, sizes: sizes) { ranks throws(Refusal) in try train(ranks, nil) }
    // Some ranks continue what others, or one process, began.
    let path = folder.path("checkpoint.safetensors")
    try FilePublisher.publish(expected[0], to: path)
    let checkpoint = try LensCheckpoint(reading: path)
    for size in [1, 3] {
      let resumed = try ThreadGroup.run(size) { ranks throws(Refusal) in
        try train(ranks, checkpoint)
      }[0]
      #expect(resumed == [expected[1]])
    }
  }

  // MARK: Probes

  @Test(arguments: [Probe.Pooling.mean, .each])
  func probes(pooling: Probe.Pooling) throws {
    let records = try SelectedRecords(
      LabelledRecords(reading: demo.firstLines(48, of: "quirky_train.jsonl")),
      label: "alice_label", subset: try #require(QuirkySubset("A")))
    let methods: [ProbeMethod] =
      pooling == .mean
      ? [.discriminant, .logistic, .random] : [.meanDifference, .clustering, .logisticOnPair]
    let positions: PositionSelection =
      pooling == .mean ? try #require(PositionSelection("last-2")) : .last
    let train = { @Sendable (ranks: any Collective) throws(Refusal) -> [[UInt8]] in
      let sites = try demo.model.description.sites(
        named: ["blocks.1.output", "blocks.3.output", "blocks.5.output"])
      let readsPairs = methods.contains(where: \.needsPairs)
      let activations = try ActivationReader(
        demo.model, positions: positions, pooling: pooling, batch: 3, ranks: ranks
      ).read(
        ChoicePrompts(records.records, demo.tokenizer), sites: sites, readsPairs: readsPairs)
      let (probe, skipped) = try ProbeTrainer(methods, seed: 9, ranks: ranks).probe(
        of: records, activations, sites: sites, model: reference, positions: positions,
        pooling: pooling)
      // Every rank has the model's own answers.
      let outputs = activations.outputs.withUnsafeBytes { Array($0) }
      return [try probe.artifact.bytes(), outputs, Array("\(skipped)".utf8)]
    }
    let expected = try train(Alone())
    for size in Self.sizes {
      for (rank, found) in try ThreadGroup.run(size, train).enumerated() {
        #expect(found == expected, "rank \(rank) of \(size)")
      }
    }
  }

  // MARK: Captures

  @Test func captures() throws {
    let sites = try demo.model.description.sites(named: ["blocks.1.output", "state", "logits"])
    let prompts = [[5, 6, 7], [9], [1, 2], [3, 4, 5, 6]]
    let expected = try CaptureReader(demo.model, sites: sites).capture(
      prompts, tokenizer: nil, beginOfText: [1]
    ).bytes()
    try expectSame([expected]) { ranks throws(Refusal) in
      let artifact = try CaptureReader(demo.model, sites: sites).captureTogether(
        prompts, tokenizer: nil, beginOfText: [1], isEdited: false, ranks: ranks,
        editing: { _ in nil }, progress: { _, _ in })
      return try artifact.map { artifact throws(Refusal) in [try artifact.bytes()] } ?? []
    }
  }

  // MARK: Ranks that differ

  @Test func ranksWithOtherDataOrSettingsAreRefused() throws {
    let (some, others) = (try pairs(6).pairs, try pairs(7).pairs)
    let rows: [(word: String, train: @Sendable (any Collective) throws(Refusal) -> Void)] = [
      (
        "data",
        { ranks throws(Refusal) in
          _ = try trainer(.mean, ranks: ranks).train(ranks.rank == 1 ? others : some)
        }
      ),
      (
        "settings",
        { ranks throws(Refusal) in
          _ = try trainer(ranks.rank == 1 ? .ldaDiagonal : .mean, ranks: ranks).train(some)
        }
      ),
    ]
    for row in rows {
      let refusal = expectRefusal(.usageRanks) { try ThreadGroup.run(2, row.train) }
      #expect(refusal?.found.hasPrefix("rank 1 (on ") == true)
      #expect(refusal?.found.contains("with the \(row.word)") == true)
    }
  }
}
