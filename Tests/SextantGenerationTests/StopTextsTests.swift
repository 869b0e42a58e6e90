import SextantBytes
import SextantTensor
import SextantTestSupport
import Testing

@testable import SextantGeneration

/// Strings that end a text: the text ends before them.
struct StopTextsTests {
  /// The shown part of a text that arrives character by character, and whether it was stopped.
  private func shown(_ text: String, _ stops: [String]) throws -> (pieces: [String], isFound: Bool)
  {
    var finder = try StopTexts(stops)
    var pieces: [String] = []
    for scalar in text.unicodeScalars {
      let (piece, isFound) = finder.append(String(scalar))
      pieces.append(piece)
      if isFound { return (pieces, true) }
    }
    return (pieces + [finder.finish()], false)
  }

  @Test(arguments: [
    ("one\n\ntwo", ["\n\n"], "one", true), ("one\ntwo", ["\n\n"], "one\ntwo", false),
    ("aab", ["aab"], "", true), ("aaab", ["aab"], "a", true), ("aaa", ["aab"], "aaa", false),
    ("xaby", ["b", "ab"], "x", true), ("xab", ["abc", "xabd"], "xab", false),
    ("é—è", ["—"], "é", true), ("é—", ["—è"], "é—", false), ("abc", [], "abc", false),
  ])
  func aTextEndsBeforeTheFirstOfThem(
    text: String, stops: [String], expected: String, isFound: Bool
  ) throws {
    let result = try shown(text, stops)
    #expect(result.pieces.joined() == expected && result.isFound == isFound)
  }

  @Test func noPartOfAStopTextIsShownBeforeItIsKnownToBeNone() throws {
    #expect(try shown("aaab", ["aab"]).pieces == ["", "", "a", ""])
    #expect(try shown("abac", ["aba!"]).pieces == ["", "", "", "abac", ""])
  }

  @Test func agreesWithASearchOfTheWholeText() throws {
    var random = SeededRandom(seed: 8)
    func word(_ count: Int) -> String {
      String(
        String.UnicodeScalarView((0..<count).map { _ in random.index(below: 2) == 0 ? "a" : "b" }))
    }
    for _ in 0..<300 {
      let text = word(random.index(below: 30))
      let stops = (0..<1 + random.index(below: 3)).map { _ in word(1 + random.index(below: 5)) }
      let result = try shown(text, stops)
      // The shortest beginning that ends with one of them, without it.
      let bytes = Array(text.utf8)
      let end = (0...bytes.count).first { end in
        stops.contains {
          bytes[..<end].suffix($0.utf8.count).elementsEqual($0.utf8) && end >= $0.utf8.count
        }
      }
      let longest = end.flatMap { end in
        stops.filter { bytes[..<end].suffix($0.utf8.count).elementsEqual($0.utf8) }
          .map { $0.utf8.count }.max()
      }
      let expected = end.map { bytes[..<($0 - (longest ?? 0))] } ?? bytes[...]
      #expect(Array(result.pieces.joined().utf8) == Array(expected))
      #expect(result.isFound == (end != nil))
    }
  }

  @Test func refusesAnEmptyText() {
    expectRefusal(.usageOption) { try StopTexts(["a", ""]) }
  }
}
