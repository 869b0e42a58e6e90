import SextantArtifacts
import Testing

@Suite struct PositionSelectionTests {
  typealias Part = PositionSelection.Part

  @Test(arguments: [
    ("last", [Part.last(count: 1)]), ("last-3", [.last(count: 3)]), ("all", [.all]),
    ("prompt", [.prompt]), ("generated", [.generated]), ("0", [.index(0)]), ("12", [.index(12)]),
    ("-1", [.index(-1)]), ("last,generated", [.last(count: 1), .generated]),
    ("0,-2,last-2", [.index(0), .index(-2), .last(count: 2)]),
    ("9223372036854775807", [.index(Int.max)]), ("-9223372036854775808", [.index(Int.min)]),
  ])
  func isReadAndPrintedAsWritten(text: String, parts: [Part]) {
    let selection = PositionSelection(text)
    #expect(selection?.parts == parts)
    #expect(selection?.description == text)
  }

  @Test(arguments: [
    "", ",", "last,", ",last", "Last", " last", "last ", "last, 1", "first", "last-", "last-0",
    "last--1", "last-+3", "last-03", "+1", "-0", "01", "1.0", "1e3", "last-9223372036854775808",
    "9223372036854775808", "all all", "ａｌｌ", "١",
  ])
  func otherTextsAreNone(text: String) {
    #expect(PositionSelection(text) == nil)
  }

  @Test func aListHasAtMost1024Members() {
    let longest = Array(repeating: "7", count: 1024).joined(separator: ",")
    #expect(PositionSelection(longest)?.parts.count == 1024)
    #expect(PositionSelection(longest + ",7") == nil)
  }

  @Test func theLastOneHasTwoSpellings() {
    #expect(PositionSelection("last-1") == PositionSelection("last"))
  }

  /// A prompt of five tokens from position 10 on, as after a state that has read ten.
  @Test(arguments: [
    ("last", [14]), ("last-1", [14]), ("last-3", [12, 13, 14]), ("last-5", [10, 11, 12, 13, 14]),
    ("last-99", [10, 11, 12, 13, 14]), ("all", Array(8...18)), ("prompt", Array(10...14)),
    ("generated", [15, 16, 17, 18]), ("0", [10]), ("4", [14]), ("6", [16]), ("-1", [14]),
    ("-5", [10]), ("-6", [9]), ("last,generated", [14, 15, 16, 17, 18]), ("0,-1", [10, 14]),
    ("9223372036854775807", []), ("-9223372036854775808", []),
    ("last-9223372036854775807", [10, 11, 12, 13, 14]),
  ])
  func containsThePositions(text: String, selected: [Int]) throws {
    let selection = try #require(PositionSelection(text))
    #expect((8...18).filter { selection.contains($0, prompt: 10..<15) } == selected)
    for start in 8...18 {
      for end in start...18 {
        #expect(
          selection.selectsAny(of: start..<end, prompt: 10..<15)
            == selected.contains { (start..<end).contains($0) })
      }
    }
  }

  @Test func nothingIsTheLastOfAnEmptyPrompt() {
    #expect(!(0..<4).contains { PositionSelection.last.contains($0, prompt: 0..<0) })
    #expect(PositionSelection.fromLast.description == "last,generated")
  }
}
