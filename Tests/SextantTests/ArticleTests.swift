import SextantTestSupport
import Testing

/// The pages of the DocC catalogue fit the library.
@Suite struct ArticleTests {
  private let catalogue = "Sources/Sextant/Sextant.docc"

  private func text(_ path: String) throws -> String {
    try String(decoding: PackageFiles.bytes(path), as: UTF8.self)
  }

  /// The lines without the blanks before them.
  private func unindented(_ text: String) -> String {
    text.split(separator: "\n", omittingEmptySubsequences: false)
      .map { $0.drop { $0 == " " } }.joined(separator: "\n")
  }

  @Test func theCodeOfThePagesRuns() {
    let folder = TemporaryFolder()
    folder.makeLink("demo.sxt", to: Demo.path)
    folder.makeLink("fixtures", to: PackageFiles.fixture(""))
    let run = CommandRun.sextant(
      [], program: "ArticleSnippets", through: ["/usr/bin/env", "-C", folder.path])
    #expect(run.end == .exited(0), "\(run.errors)")
    let lines = run.output.split(separator: "\n")
    #expect(lines.first == "mamba 6 192")
    #expect(lines.contains("[3, 384, 16]"))  // [T, E, N]
    #expect(lines.contains("true 3"))  // a loaded state
    #expect(lines.contains("[2, 1, 2048]"))  // [B, 1, V]
    #expect(lines.contains("blocks.3.mixer [3, 192] 0..<3"))
    #expect(lines.contains("logits [1, 2048] 2..<3"))
    #expect(folder.entries.contains("ridge.lens.safetensors"))
  }

  @Test func pagesShowOnlyCodeThatRuns() throws {
    let programs = try PackageFiles.entries("Examples").map {
      try text("Examples/\($0)/main.swift")
    }
    let snippets = try unindented(text("Tests/ArticleSnippets/main.swift"))
    let pages = PackageFiles.entries(catalogue).filter { $0.hasSuffix(".md") }
    #expect(pages.count >= 9)
    for page in pages {
      let blocks = try text("\(catalogue)/\(page)").split(separator: "```swift\n").dropFirst().map {
        String($0[..<($0.firstRange(of: "```")?.lowerBound ?? $0.endIndex)])
      }
      #expect(!blocks.isEmpty, "\(page)")
      for block in blocks where !programs.contains(block) {
        #expect(snippets.contains(unindented(block)), "\(page): not compiled: \(block)")
      }
    }
  }

  @Test func theFirstPageListsEveryType() throws {
    let listed = try text("\(catalogue)/Sextant.md").split(separator: "\n")
      .filter { $0.hasPrefix("- ``") }.map { String($0.dropFirst(4).dropLast(2)) }
    #expect(try listed.sorted() == shownTypes().sorted())
  }

  /// A type that only the package needs has `package` access.
  @Test func everyPublicTypeIsShown() throws {
    let shown = try shownTypes()
    let libraries = PackageFiles.entries("Sources").filter { $0.hasPrefix("Sextant") }
    let files = libraries.flatMap { swiftFiles(in: "Sources/\($0)") }
    let declaration = /^(?:@\w+ )*public (?:final )?(?:struct|enum|class|protocol|actor) (\w+)/
      .anchorsMatchLineEndings()
    let declared = try files.flatMap { file in
      try text(file).matches(of: declaration).map { String($0.1) }
    }
    #expect(declared.sorted() == shown.sorted())
  }

  /// The types that `import Sextant` shows.
  private func shownTypes() throws -> Set<String> {
    let imports = try text("Sources/Sextant/Exports.swift").split(separator: "\n")
      .filter { $0.hasPrefix("@_exported import") }
    let own: Set = ["LensMethod", "LoadedModel", "Recording", "WritableArtifact"]
    return own.union(imports.compactMap { $0.split(separator: ".").last.map(String.init) })
  }

  private func swiftFiles(in folder: String) -> [String] {
    PackageFiles.entries(folder).flatMap { name in
      if name.hasSuffix(".swift") { return ["\(folder)/\(name)"] }
      return name.contains(".") ? [] : swiftFiles(in: "\(folder)/\(name)")
    }
  }
}
