import SextantBytes
import SextantTestSupport
import Testing

/// With --json every command prints one document with the keys that programs rely on.
@Suite struct JSONTests {
  private let work = Workspace()

  private func document(_ arguments: String...) throws -> JSONNode {
    let run = CommandRun.sextant(arguments + ["--json"])
    #expect(run.end == .exited(0), "\(run.errors)")
    return try run.json()
  }

  @Test func convertTellsWhatItDid() throws {
    let document = try document(
      "convert", PackageFiles.fixture("mamba-tiny/huggingface"), "-o", work.folder.path("m.sxt"),
      "--dtype", "bf16")
    #expect(
      try document.keys() == [
        "source", "output", "format", "naming", "architecture", "tensors", "parameters",
        "identity", "source_bytes", "bytes", "nonfinite", "notes", "seconds",
        "gigabytes_per_second",
      ])
    #expect(try document.text("architecture") == "mamba")
    #expect(try document.text("naming") == "huggingface")
    #expect(try document.member("tensors").integer() == 32)
    #expect(try document.member("parameters").integer() == 47640)
  }

  @Test func convertCountsWhatIsNotFinite() throws {
    let copy = try work.copy(of: "mamba-tiny/huggingface") { tensors in
      tensors[0].value.withMutableFloats {
        $0[1] = .nan
        $0[2] = -.infinity
      }
    }
    let document = try document("convert", copy, "-o", work.folder.path("m.sxt"))
    #expect(try document.member("nonfinite").member("embedding.weight").integer() == 2)
  }

  @Test func inspectTellsModelsArtifactsAndCheckpointsApart() throws {
    let model = try document("inspect", Workspace.model)
    #expect(try model.text("type") == "model")
    #expect(
      try model.keys().isSuperset(of: [
        "architecture", "configuration", "identity", "weights", "parameters", "tokenizer",
        "tensors", "sites",
      ]))
    let sites = try model.member("sites").elements()
    #expect(try sites.first?.text("site") == "embedding")
    #expect(sites.count == 3 + 6 * 5)

    let artifact = try document("inspect", Workspace.vector)
    #expect(try artifact.text("type") == "artifact" && artifact.text("kind") == "steering")
    #expect(
      try artifact.keys().isSuperset(of: [
        "model", "sites", "operation", "positions", "method", "data", "statistics", "tensors",
      ]))
    let tensor = try #require(try artifact.member("tensors").elements().first)
    #expect(try tensor.text("name") == "blocks.0.output")
    #expect(try tensor.member("shape").integers() == [192])
    #expect(try tensor.member("norm").number() > 0)
    let site = try #require(try artifact.member("sites").elements().last)
    #expect(try site.text("name") == "blocks.5.state.ssm")
    #expect(try site.member("axes").texts() == ["channel", "state"])
    #expect(try artifact.member("model").text("identity") == model.text("identity"))

    for form in ["huggingface/model.safetensors", "hdf5/nested.h5", "sharded"] {
      let checkpoint = try document("inspect", PackageFiles.fixture("mamba-tiny/\(form)"))
      #expect(try checkpoint.text("type") == "checkpoint")
      #expect(try checkpoint.member("tensors").elements().count == 32)
    }
  }

  @Test func filesAreToldByContentAndNotByName() throws {
    let model = work.folder.write(try bytes(of: Workspace.model), to: "model.safetensors")
    #expect(try document("inspect", model).text("type") == "model")
    let vector = work.folder.write(try bytes(of: Workspace.vector), to: "vector.sxt")
    #expect(try document("inspect", vector).text("type") == "artifact")
  }

  @Test func steerTrainGivesFiguresForEverySite() throws {
    let moments = work.folder.path("m.moments.safetensors")
    let document = try document(
      "steer", "train", "-m", Workspace.model, "--pairs", Workspace.pairs, "-o",
      work.folder.path("v.safetensors"), "--moments", moments)
    let sites = try document.member("sites").elements()
    #expect(try sites.map { try $0.text("site") } == (0..<6).map { "blocks.\($0).output" })
    for (layer, site) in sites.enumerated() {
      #expect(try site.member("layer").integer() == layer)
      for figure in ["norm", "mean_norm", "separation"] {
        #expect(try site.member(figure).number() > 0)
      }
    }
    #expect(try document.member("pairs").integer() == 8)
    let inspected = try self.document("inspect", moments)
    #expect(try inspected.text("kind") == "moments")
    #expect(try inspected.member("classes").texts() == ["positive", "negative"])
  }

  @Test func benchHasTheKeysOfTheDesign() throws {
    let document = try document(
      "bench", "-m", Workspace.model, "-p", "16", "-n", "2", "--repeat", "1", "--batch", "2",
      "--threads", "2")
    for key in ["prefill_tokens_per_second", "decode_tokens_per_second", "peak_memory_bytes"] {
      #expect(try document.member(key).number() > 0)
    }
    #expect(try document.member("batch").integer() == 2)
    #expect(try document.member("threads").integer() == 2)
    // Two sequences take each step together.
    let bytes = try document.member("decode_weight_bytes").number()
    let rate = try document.member("decode_weight_bytes_per_second").number()
    let expected = try document.member("decode_tokens_per_second").number() / 2 * bytes
    #expect(abs(rate - expected) < 1e-6 * expected)
  }

  @Test func driftMeasuresModelsAgainstAReference() throws {
    let blocks = work.folder.path("q8.sxt")
    sextant(
      "convert", PackageFiles.fixture("demo-model/model.safetensors"), "-o", blocks, "--dtype",
      "q8")
    let document = try document(
      "drift", "-m", Workspace.model, "-m", blocks, "--reference", Workspace.model, "--text",
      "I thought this movie was great, with a superb cast.")
    #expect(try document.member("bytes").integer() == 51)
    let reference = try document.member("reference")
    let rows = try document.member("rows").elements()
    #expect(try rows.map { try $0.text("weights") } == ["source", "q8"])
    #expect(try rows[0].member("kl").number() == 0)
    #expect(try rows[0].member("perplexity").number() == reference.member("perplexity").number())
    #expect((1e-7..<1e-3).contains(try rows[1].member("kl").number()))
    #expect(try rows[1].member("bytes").integer() < reference.member("bytes").integer() / 3)
    #expect((0.5..<3).contains(try reference.member("bits_per_byte").number()))
    #expect(
      !sextant("drift", "-m", blocks, "--reference", Workspace.model, "--text", "A film.").output
        .contains("note:"))
  }

  @Test func everyTensorIsListedWhenAskedFor() {
    let short = sextant("inspect", Workspace.model).output
    let long = sextant("inspect", Workspace.model, "--tensors").output
    #expect(short.contains("more") && !short.contains("blocks.2.norm.weight"))
    #expect(!long.contains("more") && long.contains("blocks.2.norm.weight"))
  }
}
