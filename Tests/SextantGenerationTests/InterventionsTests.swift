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

/// Every runner is called with every intervention and every option. Each either changes the result
/// or is refused.
@Suite struct InterventionsTests {
  let converted: ConvertedModel
  let model: any LanguageModel
  let tokenizer: any Tokenizer
  let prompt: [Int]

  init() throws {
    converted = try ConvertedModel("demo-model/model.safetensors")
    model = converted.model
    tokenizer = try #require(converted.tokenizer)
    prompt = tokenizer.encode("The film opens on")
  }

  // MARK: Artifacts

  private var reference: ModelReference {
    model.description.reference(tokenizer: tokenizer.digest)
  }

  private func vector(
    _ words: [String] = ["all"], _ operation: SteeringVector.Operation = .add, seed: UInt64 = 1
  ) throws -> SteeringVector {
    try SteeringVector.random(
      model.description, words, tokenizer: tokenizer.digest, operation: operation, seed: seed)
  }

  private func eraser(_ words: [String] = ["blocks.3.output", "blocks.4.output"]) throws
    -> ConceptEraser
  {
    var random = SextantTestSupport.SplitMix64(seed: 9)
    return ConceptEraser(
      model: reference,
      erasers: try model.description.sites(named: words).map { site in
        let left = random.floats(site.elementCount).map { Double($0) }
        let length = left.reduce(0) { $0 + $1 * $1 }
        return (
          site.reference,
          .init(mean: left.map { 3 * $0 }, left: left, right: left.map { $0 / length })
        )
      },
      positions: .fromLast,
      training: .init(label: "x", positions: .last, pooling: .each, data: JSONObject(), seed: 0),
      statistics: JSONObject())
  }

  private func probe() throws -> Probe {
    try .random(
      model.description, ["blocks.1.output", "blocks.2.output"], tokenizer: tokenizer.digest)
  }

  private func condition(_ isAbove: Bool) throws -> ScoreCondition {
    ScoreCondition(try probe(), name: nil, .init(isAbove: isAbove, bound: -1e9))
  }

  @Test func aConditionNamesOneOfSeveralProbes() throws {
    let folder = TemporaryFolder()
    let path = folder.path("p.probe.safetensors")
    let probe = try probe()
    try probe.artifact.write(to: path)
    let open = try #require(ProbeCondition(argument: "\(path)>0"))
    let refusal = expectRefusal(.usageOption) { try open.load(as: "when", allowingOther: false) }
    #expect(refusal?.place == .parameter("when"))
    #expect(refusal?.expected == "one of blocks.1.output.lr, blocks.2.output.lr")
    let named = try #require(ProbeCondition(argument: "\(path)#blocks.2.output.lr<1"))
    #expect(try named.load(as: "when", allowingOther: false).name == "blocks.2.output.lr")
  }

  // MARK: Runners

  /// The result of a runner for a list, as numbers that can be compared.
  private enum Runner: CaseIterable {
    case generate, shadow, lens, bare

    /// Whether a report or a condition that ends a text is refused.
    var refusesReports: Bool { self == .shadow || self == .lens }
  }

  private func run(_ runner: Runner, _ interventions: Interventions) throws -> [Double] {
    let options = GenerationOptions(
      tokenCount: 4, sampling: try SamplingOptions(temperature: 0), stopsAtEnd: false)
    switch runner {
    case .generate:
      var reports = 0
      let result = try Generator(model, tokenizer, applying: interventions).generate(
        prompt, options, telling: { reports += $0.reports.count })
      return result.tokens.map { Double($0) } + numbers(result.state) + [Double(reports)]
    case .shadow:
      let result = try ShadowGeneration(
        model, tokenizer, applying: interventions, to: prompt, steeredTokens: 2, options,
        goingOnFrom: .steered)
      return result.tokens.map { Double($0) } + result.contamination + numbers(result.state)
    case .lens:
      let grid = try LensGrid(
        .logit, model, tokenizer: tokenizer, on: prompt, applying: interventions, guesses: 1)
      return grid.cells.flatMap { $0.map(\.entropy) }
    case .bare:
      var state = model.initialState()
      let bound = try interventions.bind(
        to: BoundRun(
          model, tokenizer: tokenizer.digest, prompts: [prompt], from: state,
          textTokenizer: tokenizer))
      let logits = try model.run(TokenBatch(prompt), from: &state, tap: bound.tap)
      return logits.values.map { Double($0) } + numbers(state)
    }
  }

  private func numbers(_ state: State) -> [Double] {
    state.sites.compactMap { state.component($0) }.map { component in
      component.values.reduce(0.0) { $0 + Double($1) }
    }
  }

  /// A list of edits that change nothing.
  private func nothing() throws -> Interventions {
    [.steer(AppliedVector(try vector(), .init(strength: 0)))]
  }

  @Test func everyOptionOfAVectorOrAnEraserChangesTheResultOfEveryRunner() throws {
    let both = try vector()
    let options: [(name: String, SteeringOptions)] = [
      ("strength", .init(strength: 3)), ("share", .init(strength: 0.5, unit: .share)),
      ("nats", .init(strength: 0.5, unit: .nats)),
      (
        "strengths of blocks",
        .init(layerStrengths: SteeringOptions.LayerStrengths([.init(0...1, 2), .init(4...4, -3)]))
      ),
      ("operation", .init(operation: .project)), ("layers", .init(layers: LayerSelection("1,3-4"))),
      ("positions", .init(positions: PositionSelection("0"))),
      ("state positions", .init(statePositions: PositionSelection("1,2"))),
    ]
    for runner in Runner.allCases {
      let plain = try run(runner, nothing())
      let whole = try run(runner, [.steer(AppliedVector(both))])
      #expect(whole != plain, "\(runner)")
      for (name, option) in options {
        let steered = try run(runner, [.steer(AppliedVector(both, option))])
        #expect(steered != plain && steered != whole, "\(runner), \(name)")
      }
      let erased = try run(runner, [.erase(AppliedEraser(eraser()))])
      #expect(erased != plain, "\(runner)")
      for (name, option) in [
        ("strength", SteeringOptions(strength: 0.5)),
        ("layers", .init(layers: LayerSelection("3"))),
        (
          "strengths of blocks",
          .init(layerStrengths: SteeringOptions.LayerStrengths([.init(3...3, 2)]))
        ),
        ("positions", .init(positions: PositionSelection("0"))),
      ] {
        let other = try run(runner, [.erase(AppliedEraser(eraser(), option))])
        #expect(other != plain && other != erased, "\(runner), eraser, \(name)")
      }
      for option in [
        SteeringOptions(strength: 0.5, unit: .share), .init(strength: 0.5, unit: .nats),
        .init(operation: .add),
      ] {
        expectRefusal(.usageOption) {
          try run(runner, [.erase(AppliedEraser(eraser(), option))])
        }
      }
      expectRefusal(.usageNothingSteered) {
        try run(
          runner,
          [.erase(AppliedEraser(eraser(), .init(statePositions: PositionSelection("0"))))])
      }
    }
  }

  @Test func everyRunnerHonoursAGate() throws {
    let steered = try vector(["blocks.4.output", "blocks.4.state.ssm"])
    for runner in Runner.allCases {
      let plain = try run(runner, nothing())
      let whole = try run(runner, [.steer(AppliedVector(steered, .init(strength: 3)))])
      let open = try run(
        runner, [.steer(AppliedVector(steered, .init(strength: 3), gate: condition(true)))])
      let shut = try run(
        runner, [.steer(AppliedVector(steered, .init(strength: 3), gate: condition(false)))])
      #expect(whole != plain, "\(runner)")
      // A gate cuts the prompt before each token, so that rounding differs.
      #expect(zip(open, whole).allSatisfy { abs($0 - $1) <= 2e-3 * max(1, abs($1)) }, "\(runner)")
      #expect(zip(shut, plain).allSatisfy { abs($0 - $1) <= 2e-3 * max(1, abs($1)) }, "\(runner)")
      let erased = try run(runner, [.erase(AppliedEraser(eraser()))])
      let gated = try run(runner, [.erase(AppliedEraser(eraser(), gate: condition(true)))])
      #expect(zip(gated, erased).allSatisfy { abs($0 - $1) <= 2e-3 * max(1, abs($1)) }, "\(runner)")
    }
  }

  @Test func whatARunnerCannotHonourItRefusesByName() throws {
    let lens = NamedLens(name: "logit", lens: nil)
    let others: [Intervention] = [
      .probe(AppliedProbe(try probe())), .lens(AppliedLens(lens)), .stop(try condition(true)),
    ]
    let edit = Intervention.steer(AppliedVector(try vector()))
    for runner in Runner.allCases where runner.refusesReports {
      for other in others {
        let refusal = expectRefusal(.usageOption) { try run(runner, [edit, other]) }
        #expect(
          refusal?.expected.contains(runner == .shadow ? "steer shadow" : "lens show") == true)
      }
    }
    expectRefusal(.usageNothingSteered) { try run(.shadow, []) }
    let plain = try run(.generate, [edit])
    for other in others { #expect(try run(.generate, [edit, other]) != plain) }
  }

  @Test func theOrderIsTheUsers() throws {
    let added = try vector(["blocks.3.output"])
    let first = AppliedVector(added, .init(strength: 5))
    let second = AppliedEraser(try eraser(["blocks.3.output"]))
    for runner in Runner.allCases {
      let forth = try run(runner, [.steer(first), .erase(second)])
      let back = try run(runner, [.erase(second), .steer(first)])
      #expect(forth != back, "\(runner)")
    }
  }

  @Test func aTapOfOnesOwnEditsInItsPlaceAndIsCounted() throws {
    let double = ClosureTap([.output(block: 2)]) { _, value, context in
      guard context.positions.contains(1) else { return }
      let width = value.columnCount
      let row = context.row(sequence: 0, position: 1)
      value.withMutableFloats { values in
        for index in row * width..<(row + 1) * width { values[index] *= 2 }
      }
    }
    for runner in Runner.allCases {
      #expect(try run(runner, [.edit(double)]) != run(runner, nothing()), "\(runner)")
    }
    let options = GenerationOptions(
      tokenCount: 2, sampling: try SamplingOptions(temperature: 0), stopsAtEnd: false)
    let result = try Generator(model, tokenizer, applying: [.edit(double)]).generate(
      prompt, options)
    #expect(result.edits.map(\.positions) == [[1]])
    #expect(result.edits.map(\.siteNames) == [["blocks.2.output"]])
  }

  // MARK: Counts and records

  @Test func editsAreCountedWhereTheyHappen() throws {
    let steered = try vector(["blocks.4.output"])
    let options = GenerationOptions(
      tokenCount: 6, sampling: try SamplingOptions(temperature: 0), stopsAtEnd: false)
    let open = try [true, false].map { isOpen in
      try ShadowGeneration(
        model, tokenizer,
        applying: [.steer(AppliedVector(steered, gate: condition(isOpen)))], to: prompt,
        steeredTokens: 3, options)
    }
    #expect(open.map(\.steeredCount) == [3, 0])
    #expect(open.map { $0.edits[0].tokens } == [3, 0])
    // Two vectors that are added to each other first. Each has its own tokens.
    let state = try vector(["blocks.4.state.ssm"])
    let apart = SteeringOptions(positions: .last, statePositions: PositionSelection("0,1"))
    let result = try Generator(
      model, tokenizer,
      applying: [
        .steer(AppliedVector(steered, .init(positions: .last))),
        .steer(AppliedVector(state, apart)),
      ]
    ).generate(prompt, options)
    #expect(result.edits.map(\.positions) == [[prompt.count - 1], [0, 1]])
  }

  @Test func recordsTellWhatEachEditDid() throws {
    let steered = try vector(["blocks.4.output"])
    var random = SextantTestSupport.SplitMix64(seed: 1)
    let length = random.floats(192).reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
    let options = GenerationOptions(
      tokenCount: 3, sampling: try SamplingOptions(temperature: 0), stopsAtEnd: false)
    var records: [TokenRecord] = []
    let interventions: Interventions = [
      .steer(AppliedVector(steered, .init(strength: 2, positions: PositionSelection([.all])))),
      .steer(
        AppliedVector(
          steered, .init(strength: 1, operation: .project, positions: PositionSelection([.all])),
          gate: try condition(false))),
      .probe(AppliedProbe(try probe())),
    ]
    let result = try Generator(model, tokenizer, applying: interventions).generate(
      prompt, options, telling: { records.append($0) })
    #expect(records.map(\.token) == prompt + result.tokens)
    #expect(records.map(\.position) == Array(0..<prompt.count + 3))
    #expect(records.map(\.isPrompt) == records.map { $0.position < prompt.count })
    #expect(records.dropFirst(prompt.count).map(\.text).joined() == result.text)
    for record in records {
      #expect(record.reports.map(\.item) == [2])
      #expect(record.edits.map(\.items) == [[0], [1]])
      #expect(record.edits.map(\.isEdited) == [true, false])
      let (first, second) = (record.edits[0], record.edits[1])
      #expect(abs(first.norms.after - first.norms.before) <= 2 * length * 1.001)
      #expect(first.norms.after != first.norms.before && first.gate == nil)
      #expect(second.norms.before == first.norms.after && second.norms.after == first.norms.after)
      #expect(second.gate?.isOpen == false && second.gate?.score?.isFinite == true)
    }
  }

  @Test func theStrengthOfABlockIsItsOwn() throws {
    let whole = try vector(["residual"])
    let own = SteeringOptions.LayerStrengths([.init(1...1, 2), .init(3...4, -0.5)])
    let byBlock = try run(.bare, [.steer(AppliedVector(whole, .init(layerStrengths: own)))])
    let apart = try run(
      .bare,
      [
        .steer(AppliedVector(whole, .init(strength: 2, layers: LayerSelection("1")))),
        .steer(AppliedVector(whole, .init(strength: -0.5, layers: LayerSelection("3,4")))),
      ])
    #expect(zip(byBlock, apart).allSatisfy { abs($0 - $1) <= 1e-3 * max(1, abs($1)) })
    #expect(SteeringOptions.LayerStrengths([]) == nil)
    #expect(SteeringOptions.LayerStrengths([.init(1...3, 2), .init(3...4, 1)]) == nil)
    for wrong in [
      SteeringOptions(
        layerStrengths: SteeringOptions.LayerStrengths([.init(1...1, 0.5)]),
        layers: LayerSelection("1")),
      .init(unit: .nats, layerStrengths: own),
    ] {
      expectRefusal(.usageOption) { try run(.bare, [.steer(AppliedVector(whole, wrong))]) }
    }
    // Every block that is named must have a vector.
    let some = try vector(["blocks.1.output", "blocks.4.output"])
    for text in ["1,3", "0", "4,5"] {
      expectRefusal(.artifactEmpty) {
        try run(.bare, [.steer(AppliedVector(some, .init(layers: LayerSelection(text))))])
      }
    }
    let missing = SteeringOptions.LayerStrengths([.init(1...1, 1), .init(2...3, 1)])
    expectRefusal(.artifactEmpty) {
      try run(.bare, [.steer(AppliedVector(some, .init(layerStrengths: missing)))])
    }
  }

  @Test func aDivergenceThatIsNotReachedTellsHowFarTheVectorGets() throws {
    let steered = try vector(["blocks.5.output"])
    let refusal = expectRefusal(.artifactScale) {
      try run(
        .bare, [.steer(AppliedVector(steered, .init(strength: 500, unit: .nats)))])
    }
    let words = (refusal?.found ?? "").split(separator: " ")
    let place = try #require(words.firstIndex(of: "most"))
    let most = try #require(Float(words[place + 1]))
    #expect(most > 1 && most < 500)
    // A slightly smaller divergence is reached.
    _ = try run(.bare, [.steer(AppliedVector(steered, .init(strength: 0.9 * most, unit: .nats)))])
  }

  /// The sum of squares overflows at 1e20, and the values themselves near 1e38.
  @Test(arguments: [Float(1e20), -1e20, 3e37])
  func aStrengthAtWhichTheModelOverflowsIsRefused(strength: Float) throws {
    for words in [["blocks.2.output"], ["blocks.5.output"], ["blocks.2.state.ssm"]] {
      let steered = try vector(words)
      for runner in [Runner.generate, .shadow, .lens] {
        expectRefusal(.modelNonfinite) {
          try run(runner, [.steer(AppliedVector(steered, .init(strength: strength)))])
        }
      }
    }
  }

  @Test func theSpeedOfATextOfFewerThanTwoTokensIsUnknown() throws {
    for count in 0...2 {
      let options = GenerationOptions(
        tokenCount: count, sampling: try SamplingOptions(temperature: 0), stopsAtEnd: false)
      let result = try Generator(model, tokenizer).generate(prompt, options)
      #expect((result.tokensPerSecond == nil) == (count < 2))
      #expect(result.tokensPerSecond ?? 1 > 0)
    }
  }

  @Test(arguments: ["3", "2-4", "1,3,10-12", "0,0"])
  func listsOfBlocksAreRead(text: String) {
    let selection = LayerSelection(text)
    #expect(selection?.description == text)
    #expect((0..<20).allSatisfy { selection?.contains($0) != nil })
  }

  @Test(arguments: ["", "-1", "3-", "4-2", "1,,2", "+3", "03", "1-2-3", "a"])
  func whatIsNoListOfBlocksIsRefused(text: String) {
    #expect(LayerSelection(text) == nil)
  }

  /// The tokens after the prompt are not known in advance. The tokens of the prompt are.
  @Test func idsOfTokensThatARunCannotReadAreRefused() throws {
    let size = model.description.vocabularySize
    let other = try #require((0..<size).first { !prompt.contains($0) })
    let vector = try vector(["residual"])
    func bind(_ positions: String, readingAfter count: Int) throws {
      let options = SteeringOptions(positions: PositionSelection(positions))
      _ = try Interventions([.steer(AppliedVector(vector, options))]).bind(
        to: BoundRun(
          model, tokenizer: tokenizer.digest, prompts: [prompt], from: model.initialState(),
          readingAfter: count))
    }
    for positions in ["token=\(size)", "last,token=\(Int.max)"] {
      for count in [0, 8] {
        let refusal = expectRefusal(.usageOption) { try bind(positions, readingAfter: count) }
        #expect(refusal?.place == .parameter("positions"))
        #expect(refusal?.expected.contains("\(size)") == true)
      }
    }
    for positions in ["token=\(other)", "last,token=\(other)"] {
      let refusal = expectRefusal(.usageNothingSteered) { try bind(positions, readingAfter: 0) }
      #expect(refusal?.found.contains("\(other)") == true)
      #expect(throws: Never.self) { try bind(positions, readingAfter: 1) }
    }
    #expect(throws: Never.self) { try bind("token=\(prompt[1])", readingAfter: 0) }
  }

  @Test func aTextThatContinuesAStateHasNoBeginningOfItsOwn() throws {
    let tokenizer = BoundedTokenizer(self.tokenizer, begin: [0, 0])
    let options = GenerationOptions(
      tokenCount: 6, sampling: try SamplingOptions(temperature: 0), stopsAtEnd: false)
    let whole = try Generator(model, tokenizer).generate(
      try tokenizer.encodeText("The film") + tokenizer.encode(" opens on"), options)
    var state = model.initialState()
    _ = try model.run(TokenBatch(tokenizer.encodeText("The film")), from: &state, logits: .none)
    let loaded = try State(
      SavedState(state.saved(by: reference).artifact), for: model.description,
      tokenizer: tokenizer.digest)
    let rest = try tokenizer.encodeText(" opens on", continues: true)
    #expect(!rest.contains(0))
    let continued = try Generator(model, tokenizer).generate(rest, from: loaded, options)
    #expect(continued.tokens == whole.tokens)
    #expect(continued.state.position == whole.state.position)
  }
}
