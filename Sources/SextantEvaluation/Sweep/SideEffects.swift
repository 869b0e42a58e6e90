import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModels
import SextantTensor

/// The side effects on a steered model: its perplexity on a text, and its accuracy.
package enum SideEffects {
  /// The mean negative log-likelihood of a text, each token predicted from all before it, with a
  /// vector applied at every token.
  ///
  /// - Parameters:
  ///   - tokens: at least two ids; all except the first are predicted.
  ///   - vector: nil for the model as it is.
  /// - Returns: nats per token.
  /// - Throws: `data.empty` for fewer than two tokens; `artifact.*`, `model.*`.
  package static func loss(
    of model: any LanguageModel, tokenizer: Digest?, on tokens: [Int],
    applying vector: AppliedVector?
  ) throws(Refusal) -> Double {
    guard tokens.count > 1 else {
      throw Refusal(
        .dataEmpty, found: counted(tokens.count, "token"), expected: "a text of at least two")
    }
    var interventions = Interventions()
    if var applied = vector {
      applied.options.positions = PositionSelection([.all])
      applied.options.statePositions = nil
      interventions.items.append(.steer(applied))
    }
    var (state, sum) = (model.initialState(), 0.0)
    let tap = try interventions.bind(
      to: BoundRun(model, tokenizer: tokenizer, prompts: [tokens], from: state)
    ).tap
    for start in stride(from: 0, to: tokens.count - 1, by: 64) {
      let end = min(start + 64, tokens.count - 1)
      let logits = try model.run(
        TokenBatch(Array(tokens[start..<end])), from: &state, logits: .all, tap: tap)
      for (row, prediction) in try LogProbabilities.finiteRows(logits).enumerated() {
        sum -= prediction.values[tokens[start + 1 + row]]
      }
    }
    return sum / Double(tokens.count - 1)
  }

  /// For each item, whether the matching answer is more probable than the other, without and with
  /// steering.
  ///
  /// - Parameter sweep: of one layer, one set of sites and one strength.
  /// - Throws: the errors of the sweep.
  package static func accuracy(
    of sweep: SteeringSweep, on items: [ChoiceTest.Tokens]
  ) throws(Refusal) -> (plain: [Double], steered: [Double]) {
    let result = try sweep.run(on: items)
    let right = { (outcomes: [ChoiceOutcome]) in outcomes.map { $0.matching > 0.5 ? 1.0 : 0 } }
    guard let layer = result.layers.first, let sites = result.sites.first,
      let multiplier = result.multipliers.first,
      let steered = result.cell(layer: layer, sites: sites, multiplier: multiplier)
    else { return ([], []) }
    return (right(result.baseline.compactMap { $0 }), right(steered))
  }
}

extension SteeringVector {
  /// The vector at some of its sites only.
  ///
  /// - Throws: `artifact.empty` when none is left.
  package func keeping(
    _ sites: SteeredSites, layer: Int
  ) throws(Refusal) -> SteeringVector {
    let kept = keeping { reference in
      reference.site.map { $0.block == layer && sites.includes($0) } ?? false
    }
    guard !kept.vectors.isEmpty else {
      throw Refusal(
        .artifactEmpty, file: file, found: "no \(sites) in block \(layer)",
        expected: "a site of the vector")
    }
    return kept
  }
}
