import SextantBytes
import SextantTensor
import SextantTestSupport
import Testing

/// Every refusal prints its code and ends with the exit status of its kind.
@Suite struct RefusalTests {
  private let work = Workspace()

  @Test(arguments: [
    (["convert"], "Missing expected argument"),
    (["frobnicate"], "frobnicate"),
    (["convert", "x", "-o", "y", "--dtype", "q3"], "- q8\n  - q4"),
    (["generate", "-m", "x", "-p", "y", "-n", "0"], "-n is 0"),
    (["generate", "-m", "x"], "Give one of --prompt and --prompts."),
    (["generate", "-m", "x", "-p", "y", "--samples", "0"], "--samples is 0"),
    (["generate", "-m", "x", "-p", "y", "--batch", "2"], "--batch needs several texts"),
    (["generate", "-m", "x", "-p", "y", "--layers", "4-2"], "--layers"),
    (["generate", "-m", "x", "-p", "y", "--positions", "first"], "--positions"),
    (["capture", "-m", "x", "-o", "y"], "Give one of --prompt, --tokens and --prompts."),
    (["capture", "-m", "x", "-p", "a", "--tokens", "1", "-o", "y"], "Give one of"),
    (["capture", "-m", "x", "--tokens", "1,a", "-o", "y"], "--tokens"),
    (["verify", "x", "--retrain"], "--retrain, --model and the data go together"),
    (
      ["lens", "train", "-m", "x", "--text", "t", "-o", "y", "--checkpoint-every", "5"],
      "--checkpoint-every needs --checkpoint."
    ),
    (
      ["steer", "train", "-m", "x", "--pairs", "p", "-o", "y", "--moments-for", "lda"],
      "--moments-for needs --moments."
    ),
    (
      ["steer", "train", "--from-moments", "m", "-o", "y", "--batch", "3"],
      "--batch has no effect with --from-moments."
    ),
    (
      ["steer", "eval", "-m", "x", "--apply", "v", "--pairs", "p", "-n", "5"],
      "-n needs --continue."
    ),
    (["convert", "v.gguf", "-m", "x", "-o", "y", "--group", "ema"], "--group is for models;"),
    (["bench", "-m", "x", "--threads", "0"], "--threads is 0"),
    (["bench", "-m", "x", "--batch", "0"], "--batch is 0"),
  ])
  func wrongUsageIs64(arguments: [String], words: String) {
    let run = CommandRun.sextant(arguments)
    #expect(run.end == .exited(64))
    #expect(run.errors.contains(words), "\(run.errors)")
    #expect(run.output.isEmpty)
  }

  @Test func optionsThatTheModelRefusesAre64() {
    let vector = Workspace.vector
    for (arguments, code) in [
      (["--temp=-1"], "usage.option"), (["--top-p", "0"], "usage.option"),
      (["--apply", vector, "--positions", "900"], "usage.nothing-steered"),
    ] {
      let run = CommandRun.sextant(
        ["generate", "-m", Workspace.model, "-p", "a", "-n", "2"] + arguments)
      #expect(run.end == .exited(64))
      #expect(run.errors.contains("[\(code)]"), "\(run.errors)")
    }
  }

  @Test func anOptionForHDF5IsRefusedForOtherFiles() {
    for arguments in [
      ["inspect", Workspace.model],
      [
        "convert", PackageFiles.fixture("demo-model/model.safetensors"), "-o",
        work.folder.path("m"),
      ],
    ] {
      let run = CommandRun.sextant(arguments + ["--unconfined-hdf5"])
      #expect(run.end == .exited(64))
      #expect(run.errors.contains("[usage.option]"), "\(run.errors)")
    }
    #expect(work.folder.entries.isEmpty)
  }

  @Test func optionsThatNoSiteAnswersToAreRefused() {
    for arguments in [
      [
        "capture", "-m", Workspace.model, "-p", "a", "--sites", "logits", "--layers", "3", "-o",
        "c",
      ],
      [
        "steer", "eval", "-m", Workspace.model, "--apply", Workspace.vector, "--pairs",
        PackageFiles.fixture("demo-model/sentiment_test.jsonl"), "--sites", "residual",
        "--state-positions",
        "last",
      ],
    ] {
      let run = CommandRun.sextant(arguments)
      #expect(run.end == .exited(64))
      #expect(run.errors.contains("[usage."), "\(arguments) \(run.errors)")
    }
  }

  @Test func exportRefusesOptionsWithoutEffect() {
    for arguments in [
      [Workspace.model, "-o", "m.pth", "--layers", "1"],
      [Workspace.model, "-o", "m.pth", "--shard-size", "1000"],
      [Workspace.vector, "-o", "v.npz", "--layers", "1"],
      [Workspace.vector, "-o", "v.gguf", "--dtype", "f16"],
      [Workspace.vector, "-o", "v.gguf", "--without-tokenizer"],
    ] {
      let run = CommandRun.sextant(["export"] + arguments)
      #expect(run.end == .exited(64))
      #expect(run.errors.contains("[usage.option]"), "\(arguments) \(run.errors)")
    }
  }

  @Test func badDataIs65() throws {
    var damaged = try bytes(of: Workspace.vector)
    damaged[damaged.count - 1] ^= 1
    let vector = work.folder.write(damaged, to: "bad.steer.safetensors")
    for arguments in [
      ["verify", vector], ["inspect", vector],
      ["generate", "-m", Workspace.model, "-p", "a", "--apply", vector],
    ] {
      let run = CommandRun.sextant(arguments)
      #expect(run.end == .exited(65))
      #expect(run.errors.contains("[artifact.digest]"), "\(run.errors)")
    }
    damaged = try bytes(of: Workspace.model)
    damaged[damaged.count / 2] ^= 1
    let model = work.folder.write(damaged, to: "bad.sxt")
    #expect(sextant("verify", model, status: 65).errors.contains("[store.tensor-digest]"))
    // Opening reads no weights.
    sextant("inspect", model)
  }

  @Test func aBadPromptIsNamedByItsLine() {
    for (name, text, code) in [
      ("a.jsonl", "\"fine\"\n\n[1]\n", "data.record"), ("b.jsonl", "\"fine\"\n\n\"x", "json."),
      ("c.txt", "\n\n", "data.empty"),
    ] {
      let prompts = work.folder.write(text, to: name)
      let run = sextant(
        "capture", "-m", Workspace.model, "--prompts", prompts, "-o", work.folder.path("o"),
        status: 65)
      #expect(run.errors.contains("[\(code)"), "\(run.errors)")
      #expect(run.errors.contains("line 3") || code == "data.empty", "\(run.errors)")
    }
  }

  @Test func aMissingFileIs66() {
    let missing = work.folder.path("nothing")
    for arguments in [
      ["convert", missing, "-o", work.folder.path("o")], ["inspect", missing], ["verify", missing],
      ["generate", "-m", missing, "-p", "a"],
      ["steer", "train", "-m", Workspace.model, "--pairs", missing, "-o", work.folder.path("o")],
    ] {
      let run = CommandRun.sextant(arguments)
      #expect(run.end == .exited(66), "\(arguments)")
      #expect(run.errors.contains("[file.missing]"), "\(run.errors)")
    }
    #expect(work.folder.entries.isEmpty)
  }

  @Test func anExistingDestinationIsKeptUnlessForced() throws {
    let source = PackageFiles.fixture("mamba-tiny/huggingface")
    let destination = work.folder.write("precious", to: "model.sxt")
    let refused = sextant("convert", source, "-o", destination, status: 73)
    #expect(refused.errors.contains("[file.exists]"))
    #expect(try bytes(of: destination) == Array("precious".utf8))
    sextant("convert", source, "-o", destination, "--force")
    sextant("verify", destination)
    #expect(work.folder.entries == ["model.sxt"])
  }

  @Test func destinationsAreCheckedBeforeTheWork() {
    let (taken, free) = (work.folder.write("precious", to: "taken"), work.folder.path("free"))
    // None of the inputs exists: reading them first would be status 66.
    let train = ["steer", "train", "-m", "none", "--pairs", "none", "-o"]
    for arguments in [
      train + [taken], train + [free, "--moments", taken], train + [free, "--moments", free],
      ["capture", "-m", "none", "-p", "a", "-o", taken],
      ["generate", "-m", "none", "-p", "a", "--save-state", taken],
    ] {
      #expect(CommandRun.sextant(arguments).end == .exited(73), "\(arguments)")
    }
    #expect(work.folder.entries == ["taken"])
  }

  @Test func aFolderThatIsNotThereIs73() {
    let run = sextant(
      "convert", PackageFiles.fixture("mamba-tiny/huggingface"), "-o",
      work.folder.path("no/such/model.sxt"), status: 73)
    #expect(run.errors.contains("[file.create]"))
  }

  @Test func aFullOutputIs74() {
    let run = CommandRun.sextant(["inspect", Workspace.model], output: .file("/dev/full"))
    #expect(run.end == .exited(74))
    #expect(run.errors.contains("[file.write]"))
    for arguments in [["--help"], ["--version"], ["convert", "--help"]] {
      let run = CommandRun.sextant(arguments, output: .file("/dev/full"))
      #expect(run.end == .exited(74) && run.errors.contains("[file.write]"), "\(run.errors)")
    }
  }

  @Test func anArtifactOfAnotherModelIsRefusedUnlessAllowed() throws {
    let other = try work.copy(of: "demo-model") { tensors in
      tensors[0].value.withMutableFloats { $0[0] += 0.5 }
    }
    let model = work.folder.path("other.sxt")
    sextant("convert", other, "-o", model)
    let arguments = ["generate", "-m", model, "-p", "a", "-n", "2", "--apply", Workspace.vector]
    let refused = CommandRun.sextant(arguments)
    #expect(refused.end == .exited(65))
    #expect(refused.errors.contains("[artifact.model-digest]"))
    #expect(CommandRun.sextant(arguments + ["--allow-model-mismatch"]).end == .exited(0))
  }

  @Test func whatCannotBeAppliedIsRefusedByItsKind() throws {
    let capture = work.folder.path("c.safetensors")
    sextant("capture", "-m", Workspace.model, "-p", "a", "-o", capture)
    let run = sextant(
      "generate", "-m", Workspace.model, "-p", "a", "--apply", "\(capture):1", status: 65)
    #expect(run.errors.contains("[artifact.kind]"))
  }

  @Test func theReaderThatGoesAwayEndsNothingBadly() {
    let arguments = ["generate", "-m", Workspace.model, "-p", "a", "-n", "8", "--ignore-eos"]
    #expect(CommandRun.sextant(arguments, output: .brokenPipe).end == .exited(0))
    #expect(CommandRun.sextant(arguments, output: .closed).end == .exited(74))
  }

  @Test func aClosedOutputIsNeverWrittenIntoAFile() throws {
    let model = work.folder.path("m.sxt")
    let run = CommandRun.sextant(
      ["convert", PackageFiles.fixture("mamba-tiny/huggingface"), "-o", model], output: .closed)
    #expect(run.end == .exited(74))
    sextant("verify", model)
  }
}
