import SextantBytes
import SextantTestSupport
import Testing

/// Numbers that are too large, too few or missing.
@Suite struct NumberTests {
  private let work = Workspace()

  @Test func aStrengthOfAnySizeIsMeasured() throws {
    let test = work.folder.write(
      Array("{\"prompt\":\"The soup was\",\"matching\":\" good\",\"other\":\" bad\"}\n".utf8),
      to: "test.jsonl")
    let arguments = [
      "steer", "eval", "-m", Workspace.model, "--apply", Workspace.vector, "--pairs", test,
      "--controls", "0", "--layers", "3", "--sites", "residual", "--multipliers", "0,1e19,3e38",
    ]
    let run = CommandRun.sextant(arguments + ["-o", work.folder.path("results")])
    #expect(run.end == .exited(0) && run.output.contains("+1e+19"), "\(run.errors)")
    // Of one prompt nothing tells how far the figures would move.
    let document = try CommandRun.sextant(arguments + ["--json"]).json()
    #expect(try document.member("baseline").optionalMember("matching_ci") == nil)
    #expect(run.output.contains("[unknown]"))
  }

  @Test func textsWithoutBytesAreNotMeasured() {
    let text = work.folder.write(Array("\"\"\n\"\"\n\"\"\n\"\"\n".utf8), to: "empty.jsonl")
    let run = sextant(
      "lens", "eval", "-m", Workspace.model, "--text", text, "--chunk", "2", "-o",
      work.folder.path("results"), status: 65)
    #expect(run.errors.contains("[data.empty]"))
  }
}
