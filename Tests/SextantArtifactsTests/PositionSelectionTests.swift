import SextantArtifacts
import SextantTestSupport
import Testing

@Suite struct PositionSelectionTests {
  typealias Part = PositionSelection.Part

  @Test(arguments: [
    ("last", [Part.last(count: 1)]), ("last-3", [.last(count: 3)]), ("all", [.all]),
    ("prompt", [.prompt]), ("generated", [.generated]), ("0", [.index(0)]), ("12", [.index(12)]),
    ("-1", [.index(-1)]), ("last,generated", [.last(count: 1), .generated]),
    ("0,-2,last-2", [.index(0), .index(-2), .last(count: 2)]),
    ("generated-4", [.firstGenerated(count: 4)]), ("every-8", [.every(stride: 8)]),
    ("0:3", [.window(0, 3)]), ("-4:-2", [.window(-4, -2)]), ("token=13", [.token(13)]),
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
    "3:1", "-1:1", "1:", ":1", "1:2:3", "01:2", "every-0", "every-", "generated-0", "token=-1",
    "token=", "token=01",
  ])
  func otherTextsAreNone(text: String) {
    #expect(PositionSelection(text) == nil)
  }

  @Test(arguments: [
    ("2:1", "2:1, whose end is before its start"), ("last,", "nothing"),
    ("-1:1", "-1:1, from an index of the start to one of the end"), ("first", "\"first\""),
    ("generated-99999999999999999999", "99999999999999999999"), ("last-0", "last-0"),
    ("token=", "nothing"), ("all,1:2:3", "\"1:2:3\""),
  ])
  func theWrongMemberIsTold(text: String, found: String) {
    #expect(expectRefusal(.usageOption) { try PositionSelection(written: text) }?.found == found)
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
    ("last-9223372036854775807", [10, 11, 12, 13, 14]), ("generated-2", [15, 16]),
    ("generated-9223372036854775807", [15, 16, 17, 18]), ("every-1", [14, 15, 16, 17, 18]),
    ("every-2", [14, 16, 18]), ("every-3", [14, 17]), ("every-9223372036854775807", [14]),
    ("1:3", [11, 12, 13]), ("3:6", [13, 14, 15, 16]), ("-2:-1", [13, 14]),
    ("-7:-4", [8, 9, 10, 11]), ("8:9223372036854775807", [18]),
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

  @Test func aTokenIsSelectedByItsID() throws {
    let selection = try #require(PositionSelection("token=3,0"))
    #expect(selection.dependsOnTokens && PositionSelection("last")?.dependsOnTokens == false)
    #expect(selection.contains(12, prompt: 10..<15, token: 3))
    #expect(!selection.contains(12, prompt: 10..<15, token: 4))
    #expect(!selection.contains(12, prompt: 10..<15))
    #expect(selection.contains(10, prompt: 10..<15))
  }

  @Test func nothingIsTheLastOfAnEmptyPrompt() {
    #expect(!(0..<4).contains { PositionSelection.last.contains($0, prompt: 0..<0) })
    #expect(PositionSelection.fromLast.description == "last,generated")
  }
}
