import SextantBytes
import SextantModels
import SextantTensor
import SextantTokenizers
import Testing

@testable import SextantServing

/// The prefix cache: what it finds, what it keeps, and that its answers are those of a service without one.
@Suite struct CacheTests {
  let served: Served
  let plain: Served
  let tokenizer: any Tokenizer

  init() throws {
    served = try Served()
    plain = try Served { $0.cacheBytes = 0 }
    tokenizer = try Served.model.textTokenizer()
  }

  /// Ids that repeat nothing.
  private func ids(_ count: Int, seed: Int = 1) -> [Int] {
    (0..<count).map { ($0 * $0 * 31 + $0 * 17 + seed * 101) % 1000 + 20 }
  }

  /// Completes a prompt, and compares the answer with that of the service without a cache.
  ///
  /// - Returns: tokens that came from the cache.
  private func cached(
    _ prompt: [Int], _ fields: String = #""max_tokens": 2, "temperature": 0"#
  ) async throws -> Int {
    let body = #"{"prompt": [\#(prompt)], \#(fields)}"#
    let own = try await served.post("/v1/completions", body).json
    let other = try await plain.post("/v1/completions", body).json
    #expect(try own.at("choices") == other.at("choices"))
    guard case .integer(let count) = try own.at("usage", "prompt_tokens_details", "cached_tokens")
    else { return -1 }
    return Int(count)
  }

  private let scored = #""max_tokens": 1, "temperature": 0, "echo": true, "logprobs": 1"#

  @Test func thePromptAgainIsNotReadAgain() async throws {
    // Whole multiples of a piece, too: the prediction is kept with the state.
    for count in [2, 63, 64, 65, 128, 200] {
      #expect(try await cached(ids(count, seed: count)) == 0)
      #expect(try await cached(ids(count, seed: count)) == count)
      #expect(try await cached(ids(count, seed: count), scored) == 0)
      #expect(try await cached(ids(count, seed: count), scored) == count)
    }
  }

  @Test func theThirdPromptStartsWhereTheSecondLeftTheFirst() async throws {
    let common = ids(100)
    #expect(try await cached(common + [1, 2, 3]) == 0)
    // The state cannot be cut back, and nothing was kept before the junction.
    #expect(try await cached(common + [4, 5]) == 0)
    #expect(try await cached(common + [6]) == 100)
    #expect(try await cached(common + [6, 7, 8]) == 101)
  }

  @Test func longPromptsAreKeptOnTheWay() async throws {
    let long = ids(700)
    #expect(try await cached(long) == 0)
    // 100 tokens before the end, something else comes: it starts at the last place before that.
    #expect(try await cached(Array(long.prefix(600)) + ids(50, seed: 9)) == 512)
    #expect(try await cached(Array(long.prefix(300)) + ids(50, seed: 8)) == 256)
  }

  @Test func theChoicesOfAQuestionReadTheirContextOnce() async throws {
    let context = ids(100)
    let before = served.service.engine.metrics.current
    for choice in 0..<4 { _ = try await cached(context + ids(5, seed: 50 + choice), scored) }
    let after = served.service.engine.metrics.current
    let read = after.promptTokens - after.cachedTokens - before.promptTokens + before.cachedTokens
    #expect(after.promptTokens - before.promptTokens == 420)
    #expect(read * 5 <= 420 * 2, "\(read) of 420 tokens were read")
  }

  /// The tokens of prompts that were read, and not taken over, since a moment.
  private func read(since before: Metrics.Figures, _ served: Served) -> Int {
    let after = served.service.engine.metrics.current
    return after.promptTokens - after.cachedTokens - before.promptTokens + before.cachedTokens
  }

  @Test func thePromptsOfOneRequestReadTheirBeginningOnce() async throws {
    for fields in [scored, #""max_tokens": 2, "temperature": 0"#] {
      let served = try Served { $0.parallel = 16 }
      // More than run together, two beginnings, and one prompt that is the beginning of others.
      let contexts = [ids(150), ids(90, seed: 2)]
      let prompts =
        (0..<11).map { contexts[$0 % 2] + ids(3, seed: 60 + $0) } + [contexts[0], contexts[0]]
      let list = prompts.map { "\($0)" }.joined(separator: ", ")
      let body = #"{"prompt": [\#(list)], \#(fields)}"#
      let before = served.service.engine.metrics.current
      let own = try await served.post("/v1/completions", body).json
      let other = try await plain.post("/v1/completions", body).json
      #expect(try own.at("choices") == other.at("choices"))
      // Each beginning, and what is each prompt's own.
      #expect(read(since: before, served) == 150 + 90 + 11 * 3)
    }
  }

  @Test func requestsThatArriveTogetherDoNotAllReadTheirBeginning() async throws {
    let served = try Served { $0.parallel = 16 }
    let context = ids(200, seed: 3)
    let scored = scored
    let prompts = (0..<6).map { context + ids(4, seed: 70 + $0) }
    let before = served.service.engine.metrics.current
    try await withThrowingTaskGroup(of: Void.self) { group in
      for prompt in prompts {
        group.addTask {
          let body = #"{"prompt": [\#(prompt)], \#(scored)}"#
          let own = try await served.post("/v1/completions", body).json
          let other = try await plain.post("/v1/completions", body).json
          #expect(try own.at("choices") == other.at("choices"))
        }
      }
      try await group.waitForAll()
    }
    // One that comes when another has been read starts at one of the places that are kept near its end.
    #expect(read(since: before, served) <= 204 + 5 * (16 + 4))
  }

  @Test func textsOfDifferentKeysDoNotWaitForEachOther() async throws {
    let served = try Served { $0.parallel = 16 }
    let prompt = ids(120, seed: 4)
    let before = served.service.engine.metrics.current
    let answers = try await withThrowingTaskGroup(of: String.self) { group in
      for fields in [
        #""cache_salt": "a""#, #""cache_salt": "b""#, #""steering": "all:0.5""#,
        #""cache_prompt": false"#, #""steering": "all:0.5", "cache_salt": "c""#,
      ] {
        group.addTask {
          try await served.text(
            #"{"prompt": [\#(prompt)], "max_tokens": 2, "temperature": 0, \#(fields)}"#)
        }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(Set(answers).count == 2)
    #expect(read(since: before, served) == 5 * 120)
  }

  @Test func steeredTextsThatAreScoredShareTheirContext() async throws {
    let context = ids(100, seed: 5)
    let fields = scored + #", "steering": "joy:0.4""#
    #expect(try await cached(context + [7, 8], fields) == 0)
    #expect(try await cached(context + [7, 8], fields) == 102)
    #expect(try await cached(context + [9], fields) >= 88)
    // Another end of the context is other steering, and so is another strength.
    let ended = fields + #", "context_tokens": 100"#
    #expect(try await cached(context + [7, 8], ended) == 0)
    #expect(try await cached(context + [7, 8], ended) == 102)
    #expect(try await cached(context + [7, 8], fields.replacing("0.4", with: "0.5")) == 0)
  }

  @Test func scoresNeedTheScoresOfAllTokens() async throws {
    let prompt = ids(80)
    // Read without scores: a scored request cannot start there.
    #expect(try await cached(prompt) == 0)
    #expect(try await cached(prompt, scored) == 0)
    #expect(try await cached(prompt, scored) == 80)
    // More than the best token at each place is not kept.
    #expect(
      try await cached(prompt, scored.replacing(#""logprobs": 1"#, with: #""logprobs": 3"#)) == 0)
    #expect(
      try await cached(prompt, scored.replacing(#""logprobs": 1"#, with: #""logprobs": 0"#)) == 80)
  }

  @Test func anAnswerIsTheBeginningOfTheNextPrompt() async throws {
    let prompt = ids(70)
    let fields = #""n_predict": 10, "temperature": 0, "ignore_eos": true"#
    let answer = try await served.post("/completion", #"{"prompt": \#(prompt), \#(fields)}"#).json
    let tokens = try answer.member("tokens").elements().map { try $0.integer() }
    #expect(tokens.count == 10)
    // The last token of an answer was not read.
    let count = try await cached(prompt + tokens + [5, 6])
    #expect(count == 79)
  }

  @Test func aConversationThatIsWrittenOtherwiseStillSharesItsBeginning() async throws {
    let first =
      #"{"role": "user", "content": "How was the film, which you saw last night in town?"}"#
    let ask = { (messages: String) in
      let body = #"{"messages": [\#(messages)], "temperature": 0, "max_tokens": 12}"#
      let own = try await served.post("/v1/chat/completions", body).json
      let other = try await plain.post("/v1/chat/completions", body).json
      #expect(try own.at("choices") == other.at("choices"))
      guard case .integer(let count) = try own.at("usage", "prompt_tokens_details", "cached_tokens")
      else { return 0 }
      return Int(count)
    }
    #expect(try await ask(first) == 0)
    // The front end writes the answer in its own way.
    let second =
      first + #", {"role": "assistant", "content": "Good."}, {"role": "user", "content": "Why?"}"#
    let shared = try await ask(second)
    let question = tokenizer.encode("User: How was the film, which you saw last night in town?")
    #expect(shared >= question.count)
    // A retry of the last question starts where that message begins.
    let third = second.replacing("Why?", with: "And the music?")
    #expect(try await ask(third) > shared)
  }

  @Test func steeringAndSaltsSeparateCaches() async throws {
    let prompt = ids(40)
    let fields = #""max_tokens": 2, "temperature": 0"#
    #expect(try await cached(prompt, fields) == 0)
    #expect(try await cached(prompt, fields + #", "steering": "all:0.5""#) == 0)
    #expect(try await cached(prompt, fields + #", "steering": "all:0.5""#) == 40)
    #expect(try await cached(prompt, fields + #", "steering": "all:0.6""#) == 0)
    #expect(try await cached(prompt, fields + #", "steering": "inside:0.5""#) == 0)
    #expect(try await cached(prompt, fields + #", "steering": "inside:0.5""#) == 40)
    #expect(try await cached(prompt, fields + #", "cache_salt": "a""#) == 0)
    #expect(try await cached(prompt, fields + #", "cache_salt": "a""#) == 40)
    #expect(try await cached(prompt, fields + #", "cache_prompt": false"#) == 0)
    // Steering that begins later shares the beginning with texts without any: up to the first edit.
    #expect(try await cached(prompt, fields + #", "steering": "answer:1""#) == 40)
    #expect(try await cached(prompt, fields + #", "steering": "joy:1""#) == 0)
    #expect(try await cached(prompt, fields + #", "steering": "joy:1""#) == 39)
    #expect(try await cached(prompt + [7], fields + #", "steering": "joy:1""#) == 40)
    // Nothing of it reached the texts without steering.
    #expect(try await cached(prompt + [7, 8], fields) == 40)
  }

  /// The number of edited tokens does not depend on what was read before, nor on who read it.
  @Test func theEditsOfCachedTextsAreCounted() async throws {
    let prompts = (0..<3).map { ids(30, seed: 6) + ids($0, seed: 7) }
    let list = prompts.map { "\($0)" }.joined(separator: ", ")
    let fields = #""max_tokens": 5, "temperature": 0, "ignore_eos": true"#
    for (steering, count) in [
      (#""joy:0.5""#, 5), (#""inside:0.5+all:0.2""#, 30 + 4),
      (#"{"vectors": [{"source": "all", "positions": "2:5"}]}"#, 4),
    ] {
      let counts = { (served: Served, prompts: String, n: Int) in
        let body =
          #"{"prompt": [\#(prompts)], "n": \#(n), \#(fields), "steering": \#(steering)}"#
        let edits = try await served.post("/v1/completions", body).json.member("sextant")
          .member("steering").elements()
        return try edits.map { try $0.member("tokens").integer() }
      }
      for _ in 0..<2 {
        let own = try await counts(served, "\(prompts[0])", 1)
        #expect(own.allSatisfy { $0 == count }, "\(steering): \(own)")
      }
      // Several texts: those of all together.
      let twice = try await counts(plain, "\(prompts[0])", 2)
      #expect(twice.allSatisfy { $0 == 2 * count }, "\(steering)")
      #expect(try await counts(served, "\(prompts[0])", 2) == twice)
      let all = try await counts(served, list, 1)
      #expect(try await all == counts(plain, list, 1), "\(steering)")
      // The next prompt begins with this answer.
      let longer = "\(prompts[0] + [5, 6, 7])"
      #expect(try await counts(served, longer, 1) == counts(plain, longer, 1), "\(steering)")
    }
  }

  @Test func keysSeparateCaches() async throws {
    let served = try Served { $0.keys = ["one", "two"] }
    let ask = { (key: String) in
      let answer = await served.send(
        ServingRequest(
          "POST", "/v1/completions",
          headers: [
            (name: "Host", value: "localhost:8080"),
            (name: "Authorization", value: "Bearer \(key)"),
          ], body: Array(#"{"prompt": "The film was", "max_tokens": 1}"#.utf8)))
      return try answer.json.at("usage", "prompt_tokens_details", "cached_tokens")
    }
    #expect(try await ask("one") == 0)
    #expect(try await ask("one") != 0)
    #expect(try await ask("two") == 0)
  }

  @Test func theBudgetIsOneOfBytesAndIsShown() async throws {
    let state = Served.model.model.initialState().byteCount
    let limit = 3 * state
    let served = try Served { $0.cacheBytes = limit }
    for seed in 0..<12 {
      _ = try await served.text(#"{"prompt": [\#(ids(20, seed: seed))], "max_tokens": 1, "n": 3}"#)
    }
    try await served.wait("all texts end") { $0.running == 0 }
    let figures = served.service.engine.metrics.current
    #expect(figures.cacheBytes <= limit && figures.snapshots >= 1)
    #expect(await served.get("/metrics").text.contains("sextant_cache_bytes \(figures.cacheBytes)"))
  }

  // MARK: The tree alone

  /// A snapshot of some bytes: a prediction with this number of floats, and an empty state.
  private func snapshot(_ count: Int = 16) -> Snapshot {
    Snapshot(state: State(blocks: [], batch: 1), prediction: Tensor(zeros: [count]))
  }

  private func insert(_ tokens: [Int32], _ cache: PrefixCache, key: String = "") {
    let unknown = Array(repeating: TokenScore.unknown, count: tokens.count)
    cache.insert(tokens, unknown, key: key, snapshot())
  }

  private func found(_ tokens: [Int32], _ cache: PrefixCache, most: Int = .max) -> Int {
    cache.find(tokens, key: "", most: most, needsScores: false).count
  }

  @Test func aNodeIsSplitWherePrefixesPart() {
    let cache = PrefixCache(limit: 1 << 20)
    insert([1, 2, 3, 4], cache)
    insert([1, 2, 5], cache)
    insert([1, 2], cache)
    insert([9], cache)
    #expect(found([1, 2, 3, 4, 5], cache) == 4)
    #expect(found([1, 2, 5, 4], cache) == 3)
    #expect(found([1, 2, 7], cache) == 2)
    #expect(found([1, 7], cache) == 0)
    #expect(found([1, 2, 3, 4, 5], cache, most: 3) == 2)
    #expect(cache.find([1, 2, 3, 9], key: "", most: .max, needsScores: false).matched == 3)
    #expect(cache.find([1, 2], key: "other", most: .max, needsScores: false).count == 0)
    #expect(cache.snapshotCount == 4)
    // Six tokens and four snapshots of 64 bytes.
    #expect(cache.byteCount == 6 * PrefixCache.tokenByteCount + 4 * 64)
  }

  @Test func whatWasUsedAsAStartStaysAndWhatLiesOnTheWayDoesNot() {
    // Room for three snapshots and their tokens.
    let cache = PrefixCache(limit: 3 * 64 + 6 * PrefixCache.tokenByteCount)
    insert([1], cache)
    insert([1, 2], cache)
    insert([8], cache)
    // [1] lies on the way, and is not used.
    #expect(found([1, 2, 3], cache) == 2)
    insert([9], cache)
    #expect(found([1], cache) == 0)
    #expect(found([1, 2], cache) == 2)
    #expect(found([8], cache) == 1)
    #expect(cache.snapshotCount == 3)
  }

  @Test func thePathsToOnePlaceHaveFewSnapshots() {
    let cache = PrefixCache(limit: 1 << 20)
    let tokens = (0..<Int32(100)).map { $0 }
    for count in 1...100 { insert(Array(tokens.prefix(count)), cache) }
    #expect(cache.snapshotCount <= PrefixCache.pathLimit)
    #expect(found(tokens, cache) == 100)
  }

  @Test func aDroppedSnapshotTakesItsTokensAlong() {
    let cache = PrefixCache(limit: 64 + 8 * PrefixCache.tokenByteCount)
    insert([1, 2, 3], cache)
    insert([4, 5], cache)
    #expect(cache.snapshotCount == 1 && cache.byteCount == 64 + 2 * PrefixCache.tokenByteCount)
    #expect(cache.find([1, 2, 3], key: "", most: .max, needsScores: false).matched == 0)
    // What is larger than the cache is not kept.
    cache.insert([7], [.unknown], key: "", snapshot(1000))
    #expect(cache.snapshotCount == 1)
  }
}
