import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantModelTestSupport
import SextantModels
import SextantTensor
import SextantTestSupport
import SextantTokenizers
import Testing

/// Steering vectors of the demo model are compared with differences of means of captures.
@Suite struct SteeringTrainerTests {
  let converted: ConvertedModel
  let model: any LanguageModel
  let tokenizer: any Tokenizer
  private let folder = TemporaryFolder()

  init() throws {
    converted = try ConvertedModel("demo-model/model.safetensors")
    model = converted.model
    tokenizer = try #require(converted.tokenizer)
  }

  /// The first pairs of the demo's file.
  private func pairs(_ count: Int) throws -> ContrastPairs {
    let all = try InputFile(PackageFiles.fixture("demo-model/sentiment_pairs.jsonl"))
      .readAll(limit: 1 << 20)
    let lines = all.split(separator: UInt8(ascii: "\n"))[..<count]
    let path = folder.write(Array(lines.joined(separator: [0x0A])), to: "pairs.jsonl")
    return try ContrastPairs(reading: path, template: nil)
  }

  private func train(
    _ pairs: ContrastPairs, _ words: [String], _ positions: String = "last"
  ) throws -> SteeringVector {
    try SteeringTrainer(
      model, tokenizer, sites: model.description.sites(named: words),
      positions: try #require(PositionSelection(positions))
    ).train(pairs).vector
  }

  /// The mean at a site over the selected tokens of texts, from captures alone.
  private func naiveMean(
    _ site: SiteDescription, _ texts: [String], _ positions: PositionSelection
  ) throws -> [Double] {
    var sum = [Double](repeating: 0, count: site.elementCount)
    var count = 0
    let reader = CaptureReader(model, sites: [site])
    for tokens in texts.map(tokenizer.encode) {
      for position in tokens.indices where positions.contains(position, prompt: 0..<tokens.count) {
        let capture = try reader.capture([Array(tokens[...position])], tokenizer: nil)
        let value = try #require(capture.tensor(site.site.name)).values.suffix(site.elementCount)
        for (index, element) in value.enumerated() { sum[index] += Double(element) }
        count += 1
      }
    }
    return sum.map { $0 / Double(count) }
  }

  @Test(arguments: ["last", "last-3", "all"])
  func aVectorIsTheDifferenceOfTheMeans(positions: String) throws {
    let pairs = try pairs(4)
    let selection = try #require(PositionSelection(positions))
    let words = [
      "blocks.2.output", "blocks.5.output", "blocks.3.state.ssm", "blocks.0.state.conv",
      "final_norm",
    ]
    let vector = try train(pairs, words, positions)
    #expect(vector.training.positions == selection)
    for site in try model.description.sites(named: words) {
      let positive = try naiveMean(site, pairs.pairs.map(\.positive), selection)
      let negative = try naiveMean(site, pairs.pairs.map(\.negative), selection)
      let found = try #require(vector.vectors.first { $0.site == site.reference }).value
      #expect(found.shape == site.shape)
      let difference = zip(positive, negative).map { Float($0 - $1) }
      expectClose(
        found, Tensor(difference, shape: site.shape), Bound(absolute: 5e-5, relative: 1e-5),
        "\(site.site)")
    }
  }

  @Test func theSamePairsGiveTheSameBytes() throws {
    let pairs = try pairs(40)
    let first = try train(pairs, ["all"]).artifact.bytes()
    #expect(try train(pairs, ["all"]).artifact.bytes() == first)
    #expect(try train(self.pairs(39), ["all"]).artifact.bytes() != first)
  }

  @Test func theManifestTellsWhatWasDone() throws {
    let pairs = try pairs(5)
    let vector = try train(pairs, ["blocks.1.output", "blocks.1.state.ssm"])
    #expect(vector.model == model.description.reference(tokenizer: tokenizer.digest))
    #expect(vector.training.method == "mean" && vector.positions == .fromLast)
    #expect(
      vector.training.data == [
        "form": "pairs-jsonl", "pairs": 5, "sha256": .string(pairs.digest.description),
        "template": .null,
      ])
    for (site, value) in vector.vectors {
      let figures = JSONNode(
        vector.statistics[site.name] ?? .null, code: .artifactSchema, file: nil)
      let norm = value.values.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
      #expect(abs(try figures.member("norm").number() - norm) <= 1e-6 * norm)
      #expect(try figures.member("mean_norm").number() > 0)
      #expect(try figures.member("separation").number() > 0)
    }
    _ = try vector.artifact.bytes()
  }

  @Test func trainingAgainProvesTheFile() throws {
    let pairs = folder.write(
      try InputFile(PackageFiles.fixture("demo-model/sentiment_pairs.jsonl")).readAll(
        limit: 1 << 20),
      to: "pairs.jsonl")
    let path = folder.path("v.steer.safetensors")
    let vector = try train(ContrastPairs(reading: pairs, template: nil), ["blocks.3.output"])
    try vector.artifact.write(to: path)
    let again = Retraining(model, tokenizer, source: .pairs(.pairs(pairs)))
    try again.verify(Artifact(reading: path), file: path)
    let other = SteeringVector(
      model: vector.model, vectors: vector.vectors.map { ($0.site, Tensor(zeros: $0.value.shape)) },
      training: vector.training, statistics: vector.statistics)
    try other.artifact.write(to: path, replacing: true)
    expectRefusal(.artifactRetrain) { try again.verify(Artifact(reading: path), file: path) }
    folder.write("{\"positive\":\"a\",\"negative\":\"b\"}", to: "pairs.jsonl")
    expectRefusal(.artifactRetrain) { try again.verify(Artifact(reading: path), file: path) }
  }

  @Test(arguments: SteeringMethod.allCases)
  func momentsThatWereKeptGiveTheSameBytes(method: SteeringMethod) throws {
    let pairs = try pairs(20)
    let sites = try model.description.sites(named: ["blocks.2.output"])
    let estimator = try SteeringEstimator(method, scale: .mean)
    let trainer = try SteeringTrainer(
      model, tokenizer, estimator: estimator, sites: sites, keeping: [.lda, .pca])
    let (vector, moments) = try trainer.train(pairs)
    let path = folder.path("kept.moments.safetensors")
    let reference = model.description.reference(tokenizer: tokenizer.digest)
    try moments.artifact(
      model: reference, data: pairs.record, positions: .last,
      retraining: vector.training.retraining
    ).write(to: path, replacing: true)
    let artifact = try Artifact(reading: path)
    let again = try estimator.vector(
      from: MomentSet(artifact), at: Moments.positions(of: artifact), model: reference,
      data: artifact.manifest.detailsNode(file: path).member("data").object(),
      retraining: artifact.manifest.detailsNode(file: path).member("retraining").object())
    for (site, value) in vector.vectors {
      let other = try #require(again.vectors.first { $0.site == site }).value
      // A covariance is divided by the count when it is written, and multiplied when it is read.
      expectClose(other, value, Bound(absolute: 1e-6, relative: 1e-6), "\(method)")
    }
    #expect(again.training == vector.training)
  }

  @Test func sitesThatAreTooLargeForACovarianceAreRefusedBeforeReading() throws {
    for method in [SteeringMethod.lda, .ldaTotal, .pca, .pcaCentered] {
      let trainer = try SteeringTrainer(
        model, tokenizer, method: method,
        sites: model.description.sites(named: ["blocks.0.state.ssm"]))
      let refusal = expectRefusal(.artifactEmpty) { try trainer.train(pairs(2)) }
      #expect(refusal?.found == "6,144 elements")
    }
    let diagonal = try SteeringTrainer(
      model, tokenizer, method: .ldaDiagonal,
      sites: model.description.sites(named: ["blocks.0.state.ssm"]))
    #expect(try diagonal.train(pairs(3)).vector.vectors.count == 1)
  }

  @Test func aShrinkageIsAShareThatTheMethodHasAUseFor() {
    for (method, shrinkage) in [
      (SteeringMethod.lda, -0.1), (.lda, 1.5), (.mean, 0.5), (.lda, .nan),
    ] {
      expectRefusal(.usageOption) { try SteeringEstimator(method, shrinkage: shrinkage) }
    }
  }

  @Test func whatHasNoDirectionIsNotScaled() throws {
    // Both end in the same token, and are read there.
    let pairs = try ContrastPairs(
      reading: .texts(
        positive: folder.write("I am happy\n", to: "p.txt"),
        negative: folder.write("You are happy\n", to: "n.txt")), template: nil)
    let sites = try model.description.sites(named: ["embedding"])
    for scale in [SteeringMethod.Scale.unit, .mean] {
      let trainer = try SteeringTrainer(
        model, tokenizer, estimator: SteeringEstimator(scale: scale), sites: sites)
      let refusal = expectRefusal(.artifactZero) { try trainer.train(pairs) }
      #expect(refusal?.place == .tensor("embedding"))
    }
    let plain = try SteeringTrainer(model, tokenizer, sites: sites)
    #expect(try plain.train(pairs).vector.vectors[0].value.values.allSatisfy { $0 == 0 })
  }

  @Test func textFilesAndPersonasAreTrainedAgain() throws {
    let positive = folder.write("I am happy\nWhat joy\n", to: "p.txt")
    let negative = folder.write("I am sad\nWhat pain\n", to: "n.txt")
    let personas = folder.write(
      """
      {"template": "As a {persona} man: {suffix}", "positive": ["happy", "glad"],
       "negative": ["sad", "bitter"], "suffixes": ["I feel", "So"]}
      """, to: "personas.json")
    for source in [
      ContrastPairs.Source.texts(positive: positive, negative: negative), .personas(personas),
    ] {
      let pairs = try ContrastPairs(reading: source, template: nil)
      #expect(pairs.pairs.count == (source.paths.count == 2 ? 2 : 4))
      let path = folder.path("t.steer.safetensors")
      let trainer = try SteeringTrainer(
        model, tokenizer, estimator: SteeringEstimator(.lda, shrinkage: 0.5, scale: .unit),
        sites: model.description.sites(named: ["blocks.3.output"]))
      try trainer.train(pairs).vector.applied(as: .clamp, at: .last).artifact.write(
        to: path, replacing: true)
      try Retraining(model, tokenizer, source: .pairs(source)).verify(
        Artifact(reading: path), file: path)
      expectRefusal(.artifactRetrain) {
        try Retraining(model, tokenizer, source: .pairs(.pairs(negative))).verify(
          Artifact(reading: path), file: path)
      }
    }
  }

  @Test func sitesWithoutAVectorAreRefused() throws {
    expectRefusal(.artifactEmpty) { try SteeringTrainer(model, tokenizer, sites: []) }
    expectRefusal(.artifactSite) { try train(pairs(2), ["logits"]) }
    expectRefusal(.dataRecord) { try train(pairs(2), ["residual"], "400") }
  }
}
