import SextantBytes
import SextantTestSupport
import Testing

@testable import SextantTokenizers

/// A vocabulary of the 256 bytes, whose ids are one more, and a few more tokens from id 257 on.
struct TinyWorld {
  var lines: [String]

  init(_ more: [String] = []) {
    lines = (0..<256).map { byte in
      let digits = String(byte, radix: 16)
      return "\(byte + 1) b'\\x\(byte < 16 ? "0" : "")\(digits)' 1"
    }
    lines += more
  }

  func load(separator: String = "\n") throws -> any Tokenizer {
    let text = lines.joined(separator: separator) + separator
    return try Tokenizers.load(bytes: Array(text.utf8), file: "tiny.txt")
  }
}

struct RWKVWorldTests {
  @Test func takesTheLongestTokenEachTime() throws {
    let tokenizer = try TinyWorld(["257 'ab' 2", "258 'abcd' 4", "259 'bcde' 4", "260 'é' 2"])
      .load()
    #expect(tokenizer.encode("abcde") == [258, 102])
    #expect(tokenizer.encode("abcab") == [257, 100, 257])
    #expect(tokenizer.encode("éè") == [260, 0xC3 + 1, 0xA8 + 1])
    #expect(tokenizer.encode("").isEmpty)
    #expect(tokenizer.decode(tokenizer.encode("abcdeéè")) == "abcdeéè")
  }

  @Test func readsEveryEscapeOfRepr() throws {
    let tokenizer = try TinyWorld([
      #"257 '\\\'"\n\r\t' 6"#, #"258 "it's" 4"#, #"259 '\x00\x1f\x7f\xa0' 5"#,
      #"260 '\u2028\U0001f600' 7"#, #"261 b'\xe2\x80' 2"#, #"262 b"a'\n" 3"#, #"270 ' é日' 6"#,
    ]).load()
    #expect(tokenizer.bytes(of: 257) == Array("\\'\"\n\r\t".utf8))
    #expect(tokenizer.bytes(of: 258) == Array("it's".utf8))
    #expect(tokenizer.bytes(of: 259) == Array("\0\u{1F}\u{7F}\u{A0}".utf8))
    #expect(tokenizer.bytes(of: 260) == Array("\u{2028}😀".utf8))
    #expect(tokenizer.bytes(of: 261) == [0xE2, 0x80])
    #expect(tokenizer.bytes(of: 262) == Array("a'\n".utf8))
    #expect(tokenizer.bytes(of: 270) == Array(" é日".utf8))
    #expect(tokenizer.token(262) == #"b"a'\n""#)
    #expect(tokenizer.id(ofToken: #"'it\'s'"#) == 258)
    #expect(tokenizer.id(ofToken: "it's") == nil)
    #expect(tokenizer.id(ofToken: "'no such'") == nil)
  }

  @Test func readsBothKindsOfLineEnds() throws {
    let world = TinyWorld(["257 'ab' 2"])
    for separator in ["\n", "\r\n"] {
      #expect(try world.load(separator: separator).encode("abc") == [257, 100])
    }
  }

  @Test func endsATextWithIDZero() throws {
    let tokenizer = try TinyWorld().load()
    #expect(tokenizer.endOfTextID == 0)
    #expect(tokenizer.specialTokenIDs == [0])
    #expect(tokenizer.bytes(of: 0) == nil && tokenizer.token(0) == nil)
    #expect(tokenizer.decode([66, 0, 67]) == "AB")
    #expect(tokenizer.vocabularySize == 257)
  }

  @Test(.enabled(if: KnownTokenizer.present.contains(.world), "the World vocabulary is not here"))
  func knowsTheTokensOfWorld() throws {
    let tokenizer = try KnownTokenizer.world.load()
    #expect(tokenizer.vocabularySize == 65_530)
    #expect(tokenizer.token(11) == #"'\n'"#)
    #expect(tokenizer.bytes(of: 65_529) == Array(repeating: 0x20, count: 128))
    for id in 1..<65_530 {
      let bytes = try #require(tokenizer.bytes(of: id))
      #expect(tokenizer.id(ofToken: tokenizer.token(id) ?? "") == id)
      if let text = String(validating: bytes, as: UTF8.self) {
        #expect(tokenizer.encode(text) == [id])
      }
    }
  }

  /// A line after the 256 bytes, and the text of `found` in the refusal.
  @Test(arguments: [
    ("257 'ab' 3", "a byte count of 3 for 2 bytes"), ("257 '' 0", "a byte count of 0"),
    ("0 'ab' 2", "id 0"), ("7 'ab' 2", "id 7"), ("70000 'ab' 2", "id 70000"),
    ("99999999999 'ab' 2", "a huge number"), ("-1 'ab' 2", "no plain number"),
    ("0257 'ab' 2", "no plain number"), ("257 'ab' 02", "no plain number"),
    ("257  'ab' 2", "byte 32"), ("257 'ab'  2", "no plain number"), ("257\t'ab' 2", "another form"),
    ("257 'ab' 2 ", "more after the byte count"), ("257 'ab' 2x", "more after the byte count"),
    ("257 'ab'", "another form"), ("257 'ab 2", "the end of the line"),
    ("257", "another form"), ("", "no plain number"), ("257 ", "the end of the line"),
    ("257 ab 2", "a"), ("257 u'ab' 2", "u"), ("257 rb'ab' 2", "r"), ("257 f'ab' 2", "f"),
    ("257 '''ab''' 2", "another form"), ("257 'a' 'b' 2", "no plain number"),
    ("257 'a'*2 2", "another form"), ("257 b'é' 2", "byte 195"), ("257 'a\tb' 3", "byte 9"),
    (#"257 '\a' 1"#, #"the escape \a"#), (#"257 '\101' 1"#, #"the escape \1"#),
    (#"257 '\N{BULLET}' 3"#, #"the escape \N"#), (#"257 b'\u0041' 1"#, #"the escape \u"#),
    (#"257 '\x4' 1"#, "'"), (#"257 '\u00zz' 1"#, "z"), (#"257 '\ud800' 3"#, "code point 55296"),
    (#"257 '\U00110000' 3"#, "code point 1114112"), (#"257 '\"#, "the end of the line"),
    ("257 'A' 1", "the token of line 66"), (#"257 '\x41' 1"#, "the token of line 66"),
  ])
  func refusesALine(line: String, found: String) {
    let refusal = expectRefusal(.tokenizerInvalid) { try TinyWorld([line, "258 'zz' 2"]).load() }
    #expect(refusal?.place == .line(257))
    #expect(refusal?.found.contains(found) == true, "\(refusal?.found ?? "")")
  }

  @Test func refusesTokensThatAreTooLong() {
    let token = String(repeating: "a", count: 257)
    let refusal = expectRefusal(.tokenizerUnsupported) {
      try TinyWorld(["257 '\(token)' 257"]).load()
    }
    #expect(refusal?.place == .line(257))
  }

  @Test func refusesAVocabularyWithoutAByte() {
    var world = TinyWorld(["257 'ab' 2"])
    world.lines.remove(at: 0xFF)
    let refusal = expectRefusal(.tokenizerUnsupported) { try world.load() }
    #expect(refusal?.found == "no token for byte 255")
  }

  @Test func refusesStringsThatAreNotUTF8() {
    let bytes = Array("1 '".utf8) + [0xC3] + Array("' 1\n".utf8)
    expectRefusal(.tokenizerInvalid) { try Tokenizers.load(bytes: bytes) }
  }
}
