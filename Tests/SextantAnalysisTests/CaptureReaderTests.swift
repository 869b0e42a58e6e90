import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

@Suite struct CaptureReaderTests {
  let converted: ConvertedModel
  let model: any LanguageModel
  let tokens: [Int]

  init() throws {
    converted = try ConvertedModel("mamba-tiny/huggingface")
    model = converted.model
    tokens = try Goldens("mamba-tiny/goldens/f32.safetensors").integers("tokens")
  }

  private func capture(_ prompts: [[Int]], _ words: [String]) throws -> Artifact {
    try CaptureReader(model, sites: model.description.sites(named: words))
      .capture(prompts, tokenizer: nil)
  }

  @Test func onePromptIsKeptAsTheReferenceHasIt() throws {
    let goldens = try Goldens("mamba-tiny/goldens/f32.safetensors")
    let artifact = try capture([tokens], ["logits", "embedding", "all", "final_norm"])
    _ = try artifact.bytes()
    #expect(artifact.tensor("tokens") == Tensor(integers: tokens))
    #expect(artifact.tensor("row.prompt") == nil)
    let residual = try goldens.floats("resid")
    for block in 0..<3 {
      expectClose(
        try #require(artifact.tensor("blocks.\(block).output")),
        residual.rows(block + 1..<block + 2),
        .residual, "output of \(block)")
      for component in ["conv", "ssm"] {
        expectClose(
          try #require(artifact.tensor("blocks.\(block).state.\(component)")),
          try goldens.floats("state.\(component)").rows(block..<block + 1), .state, component)
      }
    }
    expectClose(
      try #require(artifact.tensor("embedding")), residual.rows(0..<1), .residual, "embedding")
    try expectClose(
      #require(artifact.tensor("logits")), goldens.floats("logits"), .logits, "logits")
    try expectClose(
      #require(artifact.tensor("final_norm")), goldens.floats("final_norm"), .logits, "final norm")
  }

  @Test func severalPromptsAreTheSinglePromptsJoined() throws {
    let prompts = [Array(tokens[..<4]), Array(tokens[4..<5]), tokens]
    let words = ["logits", "all"]
    let together = try capture(prompts, words)
    _ = try together.bytes()
    let alone = try prompts.map { try capture([$0], words) }
    #expect(
      together.tensor("row.prompt")
        == Tensor(
          integers: prompts.enumerated().flatMap { prompt, tokens in tokens.map { _ in prompt } }))
    #expect(
      together.tensor("row.position") == Tensor(integers: prompts.flatMap { Array($0.indices) }))
    for site in together.manifest.sites {
      let parts = try alone.map { artifact in
        let value = try #require(artifact.tensor(site.name))
        return site.isState ? value.reshaped([1] + value.shape) : value
      }
      #expect(together.tensor(site.name) == Tensor.concatenated(parts), "\(site.name)")
    }
    #expect(together.manifest.details["prompts"] == 3)
  }

  @Test func aCaptureThroughAFileIsTheSame() throws {
    let folder = TemporaryFolder()
    let artifact = try capture([tokens, [1, 2]], ["residual", "state"])
    try artifact.write(to: folder.path("c.capture.safetensors"))
    #expect(try Artifact(reading: folder.path("c.capture.safetensors")) == artifact)
  }

  @Test func promptsThatAreNoneAreRefused() throws {
    expectRefusal(.dataEmpty) { try capture([], ["residual"]) }
    expectRefusal(.dataRecord) { try capture([[1], []], ["residual"]) }
    expectRefusal(.modelToken) { try capture([[1], [-1]], ["residual"]) }
  }

  @Test func activationsTakeTheSitesOfACaptureThatAreNamed() throws {
    let texts = [Array(tokens[..<4]), Array(tokens[4..<9])]
    let artifact = try capture(texts, ["blocks.0.output", "blocks.2.output", "blocks.2.state.ssm"])
    func sites(_ words: [String]?, _ layers: String?) throws(Refusal) -> Set<String> {
      Set(
        try Activations(
          capture: artifact, of: texts, model: model.description, sites: words,
          layers: layers.flatMap { LayerSelection($0) }, positions: .last, pooling: .each
        ).sites.map(\.site.name))
    }
    #expect(try sites(nil, nil) == ["blocks.0.output", "blocks.2.state.ssm", "blocks.2.output"])
    #expect(try sites(["residual"], nil) == ["blocks.0.output", "blocks.2.output"])
    #expect(try sites(["residual"], "2") == ["blocks.2.output"])
    #expect(try sites(nil, "2") == ["blocks.2.state.ssm", "blocks.2.output"])
    for (words, layers, code) in [
      (["blocks.1.output"], nil, .artifactSite), (["state", "nonsense"], nil, .artifactSite),
      (["state"], "0", .usageOption), (nil, "1-2", .usageOption), (nil, "2-100", .usageOption),
    ] as [([String]?, String?, Refusal.Code)] {
      expectRefusal(code, "\(words ?? []) \(layers ?? "")") { try sites(words, layers) }
    }
  }

  /// A probe of a capture declares the weights and the precision of the model that it is trained with.
  @Test func capturesOfOtherWeightsOrPrecisionAreRefused() throws {
    let demo = try DemoModel()
    let path = try demo.firstLines(8, of: "quirky_train.jsonl")
    let records = try SelectedRecords(LabelledRecords(reading: path), label: "alice_label")
    let prompts = try records.records.map { try demo.tokenizer.encodeText($0.text) }
    let sites = try demo.model.description.sites(named: ["blocks.1.output"])
    let capture = try CaptureReader(demo.model, sites: sites)
      .capture(prompts, tokenizer: demo.tokenizer.digest)
    let folder = TemporaryFolder()
    func examples(
      _ change: (inout Manifest) -> Void
    ) throws -> ProbeExamples {
      var manifest = capture.manifest
      change(&manifest)
      let file = folder.path("c.capture.safetensors")
      try Artifact(manifest: manifest, tensors: capture.tensors).write(to: file, replacing: true)
      return try ProbeExamples(
        of: records, capture: file, demo.model.description, demo.tokenizer, sites: nil, layers: nil,
        positions: .last, pooling: .each)
    }
    #expect(try examples { _ in }.activations.count == prompts.count)
    #expect(try examples { $0.details["precision"] = "exact" }.activations.count == prompts.count)
    let refusals = [
      expectRefusal(.artifactModelDigest) { try examples { $0.model.weights = "f16" } },
      expectRefusal(.dataRecord) { try examples { $0.details["precision"] = "fast" } },
      expectRefusal(.artifactSchema) { try examples { $0.details["precision"] = "quick" } },
    ]
    #expect(
      refusals.map { $0?.place }
        == ["/model/weights", "/precision", "/precision"].map { .pointer($0) })
  }

  @Test(arguments: ["token=5", "last,token=100", "all,token=5"])
  func positionsOfTokensAreRefusedWhereTextsAreRead(positions: String) throws {
    let selection = try #require(PositionSelection(positions))
    let prompts = ChoicePrompts(prompts: [[5, 6], [5, 7]], choices: nil)
    let refusals = [
      expectRefusal(.usageOption) {
        try ActivationReader(model, positions: selection).read(
          prompts, sites: model.description.sites(named: ["residual"]))
      },
      expectRefusal(.usageOption) {
        try MomentReader(model, positions: selection, order: .mean).read(
          [("a", prompts.prompts)], sites: model.description.sites(named: ["residual"]))
      },
    ]
    #expect(refusals.allSatisfy { $0?.place == .parameter("positions") })
  }
}
