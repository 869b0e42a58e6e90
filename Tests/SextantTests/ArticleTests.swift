import SextantTestSupport
import Testing

/// The pages of the DocC catalogue fit the library.
@Suite struct ArticleTests {
  private let catalogue = "Sources/Sextant/Sextant.docc"

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
    #expect(lines.contains { $0.hasPrefix("share of the state: 1.0") })
    #expect(lines.contains("[2, 1, 2048]"))  // [B, 1, V]
    #expect(lines.contains("blocks.3.mixer [3, 192] 0..<3"))
    #expect(lines.contains("logits [1, 2048] 2..<3"))
    #expect(folder.entries.contains("ridge.lens.safetensors"))
  }

  @Test func pagesShowOnlyCodeThatRuns() throws {
    let pages = PackageFiles.entries(catalogue).filter { $0.hasSuffix(".md") }
    #expect(pages.count >= 9)
    for page in pages.map({ "\(catalogue)/\($0)" }) {
      #expect(try !Pages.code(of: page).isEmpty, "\(page)")
      #expect(
        try Pages.uncompiledCode(of: page, partsOf: "Tests/ArticleSnippets/main.swift") == [],
        "\(page)")
    }
  }

  @Test func theFirstPageListsEveryType() throws {
    let listed = try PackageFiles.text("\(catalogue)/Sextant.md").split(separator: "\n")
      .filter { $0.hasPrefix("- ``") }.map { String($0.dropFirst(4).dropLast(2)) }
    let shown = try shownTypes()
    #expect(listed.sorted() == shown.sorted())
    #expect(try PackageFiles.text("docs/library.md").contains("shows \(shown.count) types"))
  }

  /// A type that only the package needs has `package` access.
  @Test func everyPublicTypeIsShown() throws {
    let shown = try shownTypes()
    let declaration = /^(?:@\w+ )*public (?:final )?(?:struct|enum|class|protocol|actor) (\w+)/
      .anchorsMatchLineEndings()
    let declared = try PackageFiles.librarySources.flatMap { file in
      try PackageFiles.text(file).matches(of: declaration).map { String($0.1) }
    }
    #expect(declared.sorted() == shown.sorted())
  }

  /// The types that `import Sextant` shows.
  private func shownTypes() throws -> Set<String> {
    let imports = try PackageFiles.text("Sources/Sextant/Exports.swift").split(separator: "\n")
      .filter { $0.hasPrefix("@_exported import") }
    let own: Set = ["BuildRecord", "LensMethod", "LoadedModel", "Recording", "WritableArtifact"]
    return own.union(imports.compactMap { $0.split(separator: ".").last.map(String.init) })
  }
}
