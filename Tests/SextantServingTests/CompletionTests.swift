import Sextant
import SextantBytes
import SextantGeneration
import SextantModels
import SextantTokenizers
import Testing

@testable import SextantServing

/// `/v1/completions`: the meanings of its fields.
@Suite struct CompletionTests {
  let served: Served
  let tokenizer: any Tokenizer

  init() throws {
    served = try Served()
    tokenizer = try Served.model.textTokenizer()
  }

  /// log p of each token of a text after the first, from one run over all of it.
  private func expected(_ ids: [Int]) throws -> [Double] {
    var state = Served.model.model.initialState()
    // [1, T, V]
    let logits = try Served.model.model.run(TokenBatch(ids), from: &state, logits: .all)
    let rows = LogProbabilities.rows(logits.reshaped([ids.count, logits.shape[2]]))
    return ids.indices.dropFirst().map { rows[$0 - 1].values[ids[$0]] }
  }

  @Test func scoresOfAPromptAreTheModelsLogProbabilities() async throws {
    // As evaluation harnesses ask: lists of ids of unequal length, echoed, with one further token.
    let texts = ["30 + 47: True.", "The film was wonderful, and I", "I"]
    let prompts = texts.map { tokenizer.encode($0) }
    let choices = try await served.complete(
      """
      {"model": "demo", "prompt": [\(prompts.map { "\($0)" }.joined(separator: ", "))], "temperature": 0,
      "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": true}
      """)
    #expect(choices.count == 3)
    for (choice, (text, ids)) in zip(choices, zip(texts, prompts)) {
      let lists = try choice.member("logprobs")
      let values = try lists.member("token_logprobs").numbers()
      let tops = try lists.member("top_logprobs").elements()
      let offsets = try lists.member("text_offset").elements().map { try $0.integer() }
      let tokens = try lists.member("tokens").elements().map { try $0.string() }
      // All tokens of the prompt, and exactly one more.
      #expect(
        [values.count, tops.count, offsets.count, tokens.count].allSatisfy { $0 == ids.count + 1 })
      #expect(values[0].isNaN && tops[0].value == .null)
      for (own, right) in zip(values.dropFirst(), try expected(ids)) {
        #expect(abs(own - right) < 5e-6)
      }
      let whole = try choice.member("text").string()
      #expect(whole.hasPrefix(text) && tokens.joined() == whole)
      #expect(try choice.member("finish_reason").string() == "length")
      for index in values.indices.dropFirst() {
        // The same double in both places; and the largest is that of the most probable token.
        let top = try tops[index].members()
        let own = try top.first { $0.key == tokens[index] }?.node.number()
        #expect(own == values[index])
        let prefix = String(String.UnicodeScalarView(whole.unicodeScalars.prefix(offsets[index])))
        #expect(tokens[..<index].joined() == prefix)
      }
    }
  }

  @Test func tokensThatAreNoWholeTextAreWrittenAsBytes() async throws {
    // As clients ask that find a continuation by its place: a text, ten tokens, and no model.
    let text = "é😀b"
    let choice = try await served.complete(
      #"{"prompt": "\#(text)", "logprobs": 10, "echo": true, "max_tokens": 0}"#)[0]
    #expect(try choice.member("text").string() == text)
    let lists = try choice.member("logprobs")
    let tokens = try lists.member("tokens").elements().map { try $0.string() }
    let offsets = try lists.member("text_offset").elements().map { try $0.integer() }
    let ids = tokenizer.encode(text)
    for (id, token) in zip(ids, tokens) {
      let bytes = tokenizer.bytes(of: id) ?? []
      let whole = String(validating: bytes, as: UTF8.self)
      #expect(token == whole ?? ("bytes:" + bytes.map { "\\x" + String($0, radix: 16) }.joined()))
    }
    #expect(tokens.contains { $0.hasPrefix("bytes:\\xf0") })
    // Code points: a token inside a character begins where the character does.
    #expect(offsets.first == 0 && offsets.last == 2 && offsets == offsets.sorted())
    #expect(Set(offsets) == [0, 1, 2])
  }

  @Test func theChosenTokenOfAGreedyTextIsTheMostProbableOne() async throws {
    let choice = try await served.complete(
      #"{"prompt": "The film was", "temperature": 0, "max_tokens": 8, "logprobs": 5}"#)[0]
    let lists = try choice.member("logprobs")
    let values = try lists.member("token_logprobs").numbers()
    #expect(values.count == 8)
    for (value, top) in zip(values, try lists.member("top_logprobs").elements()) {
      let all = try top.members().map { try $0.node.number() }
      #expect(all.max() == value && (4...6).contains(all.count))
    }
    #expect(try lists.member("text_offset").elements()[0].integer() == 0)
  }

  @Test func echoWithoutTokensIsThePromptAlone() async throws {
    let choice = try await served.complete(
      #"{"prompt": "The film was", "max_tokens": 0, "echo": true, "logprobs": 0}"#)[0]
    #expect(try choice.member("text").string() == "The film was")
    let lists = try choice.member("logprobs")
    #expect(
      try lists.member("tokens").elements().count == tokenizer.encode("The film was").count)
    // With no further tokens asked for, each token's own figure is there.
    #expect(try lists.member("top_logprobs").elements()[1].members().count == 1)
    let plain = try await served.complete(
      #"{"prompt": "The film was", "max_tokens": 0, "echo": true}"#)
    #expect(try plain[0].at("logprobs") == .null)
  }

  @Test func anEmptyPromptIsTheTokenThatEndsAText() async throws {
    let empty = try await served.complete(#"{"prompt": "", "temperature": 0, "max_tokens": 4}"#)
    let end = try #require(tokenizer.endOfTextIDs.first)
    let own = try await served.complete(
      #"{"prompt": [\#(end)], "temperature": 0, "max_tokens": 4}"#)
    #expect(try empty[0].at("text") == own[0].at("text"))
  }

  @Test func textsAndIdsOfOneTextGiveTheSame() async throws {
    let ids = tokenizer.encode("The film was")
    let forms = [
      #""The film was""#, "\(ids)", #"["The film was"]"#, "[\(ids)]",
    ]
    var texts: Set<String> = []
    for form in forms {
      texts.insert(try await served.text(#"{"prompt": \#(form), "temperature": 0}"#))
    }
    #expect(texts.count == 1)
    // 16 tokens are the default.
    let run = try Served.model.generate("The film was", count: 16, temperature: 0)
    #expect(try texts.first == run.text())
  }

  @Test func theSameSeedChoosesTheSameTokensWhateverRunsBeside() async throws {
    let body = #"{"prompt": "The", "temperature": 1, "seed": 7, "max_tokens": 12}"#
    let alone = try await served.text(body)
    let other = try await served.text(body.replacing("7", with: "8"))
    #expect(alone != other)
    let together = try await withThrowingTaskGroup(of: (Int, String).self) { group in
      for place in 0..<6 {
        group.addTask {
          let own = place == 3 ? body : body.replacing("7", with: "\(place + 20)")
          return (place, try await served.text(own))
        }
      }
      return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
    }
    #expect(together[3] == alone)
  }

  @Test func aRandomSeedIsToldAndRepeatsTheText() async throws {
    let answer = await served.post("/v1/completions", #"{"prompt": "The", "max_tokens": 12}"#)
    guard case .integer(let seed) = try answer.json.at("sextant", "seed") else {
      Issue.record("no seed")
      return
    }
    let again = try await served.text(#"{"prompt": "The", "max_tokens": 12, "seed": \#(seed)}"#)
    #expect(try answer.json.at("choices", "0", "text") == .string(again))
  }

  @Test func samplesShareThePromptAndHaveSeedsOfTheirOwn() async throws {
    let body = #"{"prompt": "The film", "n": 3, "seed": 5, "max_tokens": 10}"#
    let answer = await served.post("/v1/completions", body)
    let texts = try answer.json.member("choices").elements().map { try $0.at("text") }
    #expect(texts.count == 3 && texts[0] != texts[1])
    for (place, text) in texts.enumerated() {
      let own = try await served.text(
        #"{"prompt": "The film", "seed": \#(5 + place), "max_tokens": 10}"#)
      #expect(text == .string(own))
    }
    let count = tokenizer.encode("The film").count
    #expect(try answer.json.at("usage", "prompt_tokens") == .integer(Int64(count)))
    #expect(try answer.json.at("usage", "completion_tokens") == 30)
    let two = try await served.complete(#"{"prompt": ["The", "A"], "n": 2, "max_tokens": 2}"#)
    #expect(try two.map { try $0.member("index").integer() } == [0, 1, 2, 3])
  }

  @Test func stopTextsAreNotShownAndAreFoundAcrossTokens() async throws {
    let whole = try await served.text(
      #"{"prompt": "The film was", "temperature": 0, "max_tokens": 20}"#)
    // The end of one word and the beginning of the next one.
    let place = whole.index(whole.startIndex, offsetBy: whole.count / 2)
    let stop = String(whole[place...].prefix(5))
    let escaped = JSONValue.string(stop).canonicalText
    let cut = try #require(whole.firstRange(of: stop))
    for stream in [false, true] {
      let answer = await served.post(
        "/v1/completions",
        #"{"prompt": "The film was", "temperature": 0, "max_tokens": 20, "stop": ["", \#(escaped)], "stream": \#(stream)}"#
      )
      let choices = stream ? try answer.chunks : [try answer.json]
      let text = try choices.map { try $0.at("choices", "0", "text") }.map { value in
        if case .string(let text) = value { text } else { "" }
      }.joined()
      #expect(text == String(whole[..<cut.lowerBound]))
      #expect(try choices.last?.at("choices", "0", "finish_reason") == "stop")
    }
  }

  @Test func integersMayBeWrittenWithAPointAndZeroWithASign() async throws {
    let plain = try await served.text(#"{"prompt": "The", "max_tokens": 4, "temperature": 0}"#)
    let other = try await served.text(
      #"{"prompt": "The", "max_tokens": 4.0, "temperature": -0, "seed": 1.0, "top_k": -0.0, "presence_penalty": -0.0}"#
    )
    #expect(plain == other)
  }

  @Test func aStreamHasTheTextTheFiguresAndTheUsageOfTheWholeAnswer() async throws {
    let body =
      #"{"prompt": "The film was", "temperature": 0, "max_tokens": 9, "logprobs": 2, "echo": true"#
    let whole = await served.post("/v1/completions", body + "}")
    let stream = await served.post(
      "/v1/completions", body + #", "stream": true, "stream_options": {"include_usage": true}}"#)
    #expect(stream.header("Content-Type")?.hasPrefix("text/event-stream") == true)
    #expect(stream.text.hasSuffix("data: [DONE]\n\n"))
    #expect(!stream.text.contains("\nid:") && !stream.text.contains("event:"))
    var (text, values, reason) = ("", [JSONValue](), JSONValue.null)
    let chunks = try stream.chunks
    for chunk in chunks.dropLast() {
      #expect(try chunk.object()["usage"] == .null)
      let choice = try chunk.member("choices").elements()[0]
      text += try choice.member("text").string()
      reason = try choice.at("finish_reason")
      if case .array(let own) = try choice.at("logprobs", "token_logprobs") { values += own }
    }
    #expect(try whole.json.at("choices", "0", "text") == .string(text))
    #expect(reason == "length")
    #expect(try whole.json.at("choices", "0", "logprobs", "token_logprobs") == .array(values))
    #expect(try chunks.last?.at("choices") == .array([]))
    let usage = try whole.json.at("usage")
    #expect(try chunks.last?.at("usage", "total_tokens") == whole.json.at("usage", "total_tokens"))
    #expect(usage != .null)
  }

  @Test func fieldsThatNobodyReadsAreNamedInTheAnswer() async throws {
    let answer = await served.post(
      "/v1/completions",
      #"{"prompt": "The", "max_tokens": 1, "mirostat": 2, "dry_base": 1.75, "user": "me", "x": NaN}"#
    )
    #expect(try answer.json.at("sextant", "ignored") == ["mirostat", "dry_base", "x"])
  }

  @Test func biasesAndPenaltiesAndEndsActOnTheChoice() async throws {
    let greedy = #""prompt": "The film was", "temperature": 0, "max_tokens": 6"#
    let plain = try await served.complete("{\(greedy), \"logprobs\": 0}")
    let first = try await served.post(
      "/tokenize", #"{"prompt": "\#(plain[0].member("text").string())"}"#
    )
    .json.member("tokens").elements()[0].integer()
    let biased = try await served.text(#"{\#(greedy), "logit_bias": {"\#(first)": -100}}"#)
    #expect(try plain[0].at("text") != .string(biased))
    let only = try await served.text(#"{\#(greedy), "logit_bias": {"\#(first)": 100}}"#)
    #expect(only == String(repeating: tokenizer.decode([first]), count: 6))
    // A penalty of each repetition ends that.
    let penalised = try await served.text(
      #"{\#(greedy), "logit_bias": {"\#(first)": 3}, "frequency_penalty": 2, "presence_penalty": 2}"#
    )
    #expect(penalised != only)
    let ended = try await served.complete(#"{\#(greedy), "stop_token_ids": [\#(first)]}"#)
    #expect(try ended[0].at("text") == "" && ended[0].at("finish_reason") == "stop")
    let later = try await served.complete(
      #"{\#(greedy), "stop_token_ids": [\#(first)], "min_tokens": 3}"#)
    #expect(try later[0].at("text") != "")
  }
}
