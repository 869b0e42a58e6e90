import SextantTestSupport

/// Pages of the documentation, and the code that they show.
enum Pages {
  /// The blocks of Swift code of a page.
  static func code(of page: String) throws -> [String] {
    try PackageFiles.text(page).split(separator: "```swift\n").dropFirst().map {
      String($0[..<($0.firstRange(of: "```")?.lowerBound ?? $0.endIndex)])
    }
  }

  /// The programs of `Examples/`, by name.
  static func programs() throws -> [String: String] {
    try Dictionary(
      uniqueKeysWithValues: PackageFiles.entries("Examples").map {
        ($0, try PackageFiles.text("Examples/\($0)/main.swift"))
      })
  }

  /// The blocks of a page that are neither a whole program nor a part of a file that is compiled.
  static func uncompiledCode(of page: String, partsOf file: String) throws -> [String] {
    let (programs, snippets) = (try programs().values, try unindented(PackageFiles.text(file)))
    return try code(of: page).filter {
      !programs.contains($0) && !snippets.contains(unindented($0))
    }
  }

  /// The lines without leading spaces.
  private static func unindented(_ text: String) -> String {
    text.split(separator: "\n", omittingEmptySubsequences: false)
      .map { $0.drop { $0 == " " } }.joined(separator: "\n")
  }
}
