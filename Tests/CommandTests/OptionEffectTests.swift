import SextantArtifacts
import SextantBytes
import SextantTestSupport
import Testing

/// An option that cannot take effect is refused with a reason.
@Suite struct OptionEffectTests {
  private let work = Workspace()
  private var model: String { Workspace.model }

  private func path(_ name: String) -> String { work.folder.path(name) }

  @Test func blocksAndTokensThatTheModelDoesNotHaveAreNamed() {
    for (arguments, option) in [
      (["lens", "state", "-p", "a", "--layers", "3-100"], "--layers"),
      (["generate", "-p", "a", "--apply", Workspace.vector, "--layers", "3-100"], "--layers"),
      (["generate", "-p", "a", "--apply", "\(Workspace.vector):3-100=2"], "--apply"),
      (
        ["generate", "-p", "a", "--apply", Workspace.vector, "--positions", "token=99999"],
        "--positions"
      ),
      (
        [
          "steer", "train", "--pairs", Workspace.pairs, "--steer-at", "token=99999", "-o",
          path("v"),
        ], "--steer-at"
      ),
    ] {
      let run = CommandRun.sextant(arguments + ["-m", model])
      #expect(run.end == .exited(64), "\(arguments): \(run.errors)")
      #expect(run.errors.contains("option \(option)"), "\(run.errors)")
      #expect(run.errors.contains("has 6 blocks") || run.errors.contains("vocabulary"))
    }
  }

  @Test func aCaptureGivesTheSitesThatAreNamed() throws {
    let all = try bytes(of: PackageFiles.fixture("demo-model/quirky_train.jsonl"))
    let lines = all.split(separator: UInt8(ascii: "\n")).prefix(60)
    let data = work.folder.write(
      Array(lines.joined(separator: [UInt8(ascii: "\n")])), to: "data.jsonl")
    let capture = path("c.capture.safetensors")
    sextant(
      "capture", "-m", model, "--prompts", data, "--sites", "blocks.2.output,blocks.3.output", "-o",
      capture)
    func train(_ options: [String]) -> CommandRun {
      CommandRun.sextant(
        [
          "probe", "train", "-m", model, "--data", data, "--label", "label", "--methods", "lr",
          "--capture", capture, "-o", path("p"), "--force",
        ] + options)
    }
    for (options, blocks) in [
      ([], [2, 3]), (["--layers", "3"], [3]), (["--sites", "blocks.2.output"], [2]),
    ] {
      let run = train(options)
      #expect(run.end == .exited(0), "\(run.errors)")
      #expect(try Probe(reading: path("p")).entries.map(\.layer) == blocks)
    }
    #expect(train(["--sites", "state"]).errors.contains("[artifact.site]"))
    #expect(train(["--layers", "2-4"]).errors.contains("block 4"))
  }

  @Test func aSeedOutOfRangeIsToldItsRange() {
    for command in [
      ["probe", "train", "--data", "d", "--label", "l"],
      ["probe", "transfer", "--data", "d", "--test", "d"], ["lens", "train", "--text", "t"],
    ] {
      let run = CommandRun.sextant(
        command + ["-m", "m", "-o", path("o"), "--seed", "18446744073709551615"])
      #expect(run.end == .exited(64))
      #expect(run.errors.contains("from 0 to 9223372036854775807"), "\(run.errors)")
    }
  }

  @Test func aSweepTakesNoStrengthAfterItsVector() throws {
    let run = CommandRun.sextant([
      "steer", "eval", "-m", model, "--apply", "\(Workspace.vector):2", "--pairs",
      Workspace.pairs, "--template", "plain",
    ])
    #expect(run.end == .exited(64) && run.errors.contains("--multipliers"), "\(run.errors)")
  }

  @Test func shadowStopsAtTexts() throws {
    func text(_ options: [String]) throws -> String {
      let run = CommandRun.sextant(
        [
          "steer", "shadow", "-m", model, "-p", "I", "--apply", Workspace.vector, "-n", "12",
          "--temp", "0", "--steer-tokens", "4", "--json",
        ] + options)
      #expect(run.end == .exited(0), "\(run.errors)")
      return try run.json().text("text")
    }
    let whole = try text([])
    let stop = String(try #require(whole.dropFirst(6).first { $0.isLetter }))
    #expect(
      try text(["--stop", stop]) == String(whole.prefix { !String($0).contains(stop) }))
  }

  @Test func aFieldOfPlainTextIsRefused() {
    let plain = work.folder.write("One film. Two films.\n", to: "a.txt")
    let run = CommandRun.sextant([
      "lens", "eval", "-m", model, "--text", plain, "--field", "body",
    ])
    #expect(run.end == .exited(64) && run.errors.contains("option --field"), "\(run.errors)")
  }
}
