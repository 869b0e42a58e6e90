import SextantBytes
import SextantTestSupport
import Testing

/// The links of the pages lead somewhere.
@Suite struct PageLinkTests {
  private static let folders = [
    "", "docs", "formats", "formats/vectors", "fixtures", "Benchmarks", "Fuzzing",
  ]

  /// The pages in Markdown, by path.
  private static func pages() -> [String] {
    folders.flatMap { folder in
      PackageFiles.entries(folder).filter { $0.hasSuffix(".md") }
        .map { folder.isEmpty ? $0 : "\(folder)/\($0)" }
    }
  }

  @Test func everyRelativeLinkLeadsToAFileOrAHeading() throws {
    var checked = 0
    for page in Self.pages() {
      for target in try Self.links(of: page) {
        let parts = target.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
        let file = parts[0].isEmpty ? page : Self.path(String(parts[0]), from: page)
        #expect(Self.exists(file), "\(page): \(target)")
        if parts.count > 1, file.hasSuffix(".md"), Self.exists(file) {
          #expect(try Self.anchors(of: file).contains(String(parts[1])), "\(page): \(target)")
        }
        checked += 1
      }
    }
    #expect(checked > 150)
  }

  @Test func theReadmeLinksEveryGuide() throws {
    let links = try Self.links(of: "README.md")
    for page in PackageFiles.entries("docs") { #expect(links.contains("docs/\(page)"), "\(page)") }
  }

  @Test func everyRefusalOfThePageOfTroublesExists() throws {
    let codes = Set(Refusal.Code.allCases.map(\.rawValue))
    let named = try PackageFiles.text("docs/troubleshooting.md").matches(
      of: #/`\[([a-z0-9.-]+)\]`/#
    )
    .map { String($0.1) }
    #expect(named.count > 8)
    for code in named { #expect(codes.contains(code), "\(code)") }
  }

  /// The targets of the links of a page, except those of other sites and of examples of code.
  private static func links(of page: String) throws -> [String] {
    try prose(of: page).matches(of: #/\]\(([^()\s]+)\)/#).map { String($0.1) }
      .filter { !$0.contains("://") && !$0.hasPrefix("mailto:") }
  }

  /// The fragments that lead to a heading of a page.
  private static func anchors(of page: String) throws -> Set<String> {
    Set(
      try prose(of: page).split(separator: "\n").filter { $0.hasPrefix("#") }.map { line in
        line.drop { $0 == "#" }.drop { $0 == " " }.lowercased().compactMap {
          $0 == " " ? "-" : $0.isLetter || $0.isNumber || "-_".contains($0) ? String($0) : nil
        }.joined()
      })
  }

  /// A page without its blocks of code.
  private static func prose(of page: String) throws -> String {
    try PackageFiles.text(page).split(separator: "```", omittingEmptySubsequences: false)
      .enumerated().filter { $0.offset.isMultiple(of: 2) }.map { String($0.element) }.joined()
  }

  /// The path in the package of a link of a page.
  private static func path(_ link: String, from page: String) -> String {
    var parts = page.split(separator: "/").dropLast().map(String.init)
    for part in link.split(separator: "/") {
      if part == ".." { _ = parts.popLast() } else if part != "." { parts.append(String(part)) }
    }
    return parts.joined(separator: "/")
  }

  /// Whether the package has a file or folder of this path.
  private static func exists(_ path: String) -> Bool {
    let parts = path.split(separator: "/").map(String.init)
    guard let name = parts.last else { return true }
    return PackageFiles.entries(parts.dropLast().joined(separator: "/")).contains(name)
  }
}
