import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantEvaluation
import SextantGeneration
import SextantStore
import SextantTokenizers

extension Lens {
  /// Measures the lens and the logit lens on texts, as `sextant lens eval` does: cross-entropy of
  /// the next token, divergence from the model's own predictions, entropy and agreement, by site.
  ///
  /// - Parameter progress: receives tokens done and in all.
  /// - Throws: `artifact.*` for the lens of another model, `model.*`.
  public func evaluate(
    on corpus: TextCorpus, with model: LoadedModel, allowsModelMismatch: Bool = false,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> LensEvaluation {
    try LensEvaluation(
      of: [NamedLens(name: training.method, lens: self)], model.model,
      tokenizer: model.tokenizer?.digest, on: corpus, allowsModelMismatch: allowsModelMismatch,
      progress: progress)
  }
}

extension Probe {
  /// Measures the probes on texts with labels, as `sextant probe eval` does: they read the same tokens as in
  /// training. Beside them are the model's own output and random directions.
  ///
  /// - Parameters:
  ///   - name: the probe to measure; nil for all.
  ///   - progress: receives records done and in all.
  /// - Throws: `artifact.empty` for a name that no probe has; `artifact.*` for probes of another model,
  ///   `data.*`, `model.*`.
  public func evaluate(
    on records: SelectedRecords, with model: LoadedModel, name: String? = nil,
    allowsModelMismatch: Bool = false,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> ProbeEvaluation {
    let entries = try chosen(name)
    let activations = try activations(
      of: records.records, for: entries, model.model, model.textTokenizer(),
      allowsModelMismatch: allowsModelMismatch, progress: progress)
    return ProbeEvaluation(of: entries, on: activations, labels: records.labels)
  }
}

extension SteeringVector {
  /// Applies the vector at every block and strength, as `sextant steer eval` does, and measures how probable
  /// the matching answers become, beside random directions of equal norm. Blocks are chosen on one half of
  /// the test and reported on the other. `SteeringExperiment` has more settings.
  ///
  /// - Parameters:
  ///   - strengths: 0, the baseline, is always measured.
  ///   - layers: the blocks to steer; nil for all that the vector has something for.
  ///   - sites: the groups of sites to steer together; nil for the residual stream, the state and
  ///     both, as far as the vector has them.
  ///   - positions: the tokens to steer.
  ///   - controls: random directions, as controls.
  ///   - seed: of the controls, the halves and the intervals.
  ///   - progress: receives prompts or controls done and in all.
  /// - Throws: `artifact.*` for a vector that does not fit the model, `data.*`, `model.*`.
  public func evaluate(
    on test: ChoiceTest, with model: LoadedModel,
    strengths: [Float] = SteeringExperiment.standardMultipliers, layers: ClosedRange<Int>? = nil,
    sites: [SteeredSites]? = nil, positions: PositionSelection = .last, controls: Int = 16,
    seed: UInt64 = 0, allowsModelMismatch: Bool = false,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> SteeringEvaluation {
    var experiment = SteeringExperiment(self, model.model, try model.textTokenizer())
    (experiment.multipliers, experiment.sites) = (strengths, sites)
    experiment.layers = layers.map { LayerSelection($0) }
    (experiment.positions, experiment.controlCount) = (positions, controls)
    (experiment.seed, experiment.allowsModelMismatch) = (seed, allowsModelMismatch)
    return try experiment.run(on: test, progress: progress)
  }
}
