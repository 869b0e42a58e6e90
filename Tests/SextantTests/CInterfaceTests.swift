import Sextant
import SextantTestSupport
import Testing

/// The library for C: `Tests/CInterface/main.c` uses every function of `sextant.h`.
@Suite struct CInterfaceTests {
  @Test func aProgramInCComputesWhatTheLibraryComputes() throws {
    let folder = TemporaryFolder()
    let run = CommandRun.sextant([Demo.path, folder.path], program: "CInterface")
    var lines: [String: String] = [:]
    for line in run.output.split(separator: "\n") {
      let parts = line.split(separator: ": ", maxSplits: 1)
      lines[String(parts[0])] = parts.count == 2 ? String(parts[1]) : ""
    }
    #expect(lines["done"] != nil, "\(run.errors)")

    let (model, prompt) = (try Demo.model(), "The film was")
    let seen = try model.record(["blocks.3.output"], reading: prompt)["blocks.3.output"]
    #expect(lines["sum"].flatMap(Double.init) == seen.values.reduce(0.0) { $0 + Double($1) })
    func text(_ interventions: Interventions) throws -> String {
      try model.generate(prompt, count: 8, temperature: 0, with: interventions).text()
    }
    #expect(lines["plain"] == (try text([])))
    let ones = [Float](repeating: 1, count: model.description.width)
    #expect(
      lines["added"]
        == (try text([
          .add(ones, at: .output(block: 3), strength: 0.25, positions: PositionSelection([.all]))
        ])))
    let vector = try SteeringVector(reading: folder.path("c.steer.safetensors"))
    #expect(lines["steered"] == (try text([.steer(vector, strength: 2, layers: 3...3)])))
  }

  /// The library exports what the header declares, and nothing else.
  @Test func theListOfExportsIsThatOfTheHeader() throws {
    let header = try PackageFiles.text("Sources/CSextant/include/sextant.h")
    let declared = header.matches(of: #/^[a-z].*?\b(sextant_\w+)\(/#.anchorsMatchLineEndings())
      .map { String($0.1) }.filter { !["sextant_poll", "sextant_tap"].contains($0) }
    let exported = try PackageFiles.text("Sources/CSextant/libsextant.map")
      .matches(of: #/(sextant_\w+);/#).map { String($0.1) }
    #expect(declared.count > 30)
    #expect(declared.sorted() == exported.sorted())
  }

  @Test func aWatchedModelStops() throws {
    let stopped = try Demo.model().watched { () throws(Refusal) in
      throw Refusal(.usageStopped, found: "a request to stop", expected: "none")
    }
    #expect(throws: Refusal.self) { try stopped.state(after: "The film was") }
    let model = try Demo.model().watched {}
    #expect(try model.state(after: "The film") == Demo.model().state(after: "The film"))
  }

  @Test func aRecordingContinuesFromAState() throws {
    let model = try Demo.model()
    let sites = ["blocks.3.output", "blocks.3.state.ssm"]
    let whole = try model.record(sites, reading: [5, 6, 7, 8])
    let start = try model.state(after: [5, 6])
    for moments in [CaptureReader.StateMoments.last, .each] {
      let rest = try model.record(sites, reading: [7, 8], statesAfter: moments, from: start)
      #expect(try rest["blocks.3.output"] == whole["blocks.3.output"].rows(2..<4))
      #expect(rest.state == whole.state)
      let last = try rest["blocks.3.state.ssm"]
      #expect(
        try last.values.suffix(whole["blocks.3.state.ssm"].count)
          == whole["blocks.3.state.ssm"].values[...])
    }
  }

  @Test func sumsOfStatesAreThoseOfTheirComponents() throws {
    let model = try Demo.model()
    let (a, b) = (try model.state(after: "Good"), try model.state(after: "Bad"))
    let sum = try model.sum(of: [(a, 1), (b, -0.5)])
    let name = "blocks.2.state.ssm"
    #expect(
      try sum[name].values == zip(a[name].values, b[name].values).map { $0 + -0.5 * $1 })
    #expect(sum.position == a.position)
  }
}
