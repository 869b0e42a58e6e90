import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

/// Moments of a model's activations, over files and shards.
@Suite struct MomentSetTests {
  let converted: ConvertedModel
  let model: any LanguageModel

  init() throws {
    converted = try ConvertedModel("mamba-tiny/huggingface")
    model = converted.model
  }

  /// Texts of several lengths, some of equal length.
  private func texts(_ count: Int, seed: UInt64) -> [[Int]] {
    var generator = SplitMix64(seed: seed)
    return (0..<count).map { index in
      (0..<[5, 9, 5, 12, 9, 7][index % 6]).map { _ in generator.int(below: 101) }
    }
  }

  private func read(
    _ texts: [[Int]], _ words: [String], positions: String = "all",
    order: MomentOrder = .covariance, batch: Int = 16
  ) throws -> MomentSet {
    try MomentReader(
      model, positions: try #require(PositionSelection(positions)), order: order, batch: batch
    ).read(
      [
        ("even", texts.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)),
        ("odd", texts.enumerated().filter { $0.offset % 2 == 1 }.map(\.element)),
      ],
      sites: model.description.sites(named: words))
  }

  private func expectClose(
    _ a: MomentSet, _ b: MomentSet, _ tolerance: Double,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    #expect(a.sites == b.sites && a.classes == b.classes, sourceLocation: sourceLocation)
    for site in a.sites {
      for name in a.classes {
        let (x, y) = (try #require(a[site.site, name]), try #require(b[site.site, name]))
        #expect(x.count == y.count && x.order == y.order, sourceLocation: sourceLocation)
        let worst = zip(x.mean + x.spread, y.mean + y.spread).map { abs($0 - $1) }.max() ?? 0
        #expect(worst <= tolerance, "\(site.site) \(name)", sourceLocation: sourceLocation)
      }
    }
  }

  @Test(arguments: ["last", "last-3", "all", "0,-2"])
  func theReaderSeesWhatACaptureKeeps(positions: String) throws {
    let texts = texts(12, seed: 1)
    let words = [
      "embedding", "blocks.1.input", "blocks.2.mixer", "blocks.1.output", "final_norm",
      "blocks.2.state.ssm", "blocks.0.state.conv",
    ]
    let moments = try read(texts, words, positions: positions, order: .variance)
    let selection = try #require(PositionSelection(positions))
    for site in moments.sites {
      for (parity, name) in ["even", "odd"].enumerated() {
        var rows: [Tensor] = []  // each [1, n]
        for text in texts.enumerated().filter({ $0.offset % 2 == parity }).map(\.element) {
          for position in text.indices where selection.contains(position, prompt: 0..<text.count) {
            rows.append(try naive(site, text, at: position))
          }
        }
        let expected = PlainMoments(Tensor.concatenated(rows), hasCovariance: false)
        let found = try #require(moments[site.site, name])
        #expect(found.count == rows.count)
        for (a, b) in zip(found.mean, expected.mean) { #expect(abs(a - b) <= 2e-6) }
        for (a, b) in zip(found.spread, expected.variance) { #expect(abs(a - b) <= 1e-5) }
      }
    }
  }

  /// The value at a site for one token, from a capture of the text up to it: [1, n].
  private func naive(_ site: SiteDescription, _ text: [Int], at position: Int) throws -> Tensor {
    let prefix = Array(text[...position])
    let capture = try CaptureReader(model, sites: [site]).capture([prefix], tokenizer: nil)
    let value = try #require(capture.tensor(site.site.name))
    let row = site.site.isState ? value : value.rows(position..<position + 1)
    return row.reshaped([1, site.elementCount])
  }

  @Test func batchesDoNotMatterBeyondRounding() throws {
    let texts = texts(18, seed: 2)
    let alone = try read(texts, ["all"], order: .variance, batch: 1)
    for batch in [2, 3, 16] {
      try expectClose(read(texts, ["all"], order: .variance, batch: batch), alone, 1e-5)
    }
  }

  @Test func theSameTextsGiveTheSameBits() throws {
    let texts = texts(10, seed: 3)
    let words = ["residual", "blocks.1.state.conv"]
    #expect(try read(texts, words) == read(texts, words))
  }

  @Test func shardsMergeAlsoThroughFiles() throws {
    let texts = texts(20, seed: 4)
    let words = ["residual", "blocks.1.state.conv"]
    let whole = try read(texts, words)
    let folder = TemporaryFolder()
    let reference = model.description.reference(tokenizer: nil)
    var merged: MomentSet?
    for (index, range) in [0..<6, 6..<8, 8..<20].enumerated() {
      let shard = try read(Array(texts[range]), words)
      let path = folder.path("\(index).moments.safetensors")
      try shard.artifact(
        model: reference, data: ["part": .integer(Int64(index))], positions: .last
      ).write(to: path)
      let found = try MomentSet(Artifact(reading: path))
      #expect(found == shard)
      if merged == nil { merged = found } else { try merged?.merge(found) }
    }
    try expectClose(try #require(merged), whole, 1e-5)
    #expect(
      try #require(merged?[.output(block: 0), "even"]).count
        == texts.enumerated()
        .filter { $0.offset % 2 == 0 }.reduce(0) { $0 + $1.element.count })
  }

  /// One text at a time, so that the activations have the same bits in every split.
  @Test func fourShardsAddUpToOnePass() throws {
    let texts = texts(24, seed: 9)
    let whole = try read(texts, ["residual"], batch: 1)
    let folder = TemporaryFolder()
    let reference = model.description.reference(tokenizer: nil)
    var paths: [String] = []
    for shard in 0..<4 {
      let part = Array(texts[shard * 6..<shard * 6 + 6])
      paths.append(folder.path("\(shard).moments.safetensors"))
      try read(part, ["residual"], batch: 1).artifact(
        model: reference, data: ["part": .integer(Int64(shard))], positions: .last
      ).write(to: paths[shard])
    }
    let merged = try MomentShards(paths)
    for site in whole.sites {
      for name in whole.classes {
        let (x, y) = (
          try #require(merged.moments[site.site, name]), try #require(whole[site.site, name])
        )
        #expect(x.count == y.count)
        let scale = (y.mean + y.spread).map(abs).max() ?? 1
        let worst = zip(x.mean + x.spread, y.mean + y.spread).map { abs($0 - $1) }.max() ?? 0
        #expect(worst <= 1e-12 * scale)
      }
    }
    // The record of each part's data is kept, in order, also if parts were merged before.
    let path = folder.path("first.moments.safetensors")
    try MomentShards(Array(paths[..<2])).artifact.write(to: path)
    let all = try MomentShards([path] + paths[2...]).artifact
    let data = try all.manifest.detailsNode(file: nil).member("data")
    #expect(
      try data.member("parts").elements().map { try $0.member("part").integer() } == [0, 1, 2, 3])
  }

  @Test func partsThatDoNotBelongTogetherAreRefused() throws {
    let folder = TemporaryFolder()
    let reference = model.description.reference(tokenizer: nil)
    func part(
      _ number: Int, _ words: [String] = ["residual"], order: MomentOrder = .variance,
      precision: JSONObject? = nil, _ change: (inout ModelReference) -> Void = { _ in }
    ) throws -> String {
      var own = reference
      change(&own)
      let path = folder.path("\(number).moments.safetensors")
      try read(texts(2, seed: 3), words, order: order).artifact(
        model: own, data: ["part": .integer(Int64(number))], positions: .last,
        retraining: precision
      ).write(to: path)
      return path
    }
    let first = try part(0)
    let fast = try part(1, precision: ["precision": "fast"])
    let rows: [(path: String, code: Refusal.Code)] = [
      (first, .dataRecord), (fast, .artifactSchema),
      (try part(2) { $0.weights = "f16" }, .artifactModelDigest),
      (try part(3) { $0.identity = SHA256.digest([1]) }, .artifactModelDigest),
      (try part(4) { $0.tokenizer = SHA256.digest([1]) }, .artifactTokenizerDigest),
      (try part(5, order: .mean), .artifactSchema),
      (try part(6, ["blocks.0.output"]), .artifactSite),
    ]
    for row in rows {
      let refusal = expectRefusal(row.code, "\(row.path)") { try MomentShards([first, row.path]) }
      #expect(refusal?.file == row.path && refusal?.remedy.contains("mismatch") == false)
      #expect(refusal?.found != refusal?.expected)
    }
    // A part that was merged before counts, and so does its precision.
    let path = folder.path("merged.moments.safetensors")
    try MomentShards([fast, try part(7, precision: ["precision": "fast"])]).artifact.write(to: path)
    expectRefusal(.dataRecord) { try MomentShards([fast, path]) }
    expectRefusal(.artifactSchema) { try MomentShards([path, first]) }
  }

  @Test func aFileHoldsTheOrderThatWasCollected() throws {
    let texts = texts(6, seed: 5)
    let reference = model.description.reference(tokenizer: nil)
    for (order, name) in [
      (MomentOrder.mean, nil), (.variance, "squares"), (.covariance, "scatter"),
    ] as [(MomentOrder, String?)] {
      let moments = try read(texts, ["residual"], order: order)
      let artifact = moments.artifact(model: reference, data: JSONObject(), positions: .last)
      let statistics = Set(
        artifact.tensors.map { $0.name.split(separator: ".").last.map(String.init) ?? "" })
      #expect(statistics == Set(["count", "mean"] + (name.map { [$0] } ?? [])))
      // No bit is lost.
      #expect(try MomentSet(artifact) == moments)
    }
  }

  @Test func filesOfVersion2AreRead() throws {
    let moments = try read(texts(8, seed: 6), ["residual", "blocks.1.state.conv"])
    var variances = try read(texts(8, seed: 6), ["residual"], order: .variance)
    try variances.merge(variances)  // another count
    for moments in [moments, variances] {
      let new = moments.artifact(
        model: model.description.reference(tokenizer: nil), data: JSONObject(), positions: .last)
      let spreads = moments.sites.flatMap { site in
        moments.classes.map { name -> (name: String, value: Tensor) in
          let own = moments[site.site, name]
          let isMatrix = own?.order == .covariance
          return (
            "\(site.site.name).\(name).\(isMatrix ? "covariance" : "variance")",
            Tensor(
              doubles: own?.spread ?? [],
              shape: isMatrix ? [site.elementCount, site.elementCount] : site.shape)
          )
        }
      }
      let plain = new.tensors.filter {
        !$0.name.hasSuffix(".scatter") && !$0.name.hasSuffix(".squares")
      }
      let old = Artifact(
        manifest: Manifest(
          kind: "moments", kindVersion: 2, model: new.manifest.model, sites: new.manifest.sites,
          details: new.manifest.details), tensors: plain + spreads)
      let folder = TemporaryFolder()
      let path = folder.path("old.moments.safetensors")
      try old.write(to: path)
      try expectClose(MomentSet(Artifact(reading: path)), moments, 1e-14)
      // Each version has its own tensors.
      expectRefusal(.artifactTensorExtra) {
        try Artifact(manifest: new.manifest, tensors: plain + spreads).bytes()
      }
    }
  }

  @Test func sitesThatAreTooLargeKeepTheirVariance() throws {
    let site = SiteDescription(
      site: .state(block: 0, component: "wkv"), shape: [65, 64], axes: ["a", "b"])
    let moments = MomentSet(sites: [site], classes: ["x"], order: .covariance)
    #expect(moments[site.site, "x"]?.order == .variance)
    let small = SiteDescription(site: .embedding, shape: [4096], axes: ["channel"])
    #expect(MomentSet.covarianceLimit == 4096)
    #expect(MomentSet(sites: [small], classes: [], order: .covariance).sites == [small])
  }

  @Test func momentsOfOtherThingsDoNotMerge() throws {
    let texts = texts(4, seed: 6)
    var moments = try read(texts, ["residual"], order: .variance)
    for (other, code) in [
      (try read(texts, ["blocks.0.output"], order: .variance), .artifactSite),
      (try read(texts, ["residual"], order: .mean), .artifactSchema),
      (MomentSet(sites: moments.sites, classes: ["even"], order: .variance), .artifactSchema),
    ] as [(MomentSet, Refusal.Code)] {
      expectRefusal(code) { try moments.merge(other) }
    }
  }

  @Test func textsThatCannotBeReadAreRefused() throws {
    expectRefusal(.dataRecord) { try read([[], [1]], ["residual"]) }
    expectRefusal(.dataRecord) { try read([[1, 2], [1]], ["residual"], positions: "1") }
    expectRefusal(.dataRecord) { try read([[1, 2], [1]], ["residual"], positions: "generated") }
    expectRefusal(.modelToken) { try read([[1, 2], [101]], ["residual"]) }
  }
}
