import SextantBytes
import SextantTestSupport
import Testing

/// The lens commands, from texts to pictures.
@Suite(.serialized) struct LensTests {
  private let work = Workspace()
  private static let train = PackageFiles.fixture("demo-model/samples_train.jsonl")
  private static let test = PackageFiles.fixture("demo-model/samples_test.jsonl")

  private func lens(_ name: String, _ more: String...) -> String {
    let path = work.folder.path("\(name).lens.safetensors")
    let run = CommandRun.sextant(
      [
        "lens", "train", "-m", Workspace.model, "--text", Self.train, "--chunk", "64",
        "--max-tokens", "4096", "-o", path, "--json",
      ] + more)
    #expect(run.end == .exited(0), "\(run.errors)")
    return path
  }

  @Test func lensesAreTrainedMeasuredAndShown() throws {
    let ridge = lens("ridge", "--method", "ridge", "--calibration-tokens", "256")
    let tuned = lens(
      "tuned", "--start", ridge, "--steps", "2", "--tokens-per-step", "256", "--optimizer", "adam")

    let folder = work.folder.path("results")
    let evaluation = try sextant(
      "lens", "eval", "-m", Workspace.model, "--text", Self.test, "--chunk", "64",
      "--max-tokens", "512", "--lens", ridge, "--lens", tuned, "-o", folder, "--json"
    ).json()
    let lenses = try evaluation.member("lenses").elements()
    #expect(try lenses.map { try $0.text("name") } == ["logit", "ridge", "tuned"])
    for lens in lenses {
      let layers = try lens.member("layers").elements()
      #expect(layers.count == 7)
      let first = layers[0]
      for key in ["ce", "kl", "entropy"] {
        #expect(try first.member("\(key)_bpb").number() > 0)
        #expect(try first.member("\(key)_bpb_ci").elements().count == 2)
      }
      #expect(try layers[6].member("kl").number() == 0)
    }
    let kl = try lenses.map { try $0.member("layers").elements()[0].member("kl").number() }
    #expect(kl[1] < 0.3 * kl[0] && kl[2] < 0.3 * kl[0])
    for name in ["metrics.json", "depth.svg", "tuned/aggregate_metrics.json"] {
      #expect(try !bytes(of: "\(folder)/\(name)").isEmpty)
    }

    let (page, picture) = (work.folder.path("page.html"), work.folder.path("grid.svg"))
    let shown = try sextant(
      "lens", "show", "-m", Workspace.model, "-p", "I thought it was good.", "--lens", tuned,
      "--apply", Workspace.vector, "--html", page, "--svg", picture, "--json"
    ).json()
    let views = try shown.member("views").elements()
    #expect(try views.map { try $0.text("lens") } == ["logit", "logit", "tuned", "tuned"])
    #expect(try views[0].text("run") == "not steered")
    let html = String(decoding: try bytes(of: page), as: UTF8.self)
    #expect(html.contains("lens-data") && !html.contains("http://") && !html.contains("https://"))
    #expect(String(decoding: try bytes(of: picture), as: UTF8.self).hasPrefix("<svg"))

    let trace = work.folder.path("trace.jsonl")
    sextant(
      "generate", "-m", Workspace.model, "-p", "I thought", "-n", "3", "--apply", tuned, "--trace",
      trace)
    let line = try bytes(of: trace).split(separator: UInt8(ascii: "\n"))[0]
    let report = try JSONNode(parsing: Array(line), code: .dataRecord, file: trace)
      .member("reports").elements()[0]
    #expect(try report.text("kind") == "lens")
    #expect(try report.member("layers").elements().count == 7)
  }

  @Test func theSameCommandGivesTheSameLens() throws {
    let options = ["--steps", "2", "--tokens-per-step", "128"]
    let first = lens("a", options[0], options[1], options[2], options[3])
    let second = lens("b", options[0], options[1], options[2], options[3], "--threads", "1")
    #expect(try bytes(of: first) == bytes(of: second))
  }

  @Test func gridsInTheTerminalFitTheirWidth() {
    let run = sextant(
      "lens", "show", "-m", Workspace.model, "-p", "I thought it was a good film.", "--width", "50",
      "--color", "always", "--layer-stride", "3", "--tokens", "1-4")
    let plain = sextant(
      "lens", "show", "-m", Workspace.model, "-p", "I thought it was a good film.", "--width", "50")
    #expect(run.output.contains("\u{1B}[48;2;"))
    #expect(!plain.output.contains("\u{1B}"))
    let lines = plain.output.split(separator: "\n" as Character)
    #expect(lines.count > 1 && lines.dropFirst().allSatisfy { $0.count <= 50 })
  }

  @Test func statesSayWhatTheyHold() throws {
    let said = try sextant(
      "lens", "state", "-m", Workspace.model, "-p", "I thought it was good.", "--layers", "2-4",
      "--json"
    ).json()
    #expect(try said.member("memory").elements().count == 3)
    let directions = try said.member("directions").elements()
    #expect(directions.count == 3)
    #expect(try directions.allSatisfy { try $0.member("share").number() <= 1 })
  }

  @Test func whatDoesNotFitIsRefused() throws {
    let empty = work.folder.write("{\"text\": \"\"}\n{\"text\": \"\"}\n", to: "empty.jsonl")
    let silent = sextant(
      "lens", "eval", "-m", Workspace.model, "--text", empty, "--chunk", "2", "-o",
      work.folder.path("results"), status: 65)
    #expect(silent.errors.contains("[data.empty]"))
    sextant(
      "lens", "eval", "-m", Workspace.model, "--text", Self.test, "--chunk", "64", "--lens",
      Workspace.vector, status: 65)
    let run = sextant(
      "lens", "train", "-m", Workspace.model, "--text", Self.train, "--chunk", "64",
      "--tokens-per-step", "10", "-o", work.folder.path("y.safetensors"), status: 64)
    #expect(run.errors.contains("--tokens-per-step"))
  }
}
