import SextantArtifacts
import SextantBytes
import SextantCheckpoints
import SextantTensor
import SextantTestSupport
import Testing

/// From a checkpoint to steered text, with the commands that a user types.
@Suite struct PipelineTests {
  private let work = Workspace()
  private let prompt = "<|endoftext|>I thought this movie"

  private func generate(_ arguments: String...) throws -> JSONNode {
    let run = CommandRun.sextant(
      ["generate", "-m", Workspace.model, "-p", prompt, "-n", "12", "--json"] + arguments)
    #expect(run.end == .exited(0), "\(run.errors)")
    return try run.json()
  }

  @Test func theDemoModelGoesAllTheWay() throws {
    let (model, vector) = (work.folder.path("demo.sxt"), work.folder.path("joy.safetensors"))
    let converted = try sextant(
      "convert", PackageFiles.fixture("demo-model/model.safetensors"), "-o", model, "--json"
    ).json()
    #expect(try converted.member("parameters").integer() == 1_903_680)
    let inspected = try sextant("inspect", model, "--json").json()
    #expect(try inspected.text("identity") == converted.text("identity"))
    #expect(try inspected.member("tensors").elements().count == 62)
    #expect(try sextant("verify", model, "--json").json().member("verified").boolean())

    let trained = try sextant(
      "steer", "train", "-m", model, "--pairs", Workspace.pairs, "-o", vector, "--layers", "3",
      "--json"
    ).json()
    #expect(
      try trained.member("sites").elements().map { try $0.text("site") } == ["blocks.3.output"])
    let plain = sextant("generate", "-m", model, "-p", prompt, "-n", "12")
    let steered = sextant(
      "generate", "-m", model, "-p", prompt, "-n", "12", "--apply", "\(vector):8")
    #expect(plain.output != steered.output)
    #expect(
      steered.errors.contains("steered 12 tokens x 1 site (\(vector), strength 8.0)"),
      "\(steered.errors)")
    #expect(plain.errors.contains("12 generated") && plain.errors.contains("tokens/s"))
  }

  @Test func theTinyModelShowsTheValuesOfItsReference() throws {
    let (model, file) = (work.folder.path("tiny.sxt"), work.folder.path("capture.safetensors"))
    let converted = sextant(
      "convert", PackageFiles.fixture("mamba-tiny/huggingface"), "-o", model)
    #expect(converted.output.contains("no tokenizer found"))
    sextant("inspect", model)
    sextant("verify", model)
    let goldens = try SafetensorsFile(PackageFiles.fixture("mamba-tiny/goldens/f32.safetensors"))
    let tokens = try goldens.bytes(of: #require(goldens.tensor(named: "tokens")))
      .withUnsafeBytes { Array($0.bindMemory(to: Int64.self)) }
    sextant(
      "capture", "-m", model, "--tokens", tokens.map(String.init).joined(separator: ","), "-o",
      file)
    let capture = try Artifact(reading: file)
    let blocks = (0..<3).map { "blocks.\($0)." }
    #expect(
      Set(capture.tensors.map(\.name))
        == Set(
          ["tokens", "logits", "embedding", "final_norm"]
            + blocks.flatMap { ["\($0)output", "\($0)state.conv", "\($0)state.ssm"] }))
    for name in ["logits", "final_norm"] {
      let golden = try goldens.bytes(of: #require(goldens.tensor(named: name)))
        .withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
      let captured = try #require(capture.tensor(name)).values
      #expect(captured.count == golden.count)
      #expect(zip(captured, golden).allSatisfy { abs($0 - $1) <= 1e-4 + 1e-5 * abs($1) }, "\(name)")
    }
    let refused = sextant("generate", "-m", model, "-p", "text", status: 65)
    #expect(refused.errors.contains("[model.tokenizer]"))
  }

  @Test(arguments: [
    "mamba-tiny/hdf5/flat.h5", "mamba-tiny/hdf5/nested.h5", "mamba-tiny/hdf5/latest.h5",
    "mamba-tiny/sharded",
  ])
  func oneModelGivesTheSameBytesFromEveryContainer(form: String) throws {
    let (reference, other) = (work.folder.path("a.sxt"), work.folder.path("b.sxt"))
    sextant("convert", PackageFiles.fixture("mamba-tiny/huggingface"), "-o", reference)
    sextant("convert", PackageFiles.fixture(form), "-o", other)
    #expect(try bytes(of: reference) == bytes(of: other))
  }

  @Test func theDemoModelsHDF5FormGivesTheSameBytes() throws {
    let other = work.folder.path("b.sxt")
    sextant("convert", PackageFiles.fixture("demo-model/model.h5"), "-o", other)
    #expect(try bytes(of: other) == bytes(of: Workspace.model))
  }

  @Test func theSameCommandWritesTheSameText() throws {
    let first = try generate("--seed", "7")
    #expect(try first.text("text") == generate("--seed", "7").text("text"))
    #expect(try first.text("text") == generate("--seed", "7", "--threads", "1").text("text"))
    #expect(try first.text("text") != generate("--seed", "8").text("text"))
  }

  @Test func manyPromptsAndSamplesAreOneRun() throws {
    let file = work.folder.write(
      Array("[{\"prompt\": \"The soup\"}, {\"text\": \"I thought this movie was\"}]".utf8),
      to: "prompts.json")
    let arguments = [
      "generate", "-m", Workspace.model, "--prompts", file, "--samples", "2", "-n", "6", "-s", "4",
      "--apply", "\(Workspace.vector):2",
    ]
    let run = CommandRun.sextant(arguments + ["--json"])
    #expect(run.end == .exited(0), "\(run.errors)")
    let document = try run.json()
    let texts = try document.member("texts").elements()
    let numbers = try ["prompt", "sample", "seed"].map { key in
      try texts.map { try $0.member(key).integer() }
    }
    #expect(numbers == [[0, 0, 1, 1], [0, 1, 0, 1], [4, 5, 4, 5]])
    #expect(
      try document.keys() == ["texts", "generated", "seconds", "tokens_per_second"])
    let single = try sextant(
      "generate", "-m", Workspace.model, "-p", "I thought this movie was", "-n", "6", "-s", "5",
      "--apply", "\(Workspace.vector):2", "--json"
    ).json()
    #expect(try texts[3].keys().isSuperset(of: single.keys()))
    for key in ["prompt_tokens", "tokens"] {
      #expect(try texts[3].member(key).integers() == single.member(key).integers())
    }
    let steered = try #require(try texts[3].member("steered").elements().first)
    let alone = try #require(try single.member("steered").elements().first)
    #expect(try steered.member("positions").integers() == alone.member("positions").integers())
    let words = CommandRun.sextant(arguments + ["--batch", "1"]).output
    let shown = try zip(texts, ["0, sample 0", "0, sample 1", "1, sample 0", "1, sample 1"]).map {
      "=== prompt \($1), seed \(try $0.member("seed").integer())\n\(try $0.text("text"))\n"
    }
    #expect(words == shown.joined())
    let refused = CommandRun.sextant(arguments + ["--explain"])
    #expect(refused.end == .exited(64) && refused.errors.contains("--explain"))
  }

  @Test func strengthZeroIsNoArtifact() throws {
    let plain = try generate()
    let zero = try generate("--apply", "\(Workspace.vector):0")
    #expect(try zero.member("tokens").integers() == plain.member("tokens").integers())
    let states = ["plain", "zero"].map { work.folder.path($0) }
    _ = try generate("--save-state", states[0])
    _ = try generate("--apply", "\(Workspace.vector):0", "--save-state", states[1])
    #expect(try bytes(of: states[0]) == bytes(of: states[1]))
    #expect(try generate("--apply", "\(Workspace.vector):4").text("text") != plain.text("text"))
  }

  @Test func aPathMayHaveColonsItself() throws {
    let vector = work.folder.write(try bytes(of: Workspace.vector), to: "at:2.steer.safetensors")
    for (argument, strength) in [(vector, 1.0), ("\(vector):-2.5", -2.5)] {
      let steered = try #require(
        try generate("--apply", argument).member("steered").elements().first)
      #expect(try steered.text("file") == vector)
      #expect(try steered.member("strength").number() == strength)
    }
  }

  @Test func layersAndPositionsAreTheOnesAskedFor() throws {
    let steered = try generate(
      "--apply", Workspace.vector, "--layers", "2-4", "--positions", "-2,-1")
    let summary = try #require(try steered.member("steered").elements().first)
    #expect(try summary.member("tokens").integer() == 2)
    #expect(try summary.member("sites").integer() == 9)
    #expect(try summary.member("strength").number() == 1)
  }

  @Test func aSavedStateContinuesTheText() throws {
    let state = work.folder.path("s.state.safetensors")
    let greedy = ["generate", "-m", Workspace.model, "-n", "6", "--temp", "0", "--json"]
    let first = try CommandRun.sextant(greedy + ["-p", prompt, "--save-state", state]).json()
    let second = try CommandRun.sextant(greedy + ["-p", " and", "--load-state", state]).json()
    let whole = try CommandRun.sextant(
      greedy + ["-p", prompt + first.text("text") + " and"]
    ).json()
    let tokens = { (run: JSONNode, key: String) in try run.member(key).integers() }
    // The state has read the prompt and the text, so that only the rest is read now.
    let read = try tokens(first, "prompt_tokens") + tokens(first, "tokens")
    try #require(
      try tokens(whole, "prompt_tokens") == read + tokens(second, "prompt_tokens"))
    #expect(try tokens(second, "tokens") == tokens(whole, "tokens"))
    let refused = CommandRun.sextant(greedy + ["-p", prompt, "--save-state", state])
    #expect(refused.end == .exited(73))
    #expect(refused.errors.contains("[file.exists]"))
  }

  @Test func promptsComeFromFilesAndStandardInputToo() throws {
    let file = work.folder.write(prompt + "\n", to: "prompt.txt")
    let arguments = ["generate", "-m", Workspace.model, "-n", "4", "-p"]
    let direct = CommandRun.sextant(arguments + [prompt])
    #expect(direct.output == CommandRun.sextant(arguments + ["@\(file)"]).output)
    #expect(direct.output == CommandRun.sextant(arguments + ["-"], input: prompt).output)
    #expect(direct.output.count > 1)
  }

  @Test func severalPromptsAreCapturedInOneFile() throws {
    let file = work.folder.path("c.safetensors")
    let lines = work.folder.write("\"two\\nlines\"\n\n\"another one\"\n", to: "prompts.jsonl")
    let report = try sextant(
      "capture", "-m", Workspace.model, "--prompts", lines, "--sites",
      "residual,blocks.*.state.ssm",
      "--layers", "1", "-o", file, "--json"
    ).json()
    #expect(try report.member("prompts").integer() == 2)
    let capture = try Artifact(reading: file)
    let rows = try report.member("tokens").integer()
    #expect(capture.tensor("blocks.1.output")?.shape == [rows, 192])
    #expect(capture.tensor("blocks.1.state.ssm")?.shape == [2, 384, 16])
    #expect(capture.tensor("row.prompt")?.shape == [rows])
    #expect(capture.manifest.sites.map(\.name) == ["blocks.1.output", "blocks.1.state.ssm"])
  }
}
