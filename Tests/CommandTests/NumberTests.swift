import SextantBytes
import SextantTestSupport
import Testing

/// Numbers that are too large, too few or missing.
@Suite struct NumberTests {
  private let work = Workspace()

  /// At the largest strengths the values overflow.
  @Test func aStrengthOfAnySizeIsMeasuredOrRefused() throws {
    let test = work.folder.write(
      Array("{\"prompt\":\"The soup was\",\"matching\":\" good\",\"other\":\" bad\"}\n".utf8),
      to: "test.jsonl")
    func arguments(_ multipliers: String) -> [String] {
      [
        "steer", "eval", "-m", Workspace.model, "--apply", Workspace.vector, "--pairs", test,
        "--controls", "0", "--layers", "3", "--sites", "residual", "--multipliers", multipliers,
      ]
    }
    let run = CommandRun.sextant(arguments("0,1e17") + ["-o", work.folder.path("results")])
    #expect(run.end == .exited(0), "\(run.output) \(run.errors)")
    // One prompt gives no information about the uncertainty of the figures.
    let document = try CommandRun.sextant(arguments("0,1e17") + ["--json"]).json()
    #expect(try document.member("baseline").optionalMember("matching_ci") == nil)
    #expect(run.output.contains("[unknown]"))
    for strength in ["1e19", "1e25", "3e38"] {
      let end = CommandRun.sextant(arguments("0,\(strength)"))
      #expect(end.end == .exited(0) || end.errors.contains("[model.nonfinite]"), "\(end.errors)")
      #expect(end.end == .exited(0) || end.end == .exited(65))
    }
  }

  @Test func textsWithoutBytesAreNotMeasured() {
    let text = work.folder.write(Array("\"\"\n\"\"\n\"\"\n\"\"\n".utf8), to: "empty.jsonl")
    let run = sextant(
      "lens", "eval", "-m", Workspace.model, "--text", text, "--chunk", "2", "-o",
      work.folder.path("results"), status: 65)
    #expect(run.errors.contains("[data.empty]"))
  }
}
