import SextantBytes
import SextantTestSupport
import Testing

/// Numbers as users write them.
@Suite struct WrittenNumberTests {
  @Test(arguments: [("0", 0), ("-3", -3), ("9223372036854775807", Int.max)])
  func aWholeNumberHasOneSpelling(text: String, value: Int) throws {
    #expect(try Int(written: text[...]) == value)
  }

  @Test(arguments: [
    ("", "nothing"), ("x", "\"x\""), ("-", "\"-\""), ("+1", "\"+1\""), ("1.5", "\"1.5\""),
    ("１", "\"１\""),
    ("03", "03"), ("-0", "-0"), ("99999999999999999999", "99999999999999999999"),
  ])
  func otherTextsAreTold(text: String, found: String) {
    #expect(expectRefusal(.usageOption) { try Int(written: text[...]) }?.found == found)
  }

  @Test func theRangeOfAWholeNumberIsTold() {
    let refusal = expectRefusal(.usageOption) { try Int(written: "99999999999999999999") }
    #expect(refusal?.expected.contains("9223372036854775807") == true)
  }

  @Test func aNumberThatTheTypeRoundsAwayIsTold() throws {
    #expect(try Float.written("0.5") == 0.5 && Float.written("-1e-3") == -1e-3)
    #expect(try Float.written("0") == 0 && Float.written("0e99") == 0 && Float.written("x") == nil)
    #expect(try Float.written("-inf") == -.infinity && Float.written("nan")?.isNaN == true)
    #expect(try Double.written("1e300") == 1e300)
    for (text, limit) in [
      ("1e39", "3.4028235e+38"), ("-1e308", "3.4028235e+38"), ("1e999", "3.4028235e+38"),
      ("1e-320", "1e-45"), ("0.00001e-99", "1e-45"),
    ] {
      let refusal = expectRefusal(.usageOption) { try Float.written(text) }
      #expect(refusal?.found == text && refusal?.expected.contains(limit) == true)
    }
    expectRefusal(.usageOption) { try Double.written("1e400") }
  }
}
