import SextantBytes
import SextantTestSupport
import SextantTokenizers
import Testing

/// The template for questions.
struct PromptTemplateTests {
  private let folder = TemporaryFolder()

  @Test(arguments: [
    ("plain", "Why?\n\nAnswer: ("),
    ("hermes", "\u{16}user\nWhy?\u{17}\n\u{16}assistant\n("),
    ("llama", "[INST] Why? [/INST] ("),
  ])
  func fillsThePresetsByteForByte(name: String, text: String) throws {
    let filled = try PromptTemplate(named: name).fill("Why?")
    #expect(filled.utf8.elementsEqual(text.utf8))
    #expect(PromptTemplate.presetNames.contains(name))
  }

  @Test func keepsTheControlCharactersOfHermes() throws {
    let bytes = Array(try PromptTemplate(named: "hermes").fill("").utf8)
    #expect(bytes.first == 0x16)
    #expect(bytes.filter { $0 == 0x16 }.count == 2)
    #expect(bytes.filter { $0 == 0x17 }.count == 1)
    #expect(bytes[6...7] == [0x17, 0x0A])
  }

  @Test(arguments: [("(", "("), ("(\n", "("), ("(\n\n", "(\n"), ("(\r\n", "(")])
  func readsAFileWithLineFeedsAndWithoutTheOneAtItsEnd(end: String, read: String) throws {
    let path = folder.write("\u{16}Q: {}\r\nA: e\u{301}\(end)", to: "template.txt")
    let filled = try PromptTemplate(named: path).fill("{}")
    #expect(filled.utf8.elementsEqual("\u{16}Q: {}\nA: e\u{301}\(read)".utf8))
  }

  @Test(arguments: ["", "no place", "{} and {}", "{ }"])
  func refusesAnyOtherCountOfPlaces(text: String) {
    let refusal = expectRefusal(.usageOption) { try PromptTemplate(text: text) }
    #expect(refusal?.place == .parameter("template"))
  }

  @Test func refusesFilesThatAreNoText() throws {
    expectRefusal(.fileMissing) { try PromptTemplate(named: "no-such-preset") }
    let path = folder.path("latin-1.txt")
    try FilePublisher.publish([0xE9, 0x7B, 0x7D], to: path)
    expectRefusal(.textEncoding) { try PromptTemplate(named: path) }
  }
}
