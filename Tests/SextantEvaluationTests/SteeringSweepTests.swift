import SextantArtifacts
import SextantBytes
import SextantEvaluation
import SextantGeneration
import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

/// Sweeps are compared with one whole run for each cell.
@Suite struct SteeringSweepTests {
  private static let fixtures = [
    "mamba-tiny/huggingface", "mamba2-tiny/huggingface", "rwkv-tiny/rwkv4/huggingface",
    "rwkv-tiny/rwkv5/huggingface", "rwkv-tiny/rwkv6/blinkdl", "rwkv-tiny/rwkv7/blinkdl",
    "llama-tiny/huggingface", "gpt-neox-tiny/huggingface", "btlm-tiny/huggingface",
  ]

  private func vector(
    _ model: ModelDescription, _ words: [String],
    _ operation: SteeringVector.Operation = .add
  ) throws -> SteeringVector {
    var random = SextantTestSupport.SplitMix64(seed: 3)
    let sites = try model.sites(named: words).filter { !$0.grows }
    return SteeringVector(
      model: model.reference(tokenizer: nil),
      vectors: sites.map { site in
        (site.reference, Tensor(random.floats(site.elementCount), shape: site.shape))
      },
      operation: operation,
      targets: Dictionary(
        uniqueKeysWithValues: sites.map {
          ($0.site.name, SteeringVector.Targets(negative: -0.5, positive: 0.5))
        }),
      training: .init(method: "random", positions: .last, data: JSONObject()),
      statistics: JSONObject())
  }

  /// The continuations of the items: of one token, of several, and of both kinds.
  private static let continuations: [(matching: [[Int]], other: [[Int]])] = [
    ([[91], [92]], [[93]]),
    ([[91, 5, 17]], [[93, 2, 40]]),
    ([[91], [92, 8]], [[93, 8, 1, 33]]),
    ([[4, 4, 4], [92]], [[91]]),
    ([[91, 3]], [[91, 6], [93]]),
  ]

  /// Prompts of several lengths, some of equal length.
  private func items() -> [ChoiceTest.Tokens] {
    var random = SextantTestSupport.SplitMix64(seed: 5)
    return zip([6, 4, 6, 7, 4], Self.continuations).map { length, continuations in
      ChoiceTest.Tokens(
        prompt: (0..<length).map { _ in random.int(below: 90) },
        matching: continuations.matching, other: continuations.other)
    }
  }

  /// An attention block has no state that is steered: there, both sets of sites are the residual stream.
  @Test func bothSetsAreTheResidualStreamInABlockWithoutState() throws {
    let model = try ConvertedModel("hybrids/checkpoints/granite_h").model
    let description = model.description
    let blocks = 0..<description.layerCount
    func hasState(_ block: Int) -> Bool {
      description.sites.contains { site in
        site.site.isState && !site.grows && site.site.block == block
      }
    }
    let attention = try #require(blocks.first { !hasState($0) })
    let mamba = try #require(blocks.first(where: hasState))
    let vector = try vector(description, ["all"])
    func sweep(_ layers: LayerSelection?, _ sites: [SteeredSites]) throws -> SteeringSweep {
      try SteeringSweep(
        model, tokenizer: nil, vector: vector, layers: layers, multipliers: [-1, 1], sites: sites)
    }
    let found = try sweep(LayerSelection(attention...attention), [.residual, .both])
      .run(on: items())
    for multiplier in [Float(-1), 1] {
      let cells = [SteeredSites.residual, .both].map {
        found.cell(layer: attention, sites: $0, multiplier: multiplier)
      }
      #expect(cells[0] != nil && cells[0]?.map(\.matching) == cells[1]?.map(\.matching))
    }
    let whole = try sweep(nil, [.residual, .state, .both]).run(on: items())
    #expect(whole.cell(layer: attention, sites: .both, multiplier: 1) != nil)
    #expect(whole.cell(layer: attention, sites: .state, multiplier: 1) == nil)
    #expect(whole.cell(layer: mamba, sites: .state, multiplier: 1) != nil)
    let refusal = expectRefusal(.artifactEmpty) {
      try sweep(LayerSelection(attention...attention), [.state])
    }
    #expect(refusal?.expected.hasSuffix("no part for state in these blocks") == true)
  }

  /// The log-probabilities of continuations: one whole run over each and its prompt, with the vector's
  /// part at one layer, as the applier does it. Continuations of one token have one run together.
  private func wholeRuns(
    _ model: any LanguageModel, _ vector: SteeringVector, _ sites: SteeredSites, layer: Int,
    _ options: SteeringOptions, _ item: ChoiceTest.Tokens
  ) throws -> (matching: [Double], other: [Double]) {
    let applied = AppliedVector(try vector.keeping(sites, layer: layer), options)
    var predictions: [[Int]: [LogProbabilities]] = [:]
    let score = { (continuation: [Int]) in
      let read = Array(continuation.dropLast())
      if predictions[read] == nil {
        var state = model.initialState()
        let bound = try Interventions([.steer(applied)]).bind(
          to: BoundRun(
            model, tokenizer: vector.model.tokenizer, prompts: [item.prompt], from: state,
            readingAfter: 1000))
        let logits = try model.run(
          TokenBatch(item.prompt + read), from: &state, logits: .all, tap: bound.tap)
        let after = logits.reshaped([logits.rowCount, logits.columnCount])
          .rows(item.prompt.count - 1..<item.prompt.count + read.count)
        predictions[read] = LogProbabilities.rows(after)
      }
      return zip(predictions[read] ?? [], continuation).reduce(0) { $0 + $1.0.values[$1.1] }
    }
    return (try item.matching.map(score), try item.other.map(score))
  }

  private func expectEqual(
    _ model: any LanguageModel, _ vector: SteeringVector, _ options: SteeringOptions,
    sites: [SteeredSites], rowLimit: Int = 256, items: [ChoiceTest.Tokens]? = nil
  ) throws {
    let multipliers: [Float] = [-1.5, 0, 1]
    let items = items ?? self.items()
    let result = try SteeringSweep(
      model, tokenizer: vector.model.tokenizer, vector: vector, options: options,
      multipliers: multipliers, sites: sites, rowLimit: rowLimit
    ).run(on: items)
    #expect(result.layers == Array(0..<model.description.layerCount))
    for set in sites {
      for layer in result.layers {
        for multiplier in multipliers {
          let cell = try #require(result.cell(layer: layer, sites: set, multiplier: multiplier))
          var own = options
          own.strength = multiplier
          for (item, outcome) in zip(items, cell) {
            let whole = try wholeRuns(model, vector, set, layer: layer, own, item)
            let matching = whole.matching.map(exponential).reduce(0, +)
            let other = whole.other.map(exponential).reduce(0, +)
            #expect(abs(outcome.matching - matching / (matching + other)) <= 1e-5)
            #expect(abs(outcome.nonsense - (1 - matching - other)) <= 1e-5)
            #expect(multiplier != 0 || outcome.divergence == 0)
          }
        }
      }
    }
  }

  @Test(arguments: fixtures)
  func aCellIsWhatAWholeRunGives(fixture: String) throws {
    let model = try ConvertedModel(fixture).model
    let hasState = model.description.stateLayout[0].contains { !$0.grows }
    let vector = try vector(model.description, hasState ? ["all"] : ["residual"])
    let sites: [SteeredSites] =
      hasState
      ? [.residual, .state, .both, .component(model.description.stateLayout[0][1].name)]
      : [.residual]
    for positions in ["last", "last-3,generated-2"] {
      try expectEqual(
        model, vector, SteeringOptions(positions: PositionSelection(positions)),
        sites: sites)
    }
  }

  @Test(arguments: SteeringVector.Operation.allCases)
  func everyOperationIsThatOfTheApplier(operation: SteeringVector.Operation) throws {
    let model = try ConvertedModel("mamba-tiny/huggingface").model
    try expectEqual(
      model, vector(model.description, ["all"], operation),
      SteeringOptions(positions: .last), sites: [.residual, .both])
  }

  @Test func sharesAndStatePositionsAreThoseOfTheApplier() throws {
    let model = try ConvertedModel("rwkv-tiny/rwkv5/huggingface").model
    let vector = try vector(model.description, ["all"])
    try expectEqual(
      model, vector, SteeringOptions(unit: .share, positions: .last), sites: [.residual, .state])
    try expectEqual(
      model, vector,
      SteeringOptions(positions: .last, statePositions: PositionSelection("-3,-1")),
      sites: [.state, .both])
  }

  @Test(arguments: ["all", "every-2", "-2,generated"])
  func tokensOfAContinuationAreSteeredAsGeneratedOnes(positions: String) throws {
    let model = try ConvertedModel("mamba-tiny/huggingface").model
    let vector = try vector(model.description, ["all"])
    let positions = PositionSelection(positions)
    try expectEqual(
      model, vector, SteeringOptions(positions: positions), sites: [.residual, .both])
    try expectEqual(
      model, vector,
      SteeringOptions(positions: positions, statePositions: PositionSelection("last,generated-1")),
      sites: [.state, .both])
  }

  @Test func onlyTokensOfContinuationsCanBeSteered() throws {
    let model = try ConvertedModel("rwkv-tiny/rwkv5/huggingface").model
    let options = SteeringOptions(positions: PositionSelection("generated"))
    let vector = try vector(model.description, ["all"])
    try expectEqual(
      model, vector, options, sites: [.residual, .both], items: Array(items().dropFirst()))
    // The first item has only continuations of one token, so that none of its tokens is steered.
    expectRefusal(.usageNothingSteered) {
      try expectEqual(model, vector, options, sites: [.residual])
    }
  }

  /// Probabilities that underflow, and more tokens than one run takes.
  @Test func longContinuationsAreComparedByTheirLogarithms() throws {
    let model = try ConvertedModel("mamba-tiny/huggingface").model
    var random = SextantTestSupport.SplitMix64(seed: 8)
    let long = (0..<300).map { _ in random.int(below: 90) }
    let item = ChoiceTest.Tokens(
      prompt: [3, 1, 4], matching: [long + [1]], other: [long + [2], long + [5]])
    let vector = try vector(model.description, ["all"])
    let options = SteeringOptions(positions: PositionSelection("last,every-3"))
    let result = try SteeringSweep(
      model, tokenizer: nil, vector: vector, options: options, multipliers: [1], sites: [.both]
    ).run(on: [item])
    for (multiplier, strength) in [(Float(0), Float(0)), (1, 1)] {
      var own = options
      own.strength = strength
      let runs = try wholeRuns(model, vector, .both, layer: 1, own, item)
      let whole = runs.matching + runs.other
      #expect(whole.allSatisfy { $0 < -800 && exponential($0) == 0 })
      let expected = 1 / (1 + exponential(whole[1] - whole[0]) + exponential(whole[2] - whole[0]))
      let cell = try #require(result.cell(layer: 1, sites: .both, multiplier: multiplier))
      #expect(abs(cell[0].matching - expected) <= 1e-4)
      #expect(cell[0].nonsense == 1)
    }
  }

  /// Answers of one token have the same bits for any answers of other items.
  @Test func answersOfOneTokenDoNotDependOnLongerOnesBesideThem() throws {
    let model = try ConvertedModel("mamba-tiny/huggingface").model
    let sweep = try SteeringSweep(
      model, tokenizer: nil, vector: vector(model.description, ["all"]), multipliers: [-1, 1],
      sites: [.residual, .both])
    var short = items()
    for index in short.indices {
      (short[index].matching, short[index].other) = ([[91], [92]], [[93]])
    }
    let (mixed, alone) = (try sweep.run(on: items()), try sweep.run(on: short))
    for layer in mixed.layers {
      for multiplier: Float in [-1, 0, 1] {
        let cells = try [mixed, alone].map {
          try #require($0.cell(layer: layer, sites: .both, multiplier: multiplier))
        }
        #expect(cells[0][0] == cells[1][0])
        #expect(cells[0].map(\.divergence) == cells[1].map(\.divergence))
      }
    }
  }

  @Test func batchesDoNotMatterBeyondRounding() throws {
    let model = try ConvertedModel("mamba-tiny/huggingface").model
    try expectEqual(
      model, vector(model.description, ["all"]), SteeringOptions(positions: .last),
      sites: [.residual, .both], rowLimit: 1)
  }

  @Test func whatCannotBeSweptIsRefused() throws {
    let model = try ConvertedModel("mamba-tiny/huggingface").model
    let residual = try vector(model.description, ["residual"])
    expectRefusal(.artifactEmpty) {
      try SteeringSweep(
        model, tokenizer: nil, vector: residual, multipliers: [1], sites: [.state])
    }
    expectRefusal(.usageNothingSteered) {
      try SteeringSweep(
        model, tokenizer: nil, vector: residual,
        options: SteeringOptions(positions: PositionSelection("generated")), multipliers: [1],
        sites: [.residual]
      ).run(on: items())
    }
    expectRefusal(.usageOption) {
      try SteeringSweep(
        model, tokenizer: nil, vector: residual,
        options: SteeringOptions(positions: PositionSelection("last,token=3")), multipliers: [1],
        sites: [.residual])
    }
    for (matching, code) in [
      ([] as [Int], Refusal.Code.dataRecord), ([1, 1 << 20], .modelToken),
    ] {
      expectRefusal(code) {
        try SteeringSweep(
          model, tokenizer: nil, vector: residual, multipliers: [1], sites: [.residual]
        ).run(on: [ChoiceTest.Tokens(prompt: [1], matching: [matching], other: [[2]])])
      }
    }
  }

  @Test func aSweepThatWouldNotFitIntoMemoryIsRefusedBeforeItsFirstItem() throws {
    let model = try ConvertedModel("mamba-tiny/huggingface").model
    let sweep = try SteeringSweep(
      model, tokenizer: nil, vector: vector(model.description, ["residual"]), multipliers: [1],
      sites: [SteeredSites("residual")])
    expectMemoryRefusal("the inputs of each block at 1 token") {
      _ = try sweep.run(on: [.init(prompt: [1, 2, 3], matching: [[4]], other: [[5]])]) { done, _ in
        Issue.record("\(done) items were measured")
      }
    }
  }
}
