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

  /// The lines without the blanks before them.
  private static func unindented(_ text: String) -> String {
    text.split(separator: "\n", omittingEmptySubsequences: false)
      .map { $0.drop { $0 == " " } }.joined(separator: "\n")
  }

  @Test func pagesShowTheProgramsAsTheyAre() throws {
    func text(_ path: String) throws -> String {
      try String(decoding: PackageFiles.bytes(path), as: UTF8.self)
    }
    for page in ["README.md", "docs/library.md"] {
      let blocks = try text(page).split(separator: "```swift\n").dropFirst().map {
        String($0[..<($0.firstRange(of: "```")?.lowerBound ?? $0.endIndex)])
      }
      #expect(!blocks.isEmpty)
      let programs = try ["RecordAndSteer", "RawDirection", "TrainAndApply"].map {
        try text("Examples/\($0)/main.swift")
      }
      let snippets = try Self.unindented(text("Tests/SextantTests/Snippets.swift"))
      for block in blocks where !programs.contains(block) {
        #expect(snippets.contains(Self.unindented(block)), "\(page): not compiled: \(block)")
      }
      #expect(blocks.contains(programs[0]), "\(page)")
    }
    let first = try text("Examples/RecordAndSteer/main.swift").split(
      separator: "\n", omittingEmptySubsequences: false
    ).dropLast()
    #expect(first.count <= 8)
    #expect(first.count { $0.hasPrefix("import") } == 1)
  }
}
