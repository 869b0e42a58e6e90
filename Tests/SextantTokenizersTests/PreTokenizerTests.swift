import SextantBytes
import SextantTestSupport
import Testing

@testable import SextantTokenizers

/// The words of a text, and the classes of its scalars.
struct PreTokenizerTests {
  @Test(arguments: [
    ("Hello world", ["Hello", " world"]),
    (
      "it's we'll I'd they've you're I'm don't",
      [
        "it", "'s", " we", "'ll", " I", "'d", " they", "'ve", " you", "'re", " I", "'m", " don",
        "'t",
      ]
    ),
    ("'sometimes 'S 'x", ["'s", "ometimes", " '", "S", " '", "x"]),
    ("a  b", ["a", " ", " b"]),
    ("a   ", ["a", "   "]),
    ("a \n\n b", ["a", " \n\n", " b"]),
    ("\nb", ["\n", "b"]),
    ("\u{3000}\u{2003}b", ["\u{3000}", "\u{2003}", "b"]),
    ("x=1.50 €2!?", ["x", "=", "1", ".", "50", " €", "2", "!?"]),
    ("½ ²Ⅷ", ["½", " ²Ⅷ"]),
    ("e\u{301}a", ["e", "\u{301}", "a"]),
    ("'", ["'"]), ("'l", ["'", "l"]), ("'r ", ["'", "r", " "]),
    (" ", [" "]), ("  ", ["  "]), ("\t x", ["\t", " x"]),
  ])
  func splitsByThePatternOfGPT2(text: String, words: [String]) {
    #expect(split(text, [.split(.gpt2)]) == words)
  }

  @Test(arguments: [
    ("it's IT'S x'\u{17F} 'st", ["it", "'s", " IT", "'S", " x", "'\u{17F}", " '", "st"]),
    ("a'Re'vE'LL'd'mx'k", ["a", "'Re", "'vE", "'LL", "'d", "'m", "x", "'k"]),
    ("a  b \n\n c\t\td", ["a", " ", " b", " \n\n", " c", "\t", "\td"]),
    ("12345 ２３４٥", ["123", "45", " ", "２３４", "٥"]),
    ("!!\r\n\r\n x\n", ["!!\r\n\r\n", " x", "\n"]),
    ("\u{2028}a \u{2028}\n b", ["\u{2028}a", " \u{2028}\n", " b"]),
    (" \n \r  x", [" \n \r", " ", " x"]),
    ("e\u{301}a (b) $5", ["e", "\u{301}a", " (", "b", ")", " $", "5"]),
    ("'", ["'"]), ("'l", ["'l"]), (" ", [" "]), ("  ", ["  "]), ("\n", ["\n"]),
  ])
  func splitsByThePatternOfGPT4(text: String, words: [String]) {
    #expect(split(text, [.split(.gpt4(numbers: 3))]) == words)
  }

  @Test func splitsNumbersOneByOneByThePatternOfQwen2() {
    #expect(split("a12 3", [.split(.gpt4(numbers: 1))]) == ["a", "1", "2", " ", "3"])
  }

  /// The digests are over the byte counts of all words, 32 bits each, as the package splits them.
  @Test(arguments: [("gpt4", SplitPattern.gpt4(numbers: 3)), ("qwen2", .gpt4(numbers: 1))])
  func splitsDifficultLinesLikeThePackage(name: String, pattern: SplitPattern) throws {
    let path = PackageFiles.fixture("tokenizer/splits.json")
    let digests = try JSONNode(parsing: bytes(of: path), code: .dataRecord, file: path)
    var hash = SHA256()
    for line in try KnownTokenizer.lines() {
      let text = line.bytes
      var counts: [UInt8] = []
      PreTokenizer(steps: [.split(pattern)]).forEachWord(in: text, range: text.indices) {
        counts += UInt32($1.count).littleEndianBytes
      }
      hash.update(counts)
    }
    #expect(try hash.finalize().description == digests.member(name).string())
  }

  @Test func knowsPatternsByEverySpelling() {
    for (spelling, pattern) in SplitPattern.published {
      #expect(SplitPattern(spelling: spelling) == pattern)
    }
    #expect(SplitPattern(spelling: #"\s+"#) == nil)
  }

  @Test(arguments: [
    ("a12 3b", true, ["a", "1", "2", " ", "3", "b"]),
    ("a12 3b", false, ["a", "12", " ", "3", "b"]),
    ("٣½", true, ["٣", "½"]),
    ("٣½", false, ["٣½"]),
  ])
  func isolatesDigits(text: String, individual: Bool, words: [String]) {
    #expect(split(text, [.digits(individual: individual)]) == words)
  }

  @Test func appliesEachStepToEveryPieceOfTheOneBefore() {
    #expect(
      split("a 1  b", [.digits(individual: true), .prefixSpace, .split(.gpt2)])
        == [" a", " ", " 1", " ", " b"])
    #expect(split("x", [.prefixSpace]) == [" x"])
    #expect(split(" x", [.prefixSpace]) == [" x"])
    #expect(split("", [.prefixSpace, .split(.gpt2)]).isEmpty)
    #expect(split("a b", []) == ["a b"])
  }

  /// The digest is over one byte per scalar, in order: 0 to 3 for other, `\p{L}`, `\p{N}` and `\s`
  /// of the package's pattern engine, plus 4 for what its Digits isolates.
  @Test func classifiesEveryScalarLikeThePackage() {
    var hash = SHA256()
    for plane in UInt32(0)...16 {
      let values = (plane << 16..<(plane + 1) << 16).filter { Unicode.Scalar($0) != nil }
      hash.update(
        values.map { value in
          let scalar = ScalarClass.of(value)
          return scalar.kind.rawValue + (scalar.isNumeric ? 4 : 0)
        })
    }
    #expect(
      hash.finalize().description
        == "0d87d33301003289037d6caff232403fb244eb4b9929bcc437003fe3a2ea0225")
  }

  @Test func composesAsUnicode9Did() {
    #expect(composed("e\u{301}") == "é".bytes)
    #expect(composed("\u{1112}\u{1161}\u{11AB}") == "한".bytes)
    #expect(composed("q\u{307}\u{323}") == "q\u{323}\u{307}".bytes)
    #expect(composed("\u{212B}") == "\u{C5}".bytes)
    // Composites of Unicode 13.0 and 16.0, and a mark of 11.0 that must not be reordered.
    for text in ["\u{11935}\u{11930}", "\u{105D2}\u{307}", "a\u{7FD}\u{301}"] {
      #expect(composed(text) == text.bytes)
    }
    #expect(NFC.normalize("plain, café".bytes) == nil)
  }

  private func composed(_ text: String) -> [UInt8]? { NFC.normalize(text.bytes) }

  private func split(_ text: String, _ steps: [PreTokenizer.Step]) -> [String] {
    var words: [String] = []
    let bytes = text.bytes
    PreTokenizer(steps: steps).forEachWord(in: bytes, range: 0..<bytes.count) { buffer, range in
      words.append(String(decoding: buffer[range], as: UTF8.self))
    }
    return words
  }
}

extension String {
  fileprivate var bytes: [UInt8] { Array(utf8) }
}
