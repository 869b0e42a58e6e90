import Glibc
import SextantAnalysis
import SextantBytes
import SextantModelTestSupport
import SextantTestSupport
import SextantTokenizers
import Testing

@Suite struct ContrastPairsTests {
  private let folder = TemporaryFolder()

  private func read(_ text: String, _ template: String? = nil) throws -> ContrastPairs {
    try ContrastPairs(
      reading: folder.write(text, to: "pairs"),
      template: template.map { try PromptTemplate(text: $0) })
  }

  private func answers(_ matching: String, _ other: String, question: String = "Q?") -> String {
    let record: JSONValue = [
      "question": .string(question), "answer_matching_behavior": .string(matching),
      "answer_not_matching_behavior": .string(other), "note": 1,
    ]
    return JSONValue.array([record]).prettyText
  }

  @Test func linesHoldTwoTexts() throws {
    let text = """
      {"positive": "good", "negative": "bad"}

      {"negative":"b\\nd","positive":"é ☂","id":7}\r
      """
    let pairs = try read(text)
    #expect(pairs.form == .wholeTexts && pairs.template == nil)
    #expect(pairs.pairs.map(\.positive) == ["good", "é ☂"])
    #expect(pairs.pairs.map(\.negative) == ["bad", "b\nd"])
    #expect(pairs.digest == SHA256.digest(Array(text.utf8)))
    #expect(pairs.record["template"] == .null && pairs.record["pairs"] == 2)
  }

  @Test(arguments: [
    ("(A)", "(B)", "A", "B"), (" (B) ", "A", "B", "A"), ("(C)", "(H)", "C", "H"),
    ("(E)", "(A)", "E", "A"), ("a", "(b)", "a", "b"), ("(1)", "2", "1", "2"),
  ])
  func answersBecomeTheirLetters(
    matching: String, other: String, positive: String, negative: String
  ) throws {
    let pairs = try read(answers(matching, other, question: "{} {}\n\nChoices:"), "[{}] (")
    #expect(pairs.form == .answers)
    #expect(pairs.pairs.map(\.positive) == ["[{} {}\n\nChoices:] (" + positive])
    #expect(pairs.pairs.map(\.negative) == ["[{} {}\n\nChoices:] (" + negative])
    #expect(pairs.record["template"] == "[{}] (" && pairs.record["form"] == "answers-json")
  }

  @Test(arguments: [
    "", "()", "(AB)", "A B", "Yes", "((A))", "(A", "A)", "(é)", "(A\u{301})", "(?)", "\t(A)",
    "(A).",
  ])
  func otherAnswersAreRefused(answer: String) throws {
    let refusal = expectRefusal(.dataRecord) { try read(answers("(A)", answer), "{}(") }
    #expect(refusal?.place == .pointer("/0/answer_not_matching_behavior"))
  }

  @Test(arguments: [
    ("{\"positive\":\"a\"}", Refusal.Code.dataRecord, 1),
    (
      "{\"positive\":\"a\",\"negative\":\"b\"}\n\n{\"positive\":1,\"negative\":\"b\"}", .dataRecord,
      3
    ),
    ("{\"positive\":\"\",\"negative\":\"b\"}", .dataRecord, 1),
    ("{\"positive\":\"b\",\"negative\":\"b\"}", .dataRecord, 1),
    ("{\"positive\":\"a\",\"negative\":\"b\"}\n{\"positive\":\"a\"", .jsonInvalid, 2),
    ("{\"positive\":\"a\",\"negative\":\"b\",\"positive\":\"c\"}", .jsonDuplicateKey, 1),
    ("text", .textKind, 1), ("\"text\"", .dataRecord, 1),
    ("{\"positive\":\"a\",\"negative\":\"b\"} x", .jsonTrailing, 1),
  ])
  func badLinesAreNamed(text: String, code: Refusal.Code, line: Int) throws {
    let refusal = expectRefusal(code) { try read(text) }
    #expect(refusal?.place == .line(line))
    #expect(refusal?.file == folder.path("pairs"))
  }

  @Test(arguments: [
    ("[{\"question\":\"q\"}]", Refusal.Code.dataRecord, "/0"),
    ("[[1]]", .dataRecord, "/0"),
    (
      "[{\"question\":\"\",\"answer_matching_behavior\":\"A\",\"answer_not_matching_behavior\":\"B\"}]",
      .dataRecord, "/0/question"
    ),
    (
      "[{\"question\":\"q\",\"answer_matching_behavior\":\"A\",\"answer_not_matching_behavior\":\"(A)\"}]",
      .dataRecord, "/0"
    ),
    (
      "[{\"question\":\"q\",\"answer_matching_behavior\":2,\"answer_not_matching_behavior\":\"B\"}]",
      .dataRecord, "/0/answer_matching_behavior"
    ),
  ])
  func badRecordsAreNamed(text: String, code: Refusal.Code, pointer: String) throws {
    let refusal = expectRefusal(code) { try read(text, "{} (") }
    #expect(refusal?.place == .pointer(pointer))
  }

  @Test func filesWithoutPairsAreRefused() throws {
    expectRefusal(.dataEmpty) { try read("[]", "{} (") }
    expectRefusal(.dataEmpty) { try read("\n \n") }
    expectRefusal(.fileEmpty) { try read("") }
    expectRefusal(.jsonInvalid) { try read("[", "{} (") }
    expectRefusal(.fileMissing) { try ContrastPairs(reading: folder.path("no"), template: nil) }
  }

  @Test func pairsAndQuestionsComeInEveryForm() throws {
    for text in [
      "[{\"positive\": \"good\", \"negative\": \"bad\"}]", "positive,negative\ngood,bad\n",
      "{\"pairs\": [{\"positive\": \"good\", \"negative\": \"bad\"}]}",
      "\u{FEFF}{\r\n\"positive\": \"good\",\r\n\"negative\": \"bad\"\r\n}\r\n",
    ] {
      let pairs = try read(text)
      #expect(pairs.form == .wholeTexts && pairs.pairs.map(\.positive) == ["good"], "\(text)")
      #expect(pairs.pairs.map(\.negative) == ["bad"], "\(text)")
    }
    let question = """
      {"question": "Q?", "answer_matching_behavior": "(A)", "answer_not_matching_behavior": "(B)"}
      """
    for text in [question, "[\(question)]", "{\"data\": [\(question)]}"] {
      let pairs = try read(text, "{} (")
      #expect(pairs.form == .answers && pairs.pairs.map(\.positive) == ["Q? (A"], "\(text)")
    }
  }

  @Test func filesOfAnotherKindAreNamed() throws {
    for text in [
      "{\"prompt\": \"p\", \"chosen\": \"c\", \"rejected\": \"r\"}",
      "[{\"prompt\": \"p\", \"chosen\": \"c\", \"rejected\": \"r\"}]",
    ] {
      let refusal = expectRefusal(.dataRecord) { try read(text) }
      #expect(refusal?.found.contains("\"prompt\", \"chosen\", \"rejected\"") == true)
    }
    let personas = expectRefusal(.textKind) {
      try read("{\"template\": \"t\", \"positive\": [], \"negative\": [], \"suffixes\": [\"s\"]}")
    }
    #expect(personas?.remedy.contains("`personas`") == true)
  }

  // MARK: Two files

  private func read(_ positive: String, against negative: String) throws -> ContrastPairs {
    try ContrastPairs(
      reading: .texts(
        positive: folder.write(positive, to: "pos.txt"),
        negative: folder.write(negative, to: "neg.txt")), template: nil)
  }

  @Test(arguments: [
    ("a\nb\n", "c\nd"), ("\u{FEFF}a\r\nb\r\n", "c\rd\r"), ("a\n\nb\n", "c\n\nd\n\n\n"),
    ("\"a\"\n\"b\"\n", "c\nd\n"), ("[\"a\", \"b\"]", "c\n\nd\n"),
  ])
  func lineIBelongsToLineI(positive: String, negative: String) throws {
    let pairs = try read(positive, against: negative)
    #expect(
      pairs.pairs.map(\.positive) == ["a", "b"] && pairs.pairs.map(\.negative) == ["c", "d"])
    #expect(pairs.form == .twoFiles && pairs.record["escapes"] == nil)
  }

  @Test(arguments: [
    ("a\n\nb\n", "c\nd\n\n", "pos.txt", 2), ("a\nb\n", "c\n\nd\n", "neg.txt", 2),
    ("\na\nb\n", "c\nd\n", "pos.txt", 1), ("a\n\n\nb\n", "c\n\nd\n\n", "pos.txt", 3),
  ])
  func aBlankLineInOneFileIsNamed(
    positive: String, negative: String, file: String, line: Int
  ) throws {
    let refusal = expectRefusal(.dataRecord) { try read(positive, against: negative) }
    #expect(refusal?.file == folder.path(file) && refusal?.place == .line(line))
    #expect(refusal?.found == "a blank line")
  }

  @Test func escapesOfTwoFilesStandForWhatTheyDoInLlamaCpp() throws {
    let pairs = try read("Act warm.\\nI feel\n", against: "C:\\\\n\n")
    #expect(pairs.pairs.map(\.positive) == ["Act warm.\nI feel"])
    #expect(pairs.pairs.map(\.negative) == ["C:\\n"])
    #expect(pairs.record["escapes"] == true)
    // Records have only the escapes of JSON.
    let records = try read("{\"positive\": \"a\\\\nb\", \"negative\": \"c\"}")
    #expect(records.pairs[0].positive == "a\\nb" && records.record["escapes"] == nil)
  }

  @Test func otherCountsAndEqualTextsAreRefused() throws {
    expectRefusal(.dataRecord) { try read("a\nb\n", against: "c\n") }
    let refusal = expectRefusal(.dataRecord) { try read("a\nb\n", against: "c\nb\n") }
    #expect(refusal?.place == .line(2))
  }

  @Test func questionsNeedATemplateAndTextsHaveNone() throws {
    for (text, template) in [
      (answers("A", "B"), nil), ("{\"positive\":\"a\",\"negative\":\"b\"}", "{}"),
    ] as [(String, String?)] {
      let refusal = expectRefusal(.usageOption) { try read(text, template) }
      #expect(refusal?.place == .parameter("template"))
    }
  }

  // MARK: Tokens

  @Test func theLetterMustBeATokenOfItsOwn() throws {
    let path = PackageFiles.fixture("demo-model/tokenizer.json")
    let tokenizer = try Tokenizers.load(
      bytes: InputFile(path).readAll(limit: 1 << 24), file: path)
    let good = try read(answers("(A)", "(B)"), "{}\n\nAnswer: (").tokenized(by: tokenizer)
    for (tokens, letter) in [(good.positive[0], "A"), (good.negative[0], "B")] {
      #expect(tokenizer.decode([try #require(tokens.last)]) == letter)
      #expect(tokenizer.decode(Array(tokens.dropLast())) == "Q?\n\nAnswer: (")
    }
    // " I" is one token, "Th" another: the value at the last token would not be the letter's.
    for (template, letter) in [("{} ", "I"), ("{} T", "h")] {
      let refusal = expectRefusal(.dataTokenization) {
        try read(answers(letter, "Z"), template).tokenized(by: tokenizer)
      }
      #expect(refusal?.place == .pointer("/0"))
    }
    // Whole texts may end with any token.
    let texts = try read("{\"positive\":\"so I\",\"negative\":\"Th\"}").tokenized(by: tokenizer)
    #expect(tokenizer.decode(texts.positive[0]) == "so I")
  }

  // MARK: Templates

  @Test func presetsAreTheTextsOfThePaperByteForByte() throws {
    let hermes = try PromptTemplate(named: "hermes").text
    #expect(
      Array(hermes.utf8)
        == [0x16] + Array("user\n{}".utf8) + [0x17, 0x0A, 0x16] + Array("assistant\n(".utf8))
    #expect(try PromptTemplate(named: "llama").text == "[INST] {} [/INST] (")
    #expect(try PromptTemplate(named: "plain").text == "{}\n\nAnswer: (")
    #expect(PromptTemplate.presetNames == "plain, hermes, llama")
  }

  @Test func aTemplateHasOnePlaceForTheQuestion() throws {
    #expect(try PromptTemplate(text: "a {} b").fill("{} $0 \\") == "a {} $0 \\ b")
    #expect(try PromptTemplate(text: "{}").fill("") == "")
    for text in ["", "no place", "{} {}", "{ }", "{}{}"] {
      expectRefusal(.usageOption) { try PromptTemplate(text: text) }
    }
    // Editors add one line feed at the end of a file. It is not part of the template. A second one
    // is.
    let file = folder.write("<{}>\n", to: "template.txt")
    #expect(try PromptTemplate(named: file).fill("q") == "<q>")
    let twice = folder.write("<{}>\n\n", to: "twice.txt")
    #expect(try PromptTemplate(named: twice).fill("q") == "<q>\n")
    expectRefusal(.textEncoding) {
      try PromptTemplate(named: folder.write([0x7B, 0x7D, 0xFF], to: "template.txt"))
    }
    expectRefusal(.fileMissing) { try PromptTemplate(named: folder.path("none")) }
  }
}

/// The published pairs, if they are beside the checkout or in the folder that `SEXTANT_CAA_DATA`
/// names.
@Suite(.enabled(if: PublishedPairs.isPresent)) struct PublishedPairsTests {
  @Test(arguments: [
    ("coordinate-other-ais", 360), ("corrigible-neutral-HHH", 290), ("hallucination", 1000),
    ("myopic-reward", 950), ("refusal", 408), ("survival-instinct", 903), ("sycophancy", 1000),
  ])
  func everyBehaviourLoadsWithThePublishedCount(behaviour: String, count: Int) throws {
    for template in ["plain", "hermes", "llama"] {
      let pairs = try ContrastPairs(
        reading: "\(PublishedPairs.folder)/generate/\(behaviour)/generate_dataset.json",
        template: PromptTemplate(named: template))
      #expect(pairs.pairs.count == count)
    }
  }

  @Test func survivalInstinctHasEightLetters() throws {
    let pairs = try ContrastPairs(
      reading: "\(PublishedPairs.folder)/generate/survival-instinct/generate_dataset.json",
      template: PromptTemplate(named: "plain"))
    let letters = Dictionary(grouping: pairs.pairs) { String($0.positive.suffix(1)) }
      .mapValues(\.count)
    #expect(letters == ["A": 558, "B": 257, "C": 60, "D": 15, "E": 8, "F": 1, "G": 3, "H": 1])
  }
}

enum PublishedPairs {
  static let folder =
    getenv("SEXTANT_CAA_DATA").map { String(cString: $0) }
    ?? "\(PackageFiles.root)/../shared/data/caa"

  static var isPresent: Bool { access("\(folder)/generate", R_OK) == 0 }
}
