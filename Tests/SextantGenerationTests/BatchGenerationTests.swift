import SextantArtifacts
import SextantBytes
import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import SextantTokenizers
import Testing

@testable import SextantGeneration

@Suite struct BatchGenerationTests {
  let converted: ConvertedModel
  let model: any LanguageModel
  let tokenizer: any Tokenizer
  /// Three lengths; the fourth prompt is as long as the first one.
  let prompts: [[Int]]

  init() throws {
    converted = try ConvertedModel("demo-model/model.safetensors")
    model = converted.model
    tokenizer = try #require(converted.tokenizer)
    let first = try #require(converted.tokenizer).encode("The film opens on a quiet street")
    prompts = [
      first, tokenizer.encode("I thought this movie"), tokenizer.encode("The"),
      Array(first.dropFirst()) + first.prefix(1),
    ]
  }

  private func options(
    _ count: Int = 10, temperature: Float = 0, seed: UInt64 = 3, stopsAtEnd: Bool = false
  ) throws -> GenerationOptions {
    GenerationOptions(
      tokenCount: count, sampling: try SamplingOptions(temperature: temperature, seed: seed),
      stopsAtEnd: stopsAtEnd)
  }

  private func texts(
    _ prompts: [[Int]], _ batches: BatchOptions, _ options: GenerationOptions,
    applying interventions: Interventions = [], from state: State? = nil
  ) throws -> [SampledText] {
    var texts: [SampledText] = []
    try Generator(model, tokenizer, applying: interventions).generate(
      prompts, batches, from: state, options
    ) { texts.append($0) }
    return texts
  }

  private func vector(
    _ options: SteeringOptions, _ words: [String] = ["residual", "state"], seed: UInt64 = 1
  ) throws -> AppliedVector {
    AppliedVector(
      try .random(model.description, words, tokenizer: tokenizer.digest, seed: seed), options)
  }

  private func probe() throws -> Probe {
    try .random(
      model.description, ["blocks.1.output", "blocks.2.output"], tokenizer: tokenizer.digest)
  }

  /// Expects the results of separate runs with each prompt and each seed.
  private func expectSingleRuns(
    _ texts: [SampledText], samples: Int, _ options: GenerationOptions,
    applying interventions: Interventions = [], from state: State? = nil,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    #expect(texts.count == prompts.count * samples, sourceLocation: sourceLocation)
    for (index, text) in texts.enumerated() {
      #expect(text.prompt == index / samples && text.sample == index % samples)
      #expect(text.seed == options.sampling.seed + UInt64(text.sample))
      var own = options
      own.sampling.seed = text.seed
      let single = try Generator(model, tokenizer, applying: interventions).generate(
        prompts[text.prompt], from: state, own)
      #expect(text.generated.tokens == single.tokens, sourceLocation: sourceLocation)
      #expect(text.generated.text == single.text, sourceLocation: sourceLocation)
      #expect(text.generated.ending == single.ending, sourceLocation: sourceLocation)
      #expect(text.generated.edits == single.edits, sourceLocation: sourceLocation)
      #expect(text.generated.promptCount == single.promptCount)
    }
  }

  @Test func promptsOfAllLengthsContinueAsAlone() throws {
    let options = try options()
    try expectSingleRuns(texts(prompts, BatchOptions(batch: 3), options), samples: 1, options)
  }

  @Test func sampleKIsTheTextOfTheSeedPlusK() throws {
    let options = try options(temperature: 0.8)
    let texts = try texts(prompts, BatchOptions(samples: 3, batch: 4), options)
    try expectSingleRuns(texts, samples: 3, options)
    #expect(Set(texts.prefix(3).map(\.generated.text)).count == 3)
  }

  @Test func textsDoNotDependOnTheBatch() throws {
    let steered: Interventions = [
      .steer(try vector(SteeringOptions(strength: 0.5, positions: PositionSelection("all"))))
    ]
    var options = try options(12, temperature: 1.2, stopsAtEnd: true)
    options.sampling.minP = 0.01
    options.sampling.repetitionPenalty = 1.3
    for interventions in [[], steered] as [Interventions] {
      let results = try [1, 3, 8].map { batch in
        try texts(
          prompts, BatchOptions(samples: 3, batch: batch), options, applying: interventions)
      }
      for other in results.dropFirst() {
        #expect(other.map(\.generated.tokens) == results[0].map(\.generated.tokens))
        #expect(other.map(\.generated.edits) == results[0].map(\.generated.edits))
      }
    }
  }

  /// The bits of the last block's output, not only the tokens that are chosen from it.
  @Test func theStreamHasTheSameBitsInEveryBatch() throws {
    let vector = try vector(SteeringOptions(strength: 0.5, positions: PositionSelection("all")))
    func rows(batch: Int) throws -> Set<[UInt32]> {
      let recording = RecordingModel(model)
      try Generator(recording, tokenizer, applying: [.steer(vector)]).generate(
        prompts, BatchOptions(samples: 3, batch: batch), options(6, temperature: 1)
      ) { _ in }
      return recording.rows
    }
    let alone = try rows(batch: 1)
    #expect(alone.count > prompts.joined().count + prompts.count * 3)
    for batch in [3, 8] { #expect(try rows(batch: batch) == alone) }
  }

  @Test func stopTextsAndTheEndOfTextEndSingleRows() throws {
    var options = try options(24, temperature: 1, stopsAtEnd: true)
    options.stops = try StopTexts(["e"])
    let texts = try texts(prompts, BatchOptions(samples: 4, batch: 8), options)
    try expectSingleRuns(texts, samples: 4, options)
    #expect(texts.contains { $0.generated.ending == .stopText })
    #expect(Set(texts.map(\.generated.tokens.count)).count > 1)
    #expect(!texts.contains { $0.generated.text.contains("e") })
  }

  @Test func vectorsAndErasersEditEachRowAsAlone() throws {
    let tokens = Set(prompts[1]).subtracting(prompts[0])
    let token = try #require(tokens.first)
    let interventions: Interventions = [
      .steer(
        try vector(
          SteeringOptions(strength: 0.5, positions: PositionSelection("last,generated")))),
      .steer(
        try vector(
          SteeringOptions(strength: 0.5, positions: PositionSelection("last,token=\(token)")),
          ["state"], seed: 2)),
    ]
    let options = try options()
    let texts = try texts(
      prompts, BatchOptions(samples: 2, batch: 5), options, applying: interventions)
    try expectSingleRuns(texts, samples: 2, options, applying: interventions)
    #expect(Set(texts.map(\.generated.edits[1].positions)).count > 1)
  }

  @Test func gatesSearchedStrengthsAndConditionsRunOneTextAtATime() throws {
    let gate = ScoreCondition(try probe(), name: nil, .init(isAbove: true, bound: 0))
    let options = try options(6)
    let plain = SteeringOptions(strength: 0.5, positions: PositionSelection("all"))
    let nats = SteeringOptions(strength: 0.1, unit: .nats, positions: PositionSelection("all"))
    var gated = try vector(plain)
    gated.gate = gate
    let lists: [Interventions] = [
      [.steer(gated)], [.steer(try vector(nats, ["blocks.2.output"]))], [.stop(gate)],
      [.probe(AppliedProbe(gate.probe))],
    ]
    for interventions in lists {
      #expect(!interventions.suitBatches)
      let texts = try texts(
        prompts, BatchOptions(samples: 1, batch: 8), options, applying: interventions)
      try expectSingleRuns(texts, samples: 1, options, applying: interventions)
    }
  }

  @Test func textsWhoseStatesWouldNotFitIntoMemoryAreRefusedBeforeTheFirst() throws {
    var batches = BatchOptions()
    (batches.samples, batches.batch) = (3, 2)
    let options = GenerationOptions(tokenCount: 2, sampling: try SamplingOptions())
    expectMemoryRefusal("the states of 4 texts") {
      try Generator(model, tokenizer).generate([[1, 2], [3]], batches, options) { _ in
        Issue.record("a text was generated")
      }
    }
  }

  @Test func everyPromptContinuesTheStateThatIsGiven() throws {
    var state = model.initialState()
    _ = try model.run(TokenBatch(tokenizer.encode("Last night ")), from: &state, logits: .none)
    let options = try options()
    let texts = try texts(prompts, BatchOptions(batch: 8), options, from: state)
    try expectSingleRuns(texts, samples: 1, options, from: state)
  }

  @Test func whatCannotBeGeneratedIsRefusedBeforeTheFirstText() throws {
    func code(
      _ prompts: [[Int]], _ batches: BatchOptions, seed: UInt64 = 0, from state: State? = nil,
      applying interventions: Interventions = []
    ) -> Refusal.Code? {
      #expect(throws: Refusal.self) {
        try Generator(model, tokenizer, applying: interventions).generate(
          prompts, batches, from: state, options(4, seed: seed)
        ) { _ in Issue.record("a text was generated") }
      }?.code
    }
    #expect(code([[1], []], BatchOptions()) == .usageOption)
    #expect(code([[1]], BatchOptions(samples: 2), seed: .max) == .usageOption)
    #expect(code([[1]], BatchOptions(samples: 1 << 40)) == .usageOption)
    #expect(code([[1]], BatchOptions(), from: model.initialState(batch: 2)) == .modelState)
    // The second prompt is too short for these positions.
    let late = try vector(SteeringOptions(positions: PositionSelection("8")))
    #expect(
      code([prompts[0], [1]], BatchOptions(), applying: [.steer(late)]) == .usageNothingSteered)
  }
}

/// A model that keeps the bits of every row of its last block's output.
private final class RecordingModel: LanguageModel, @unchecked Sendable {
  private let base: any LanguageModel
  /// Each [D].
  private(set) var rows: Set<[UInt32]> = []

  init(_ base: any LanguageModel) { self.base = base }

  var description: ModelDescription { base.description }
  var readout: Readout { base.readout }

  func embed(
    _ tokens: TokenBatch, at starts: [Int], textLength: Int?
  ) -> BlockStream {
    base.embed(tokens, at: starts, textLength: textLength)
  }

  func run(
    block index: Int, on stream: inout BlockStream, _ state: inout State, _ pass: Pass
  ) throws(Refusal) {
    try base.run(block: index, on: &stream, &state, pass)
    guard index == description.layerCount - 1 else { return }
    let (values, width) = (stream.residual.values, stream.residual.shape[1])
    for start in stride(from: 0, to: values.count, by: width) {
      rows.insert(values[start..<start + width].map(\.bitPattern))
    }
  }
}
