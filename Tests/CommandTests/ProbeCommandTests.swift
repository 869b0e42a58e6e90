import SextantArtifacts
import SextantBytes
import SextantTestSupport
import Testing

/// Commands that make quirky statements, and train, measure, apply, reflect and erase probes.
@Suite struct ProbeCommandTests {
  let folder = TemporaryFolder()

  /// The first records of a quirky file of the demo model.
  private func records(_ name: String, _ count: Int) throws -> String {
    let all = try bytes(of: PackageFiles.fixture("demo-model/\(name).jsonl"))
    let lines = all.split(separator: UInt8(ascii: "\n")).prefix(count)
    return folder.write(Array(lines.joined(separator: [UInt8(ascii: "\n")])), to: "\(name).jsonl")
  }

  private func train(_ arguments: String..., output: String = "a.probe.safetensors") throws
    -> String
  {
    let path = folder.path(output)
    let run = CommandRun.sextant(
      [
        "probe", "train", "-m", Workspace.model, "--data", try records("quirky_train", 120),
        "--label", "alice_label", "--subset", "A", "--layers", "3-4", "-o", path,
      ] + arguments)
    #expect(run.end == .exited(0), "\(run.errors)")
    return path
  }

  @Test func theSameRecordsGiveTheSameBytes() throws {
    let first = try train("--methods", "all")
    let second = try train("--methods", "all", output: "b.probe.safetensors")
    #expect(try bytes(of: first) == bytes(of: second))
    let probe = try Probe(reading: first)
    #expect(probe.entries.count == 22 && probe.training.label == "alice_label")
  }

  @Test func evaluationSaysWhatItsFieldsSay() throws {
    let probe = try train("--methods", "lr,ccs")
    let run = sextant(
      "probe", "eval", "-m", Workspace.model, "--probe", probe, "--data",
      try records("quirky_test", 120), "--label", "alice_label", "--subset", "B", "--json", "-o",
      folder.path("results"))
    let rows = try run.json().member("rows").elements()
    #expect(try rows.map { try $0.text("method") } == ["lr", "ccs", "lr", "ccs"])
    #expect(try rows.map { try $0.member("layer").integer() } == [3, 3, 4, 4])
    for row in rows + [try run.json().member("output")] {
      let area = try row.member("auroc").number()
      let ends = try row.member("auroc_ci").elements().map { try $0.number() }
      #expect(0 <= ends[0] && ends[0] <= area && area <= ends[1] && ends[1] <= 1)
      #expect(try (0...1).contains(row.member("ece").number()))
    }
    let csv = String(decoding: try bytes(of: folder.path("results/results.csv")), as: UTF8.self)
    #expect(csv.split(whereSeparator: \.isNewline).count == 5)
    let page = String(decoding: try bytes(of: folder.path("results/index.html")), as: UTF8.self)
    #expect(page.contains("<svg") && page.contains("blocks.3.output.lr"))
    let one = sextant(
      "probe", "eval", "-m", Workspace.model, "--probe", "\(probe)#blocks.4.output.lr", "--data",
      try records("quirky_test", 40), "--label", "alice_label", "--where", "character=Bob",
      "--json")
    #expect(try one.json().member("rows").elements().count == 1)
  }

  @Test func capturedActivationsGiveTheSameProbes() throws {
    let lines = try bytes(of: records("quirky_train", 60)).split(separator: UInt8(ascii: "\n"))
    let prompts = try lines.map { line in
      let record = try JSONNode(parsing: Array(line), code: .dataRecord, file: "record")
      return JSONValue.string(try record.text("statement")).canonicalText
    }
    let file = folder.write(prompts.joined(separator: "\n"), to: "prompts.jsonl")
    let capture = folder.path("capture.safetensors")
    sextant(
      "capture", "-m", Workspace.model, "--prompts", file, "--sites",
      "blocks.3.output,blocks.3.state.conv", "-o", capture)
    let (direct, again) = (folder.path("direct.safetensors"), folder.path("again.safetensors"))
    let common = [
      "probe", "train", "-m", Workspace.model, "--data", try records("quirky_train", 60),
      "--label", "alice_label", "--sites", "blocks.3.output,blocks.3.state.conv", "--methods",
      "mean-diff",
    ]
    #expect(CommandRun.sextant(common + ["-o", direct]).end == .exited(0))
    let run = CommandRun.sextant(common + ["--capture", capture, "-o", again])
    #expect(run.end == .exited(0), "\(run.errors)")
    let (a, b) = (try Probe(reading: direct), try Probe(reading: again))
    for (first, second) in zip(a.entries, b.entries) {
      let products = zip(first.direction, second.direction).map { $0 * $1 }
      #expect(abs(products.reduce(0, +) - 1) < 1e-5, "\(first.name)")
    }
  }

  @Test func everyTokenIsScoredWhileGenerating() throws {
    let probe = try train("--methods", "lr")
    let trace = folder.path("trace.jsonl")
    let run = sextant(
      "generate", "-m", Workspace.model, "-p", "59 + 5 = 64. Bob:", "-n", "3", "--temp", "0",
      "--apply", probe, "--trace", trace, "--json")
    let lines = try bytes(of: trace).split(separator: UInt8(ascii: "\n"))
    let count = try run.json().member("prompt_tokens").elements().count + 3
    #expect(lines.count == count)
    #expect(try run.json().member("reports").elements().count == count)
    for line in lines {
      let record = try JSONNode(parsing: Array(line), code: .dataRecord, file: trace)
      let report = try #require(record.member("reports").elements().first)
      #expect(
        try report.member("scores").keys() == ["blocks.3.output.lr", "blocks.4.output.lr"])
    }
    let stopped = sextant(
      "generate", "-m", Workspace.model, "-p", "59 + 5 = 64. Bob:", "-n", "9", "--temp", "0",
      "--stop-when", "\(probe)#blocks.3.output.lr>-1e9", "--json")
    #expect(try stopped.json().member("stopped").boolean())
    #expect(try stopped.json().member("tokens").elements().isEmpty)
  }

  @Test func aProbeGatesAVector() throws {
    let probe = try train("--methods", "lr")
    let generate = { (condition: String) in
      sextant(
        "generate", "-m", Workspace.model, "-p", "The film", "-n", "6", "--temp", "0", "--apply",
        "\(Workspace.vector):4", "--layers", "5", "--when", condition, "--json", "--ignore-eos")
    }
    let open = try generate("\(probe)#blocks.3.output.lr>-1e9").json()
    let shut = try generate("\(probe)#blocks.3.output.lr<-1e9").json()
    let steered = try [open, shut].map {
      try #require($0.member("steered").elements().first).member("tokens").integer()
    }
    #expect(steered == [6, 0])
  }

  @Test func whatIsErasedIsFoundByNoFreshProbe() throws {
    let eraser = folder.path("truth.eraser.safetensors")
    let run = sextant(
      "probe", "erase", "-m", Workspace.model, "--data",
      PackageFiles.fixture("demo-model/quirky_train.jsonl"), "--label", "alice_label", "--subset",
      "A", "--layers", "5", "-o", eraser, "--json")
    let site = try #require(run.json().member("sites").elements().first)
    #expect(try site.member("auroc_before").number() > 0.95)
    let ends = try site.member("auroc_after_ci").elements().map { try $0.number() }
    #expect(ends[0] <= 0.5 && 0.5 <= ends[1])
    let prompt = ["generate", "-m", Workspace.model, "-p", "59 + 5 = 64. Alice:", "-n", "1"]
    #expect(
      CommandRun.sextant(prompt + ["--temp", "0", "--apply", eraser]).end == .exited(0))
  }

  @Test func reflectingChangesAnswersMoreThanARandomStep() throws {
    let probe = try train("--methods", "lr")
    let run = sextant(
      "probe", "intervene", "-m", Workspace.model, "--probe", "\(probe)#blocks.4.output.lr",
      "--data", try records("quirky_test", 200), "--label", "alice_label", "--subset", "A",
      "--json")
    let row = try #require(run.json().member("rows").elements().first)
    #expect(
      try row.member("change").number() > 2 * row.member("change_control").number())
  }

  @Test func theMapHasARowForEachToken() throws {
    let probe = try train("--methods", "lr", "--sites", "blocks.*.state.conv")
    let run = sextant(
      "probe", "show", "-m", Workspace.model, "--probe", probe, "-p", "59 + 5 = 64. Bob:",
      "--html", folder.path("map.html"), "--json")
    let tokens = try run.json().member("tokens").elements()
    #expect(try tokens.map { try $0.text("text") }.joined() == "59 + 5 = 64. Bob:")
    for disagreement in try run.json().member("disagreements").elements() {
      let (score, output) = (
        try disagreement.member("score").number(), try disagreement.member("output").number()
      )
      #expect((score >= 0) != (output >= 0))
    }
    let page = String(decoding: try bytes(of: folder.path("map.html")), as: UTF8.self)
    #expect(page.contains("blocks.3.state.conv.lr"))
  }

  @Test func statementsAreMadeFromASeed() throws {
    for name in ["a", "b"] {
      sextant(
        "probe", "data", "--set", "multiplication", "-n", "30", "--held-out", "10", "--seed", "7",
        "-o", folder.path(name))
    }
    for file in ["train", "validation", "test"] {
      let first = try bytes(of: folder.path("a/\(file).jsonl"))
      #expect(try first == bytes(of: folder.path("b/\(file).jsonl")))
      #expect(first.count { $0 == UInt8(ascii: "\n") } == (file == "train" ? 60 : 20))
    }
    sextant(
      "probe", "data", "-n", "30", "--held-out", "10", "-o", folder.path("a"), status: 73)
  }

  @Test func mistakesAreRefused() throws {
    let data = try records("quirky_train", 20)
    let output = folder.path("x.safetensors")
    for (arguments, status) in [
      (["--label", "no_such_field"], 65), (["--label", "statement"], 65),
      (["--label", "label", "--where", "character=Carol"], 65),
      (["--label", "label", "--methods", "lr,magic"], 64),
      (["--label", "label", "--subset", "AX"], 64),
      (["--label", "label", "--positions", "40"], 64),
      (["--label", "label", "--methods", "ccs", "--positions", "all"], 64),
    ] as [([String], Int32)] {
      let run = CommandRun.sextant(
        ["probe", "train", "-m", Workspace.model, "--data", data, "-o", output] + arguments)
      #expect(run.end == .exited(status), "\(arguments): \(run.errors)")
    }
  }
}
