import SextantBytes
import SextantGeneration
import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTensor
import SextantTokenizers
import Testing

@Suite struct ObserverTests {
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

  /// Keeps a residual site and every step, and stops at a given step.
  private final class Reader: GenerationObserver {
    var rows: [Int: [Float]] = [:]
    var steps: [GenerationStep] = []
    var stopsAt: Int?
    /// Positions that were seen before the step with these positions was reported.
    var seenInTime = true

    func wants(_ site: Site) -> Bool { site == .output(block: 3) }

    func visit(_ site: Site, _ value: inout Tensor, _ context: TapContext) {
      for position in context.positions {
        let row = context.row(sequence: 0, position: position)
        rows[position] = value.rows(row..<row + 1).values
      }
    }

    func didRead(_ step: GenerationStep) -> GenerationVerdict {
      steps.append(step)
      seenInTime = seenInTime && step.positions.allSatisfy { rows[$0] != nil }
      return step.positions.contains(stopsAt ?? -1) ? .stop : .goOn
    }
  }

  private func options(_ count: Int) throws -> GenerationOptions {
    GenerationOptions(
      tokenCount: count, sampling: try SamplingOptions(temperature: 0), stopsAtEnd: false)
  }

  @Test func everyTokenIsToldOnceAndInOrder() throws {
    let reader = Reader()
    let plain = try Generator(model, tokenizer).generate(prompt, options(6))
    let result = try Generator(model, tokenizer, applying: [.observe(reader)]).generate(
      prompt, options(6))
    #expect(result.tokens == plain.tokens)
    #expect(reader.steps.map(\.tokens) == [prompt] + result.tokens.map { [$0] })
    #expect(reader.steps.flatMap { Array($0.positions) } == Array(0..<prompt.count + 6))
    #expect(reader.steps.map(\.isPrompt) == [true] + Array(repeating: false, count: 6))
    #expect(reader.seenInTime)
    #expect(!result.wasStopped && result.state.position == prompt.count + 6)
  }

  @Test func theLogitsAreThoseThatTheNextTokenIsChosenFrom() throws {
    let reader = Reader()
    let result = try Generator(model, tokenizer, applying: [.observe(reader)]).generate(
      prompt, options(5))
    let greedy = reader.steps.dropLast().map { Kernels.argmax($0.logits)[0] }
    #expect(greedy == result.tokens)
  }

  @Test func whatIsSeenDoesNotDependOnHowTheTextIsCut() throws {
    let reader = Reader()
    let result = try Generator(model, tokenizer, applying: [.observe(reader)]).generate(
      prompt, options(4))
    let whole = Reader()
    var state = model.initialState()
    _ = try model.run(TokenBatch(prompt + result.tokens), from: &state, tap: whole)
    for (position, row) in whole.rows {
      let other = try #require(reader.rows[position])
      #expect(zip(row, other).allSatisfy { abs($0 - $1) < 1e-4 })
    }
  }

  @Test func anObserverEndsTheText() throws {
    let reader = Reader()
    reader.stopsAt = prompt.count + 2
    let result = try Generator(model, tokenizer, applying: [.observe(reader)]).generate(
      prompt, options(9))
    #expect(result.wasStopped && result.tokens.count == 3)
    let early = Reader()
    early.stopsAt = 0
    let none = try Generator(model, tokenizer, applying: [.observe(early)]).generate(
      prompt, options(9))
    #expect(none.wasStopped && none.tokens.isEmpty)
  }
}
