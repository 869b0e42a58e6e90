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

/// Cells of several blocks are compared with whole runs, and with sweeps.
@Suite struct SteeredCellsTests {
  private static let fixtures = [
    "mamba-tiny/huggingface", "mamba2-tiny/huggingface", "rwkv-tiny/rwkv7/blinkdl",
    "llama-tiny/huggingface", "gpt-neox-tiny/huggingface",
  ]

  private func vector(_ model: ModelDescription) throws -> SteeringVector {
    var random = SextantTestSupport.SplitMix64(seed: 3)
    let sites = try model.sites(named: ["all"]).filter { !$0.grows }
    return SteeringVector(
      model: model.reference(tokenizer: nil),
      vectors: sites.map { site in
        (site.reference, Tensor(random.floats(site.elementCount), shape: site.shape))
      }, training: .init(method: "random", positions: .last, data: JSONObject()),
      statistics: JSONObject())
  }

  private func items() -> [ChoiceTest.Tokens] {
    var random = SextantTestSupport.SplitMix64(seed: 5)
    return [6, 4, 6].enumerated().map { index, length in
      ChoiceTest.Tokens(
        prompt: (0..<length).map { _ in random.int(below: 90) },
        matching: index == 1 ? [[91, 5, 17]] : [[91], [92]],
        other: index == 1 ? [[93, 2, 40]] : [[93]])
    }
  }

  /// Cells of one block and of several, of each set of sites that the model has.
  private func cells(_ model: ModelDescription) -> [SteeringCell] {
    let last = model.layerCount - 1
    return [SteeredSites.residual, .state, .both].flatMap { sites in
      [
        SteeringCell(0...0, sites, strength: 0.5), SteeringCell(0...last, sites, strength: 0.25),
        SteeringCell(last...last, sites, strength: -1),
        SteeringCell(max(last - 1, 0)...last, sites, strength: 0.75),
      ]
    }
  }

  /// The part of the vector that a cell applies, as the applier applies it.
  private func applied(
    _ vector: SteeringVector, _ cell: SteeringCell, _ positions: PositionSelection
  ) -> Interventions {
    let kept = vector.keeping { reference in
      reference.site.map { site in
        site.block.map(cell.blocks.contains) == true && cell.sites.includes(site)
      } ?? false
    }
    guard !kept.vectors.isEmpty else { return [] }
    return [
      .steer(
        AppliedVector(kept, SteeringOptions(strength: cell.strength, positions: positions)))
    ]
  }

  /// The predictions of a whole run over tokens whose first ones are the prompt.
  private func predictions(
    _ model: any LanguageModel, _ tokens: [Int], promptCount: Int, _ interventions: Interventions
  ) throws -> [LogProbabilities] {
    var state = model.initialState()
    let bound = try interventions.bind(
      to: BoundRun(
        model, tokenizer: nil, prompts: [Array(tokens[..<promptCount])], from: state,
        readingAfter: tokens.count - promptCount))
    let logits = try model.run(
      TokenBatch(tokens), from: &state, logits: .all, tap: bound.tap)
    return Array(LogProbabilities.rows(logits)[(promptCount - 1)...])
  }

  @Test(arguments: fixtures, ["last,generated", "all"])
  func aBandOfBlocksIsWhatAWholeRunGives(fixture: String, positions: String) throws {
    let model = try ConvertedModel(fixture).model
    let vector = try vector(model.description)
    let selection = try #require(PositionSelection(positions))
    let prepared = try PreparedVector(
      vector, for: model, tokenizer: nil, SteeringOptions(positions: selection))
    let cells = cells(model.description)
    let found = try SteeredCells(prepared, cells).outcomes(on: items())
    for (cell, outcomes) in zip(cells, found.cells) {
      for (item, outcome) in zip(items(), outcomes) {
        let log = { (continuation: [Int]) throws -> Double in
          let rows = try predictions(
            model, item.prompt + continuation.dropLast(), promptCount: item.prompt.count,
            applied(vector, cell, selection))
          return zip(rows, continuation).reduce(0) { $0 + $1.0.values[$1.1] }
        }
        let matching = try item.matching.map { exponential(try log($0)) }.reduce(0, +)
        let other = try item.other.map { exponential(try log($0)) }.reduce(0, +)
        #expect(abs(outcome.matching - matching / (matching + other)) <= 1e-9, "\(cell)")
        #expect(abs(outcome.nonsense - (1 - matching - other)) <= 1e-9, "\(cell)")
      }
    }
  }

  @Test(arguments: fixtures, ["last,generated", "all", "last"])
  func theDivergenceOfATextIsThatOfWholeRuns(fixture: String, positions: String) throws {
    let model = try ConvertedModel(fixture).model
    let vector = try vector(model.description)
    let selection = try #require(PositionSelection(positions))
    let prepared = try PreparedVector(
      vector, for: model, tokenizer: nil, SteeringOptions(positions: selection))
    var random = SextantTestSupport.SplitMix64(seed: 9)
    let passages = (0..<3).map { _ in (0..<20).map { _ in random.int(below: 90) } }
    let cells = cells(model.description)
    let found = try SteeredCells(prepared, cells).divergences(on: passages, promptCount: 7)
    for (cell, divergences) in zip(cells, found) {
      for (passage, divergence) in zip(passages, divergences) {
        let plain = try predictions(model, passage, promptCount: 7, [])
        let steered = try predictions(
          model, passage, promptCount: 7, applied(vector, cell, selection))
        let expected =
          zip(plain, steered).reduce(0) { $0 + $1.0.divergence(of: $1.1) }
          / Double(plain.count)
        #expect(abs(divergence - expected) <= 1e-9 * max(expected, 1), "\(cell)")
      }
    }
  }

  /// The sharing of prefixes and batches changes no bit: a cell is the cell of a sweep.
  @Test func aCellHasTheBitsOfASweepBesideAnyOtherCells() throws {
    let model = try ConvertedModel("mamba-tiny/huggingface").model
    let vector = try vector(model.description)
    let positions = PositionSelection.fromLast
    let sweep = try SteeringSweep(
      model, tokenizer: nil, vector: vector, options: SteeringOptions(positions: positions),
      multipliers: [0.5, -1], sites: [.residual, .state, .both]
    ).run(on: items())
    let prepared = try PreparedVector(
      vector, for: model, tokenizer: nil, SteeringOptions(positions: positions))
    let cells = cells(model.description)
    for limit in [1, 3, 256] {
      let found = try SteeredCells(prepared, cells, rowLimit: limit).outcomes(on: items())
      var compared = 0
      for (cell, outcomes) in zip(cells, found.cells) where cell.blocks.count == 1 {
        guard
          let own = sweep.cell(
            layer: cell.blocks.lowerBound, sites: cell.sites, multiplier: cell.strength)
        else { continue }
        #expect(own == outcomes, "\(cell)")
        compared += 1
      }
      #expect(compared == 6)
      let alone = try cells.map { cell in
        try SteeredCells(prepared, [cell]).outcomes(on: items()).cells[0]
      }
      #expect(alone == found.cells)
    }
  }

  @Test func theDivergenceIsInfiniteWhereNumbersOverflow() throws {
    let model = try ConvertedModel("llama-tiny/huggingface").model
    let prepared = try PreparedVector(
      vector(model.description), for: model, tokenizer: nil, SteeringOptions(positions: .last))
    let cells = [Float(1e38), 0.1].map { SteeringCell(0...0, .residual, strength: $0) }
    let found = try SteeredCells(prepared, cells)
      .divergences(on: [Array(1...20)], promptCount: 8)
    #expect(found[0][0] == .infinity || found[0][0] > 0)
    #expect(found[1][0].isFinite && found[1][0] > 0)
  }
}
