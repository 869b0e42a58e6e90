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

/// Sweeps against one whole run for each cell.
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

  /// Prompts of several lengths, some of equal length.
  private func items() -> [ChoiceTest.Tokens] {
    var random = SextantTestSupport.SplitMix64(seed: 5)
    return [6, 4, 6, 7, 4].map { length in
      ChoiceTest.Tokens(
        prompt: (0..<length).map { _ in random.int(below: 90) }, matching: [91, 92], other: [93])
    }
  }

  /// A whole run with the vector's part at one layer, as the applier does it.
  private func wholeRun(
    _ model: any LanguageModel, _ vector: SteeringVector, _ sites: SteeredSites, layer: Int,
    _ options: SteeringOptions, _ item: ChoiceTest.Tokens
  ) throws -> [Double] {
    var state = model.initialState()
    let applied = AppliedVector(try vector.keeping(sites, layer: layer), options)
    let bound = try Interventions([.steer(applied)]).bind(
      to: BoundRun(model, tokenizer: nil, prompts: [item.prompt], from: state))
    let logits = try model.run(TokenBatch(item.prompt), from: &state, tap: bound.tap)
    return LogProbabilities(logits.values).values
  }

  private func expectEqual(
    _ model: any LanguageModel, _ vector: SteeringVector, _ options: SteeringOptions,
    sites: [SteeredSites], rowLimit: Int = 256
  ) throws {
    let multipliers: [Float] = [-1.5, 0, 0.25, 1]
    let items = items()
    let result = try SteeringSweep(
      model, tokenizer: nil, vector: vector, options: options, multipliers: multipliers,
      sites: sites, rowLimit: rowLimit
    ).run(on: items)
    #expect(result.layers == Array(0..<model.description.layerCount))
    for set in sites {
      for layer in result.layers {
        for multiplier in multipliers {
          let cell = try #require(result.cell(layer: layer, sites: set, multiplier: multiplier))
          var own = options
          own.strength = multiplier
          for (item, outcome) in zip(items, cell) {
            let p = try wholeRun(model, vector, set, layer: layer, own, item).map(exponential)
            let (matching, other) = (p[91] + p[92], p[93])
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
    for positions in ["last", "last-3"] {
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
  }
}
