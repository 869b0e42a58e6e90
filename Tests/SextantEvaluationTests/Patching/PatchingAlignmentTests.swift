import SextantBytes
import SextantEvaluation
import SextantModelTestSupport
import SextantTestSupport
import SextantTokenizers
import Testing

/// The tokens of two prompts that stand for each other, and the tokens of answers.
@Suite struct PatchingAlignmentTests {
  private let tokenizer: any Tokenizer
  private let folder = TemporaryFolder()

  init() throws { tokenizer = try DemoModel().tokenizer }

  private func tokens(
    _ pair: PatchingPair, isNoised: Bool = false
  ) throws -> PatchingTokens { try PatchingTokens(pair, tokenizer, isNoised: isNoised) }

  /// The texts of the tokens at the places of a region: of the clean and the corrupted prompt.
  private func texts(_ tokens: PatchingTokens, _ region: String) -> [[String]] {
    tokens.places.filter { tokens.regions[$0.region] == region }.map {
      [
        tokenizer.decode([tokens.clean[$0.clean]]),
        tokenizer.decode([tokens.corrupted[$0.corrupted]]),
      ]
    }
  }

  private let alice = PatchingPair(
    clean: "20 + 62 = 92. Alice:", corrupted: "20 + 62 = 92. Bob:", answer: " False",
    against: " True")

  @Test func promptsOfEquallyManyTokensAreAlignedOneToOne() throws {
    let tokens = try tokens(alice)
    #expect(tokens.isEven && tokens.places.count == tokens.clean.count)
    #expect(tokens.clean == tokenizer.encode(alice.clean))
    #expect([tokens.answer] == tokenizer.encode(" False"))
    #expect(tokens.against.map { [$0] } == tokenizer.encode(" True"))
    #expect(!tokens.answersAreLonger)
    #expect(texts(tokens, "prompt").filter { $0[0] != $0[1] } == [[" Alice", " Bob"]])
  }

  @Test func promptsOfOtherLengthsAreRefusedWithBothTokenisations() throws {
    var pair = alice
    pair.corrupted = "20 + 62 = 92. Bob and Alice:"
    let refusal = try #require(expectRefusal(.dataTokenization) { try tokens(pair) })
    #expect(refusal.found.hasPrefix("13 tokens and 15 tokens: 2|0|·+|"), "\(refusal.found)")
    #expect(refusal.found.hasSuffix("|.|·Bob|·and|·Alice|:"), "\(refusal.found)")
  }

  @Test func spansOfOtherLengthsAreAlignedAtTheirLastTokens() throws {
    let pair = PatchingPair(
      clean: "I saw the wonderful film and it was", corrupted: "I saw the play and it was",
      answer: " good", against: " bad",
      spans: [.init("work", clean: "wonderful film", corrupted: "play")])
    let tokens = try tokens(pair)
    #expect(tokens.regions == ["before work", "work", "after work"])
    #expect(!tokens.isEven)
    #expect(texts(tokens, "work").count == 1)
    #expect(texts(tokens, "work")[0][0].hasSuffix("film") == true)
    #expect(texts(tokens, "before work").map { $0[0] }.joined() == "I saw the")
    for pair in texts(tokens, "before work") + texts(tokens, "after work") {
      #expect(pair[0] == pair[1])
    }
    #expect(tokens.places.last?.clean == tokens.clean.count - 1)
    #expect(tokens.places.last?.corrupted == tokens.corrupted.count - 1)
  }

  @Test func spansThatDoNotFitAreRefused() throws {
    func align(_ spans: [PatchingPair.Span], _ words: String, _ code: Refusal.Code = .dataRecord) {
      var pair = alice
      pair.spans = spans
      let refusal = expectRefusal(code) { try tokens(pair) }
      #expect(refusal?.found.contains(words) == true, "\(refusal?.found ?? "")")
    }
    align([.init("a", clean: "Carol", corrupted: "Bob")], "not in")
    align([.init("a", clean: "2", corrupted: "Bob")], "times in")
    align(
      [.init("a", clean: "Alice", corrupted: "Bob"), .init("b", clean: "20", corrupted: "20")],
      "begins before", .dataTokenization)
    align(
      [.init("a", clean: "20", corrupted: "20"), .init("a", clean: "Alice", corrupted: "Bob")],
      "two spans")
    align([.init("a", clean: "+ 62", corrupted: "+")], "after a: ", .dataTokenization)
  }

  @Test func theFirstTokenAtWhichAnswersDifferIsCompared() throws {
    var pair = alice
    (pair.answer, pair.against) = (" False, said Alice", " False. So it is")
    let both = try tokens(pair)
    let shared = tokenizer.encode(" False")
    #expect(both.clean == tokenizer.encode(alice.clean) + shared)
    #expect(both.corrupted == tokenizer.encode("20 + 62 = 92. Bob:") + shared)
    #expect(both.places.count == both.clean.count && both.answersAreLonger)
    #expect(tokenizer.decode([both.answer]) == ",")
    #expect(both.against.map { tokenizer.decode([$0]) } == ".")
    pair.against = nil
    let one = try tokens(pair)
    #expect(one.clean == tokenizer.encode(alice.clean) && one.against == nil)
    #expect([one.answer] == shared && one.answersAreLonger)
  }

  @Test func ambiguousAnswersAreRefused() throws {
    func refuse(_ answer: String, _ against: String, _ code: Refusal.Code, _ words: String) {
      var pair = alice
      (pair.answer, pair.against) = (answer, against)
      let refusal = expectRefusal(code) { try tokens(pair) }
      #expect(refusal?.found.contains(words) == true, "\(refusal?.found ?? "")")
    }
    refuse(" False", " False", .dataRecord, "twice")
    refuse(" False", " False, he said", .dataRecord, "begins the other")
    refuse("", " True", .dataTokenization, "no tokens")
    // A letter that continues the last word of the prompt makes another token of it.
    var pair = PatchingPair(
      clean: "The film was", corrupted: "The play was", answer: "h", against: " good")
    for word in ["h", "te", "hed", "p", "n't"] {
      let before = tokenizer.encode(pair.clean)
      guard !tokenizer.encode(pair.clean + word).starts(with: before) else { continue }
      pair.answer = word
      expectRefusal(.dataTokenization) { try tokens(pair) }
    }
  }

  @Test func noiseIsAtTheTokensOfTheSubject() throws {
    let pair = PatchingPair(
      clean: "I saw the wonderful film and it was", answer: " good", subject: "wonderful film")
    let tokens = try tokens(pair, isNoised: true)
    #expect(tokens.clean == tokens.corrupted && tokens.isEven)
    #expect(tokenizer.decode(Array(tokens.clean[tokens.subject])) == " wonderful film")
    #expect(tokens.regions == ["before subject", "subject", "after subject"])
    expectRefusal(.dataRecord) { try self.tokens(alice, isNoised: true) }
    expectRefusal(.dataRecord) { try self.tokens(pair) }
  }

  @Test func pairsAreReadFromRecords() throws {
    let path = folder.write(
      """
      {"clean": "a b", "corrupted": "a c", "answer": " d", "against": " e", "subject": "b",
      "spans": [{"name": "x", "clean": "b", "corrupted": "c"}]}
      {"clean": "f", "corrupted": "g", "answer": " h"}
      """.replacing("\",\n\"spans", with: "\", \"spans"), to: "pairs.jsonl")
    let pairs = try PatchingPair.read(path)
    #expect(
      pairs == [
        PatchingPair(
          clean: "a b", corrupted: "a c", answer: " d", against: " e", subject: "b",
          spans: [.init("x", clean: "b", corrupted: "c")]),
        PatchingPair(clean: "f", corrupted: "g", answer: " h"),
      ])
    for (text, code) in [
      ("{\"clean\": \"a\", \"corrupted\": \"b\"}", Refusal.Code.dataRecord), ("", .fileEmpty),
      ("{\"clean\": \"a\", \"answer\": 3}", .dataRecord), ("[]", .dataEmpty),
      ("{\"clean\": \"a\", \"answer\": \"b\", \"spans\": [{\"name\": \"c\"}]}", .dataRecord),
    ] {
      let path = folder.write(text, to: "other.jsonl")
      expectRefusal(code, "\(text)") { try PatchingPair.read(path) }
    }
    let model = try DemoModel().model
    let refusal = expectRefusal(.dataRecord) {
      try ActivationPatching(model, tokenizer).run(
        on: [alice, PatchingPair(clean: "a", answer: "b")], file: "f.jsonl")
    }
    #expect(refusal?.file == "f.jsonl" && refusal?.place == .pointer("/1"))
  }
}
