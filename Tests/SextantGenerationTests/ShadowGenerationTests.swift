import SextantArtifacts
import SextantGeneration
import SextantModelTestSupport
import SextantModels
import SextantTestSupport
import SextantTokenizers
import Testing

/// The unsteered twin of a steered text.
@Suite struct ShadowGenerationTests {
  let converted: ConvertedModel
  let model: any LanguageModel
  let tokenizer: any Tokenizer
  private let prompt = [5, 6, 7, 8]

  init() throws {
    converted = try ConvertedModel("demo-model/model.safetensors")
    model = converted.model
    tokenizer = try #require(converted.tokenizer)
  }

  private func generate(
    _ strength: Float, steered: Int, from continuation: ShadowGeneration.Continuation = .twin
  ) throws -> ShadowGeneration {
    let vector = try SteeringVector.random(
      model.description, ["all"], tokenizer: tokenizer.digest, positions: .init([.all]))
    return try ShadowGeneration(
      model, tokenizer, applying: [.steer(AppliedVector(vector, .init(strength: strength)))],
      to: prompt,
      steeredTokens: steered,
      GenerationOptions(
        tokenCount: 16, sampling: SamplingOptions(temperature: 0), stopsAtEnd: false),
      goingOnFrom: continuation)
  }

  /// The state after tokens without steering.
  private func clean(_ tokens: [Int]) throws -> State {
    var state = model.initialState()
    _ = try model.run(TokenBatch(prompt), from: &state)
    for token in tokens { _ = try model.run(TokenBatch([token]), from: &state) }
    return state
  }

  @Test func theTwinIsAsIfNothingHadBeenSteered() throws {
    let steered = try generate(0.3, steered: 6)
    #expect(steered.steeredCount == 6 && steered.tokens.count == 16)
    #expect(steered.contamination.count == 10)
    #expect(steered.contamination[0] > 0)
    #expect(steered.state == (try clean(steered.tokens)))
    #expect(steered.edits[0].tokens == prompt.count + 5)
  }

  @Test func whatGoesOnFromTheSteeredStateKeepsItsResidue() throws {
    let steered = try generate(0.3, steered: 6, from: .steered)
    #expect(steered.state != (try clean(steered.tokens)))
    #expect((steered.meanContamination(over: 3) ?? 0) > 0)
  }

  @Test func aStopTextEndsTheTextAsThatOfAGenerator() throws {
    let whole = try generate(0.3, steered: 6)
    let stop = String(try #require(whole.text.dropFirst(12).first { $0.isLetter }))
    let start = try #require(whole.text.firstRange(of: stop)?.lowerBound)
    let vector = try SteeringVector.random(
      model.description, ["all"], tokenizer: tokenizer.digest, positions: .init([.all]))
    var options = GenerationOptions(
      tokenCount: 16, sampling: try SamplingOptions(temperature: 0), stopsAtEnd: false)
    options.stops = try StopTexts([stop])
    var shown = ""
    let stopped = try ShadowGeneration(
      model, tokenizer, applying: [.steer(AppliedVector(vector, .init(strength: 0.3)))], to: prompt,
      steeredTokens: 6, options, emit: { shown += $0 })
    #expect(stopped.text == String(whole.text[..<start]) && shown == stopped.text)
    #expect(whole.tokens.starts(with: stopped.tokens))
  }

  @Test func noMoreTokensAreSteeredThanAreGenerated() throws {
    #expect(try generate(0.3, steered: 16).contamination.isEmpty)
    for count in [-1, 17] {
      let refusal = expectRefusal(.usageOption) { try generate(0.3, steered: count) }
      #expect(refusal?.place == .parameter("steeredTokens"))
    }
  }

  @Test func withoutSteeringThereIsNoContamination() throws {
    for result in [try generate(0, steered: 6), try generate(0.3, steered: 16)] {
      #expect(result.contamination.allSatisfy { $0 == 0 })
    }
    let plain = try Generator(model, tokenizer).generate(
      prompt,
      GenerationOptions(
        tokenCount: 16, sampling: SamplingOptions(temperature: 0), stopsAtEnd: false))
    #expect(try generate(0, steered: 6).tokens == plain.tokens)
    #expect(try generate(0, steered: 6).text == plain.text)
  }
}
