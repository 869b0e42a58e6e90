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

/// Texts that are continued together give what each gives alone, whenever the others come and go.
@Suite struct GenerationBatchTests {
  let converted: ConvertedModel
  let model: any LanguageModel
  let tokenizer: any Tokenizer

  init() throws {
    converted = try ConvertedModel("demo-model/model.safetensors")
    model = converted.model
    tokenizer = try #require(converted.tokenizer)
  }

  /// A text: a prompt, its options, and what acts on it.
  private struct Request {
    let prompt: [Int]
    let options: GenerationOptions
    let interventions: Interventions
  }

  private func probe() throws -> Probe {
    try .random(model.description, ["blocks.2.output"], tokenizer: tokenizer.digest)
  }

  /// Eight texts: prompts of different lengths, one beyond a piece; greedy and sampled; plain,
  /// steered in the stream and in the state, gated, and with reports.
  private func requests() throws -> [Request] {
    let words = [
      "The film opens on a quiet street", "The", "I thought this movie was", "A dog",
      String(repeating: "and then he went to the old town to see her again, ", count: 9),
      "Nobody", "The end of it all", "She said that",
    ]
    let vector = try SteeringVector.random(
      model.description, ["residual", "state"], tokenizer: tokenizer.digest,
      positions: try #require(PositionSelection("all")))
    let condition = ScoreCondition(
      try probe(), name: nil, .init(isAbove: true, bound: 0))
    let actions: [Interventions] = [
      [], [.steer(vector, strength: 0.5)], [.probe(AppliedProbe(try probe()))],
      [.steer(vector, strength: 0.3, when: condition)], [.steer(vector, strength: -0.4)],
      [.steer(vector, strength: 0.2), .probe(AppliedProbe(try probe()))], [], [],
    ]
    return try words.enumerated().map { index, text in
      Request(
        prompt: tokenizer.encode(text),
        options: GenerationOptions(
          tokenCount: 4 + 3 * index,
          sampling: try SamplingOptions(
            temperature: index % 2 == 0 ? 0 : 0.9, seed: UInt64(index)), stopsAtEnd: index % 3 == 0),
        interventions: actions[index])
    }
  }

  private func run(_ request: Request) throws -> GenerationRun {
    try Generator(model, tokenizer, applying: request.interventions).start(
      request.prompt, request.options)
  }

  /// What a text gave: everything that can be compared.
  private struct Outcome: Equatable {
    var tokens: [Int]
    var text: String
    var records: [String]
    var ending: String
    var edits: [EditSummary]
    var state: State

    init(_ run: GenerationRun, _ records: [TokenRecord]) {
      (tokens, text) = (run.tokens, run.textSoFar)
      self.records = (run.prompt + records).map { record in
        "\(record.position) \(record.token) \(record.text) \(record.isPrompt) "
          + record.reports.map { "\($0.item) \(JSONValue.object($0.report).canonicalText)" }
          .joined() + "\(record.edits.count)"
      }
      ending = run.ending?.rawValue ?? "none"
      (edits, state) = (run.edits, run.state)
    }
  }

  /// Continues texts together; text i joins before step `arrivals[i]`.
  private func together(
    _ requests: [Request], arrivals: [Int], promptTokens: Int = 64
  ) throws -> [Outcome] {
    let batch = GenerationBatch(model)
    let runs = try requests.map { try run($0) }
    var records: [[TokenRecord]] = runs.map { _ in [] }
    var ended: Set<Int> = []
    var step = 0
    while ended.count < runs.count {
      for index in runs.indices where arrivals[index] == step { batch.add(runs[index]) }
      for (run, event) in batch.step(promptTokens: promptTokens) {
        let index = try #require(runs.firstIndex { $0 === run })
        switch event {
        case .prompt, .step: break
        case .token(let record): records[index].append(record)
        case .end: ended.insert(index)
        case .failure(let refusal): throw refusal
        }
      }
      step += 1
      try #require(step < 1000)
    }
    #expect(batch.count == 0 && batch.rowCount == 0)
    return runs.indices.map { Outcome(runs[$0], records[$0]) }
  }

  @Test func eightTextsGiveWhatEachGivesAlone() throws {
    let requests = try requests()
    let alone = try requests.flatMap { try together([$0], arrivals: [0]) }
    #expect(try together(requests, arrivals: Array(repeating: 0, count: 8)) == alone)
    #expect(try together(requests, arrivals: [0, 0, 1, 3, 3, 9, 10, 12]) == alone)
    #expect(
      try together(requests, arrivals: [12, 10, 9, 3, 3, 1, 0, 0], promptTokens: 300) == alone)
    // Something acted: the texts differ from those of the same prompts without interventions.
    #expect(alone[1].edits.first?.positions.isEmpty == false)
    #expect(alone[2].records.contains { $0.contains("{") })
  }

  @Test func aTextAloneIsTheOneOfTheUsualLoop() throws {
    for request in try requests() {
      let usual = try run(request).finish()
      let own = try together([request], arrivals: [0])[0]
      #expect(own.tokens == usual.tokens)
      #expect(own.text == usual.text)
      #expect(own.edits.map(\.positions) == usual.edits.map(\.positions))
    }
  }

  @Test func aLongPromptWithReportsIsReadInPiecesAndReportedAsAWhole() throws {
    let text = String(repeating: "and then he went to the old town to see her again, ", count: 12)
    let prompt = tokenizer.encode(text)
    #expect(prompt.count > 2 * GenerationBatch.pieceLength)
    let score = ScoreCondition(try probe(), name: nil, .init(isAbove: true, bound: -1e9))
    for isStopped in [false, true] {
      let request = Request(
        prompt: prompt,
        options: GenerationOptions(
          tokenCount: 5, sampling: try SamplingOptions(temperature: 0), stopsAtEnd: false),
        interventions: Interventions(
          [.lens(AppliedLens(.logit, guesses: 3)), .probe(AppliedProbe(try probe()))]
            + (isStopped ? [.stop(score)] : [])))
      let usual = try run(request)
      var records: [TokenRecord] = []
      while let record = try usual.next() { records.append(record) }
      let own = try together([request], arrivals: [0])[0]
      let right = Outcome(usual, records)
      #expect(own.tokens == right.tokens && own.ending == right.ending)
      #expect(own.records == right.records)
      #expect(own.records[0].contains("\"ce\":") && own.records.count >= prompt.count)
      // The condition is met at every token, and acts at the end of the prompt.
      #expect(own.tokens.count == (isStopped ? 0 : 5))
    }
  }

  @Test func promptsOfOneLengthAreReadTogether() throws {
    let ids = { (seed: Int, count: Int) in (0..<count).map { ($0 * 37 + seed * 101) % 900 + 20 } }
    let lengths = [70, 3, 70, 3, 130, 70, 3, 64, 130]
    let requests = try lengths.enumerated().map { seed, count in
      Request(
        prompt: ids(seed, count),
        options: GenerationOptions(
          tokenCount: 6, sampling: try SamplingOptions(temperature: 0.7, seed: UInt64(seed))),
        interventions: seed == 2 ? [.probe(AppliedProbe(try probe()))] : [])
    }
    let alone = try requests.flatMap { try together([$0], arrivals: [0]) }
    for promptTokens in [1, 64, 512] {
      let arrivals = Array(repeating: 0, count: lengths.count)
      #expect(try together(requests, arrivals: arrivals, promptTokens: promptTokens) == alone)
    }
    let batch = GenerationBatch(model)
    for request in requests { batch.add(try run(request)) }
    // The first prompt, and the one of the same length on which nothing acts.
    let read = batch.step(promptTokens: 2 * 70).filter {
      if case .prompt = $0.event { true } else { false }
    }
    #expect(read.map(\.run.readCount) == [70, 70])
  }

  @Test func tokensAfterTheContextAreEditedAsGeneratedOnes() throws {
    let ids = (0..<90).map { ($0 * 37) % 900 + 20 }
    let vector = try SteeringVector.random(
      model.description, ["residual", "state"], tokenizer: tokenizer.digest,
      positions: try #require(PositionSelection("last,generated-3,80")))
    let options = GenerationOptions(tokenCount: 0, sampling: try SamplingOptions(temperature: 0))
    let generator = Generator(model, tokenizer, applying: [.steer(vector, strength: 0.5)])
    for (context, positions) in [
      (70, [69, 70, 71, 72, 80]), (90, [80, 89]), (1, [0, 1, 2, 3, 80]),
    ] {
      let batch = GenerationBatch(model)
      let run = try generator.row(ids, options, isRecorded: false, contextCount: context)
      #expect(run.plainCount == positions[0])
      batch.add(run)
      while batch.count > 0 { _ = batch.step() }
      #expect(run.edits[0].positions == positions, "\(context)")
    }
  }

  @Test func aCancelledTextLeavesAtTheNextStepAndTheOthersStay() throws {
    let requests = try requests()
    let alone = try together([requests[7]], arrivals: [0])[0]
    let batch = GenerationBatch(model)
    let (doomed, waiting, other) = (
      try run(requests[6]), try run(requests[4]), try run(requests[7])
    )
    for run in [doomed, other, waiting] { batch.add(run) }
    for _ in 0..<3 { _ = batch.step() }
    #expect(batch.count == 3)
    doomed.cancel()
    waiting.cancel()
    let events = batch.step()
    #expect(events.contains { $0.run === doomed && $0.event.isEnd })
    #expect(events.contains { $0.run === waiting && $0.event.isEnd })
    #expect(batch.count == 1)
    #expect(doomed.ending == .cancelled && doomed.state.batch == 1)
    while batch.count > 0 { _ = batch.step() }
    #expect(other.tokens == alone.tokens && other.state == alone.state)
  }

  @Test func aTextThatIsTakenOutContinuesByItself() throws {
    let request = try requests()[7]
    let whole = try together([request], arrivals: [0])[0]
    let batch = GenerationBatch(model)
    let (own, other) = (try run(request), try run(try requests()[5]))
    batch.add(own)
    batch.add(other)
    for _ in 0..<6 { _ = batch.step() }
    batch.remove(own)
    #expect(batch.count == 1)
    #expect(own.state.position == request.prompt.count + own.tokens.count - 1)
    _ = try own.finish()
    #expect(own.tokens == whole.tokens)
  }

  @Test func aRefusalEndsItsOwnTextOnly() throws {
    let requests = try requests()
    let alone = try together([requests[6]], arrivals: [0])[0]
    let error = Refusal(.usageOption, found: "a tap", expected: "none")
    var count = 0
    let tap = ClosureTap([.output(block: 1)]) { _, _, _ throws(Refusal) in
      count += 1
      if count == 5 { throw error }
    }
    let batch = GenerationBatch(model)
    let (bad, good) = (
      try run(
        Request(
          prompt: requests[0].prompt, options: requests[7].options, interventions: [.edit(tap)])),
      try run(requests[6])
    )
    batch.add(bad)
    batch.add(good)
    var failures = 0
    while batch.count > 0 {
      for (run, event) in batch.step() {
        guard case .failure(let refusal) = event else { continue }
        failures += 1
        #expect(run === bad && refusal.found == "a tap")
      }
    }
    #expect(failures == 1)
    #expect(throws: Refusal.self) { try bad.next() }
    #expect(good.tokens == alone.tokens && good.state == alone.state)
  }
}

extension GenerationBatch.Event {
  /// Whether the text ended.
  fileprivate var isEnd: Bool { if case .end = self { true } else { false } }
}
