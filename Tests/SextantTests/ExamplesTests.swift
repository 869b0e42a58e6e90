import Sextant
import SextantTestSupport
import Testing

/// The programs of `Examples/` run, and the pages show them as they are.
@Suite struct ExamplesTests {
  private let folder = TemporaryFolder()

  private func run(_ program: String) throws -> CommandRun {
    folder.makeLink("demo.sxt", to: Demo.path)
    return CommandRun.sextant(
      [], program: program, through: ["/usr/bin/env", "-C", folder.path])
  }

  @Test func recordAndSteer() throws {
    let model = try Demo.model()
    let joy = try SteeringVector.train(on: ContrastPairs(Demo.pairs), for: model)
    try joy.write(to: folder.path("sentiment.steer.safetensors"))
    let run = try self.run("RecordAndSteer")
    let (prompt, width) = ("The film was", model.description.width)
    let count = try model.textTokenizer().encodeText(prompt).count
    let text = try model.generate(prompt, with: [.steer(joy, strength: 2, layers: 3...3)]).text()
    #expect(run.output == "shape: [\(count), \(width)]\n" + text, "\(run.errors)")
    #expect(try model.generate(prompt).text() != text)
  }

  @Test func rawDirection() throws {
    let lines = try run("RawDirection").output.split(separator: "\n")
    #expect(lines.count == 24)
    #expect(lines.count { $0.contains("norm in block 4:") } == 12)
    #expect(lines.count { $0.hasPrefix("  blocks.3.output: ") } == 12)
  }

  @Test func trainAndApply() throws {
    let run = try self.run("TrainAndApply")
    let lines = run.output.split(separator: "\n")
    #expect(lines.count == 13, "\(run.errors)")
    #expect(lines.first == "blocks.3.output.mean-diff accuracy: 1.0")
    #expect(lines.dropFirst().allSatisfy { $0.contains("scores") })
    #expect(folder.entries.contains("joy.steer.safetensors"))
  }

  @Test func pagesShowTheProgramsAsTheyAre() throws {
    let program = try #require(Pages.programs()["RecordAndSteer"])
    for page in ["README.md", "docs/library.md"] {
      #expect(
        try Pages.uncompiledCode(of: page, partsOf: "Tests/SextantTests/Snippets.swift") == [],
        "\(page)")
      #expect(try Pages.code(of: page).contains(program), "\(page)")
    }
    let lines = program.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
    #expect(lines.count <= 8)
    #expect(lines.count { $0.hasPrefix("import") } == 1)
  }
}
