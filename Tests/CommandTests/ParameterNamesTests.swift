import SextantBytes
import SextantTestSupport
import Testing

@testable import sextant

/// Which option the command line shows for a parameter of the library.
@Suite struct ParameterNamesTests {
  /// The lines of a file that are no comments and contain a string. The other lines are left out before slower
  /// searches.
  private func linesWithStrings(_ path: String) throws -> [String] {
    try PackageFiles.bytes(path).split(separator: UInt8(ascii: "\n"))
      .filter { $0.contains(UInt8(ascii: "\"")) }.map { String(decoding: $0, as: UTF8.self) }
      .filter { !$0.drop(while: \.isWhitespace).hasPrefix("//") }
  }

  @Test func everyParameterThatTheLibraryNamesIsInTheTable() throws {
    var named: Set<String> = []
    // The parameters of the server are members of requests, in formats/serving.md.
    for path in PackageFiles.librarySources where !path.contains("/SextantServing/") {
      for line in try linesWithStrings(path) {
        named.formUnion(line.matches(of: #/\.parameter\("(\w+)"\)/#).map { String($0.1) })
        for text in line.matches(of: #/"(?:[^"\\]|\\.)*"/#) {
          named.formUnion(text.0.matches(of: #/`([a-z][A-Za-z0-9]*)`/#).map { String($0.1) })
        }
      }
    }
    #expect(named.count > 40)
    #expect(named.subtracting(ParameterNames.all) == [])
  }

  @Test func noSourceOfTheLibraryNamesAnOption() throws {
    for path in PackageFiles.librarySources {
      for line in try linesWithStrings(path) where line.contains("--") {
        let options = line.matches(of: #/"[^"]*(?:^|[ (:"])--[a-z][^"]*"/#).map { String($0.0) }
        // Another program's option, and colours of style sheets.
        let isKnown = { (text: String) in
          text.contains("llama-gguf-split") || text.contains("var(--")
        }
        #expect(options.allSatisfy(isKnown), "\(path): \(line)")
      }
    }
  }

  @Test func everyOptionOfTheTableExists() {
    let run = CommandRun.sextant(["--experimental-dump-help"])
    // Parameters of optimisers that only a program can set.
    for parameter in ParameterNames.all.subtracting(["clipNorm", "momentum"]) {
      let name = ParameterNames.option(parameter).dropFirst(2)
      #expect(run.output.contains("\"name\" : \"\(name)\""), "\(parameter): --\(name)")
    }
  }

  @Test func refusalsShowOptionsInPlaceOfParameters() {
    let refusal = Refusal(
      .usageOption, at: .parameter("tokensPerStep"), found: "`layers`", expected: "`passes` of 1",
      remedy: "Lower `tokensPerStep`, `code of mine` or `replacing`.")
    let shown = refusal.withOptions
    #expect(shown.place == .option("--tokens-per-step"))
    #expect(shown.found == "`layers`" && shown.expected == "--passes of 1")
    #expect(shown.remedy == "Lower --tokens-per-step, `code of mine` or --force.")
  }
}
