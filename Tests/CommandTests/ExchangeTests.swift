import SextantBytes
import SextantCheckpoints
import SextantTensor
import SextantTestSupport
import Testing

/// `export`, and `convert` of vectors of other tools.
@Suite struct ExchangeTests {
  private let folder = TemporaryFolder()

  /// The demo model as a native file.
  private func model() -> String {
    let path = folder.path("demo.sxt")
    sextant("convert", PackageFiles.fixture("demo-model/model.safetensors"), "-o", path)
    return path
  }

  /// A control vector as another tool writes it.
  private func controlVector(_ numbers: [Int]) throws -> String {
    var writer = GGUFWriter()
    writer.set("general.architecture", .string("controlvector"))
    for number in numbers {
      try writer.add(
        "direction.\(number)", Tensor([Float](repeating: 0.1, count: 192), shape: [192]))
    }
    let path = folder.path("other.gguf")
    try writer.publish(to: path, replacing: true)
    return path
  }

  @Test func aModelIsExportedAndSaysWhat() throws {
    let model = model()
    let out = folder.path("hf")
    let report = try sextant("export", model, "-o", out, "--json").json()
    #expect(try report.text("format") == "huggingface" && report.text("naming") == "huggingface")
    #expect(try report.member("tensors").integer() == 62)
    let files = try report.member("files").texts()
    #expect(files.last == "config.json" && files.contains("tokenizer.json"))
    let text = sextant("export", model, "-o", folder.path("m.gguf"))
    #expect(text.output.contains("62 tensors"))
    sextant("export", model, "-o", folder.path("m.gguf"), status: 73)
    sextant("export", model, "-o", folder.path("m.gguf"), "--force")
    sextant("export", model, "-o", folder.path("m.onnx"), status: 65)
    sextant("export", model, "-o", folder.path("m.safetensors"), "--naming", "fla", status: 64)
    let bytes = sextant("convert", out, "-o", folder.path("again.sxt"))
    #expect(bytes.output.contains("62"))
  }

  @Test func aPresetOfKerasHubIsWrittenWhereItIsAskedFor() throws {
    let (model, out) = (folder.path("k.sxt"), folder.path("preset"))
    sextant("convert", PackageFiles.fixture("keras/hub/llama"), "-o", model)
    let report = try sextant("export", model, "-o", out, "--form", "keras-hub", "--json").json()
    #expect(try report.text("format") == "keras-hub" && report.text("naming") == "keras-hub")
    #expect(try report.member("files").texts().last == "config.json")
    let inspected = sextant("inspect", out)
    #expect(inspected.output.contains("LlamaBackbone"))
    sextant("export", model, "-o", folder.path("k.h5"), "--form", "flat")
    sextant("export", model, "-o", folder.path("k.weights.h5"), "--form", "keras-hub")
    for (output, form) in [("k.gguf", "keras-hub"), ("k.pth", "flat"), ("other", "flat")] {
      let refused = sextant("export", model, "-o", folder.path(output), "--form", form, status: 64)
      #expect(refused.errors.contains("--form"))
    }
    sextant(
      "export", model, "-o", folder.path("p2"), "--form", "keras-hub", "--shard-size", "9",
      status: 64)
  }

  @Test func aModelThatLlamaCppGetsWrongIsExportedWithAWarning() throws {
    let model = folder.path("r.sxt")
    sextant("convert", PackageFiles.fixture("rwkv-tiny/rwkv7/blinkdl"), "-o", model)
    let text = sextant("export", model, "-o", folder.path("r.gguf"))
    #expect(text.errors.contains("warning: llama.cpp computes wrong values"))
    let report = sextant("export", model, "-o", folder.path("r.gguf"), "--force", "--json")
    #expect(report.errors.contains("warning:"))
    #expect(try report.json().member("warnings").texts().count == 1)
    let other = sextant("export", self.model(), "-o", folder.path("m.gguf"), "--json")
    #expect(other.errors.isEmpty)
    #expect(try other.json().member("warnings").texts().isEmpty)
  }

  @Test func aTokenizerThatLlamaCppDoesNotHaveIsRefusedUnlessLeftOut() throws {
    let model = folder.path("l.sxt")
    sextant(
      "convert", PackageFiles.fixture("demo-model/model.safetensors"), "--tokenizer",
      PackageFiles.fixture("tokenizer/spaces-tiny.model"), "-o", model)
    let refusal = sextant("export", model, "-o", folder.path("l.gguf"), status: 65)
    #expect(refusal.errors.contains("export.inexpressible"))
    #expect(refusal.errors.contains("--without-tokenizer"))
    sextant("export", model, "-o", folder.path("l.gguf"), "--without-tokenizer")
  }

  @Test func aControlVectorSteersAndComesBack() throws {
    let (model, other) = (model(), try controlVector([2, 3]))
    let (ours, again) = (folder.path("v.steer.safetensors"), folder.path("again.gguf"))
    let refusal = sextant("convert", other, "-m", model, "-o", ours, status: 65)
    #expect(refusal.errors.contains("foreign.layer-convention"))
    let report = try sextant(
      "convert", other, "-m", model, "--layer-convention", "llama-generator", "-o", ours, "--json"
    ).json()
    #expect(try report.member("sites").texts() == ["blocks.1.output", "blocks.2.output"])
    let text = sextant(
      "generate", "-m", model, "-p", "The film", "-n", "4", "--apply", "\(ours):2")
    #expect(text.errors.contains("2 sites"))
    sextant("export", ours, "-o", again)
    // Our file follows GLP, which records the sites of its directions.
    let back = try sextant(
      "convert", again, "-m", model, "-o", folder.path("w.steer.safetensors"), "--json"
    ).json()
    #expect(try back.member("sites").texts() == ["blocks.1.output", "blocks.2.output"])
    for name in ["v.npz", "v.pt"] {
      sextant("export", ours, "-o", folder.path(name))
      #expect(try CheckpointSource.open(folder.path(name)).checkpoint.tensors.count == 2)
    }
  }

  @Test func blockZeroIsRefusedUnlessLeftOut() throws {
    let (model, other) = (model(), try controlVector([1, 2]))
    let ours = folder.path("v.steer.safetensors")
    sextant("convert", other, "-m", model, "--layer-convention", "llama-generator", "-o", ours)
    let refusal = sextant("export", ours, "-o", folder.path("v.gguf"), status: 65)
    #expect(refusal.errors.contains("export.inexpressible"))
    sextant("export", ours, "-o", folder.path("v.gguf"), "--layers", "1-5")
    #expect(try GGUFFile(folder.path("v.gguf")).tensors.map(\.name) == ["direction.1"])
  }

  @Test func aBareVectorNeedsItsLayer() throws {
    let model = model()
    var writer = PyTorchWriter()
    writer.add("v", Tensor([Float](repeating: 0.5, count: 192), shape: [192]))
    try writer.publish(to: folder.path("v.pt"))
    let out = folder.path("v.steer.safetensors")
    sextant("convert", folder.path("v.pt"), "-m", model, "-o", out, status: 64)
    sextant("convert", folder.path("v.pt"), "--layer", "3", "-o", out, status: 64)
    sextant("convert", folder.path("v.pt"), "-m", model, "--layer", "3", "-o", out)
    #expect(sextant("inspect", out).output.contains("blocks.3.output"))
  }

  @Test func aSteeredRunCanBeCaptured() throws {
    let (model, other) = (model(), try controlVector([2]))
    let ours = folder.path("v.steer.safetensors")
    sextant("convert", other, "-m", model, "--layer-convention", "repeng", "-o", ours)
    func capture(_ name: String, _ options: String...) throws -> [UInt8] {
      let path = folder.path(name)
      let run = CommandRun.sextant(
        ["capture", "-m", model, "--tokens", "1,2,3", "-o", path, "--sites", "residual"] + options)
      #expect(run.end == .exited(0), "\(run.errors)")
      let file = try SafetensorsFile(path)
      return try file.bytes(of: #require(file.tensor(named: "blocks.2.output")))
    }
    let plain = try capture("a.safetensors")
    #expect(try capture("b.safetensors", "--apply", "\(ours):0") == plain)
    #expect(try capture("c.safetensors", "--apply", ours) != plain)
  }
}
