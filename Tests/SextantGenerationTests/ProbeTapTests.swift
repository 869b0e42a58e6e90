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

@Suite struct ProbeTapTests {
  let converted: ConvertedModel
  let model: any LanguageModel
  let tokenizer: any Tokenizer
  let prompt: [Int]

  init() throws {
    converted = try ConvertedModel("demo-model/model.safetensors")
    model = converted.model
    tokenizer = try #require(converted.tokenizer)
    prompt = tokenizer.encode("59 + 5 = 64. Bob:")
  }

  /// Probes of seeded numbers at these sites.
  private func probe(_ words: [String], model other: ModelReference? = nil) throws -> Probe {
    var random = SextantTestSupport.SplitMix64(seed: 5)
    let sites = try model.description.sites(named: words)
    return Probe(
      model: other ?? model.description.reference(tokenizer: tokenizer.digest),
      sites: sites.map(\.reference),
      entries: sites.map { site in
        ProbeEntry(
          site: site.reference, method: "lr", input: .single,
          direction: random.floats(site.elementCount).map(Double.init), scale: 0.5, bias: 0.25)
      },
      training: .init(
        label: "label", positions: .last, pooling: .each, data: JSONObject(), seed: 0),
      statistics: JSONObject())
  }

  private func tap(_ probe: Probe) throws -> ProbeTap {
    try ProbeTap(probe, model: model.description, tokenizer: tokenizer.digest)
  }

  private func options(_ count: Int) throws -> GenerationOptions {
    GenerationOptions(
      tokenCount: count, sampling: try SamplingOptions(temperature: 0), stopsAtEnd: false)
  }

  @Test func scoresAreThoseOfTheValuesThatPass() throws {
    let words = ["blocks.2.output", "blocks.3.state.conv"]
    let tap = try tap(probe(words))
    let result = try Generator(model, tokenizer, applying: [.observe(tap)]).generate(
      prompt, options(3))
    // Token by token, with every value available.
    let recorder = ClosureTapValues(Set(try model.description.sites(named: words).map(\.site)))
    var state = model.initialState()
    for token in prompt + result.tokens {
      _ = try model.run(TokenBatch([token]), from: &state, tap: recorder.tap)
    }
    for position in 0..<prompt.count + 3 {
      let scores = try #require(tap.scores(at: position))
      for (entry, score) in zip(tap.entries, scores) {
        let value = try #require(recorder.values[entry.site.name]?[position])
        let expected = value.withFloats { entry.score($0) }
        #expect(abs(score - expected) < 1e-3 * max(1, abs(expected)))
      }
    }
  }

  @Test func savedAndReadAgainTheScoresHaveTheSameBits() throws {
    let (probe, folder) = (try probe(["all"]), TemporaryFolder())
    let path = folder.path("a.probe.safetensors")
    try probe.artifact.write(to: path)
    let (first, second) = (try tap(probe), try tap(Probe(reading: path)))
    _ = try Generator(model, tokenizer, applying: [.observe(first), .observe(second)]).generate(
      prompt, options(2))
    for position in 0..<prompt.count + 2 {
      let (a, b) = (try #require(first.scores(at: position)), second.scores(at: position))
      #expect(a.map(\.bitPattern) == b?.map(\.bitPattern))
      #expect(a.allSatisfy { $0.isFinite })
    }
  }

  @Test func anotherModelsProbesAreRefused() throws {
    var other = model.description.reference(tokenizer: tokenizer.digest)
    other.identity = SHA256.digest(Array("another".utf8))
    let probe = try probe(["blocks.2.output"], model: other)
    let refusal = #expect(throws: Refusal.self) { try tap(probe) }
    #expect(refusal?.code == .artifactModelDigest)
    _ = try ProbeTap(
      probe, model: model.description, tokenizer: tokenizer.digest, allowsModelMismatch: true)
  }

  @Test func probesOfPairsCannotFollowAText() throws {
    let site = try model.description.sites(named: ["blocks.2.output"])[0].reference
    let pairs = Probe(
      model: model.description.reference(tokenizer: tokenizer.digest), sites: [site],
      entries: [
        ProbeEntry(
          site: site, method: "ccs", input: .difference,
          direction: [Double](repeating: 1, count: 192))
      ],
      training: .init(label: "x", positions: .last, pooling: .each, data: JSONObject(), seed: 0),
      statistics: JSONObject())
    let refusal = #expect(throws: Refusal.self) { try tap(pairs) }
    #expect(refusal?.code == .artifactEmpty)
  }

  @Test func aScoreEndsTheText() throws {
    let tap = try tap(probe(["blocks.2.output"]))
    let free = try Generator(model, tokenizer, applying: [.observe(tap)]).generate(
      prompt, options(6))
    let last = try #require(tap.scores(at: prompt.count + 2)?.first)
    let stopping = try self.tap(probe(["blocks.2.output"]))
    // If an earlier score is above this bound, the text ends earlier.
    stopping.stopsWhen = .init(isAbove: true, bound: last - 1e-6)
    let result = try Generator(model, tokenizer, applying: [.observe(stopping)]).generate(
      prompt, options(6))
    #expect(result.wasStopped && result.tokens.count <= 3)
    #expect(free.tokens.starts(with: result.tokens))
    let end = try #require(stopping.scores(at: prompt.count + result.tokens.count - 1)?.first)
    #expect(end > last - 1e-6)
  }

  // MARK: Gates

  private func gated(_ isAbove: Bool, _ bound: Double) throws -> AppliedVector {
    let vector = try SteeringVector.random(
      model.description, ["blocks.4.output"], tokenizer: tokenizer.digest)
    return AppliedVector(
      vector, SteeringOptions(strength: 4),
      gate: ScoreCondition(
        try probe(["blocks.2.output"]), name: nil, .init(isAbove: isAbove, bound: bound)))
  }

  @Test func aGateThatNeverOpensChangesNothingAndOneThatAlwaysDoesEverything() throws {
    let plain = try Generator(model, tokenizer).generate(prompt, options(6))
    let shut = try Generator(model, tokenizer, applying: [.steer(gated(true, 1e9))]).generate(
      prompt, options(6))
    #expect(shut.tokens == plain.tokens && shut.edits[0].tokens == 0)
    let open = try gated(true, -1e9)
    let all = try Generator(model, tokenizer, applying: [.steer(open)]).generate(prompt, options(6))
    let free = try Generator(
      model, tokenizer, applying: [.steer(AppliedVector(open.vector, open.options))]
    ).generate(prompt, options(6))
    #expect(all.tokens == free.tokens && all.edits[0].positions == free.edits[0].positions)
  }

  @Test func justTheTokensThatScoreAreSteered() throws {
    let watcher = try tap(probe(["blocks.2.output"]))
    let first = try Generator(model, tokenizer, applying: [.observe(watcher)]).generate(
      prompt, options(6))
    let scores = (prompt.count - 1..<prompt.count + 5).compactMap { watcher.scores(at: $0)?.first }
    let bound = (scores.sorted()[2] + scores.sorted()[3]) / 2
    let gate = try gated(true, bound)
    let watched = try tap(probe(["blocks.2.output"]))
    let result = try Generator(model, tokenizer, applying: [.steer(gate), .observe(watched)])
      .generate(
        prompt, options(6))
    let expected = (prompt.count - 1..<prompt.count + 6).filter { position in
      watched.scores(at: position)?.first.map { $0 > bound } ?? false
    }
    #expect(result.edits[0].positions == expected && !first.tokens.isEmpty)
  }

  // MARK: Erasing and reflecting

  @Test func anErasedValueHasNoShareOfWhatIsErased() throws {
    let site = try model.description.sites(named: ["blocks.3.output"])[0].reference
    var random = SextantTestSupport.SplitMix64(seed: 9)
    let left = random.floats(192).map(Double.init)
    let length = left.reduce(0) { $0 + $1 * $1 }
    let eraser = ConceptEraser(
      model: model.description.reference(tokenizer: tokenizer.digest),
      erasers: [
        (site, .init(mean: left.map { $0 / 3 }, left: left, right: left.map { $0 / length }))
      ],
      positions: PositionSelection([.all]),
      training: .init(label: "x", positions: .last, pooling: .each, data: JSONObject(), seed: 0),
      statistics: JSONObject())
    let reader = ClosureTapValues([.output(block: 3)])
    let tap = try EditTap(
      AppliedEraser(eraser), model: model.description, tokenizer: tokenizer.digest,
      prompt: 0..<prompt.count)
    var state = model.initialState()
    _ = try model.run(TokenBatch(prompt), from: &state, tap: TapChain([tap, reader.tap]))
    for value in try #require(reader.values["blocks.3.output"]).values {
      let share = zip(value.values, left).reduce(0.0) { $0 + (Double($1.0) - $1.1 / 3) * $1.1 }
      #expect(abs(share / length) < 1e-5)
    }
    let none = try Generator(
      model, tokenizer, applying: [.erase(AppliedEraser(eraser, .init(strength: 0)))]
    )
    .generate(prompt, options(4))
    let plain = try Generator(model, tokenizer).generate(prompt, options(4))
    #expect(none.state == plain.state)
    // The second eraser was computed for values that the first one has not changed.
    expectRefusal(.artifactConflict) {
      try Generator(
        model, tokenizer, applying: [.erase(AppliedEraser(eraser)), .erase(AppliedEraser(eraser))]
      )
      .generate(prompt, options(4))
    }
    let apart = ["prompt", "generated"].map {
      Intervention.erase(AppliedEraser(eraser, .init(positions: PositionSelection($0))))
    }
    #expect(
      try Generator(model, tokenizer, applying: Interventions(apart)).generate(prompt, options(4))
        .tokens.count == 4
    )
  }

  @Test(arguments: ["blocks.3.output", "blocks.2.state.conv"])
  func reflectingTurnsTheScoreAround(name: String) throws {
    let entry = try #require(probe([name]).entries.first)
    let site = try #require(Site(name: name))
    let at = prompt.count - 1
    let moment: StateMoment = .before
    var scores: [Double] = []
    let reader = ClosureTap(
      [site], stateVisits: { _ in StateVisits(before: [at]) }
    ) { _, value, context in
      guard context.positions.contains(at), !site.isState || context.stateMoment == moment else {
        return
      }
      let width = value.count / context.positions.count
      let start = (at - context.positions.lowerBound) * width
      scores.append(
        value.withFloats {
          entry.score(UnsafeBufferPointer(rebasing: $0[start..<start + width]))
        })
    }
    var state = model.initialState()
    _ = try model.run(TokenBatch(prompt), from: &state, tap: reader)
    let reflection = try ReflectionTap(entry, at: at, of: model.description)
    var other = model.initialState()
    _ = try model.run(TokenBatch(prompt), from: &other, tap: TapChain([reflection, reader]))
    #expect(scores.count == 2)
    #expect(abs(scores[0] + scores[1]) < 1e-3 * max(1, abs(scores[0])))
  }

  @Test(arguments: [
    (0.0, 1.0, ProbeEntry.Input.single, Refusal.Code.artifactZero),
    (1e-200, 1, .single, .artifactZero), (1e200, 1, .single, .artifactZero),
    (1, 0, .single, .artifactZero), (1, 1, .difference, .usageOption),
  ])
  func nothingIsReflectedWithoutADirection(
    element: Double, scale: Double, input: ProbeEntry.Input, code: Refusal.Code
  ) throws {
    let site = try model.description.sites(named: ["blocks.3.output"])[0].reference
    let entry = ProbeEntry(
      site: site, method: "lr", input: input,
      direction: [Double](repeating: element, count: 192), scale: scale)
    let refusal = expectRefusal(code) {
      try ReflectionTap(entry, at: 0, of: model.description)
    }
    if code == .artifactZero {
      #expect(refusal?.place == .tensor("blocks.3.output.lr.direction"))
    }
  }
}

/// Keeps the value of every token at some sites; states after the token.
private final class ClosureTapValues {
  /// By site and position.
  private(set) var values: [String: [Int: Tensor]] = [:]
  private let sites: Set<Site>
  private(set) lazy var tap: any Tap = ClosureTap(
    sites, stateVisits: { StateVisits(after: Set($0)) }
  ) { [unowned self] site, value, context in
    let width = value.count / context.positions.count
    for (row, position) in context.positions.enumerated() {
      values[site.name, default: [:]][position] =
        value.reshaped([context.positions.count, width]).rows(row..<row + 1)
    }
  }

  init(_ sites: Set<Site>) {
    self.sites = sites
  }
}
