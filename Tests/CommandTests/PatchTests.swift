import SextantBytes
import SextantTestSupport
import Testing

/// `sextant patch`, as people and programs call it.
@Suite struct PatchTests {
  private let work = Workspace()

  private func patch(_ options: String...) -> CommandRun {
    CommandRun.sextant(["patch", "-m", Workspace.model] + options)
  }

  @Test func aPairIsPatchedAndWritten() throws {
    let folder = work.folder.path("results")
    let run = patch(
      "--clean", "20 + 62 = 92. Alice:", "--corrupted", "20 + 62 = 92. Bob:", "--answer", " False",
      "--against", " True", "--sites", "all", "-o", folder, "--json")
    #expect(run.end == .exited(0), "\(run.errors)")
    let document = try run.json()
    #expect(try document.member("cells").elements().count == (1 + 6 * 4) * 13)
    for name in ["results.json", "results.csv", "index.html", "maps.svg"] {
      #expect(try !bytes(of: "\(folder)/\(name)").isEmpty, "\(name)")
    }
    let written = try bytes(of: "\(folder)/results.json")
    #expect(String(decoding: written, as: UTF8.self) == run.output)
  }

  @Test func noiseAndRecordsArePrintedAsMaps() throws {
    let noised = patch(
      "--clean", "20 + 62 = 92. Alice:", "--answer", " False", "--noise", "3", "--subject", "Alice",
      "--seeds", "2", "--width", "60")
    #expect(noised.end == .exited(0), "\(noised.errors)")
    #expect(noised.output.contains("residual stream: share of the log-probability that returns"))
    #expect(noised.output.contains("2 draws of standard deviation"))
    let pairs = work.folder.write(
      """
      {"clean": "7 + 5 = 22. Alice:", "corrupted": "7 + 5 = 22. Bob:", "answer": " False"}
      {"clean": "4 + 8 = 22. Alice:", "corrupted": "4 + 8 = 22. Bob:", "answer": " False"}
      """, to: "pairs.jsonl")
    let records = patch("--pairs", pairs, "--reverse", "--layers", "3-4")
    #expect(records.end == .exited(0), "\(records.errors)")
    #expect(records.output.hasPrefix("corrupted values in the clean run: 2 pairs, "))
    #expect(records.output.contains("share of the log-probability that is lost"))
    #expect(records.output.contains("block 4") && !records.output.contains("block 5"))
  }

  @Test func promptsOfOtherLengthsNameTheOption() {
    let run = patch(
      "--clean", "20 + 62 = 92. Alice:", "--corrupted", "20 + 62 = 92. Bob and Alice:", "--answer",
      " False")
    #expect(run.end == .exited(65))
    #expect(run.errors.contains("|·Bob|·and|·Alice|:") && run.errors.contains("--span"))
    let heads = patch(
      "--clean", "A film", "--corrupted", "A play", "--answer", " a", "--sites", "state", "--heads")
    #expect(heads.end == .exited(64) && heads.errors.contains("--heads"), "\(heads.errors)")
  }
}
