import SextantBytes
import SextantTestSupport
import Testing

@Test(arguments: Refusal.Code.allCases)
func everyCodeHasASummaryAndARemedy(_ code: Refusal.Code) {
  #expect(!code.summary.isEmpty && !code.summary.hasSuffix("."))
  #expect(code.remedy.hasSuffix(".") && code.remedy.count > 5)
  #expect([64, 65, 66, 73, 74].contains(code.exitStatus))
  let parts = code.rawValue.split(separator: ".", omittingEmptySubsequences: false)
  #expect(parts.count >= 2)
  #expect(
    parts.allSatisfy { part in
      !part.isEmpty
        && part.utf8.allSatisfy {
          ("a"..."z").contains(Character(UnicodeScalar($0))) || $0 == 45 || (48...57).contains($0)
        }
    })
}

@Test func messagesNameTheFileFirstAndTheRemedyLast() {
  let refusal = Refusal(
    .safetensorsShape, file: "m.safetensors", at: .tensor("w"), found: "-1", expected: "at least 0")
  #expect(
    refusal.description == """
      m.safetensors: an impossible shape (tensor "w") [st.shape]
        found:    -1
        expected: at least 0
        remedy:   Save the file again with a current safetensors library.
      """)
  #expect(refusal.exitStatus == 65)
}

@Test(
  arguments: [
    (.offset(5), "at byte 5"), (.tensor("w"), "tensor \"w\""), (.pointer("/a/0"), "at /a/0"),
    (.pointer(""), "at /"), (.line(3), "line 3"), (.parameter("dataType"), "parameter dataType"),
    (.option("--dtype"), "option --dtype"),
  ] as [(Refusal.Place, String)])
func placesReadWell(_ place: Refusal.Place, _ text: String) {
  #expect(place.description == text)
}

@Test func hostileTextCannotSteerTheTerminal() {
  let refusal = Refusal(
    .safetensorsName, file: "a\u{1B}]0;x\u{7}", at: .tensor("\u{1B}[31m\n\u{202E}"),
    found: "\u{9B}1m", expected: "e", remedy: "r")
  for scalar in refusal.description.unicodeScalars where scalar != "\n" {
    #expect(scalar.properties.generalCategory != .control)
    #expect(scalar.properties.generalCategory != .format)
  }
  #expect(refusal.description.split(separator: "\n").count == 4)
  #expect(printable(String(repeating: "x", count: 500)).count == 401)
  #expect(printable("a\u{0}é") == "a\\u{0}é")
}

@Test func theFileIsFilledInOnce() {
  let refusal = Refusal(.jsonInvalid, found: "f", expected: "e")
  #expect(refusal.file == nil)
  #expect(refusal.inFile("a").file == "a")
  #expect(refusal.inFile("a").inFile("b").file == "a")
}
