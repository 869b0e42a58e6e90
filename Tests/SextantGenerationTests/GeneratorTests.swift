import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import SextantTokenizers
import Testing

@Suite struct GeneratorTests {
  let converted: ConvertedModel
  let model: any LanguageModel
  let tokenizer: any Tokenizer
  let prompt: [Int]

  init() throws {
    converted = try ConvertedModel("demo-model/model.safetensors")
    model = converted.model
    tokenizer = try #require(converted.tokenizer)
    prompt = tokenizer.encode("The film opens on a quiet street")
  }

  private func options(
    _ count: Int, temperature: Float = 0, seed: UInt64 = 0
  ) throws -> GenerationOptions {
    GenerationOptions(
      tokenCount: count, sampling: try SamplingOptions(temperature: temperature, seed: seed),
      stopsAtEnd: false)
  }

  private func applied(
    _ words: [String], _ strength: Float, _ positions: String = "last,generated"
  ) throws -> AppliedVector {
    let vector = try SteeringVector.random(
      model.description, words, tokenizer: tokenizer.digest)
    return AppliedVector(
      vector, SteeringOptions(strength: strength, positions: PositionSelection(positions)))
  }

  @Test func greedyTextIsTheArgmaxAfterEachToken() throws {
    let result = try Generator(model, tokenizer).generate(prompt, options(12))
    var expected: [Int] = []
    for _ in 0..<12 {
      var state = model.initialState()
      let logits = try model.run(TokenBatch(prompt + expected), from: &state).values
      expected.append(try #require(logits.indices.max { logits[$0] < logits[$1] }))
    }
    #expect(result.tokens == expected)
    #expect(result.promptCount == prompt.count)
    #expect(result.state.position == prompt.count + 11)
  }

  @Test(arguments: [0, 1, 2, 3, 4] as [UInt64])
  func whatIsEmittedIsTheTextOfAllTokens(seed: UInt64) throws {
    // At this temperature nearly every byte is drawn, in any order.
    var pieces: [String] = []
    let result = try Generator(model, tokenizer).generate(
      prompt, options(80, temperature: 8, seed: seed)
    ) { pieces.append($0) }
    #expect(result.tokens.count == 80)
    #expect(pieces.joined() == result.text)
    #expect(result.text == tokenizer.decode(result.tokens))
    #expect(!pieces.contains(""))
  }

  @Test func theSameSeedGivesTheSameText() throws {
    let generator = Generator(model, tokenizer)
    let first = try generator.generate(prompt, options(20, temperature: 1, seed: 3))
    let second = try generator.generate(prompt, options(20, temperature: 1, seed: 3))
    #expect(first.tokens == second.tokens && first.state == second.state)
    let other = try generator.generate(prompt, options(20, temperature: 1, seed: 4))
    #expect(other.tokens != first.tokens)
  }

  @Test func strengthZeroGivesTheTextWithoutAVector() throws {
    let plain = try Generator(model, tokenizer).generate(prompt, options(24, temperature: 0.8))
    let zero = try Generator(model, tokenizer, applying: [.steer(applied(["all"], 0))])
      .generate(prompt, options(24, temperature: 0.8))
    #expect(zero.tokens == plain.tokens)
    #expect(zero.state == plain.state)
    #expect(zero.edits.map(\.tokens) == [0])
    let some = try Generator(model, tokenizer, applying: [.steer(applied(["all"], 2))])
      .generate(prompt, options(24, temperature: 0.8))
    #expect(some.tokens != plain.tokens)
  }

  @Test(arguments: [
    ("last,generated", 1 + 9), ("generated", 9), ("last", 1), ("prompt", 11), ("all", 11 + 9),
    ("last-3", 3), ("15", 1),
  ])
  func theTokensThatWereRunAndSelectedAreCounted(positions: String, expected: Int) throws {
    #expect(prompt.count == 11)
    for words in [["residual"], ["state"], ["all"]] {
      let result = try Generator(
        model, tokenizer, applying: [.steer(applied(words, 0.01, positions))]
      ).generate(prompt, options(10))
      #expect(result.edits.map(\.tokens) == [expected])
    }
  }

  @Test func aStateThroughAFileContinuesAsIfNothingHadHappened() throws {
    let (head, tail) = (Array(prompt[..<4]), Array(prompt[4...]))
    var state = model.initialState()
    _ = try model.run(TokenBatch(head), from: &state, logits: .none)
    let folder = TemporaryFolder()
    let path = folder.path("s.state.safetensors")
    let reference = model.description.reference(tokenizer: tokenizer.digest)
    try state.saved(by: reference).artifact.write(to: path)
    let loaded = try State(
      SavedState(Artifact(reading: path)), for: model.description, tokenizer: tokenizer.digest)
    #expect(loaded == state)
    let continued = try Generator(model, tokenizer).generate(tail, from: loaded, options(16))
    let uninterrupted = try Generator(model, tokenizer).generate(tail, from: state, options(16))
    #expect(continued.tokens == uninterrupted.tokens && continued.state == uninterrupted.state)
    let whole = try Generator(model, tokenizer).generate(prompt, options(16))
    #expect(continued.tokens == whole.tokens)
    for site in whole.state.sites {
      expectClose(
        try #require(continued.state.component(site)), try #require(whole.state.component(site)),
        Bound(absolute: 2e-4, relative: 1e-4), site.name)
    }
  }

  @Test func statesOfOtherModelsAreRefused() throws {
    let reference = model.description.reference(tokenizer: tokenizer.digest)
    let saved = model.initialState().saved(by: reference)
    func load(_ saved: SavedState, tokenizer: Digest? = nil) throws -> State {
      try State(saved, for: model.description, tokenizer: tokenizer)
    }
    var other = reference
    other.identity = SHA256.digest([])
    expectRefusal(.artifactModelDigest) { try load(model.initialState().saved(by: other)) }
    expectRefusal(.artifactTokenizerDigest) { try load(saved, tokenizer: SHA256.digest([])) }
    other.width += 1
    expectRefusal(.artifactWidth) { try load(model.initialState().saved(by: other)) }
    func edited(_ components: some Sequence<(site: SiteReference, value: Tensor)>) -> SavedState {
      SavedState(
        model: reference, batch: 1, position: 0, components: Array(components))
    }
    expectRefusal(.artifactSite) { try load(edited(saved.components.dropLast())) }
    expectRefusal(.artifactSite) { try load(edited(saved.components.reversed())) }
    var components = saved.components
    components[1].site.axes.reverse()
    expectRefusal(.artifactSite) { try load(edited(components)) }
    components = saved.components
    components[1].site.shape.reverse()
    expectRefusal(.artifactSite) { try load(edited(components)) }
    // A state of two sequences cannot continue as one text.
    let pair = try load(model.initialState(batch: 2).saved(by: reference))
    #expect(pair.batch == 2)
    expectRefusal(.modelState) {
      try Generator(model, tokenizer).generate(prompt, from: pair, options(1))
    }
  }

  @Test(arguments: ["generated", "99", "-30", "3"])
  func aVectorThatMeetsNoTokenIsRefusedBeforeAnythingRuns(positions: String) throws {
    var emitted = 0
    let generator = Generator(
      model, tokenizer, applying: [.steer(try applied(["residual"], 1, positions))])
    expectRefusal(.usageNothingSteered) {
      // One token is chosen and none is run.
      try generator.generate([5, 6, 7], options(1)) { _ in emitted += 1 }
    }
    #expect(emitted == 0)
    let zero = Generator(
      model, tokenizer, applying: [.steer(try applied(["residual"], 0, positions))])
    #expect(try zero.generate([5, 6, 7], options(1)).edits.map(\.tokens) == [0])
  }

  @Test func aTextThatEndsEarlyIsNoMistake() throws {
    let plain = try Generator(model, tokenizer).generate(prompt, options(3))
    let ending = TokenizerWithEnd(tokenizer, end: plain.tokens[0])
    var stopping = try options(3)
    stopping.stopsAtEnd = true
    let result = try Generator(
      model, ending, applying: [.steer(applied(["residual"], 0.001, "generated"))]
    ).generate(prompt, stopping)
    #expect(result.tokens.isEmpty && result.text.isEmpty)
    #expect(result.state.position == prompt.count)
  }

  @Test func aTextThatSpansTokensEndsTheText() throws {
    let plain = try Generator(model, tokenizer).generate(prompt, options(6))
    let pieces = plain.tokens.map { tokenizer.decode([$0]) }
    // The end of the second token's text and the start of the third's.
    let stop = String(pieces[1].suffix(1) + pieces[2].prefix(1))
    var stopping = try options(6)
    stopping.stops = try StopTexts([stop])
    var shown = ""
    let result = try Generator(model, tokenizer).generate(prompt, stopping) { shown += $0 }
    let place = try #require(plain.text.firstRange(of: stop)?.lowerBound)
    #expect(result.text == plain.text[..<place] && shown == result.text)
    #expect(result.ending == .stopText && result.tokens.count < plain.tokens.count)
  }

  @Test func eachOfSeveralEndsEndsAText() throws {
    let plain = try Generator(model, tokenizer).generate(prompt, options(5))
    var stopping = try options(5)
    stopping.stopsAtEnd = true
    let place = try #require(
      plain.tokens.indices.dropFirst().first { !plain.tokens[..<$0].contains(plain.tokens[$0]) })
    let unused = try #require((0..<10).first { !plain.tokens.contains($0) })
    let ending = BoundedTokenizer(tokenizer, end: [unused, plain.tokens[place]])
    let result = try Generator(model, ending).generate(prompt, stopping)
    #expect(result.tokens == Array(plain.tokens[..<place]))
  }

  @Test func noTokensAreGeneratedWhenNoneAreAskedFor() throws {
    let result = try Generator(model, tokenizer).generate(prompt, options(0))
    #expect(result.tokens.isEmpty && result.state.position == prompt.count)
    expectRefusal(.usageOption) { try Generator(model, tokenizer).generate([], options(1)) }
  }
}

/// A tokenizer with another end of text.
private struct TokenizerWithEnd: Tokenizer {
  let base: any Tokenizer
  let endOfTextID: Int?

  init(_ base: any Tokenizer, end: Int) {
    self.base = base
    endOfTextID = end
  }

  var vocabularySize: Int { base.vocabularySize }
  var digest: Digest { base.digest }
  var specialTokenIDs: Set<Int> { base.specialTokenIDs }
  func encode(_ text: String) -> [Int] { base.encode(text) }
  func bytes(of id: Int) -> [UInt8]? { base.bytes(of: id) }
  func token(_ id: Int) -> String? { base.token(id) }
  func id(ofToken token: String) -> Int? { base.id(ofToken: token) }
}
