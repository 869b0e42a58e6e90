import SextantArtifacts
import SextantBytes
import SextantTestSupport
import Testing

/// The options of `--apply`: each takes effect or is refused.
@Suite struct ApplyingTests {
  private let work = Workspace()

  private func generate(_ arguments: [String]) -> CommandRun {
    CommandRun.sextant(
      ["generate", "-m", Workspace.model, "-p", "The soup", "-n", "4", "--temp", "0"] + arguments)
  }

  /// An eraser and a probe of block 3, and a lens.
  private func artifacts() throws -> (eraser: String, probe: String, lens: String) {
    let data = work.folder.write(
      (0..<24).map { "{\"statement\": \"Number \($0) is here\", \"label\": \($0 % 2)}\n" }.joined(),
      to: "records.jsonl")
    let paths = ["e.eraser.safetensors", "p.probe.safetensors", "l.lens.safetensors"].map {
      work.folder.path($0)
    }
    let text = PackageFiles.fixture("demo-model/reviews.txt")
    sextant(
      "probe", "erase", "-m", Workspace.model, "--data", data, "--label", "label", "--layers", "3",
      "-o", paths[0])
    sextant(
      "probe", "train", "-m", Workspace.model, "--data", data, "--label", "label", "--layers", "3",
      "--methods", "lr", "-o", paths[1])
    sextant(
      "lens", "train", "-m", Workspace.model, "--text", text, "--method", "ridge", "--chunk", "64",
      "--max-tokens", "4096", "-o", paths[2])
    return (paths[0], paths[1], paths[2])
  }

  @Test func anOptionThatCannotTakeEffectIsRefused() throws {
    let vector = Workspace.vector
    for (arguments, code) in [
      (["--layers", "3"], "usage.nothing-steered"),
      (["--positions", "last"], "usage.nothing-steered"),
      (["--state-positions", "last"], "usage.nothing-steered"),
      (["--operation", "project"], "usage.nothing-steered"),
      (["--allow-model-mismatch"], "usage.nothing-steered"),
      (["--apply", vector, "--layers", "3,77"], "usage.option"),
      (["--apply", "\(vector):1=1", "--layers", "1"], "usage.nothing-steered"),
      (["--apply", "\(vector):1=1,1=2"], "usage.option"),
      (["--apply", "\(vector):1=1nats"], "usage.option"),
      (["--apply", "\(vector):much"], "usage.option"),
      (["--apply", "\(vector)#name"], "usage.option"),
    ] {
      let run = generate(arguments)
      #expect(run.end == .exited(64), "\(arguments)")
      #expect(run.errors.contains("[\(code)]"), "\(arguments): \(run.errors)")
      #expect(run.output.isEmpty)
    }
    for command in [["steer", "shadow"], ["lens", "show"]] {
      let run = CommandRun.sextant(
        command + ["-m", Workspace.model, "-p", "The soup", "--layers", "3"])
      #expect(run.end == .exited(64), "\(run.errors)")
    }
    let shadow = CommandRun.sextant(["steer", "shadow", "-m", Workspace.model, "-p", "The soup"])
    #expect(shadow.end == .exited(64) && shadow.errors.contains("[usage.nothing-steered]"))
    let tokens = CommandRun.sextant([
      "lens", "show", "-m", Workspace.model, "-p", "The soup", "--tokens", "100-200",
    ])
    #expect(tokens.end == .exited(64) && tokens.errors.contains("0 to "), "\(tokens.errors)")
  }

  @Test func eachKindOfArtifactTakesWhatItCanHonour() throws {
    let (eraser, probe, lens) = try artifacts()
    for (arguments, code) in [
      (["--apply", "\(eraser):50%"], "usage.option"),
      (["--apply", "\(eraser):0.1nats"], "usage.option"),
      (["--apply", eraser, "--operation", "add"], "usage.nothing-steered"),
      (["--apply", eraser, "--positions", "900"], "usage.nothing-steered"),
      (["--apply", "\(probe):2"], "usage.option"), (["--apply", "\(lens):2"], "usage.option"),
      (["--apply", probe, "--positions", "last"], "usage.nothing-steered"),
      (["--apply", lens, "--layers", "3"], "usage.nothing-steered"),
      (["--apply", probe, "--when", "\(probe)>0"], "usage.nothing-steered"),
      (["--when", "\(probe)>0"], "usage.nothing-steered"),
    ] {
      let run = generate(arguments)
      #expect(run.end == .exited(64), "\(arguments)")
      #expect(run.errors.contains("[\(code)]"), "\(arguments): \(run.errors)")
    }
    for artifact in [probe, lens] {
      for command in [["steer", "shadow"], ["lens", "show"]] {
        let run = CommandRun.sextant(
          command + ["-m", Workspace.model, "-p", "The soup", "--apply", artifact])
        #expect(run.end == .exited(64) && run.errors.contains(command.joined(separator: " ")))
      }
      let capture = CommandRun.sextant([
        "capture", "-m", Workspace.model, "-p", "a", "--apply", artifact, "-o",
        work.folder.path("c"),
      ])
      #expect(capture.end == .exited(64) && capture.errors.contains("capture"))
    }
    let shadow = CommandRun.sextant([
      "steer", "shadow", "-m", Workspace.model, "-p", "The soup", "-n", "4", "--steer-tokens", "2",
      "--apply", eraser, "--json",
    ])
    let erased = try shadow.json().member("steered").elements()
    #expect(try erased.map { try $0.text("kind") } == ["eraser"])
    #expect(try erased[0].member("tokens").integer() > 0)
  }

  @Test func strengthsOfBlocksAreReported() throws {
    let run = generate(["--apply", "\(Workspace.vector):3=1.5,4-5=-0.5", "--json", "--explain"])
    #expect(run.end == .exited(0), "\(run.errors)")
    let steered = try #require(try run.json().member("steered").elements().first)
    let parts = try steered.member("layer_strengths").elements()
    #expect(try parts.map { try $0.text("layers") } == ["3", "4-5"])
    #expect(try parts.map { try $0.member("strength").number() } == [1.5, -0.5])
    let rows = try run.json().member("explain").elements()
    let count = try run.json().member("prompt_tokens").elements().count
    #expect(rows.count == count + 4)
    #expect(try rows.map { try $0.member("index").integer() } == Array(0..<count + 4))
    // The prompt's last token and all that were read after it.
    let isEdited = try rows.map { try !$0.member("edited_by").elements().isEmpty }
    #expect(isEdited == (0..<count + 4).map { (count - 1..<count + 3).contains($0) })
    #expect(try rows.map { try $0.member("read").boolean() }.last == false)
    let trace = work.folder.path("t.jsonl")
    let text = generate(["--apply", "\(Workspace.vector):3=1.5", "--explain", "--trace", trace])
    #expect(text.errors.contains("steered by") && text.errors.contains("chosen, not read"))
    let last = try #require(try bytes(of: trace).split(separator: UInt8(ascii: "\n")).last)
    let edits = try JSONNode(parsing: Array(last), code: .dataRecord, file: trace).member("edits")
      .elements()
    let edit = try #require(edits.first)
    #expect(try edit.member("files").texts() == [Workspace.vector])
    #expect(try edit.member("norm_before").number() != edit.member("norm_after").number())
  }
}
