import SextantBytes
import SextantStore
import SextantTestSupport
import Testing

/// Lists of blocks in their written form.
@Suite struct LayerSelectionTests {
  /// The number of members of 0...Int.max does not fit into an Int.
  @Test(arguments: [
    "0-9223372036854775807", "1,0-9223372036854775807", "9223372036854775807",
    "5-9223372036854775807",
  ])
  func theLargestNumberIsWrittenAndRefused(text: String) throws {
    let selection = try #require(LayerSelection(text))
    #expect("\(selection)" == text)
    let refusal = expectRefusal(.usageOption) { try selection.check(blockCount: 4) }
    #expect(refusal?.found.hasSuffix("9223372036854775807") == true)
  }

  @Test(arguments: [
    ("3-1", "3-1, whose end is before its start"), ("1,", "nothing"), ("", "nothing"),
    ("1-2-3", "\"1-2-3\""),
    ("a", "\"a\""), ("01", "01"), ("0-99999999999999999999", "99999999999999999999"),
  ])
  func theWrongMemberIsTold(text: String, found: String) {
    #expect(LayerSelection(text) == nil)
    #expect(expectRefusal(.usageOption) { try LayerSelection(written: text) }?.found == found)
  }
}
