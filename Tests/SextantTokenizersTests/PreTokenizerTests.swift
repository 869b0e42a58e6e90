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
  func splitsByThePatternOfGPT2(text: String, words: [String]) throws {
    #expect(try split(text, .gpt2) == words)
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
  func splitsByThePatternOfLlama3(text: String, words: [String]) throws {
    #expect(try split(text, .llama3) == words)
  }

  @Test(arguments: [
    // Marks are letters for Qwen 3.5, and belong to letters of both cases for Tekken.
    (#"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|\s"#, "e\u{301}a 12", ["e\u{301}a", " ", "1", "2"]),
    (
      #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"#, "getHTTPServer日本ÉéÉ",
      ["get", "HTTPServer日本", "Éé", "É"]
    ),
    (#"\p{N}{1,3}+"#, "a12345", ["a", "12345"]), ("a{,2}b|c", "aabcb", ["aab", "c", "b"]),
    (#"\s++$"#, "a  \n\n b \n", ["a  \n\n b", " \n"]), (#"\s+$"#, " \n\n b", [" \n", "\n b"]),
    (#"a\z"#, "aba", ["ab", "a"]), (#"[\p{L}&&[^a-z]]+"#, "abÄBc", ["ab", "ÄB", "c"]),
    (#"\x41|\x{e9}|\u00ea"#, "Abéê", ["A", "b", "é", "ê"]), ("a+?|b", "aab", ["a", "a", "b"]),
    ("(?i:k[r-t])", "KſkT", ["Kſ", "kT"]), (#"(a|b)+c?"#, "abcx", ["abc", "x"]),
    (#"\w+"#, "a\u{200C}b_1-", ["a", "\u{200C}", "b_1", "-"]),
    // Outside brackets, these numbers are word characters. ʕ is a small letter.
    (#"\w+"#, "a²³b¹x½-", ["a²³b¹x½", "-"]), (#"[\w]+"#, "a²b", ["a", "²", "b"]),
    (#"\W|b"#, "a²-b", ["a²", "-", "b"]), (#"[^\w]|b"#, "a²-b", ["a", "²", "-", "b"]),
    (#"\p{Ll}+"#, "aʕÄ", ["aʕ", "Ä"]), (".", "a\nb", ["a", "\n", "b"]),
    ("(?:a*b|c)*d", "aabcd", ["aabcd"]), (#"[\]\-^]+|[a-]"#, "]-^b-a", ["]-^", "b", "-", "a"]),
    (#"a(?=b)|b(?!c)"#, "abcb", ["a", "bc", "b"]), ("ab|a|b", "aab", ["a", "ab"]),
  ])
  func matchesAsABacktrackingEngineDoes(pattern: String, text: String, words: [String]) throws {
    #expect(try split(text, pattern) == words)
  }

  @Test(arguments: [
    "", "a*", "(?!a)", "a|", "(a", "a)", "[a", "[]", "a**", "a++b{2}{3}", "*a", "{1}", "a{2,1}",
    "a{99}",
    "(?<=a)b", #"\bword"#, "^a", #"(a)\1"#, "(?=ab)a", "(?x: a)", #"\p{Han}"#, #"\pL"#, #"\Q"#,
    "(?i:ss)", "(?i:é)", #"(?i:\p{Lu})"#, "[z-a]", "[[:alpha:]]", "(?>a+)b", "(ab)++", #"a\"#,
    String(repeating: "(", count: 5_000), String(repeating: "a", count: 5_000),
    "((((((((a{64}){64}){64}){64}))))))",
    "(a|b)*a" + String(repeating: "(a|b)", count: 20),
  ])
  func refusesPatternsBeyondTheGrammar(pattern: String) {
    #expect(throws: PatternProblem.self) { try SplitPattern(spelling: pattern) }
  }

  @Test func patternsAreEqualIfTheySplitAlike() throws {
    #expect(try SplitPattern(spelling: .llama3) != SplitPattern(spelling: .gpt2))
    #expect(try SplitPattern(spelling: #"\p{N}{1,3}"#) != SplitPattern(spelling: #"\p{N}{1,2}"#))
    #expect(try SplitPattern(spelling: .llama3) == SplitPattern(spelling: .cl100k))
    #expect(
      try SplitPattern(spelling: .gpt2)
        == SplitPattern(
          spelling:
            #"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"#
        ))
    #expect(try SplitPattern(spelling: "a++|b") == SplitPattern(spelling: "b|a+"))
    #expect(try SplitPattern(spelling: "ab?b?") == SplitPattern(spelling: "abb|ab|a"))
    #expect(try SplitPattern(spelling: "(?:ba++|b)c?") != SplitPattern(spelling: "(?:ba+|b)"))
    #expect(try SplitPattern(spelling: "a++b|a") != SplitPattern(spelling: "a+b?"))
    #expect(try SplitPattern(spelling: "a+?") != SplitPattern(spelling: "a+"))
    #expect(try SplitPattern(spelling: "a|ab") == SplitPattern(spelling: "a"))
    #expect(try SplitPattern(spelling: "ſ") != SplitPattern(spelling: "s"))
  }

  @Test func knowsWhichPatternsMatchEverywhere() throws {
    for spelling in [String.gpt2, .llama3, .cl100k, #"\w|\W"#, "a++|[^a]", "(?:a*b|a)|[^ab]"] {
      #expect(try SplitPattern(spelling: spelling).matchesEverywhere)
    }
    for spelling in [#"\s+|\p{L}+"#, "a(?=b)|[^a]", ".", "ab|[^a]", #"a\z|[^a]"#] {
      #expect(try !SplitPattern(spelling: spelling).matchesEverywhere)
    }
  }

  @Test(arguments: [
    ("Removed", false, ["a", "b", "c"]), ("Removed", true, ["-", "-", "-", "-", "-", "-"]),
    ("Isolated", false, ["-", "-", "a", "-", "b", "-", "-", "c", "-"]),
    ("MergedWithPrevious", false, ["-", "-", "a-", "b-", "-", "c-"]),
    ("MergedWithPrevious", true, ["-", "-a", "-b", "-", "-c", "-"]),
    ("MergedWithNext", false, ["-", "-a", "-b", "-", "-c", "-"]),
    ("MergedWithNext", true, ["-", "-", "a-", "b-", "-", "c-"]),
    ("Contiguous", false, ["--", "a", "-", "b", "--", "c", "-"]),
    ("Contiguous", true, ["--", "a", "-", "b", "--", "c", "-"]),
  ])
  func doesWithMatchesWhatTheBehaviorTells(name: String, inverts: Bool, words: [String]) throws {
    let behavior = try #require(PreTokenizer.Split.Behavior(rawValue: name))
    let step = PreTokenizer.Step.split(
      .init(pattern: try SplitPattern(text: "-"), behavior: behavior, inverts: inverts))
    #expect(split("--a-b--c-", [step]) == words)
  }

  @Test func appliesEachStepToEveryPieceOfTheOneBefore() throws {
    let gpt2 = PreTokenizer.Step.split(.init(pattern: try SplitPattern(spelling: .gpt2)))
    let digits = PreTokenizer.Step.split(.init(pattern: try SplitPattern(spelling: "[0-9]")))
    #expect(split("a 1  b", [digits, .prefixSpace, gpt2]) == [" a", " ", " 1", " ", " b"])
    #expect(split("x", [.prefixSpace]) == [" x"])
    #expect(split(" x", [.prefixSpace]) == [" x"])
    #expect(split("", [.prefixSpace, gpt2]).isEmpty)
    #expect(split("a b", []) == ["a b"])
    #expect(split("a1b", [digits, .markSpaces(.first)]) == ["▁a", "1", "b"])
    #expect(split("1b", [.mapBytes, digits, .unmapBytes]) == ["1", "b"])
  }

  /// The digests are over one byte per scalar, in order: general category of the package's pattern
  /// engine, in the order of the cases; 0 to 3 for other, letter, number and space, plus 4 for what
  /// its Digits isolates; and 1 for what its Punctuation isolates.
  @Test func classifiesEveryScalarLikeThePackage() {
    var categories = SHA256()
    var kinds = SHA256()
    var punctuation = SHA256()
    for plane in UInt32(0)...16 {
      let values = (plane << 16..<(plane + 1) << 16).filter { Unicode.Scalar($0) != nil }
      let classes = values.map(ScalarClass.of)
      categories.update(
        classes.map {
          ($0.category == .spaceControl ? ScalarClass.Category.control : $0.category).rawValue
        })
      kinds.update(
        classes.map { scalar in
          let kind: UInt8 =
            switch scalar.category {
            case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter,
              .otherLetter:
              1
            case .decimalNumber, .letterNumber, .otherNumber: 2
            default: scalar.isSpace ? 3 : 0
            }
          return kind + (scalar.has(.numeric) ? 4 : 0)
        })
      punctuation.update(classes.map { $0.has(.punctuation) ? 1 : 0 })
    }
    #expect(
      categories.finalize().description
        == "9b3dd19018745a265f2174488662813218a18a9eff348cb25f8866d8173b4fa6")
    #expect(
      kinds.finalize().description
        == "0d87d33301003289037d6caff232403fb244eb4b9929bcc437003fe3a2ea0225")
    #expect(
      punctuation.finalize().description
        == "061cc268c0216dd84626b9a14b191f192ede4cc373be0e3e40dfe66e9d4c48fc")
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

  private func split(_ text: String, _ pattern: String) throws -> [String] {
    split(text, [.split(.init(pattern: try SplitPattern(spelling: pattern)))])
  }

  private func split(_ text: String, _ steps: [PreTokenizer.Step]) -> [String] {
    var words: [String] = []
    let bytes = text.bytes
    PreTokenizer(steps: steps).forEachWord(in: bytes, range: 0..<bytes.count, isStart: true) {
      words.append(String(decoding: $0[$1], as: UTF8.self))
    }
    return words
  }
}

extension String {
  fileprivate var bytes: [UInt8] { Array(utf8) }

  fileprivate static let gpt2 =
    #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
  fileprivate static let llama3 =
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"#
    + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  fileprivate static let cl100k =
    #"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}"#
    + #"| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"#
}
