import SextantBytes
import SextantTestSupport
import SextantTokenizers
import Testing

/// The tokenizer of models that read bytes.
struct RawBytesTests {
  private func tokenizer() throws -> any Tokenizer {
    try Tokenizers.load(bytes: #require(Tokenizers.builtIn(named: "bytes")))
  }

  @Test func takesBytesForIDs() throws {
    let tokenizer = try tokenizer()
    #expect(tokenizer.encode("\0Aé\u{10FFFF}") == [0, 65, 0xC3, 0xA9, 0xF4, 0x8F, 0xBF, 0xBF])
    #expect(tokenizer.decode([65, 0xC3, 0xA9, 0xFF, 256, -1]) == "Aé\u{FFFD}")
    #expect(tokenizer.vocabularySize == 256)
    #expect(tokenizer.endOfTextID == nil && tokenizer.specialTokenIDs.isEmpty)
    for id in 0..<256 {
      #expect(tokenizer.bytes(of: id) == [UInt8(id)])
      #expect(tokenizer.id(ofToken: tokenizer.token(id) ?? "") == id)
    }
    #expect(tokenizer.token(0x0A) == "<0x0A>")
    #expect(tokenizer.token(256) == nil && tokenizer.id(ofToken: "<0x+A>") == nil)
  }

  @Test func hasOneFileForAll() {
    #expect(
      Tokenizers.builtIn(named: "bytes")
        == Array(#"{"format":"sextant-bytes","version":1}"#.utf8))
    #expect(Tokenizers.builtIn(named: "Bytes") == nil)
  }

  @Test(arguments: [
    (#"{"format":"sextant-bytes","version":2}"#, Refusal.Code.tokenizerUnsupported),
    (#"{"format":"sextant-words","version":1}"#, .tokenizerUnsupported),
    (#"{"format":"sextant-bytes","version":1,"case":"lower"}"#, .tokenizerUnsupported),
    (#"{"format":"sextant-bytes"}"#, .tokenizerInvalid),
    (#"{"format":"sextant-bytes","version":"1"}"#, .tokenizerInvalid),
    (#"{"format":"bytes","version":1}"#, .tokenizerUnsupported),
  ])
  func refusesOtherFiles(text: String, code: Refusal.Code) {
    expectRefusal(code) { try Tokenizers.load(bytes: Array(text.utf8)) }
  }
}
