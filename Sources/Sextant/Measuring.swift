import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantEvaluation
import SextantGeneration
import SextantModels
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
  ) throws(FormatError) -> LensEvaluation {
    try LensEvaluation(
      of: [NamedLens(name: training.method, lens: self)], model.model,
      tokenizer: model.tokenizer?.digest, on: corpus, allowsModelMismatch: allowsModelMismatch,
      progress: progress)
  }
}

extension Probe {
  /// A probe, and how well it predicts the label.
  public typealias Measured = (entry: ProbeEntry, measurement: ProbeMeasurement)

  /// Measures the probes on texts with labels, as `sextant probe eval` does: they read the same tokens as in
  /// training.
  ///
  /// - Parameter progress: receives records done and in all.
  /// - Returns: a measurement of each probe, in the order of `entries`.
  /// - Throws: `artifact.*` for probes of another model, `data.*`, `model.*`.
  public func evaluate(
    on records: SelectedRecords, with model: LoadedModel, allowsModelMismatch: Bool = false,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(FormatError) -> [Measured] {
    try self.model.check(
      against: model.reference, allowingOther: allowsModelMismatch, file: file)
    let activations = try model.activations(
      of: records, at: model.sites(sites.map(\.name)), training.positions, training.pooling,
      readsPairs: entries.contains { $0.input != .single }, progress)
    let labels = activations.records.map { records.labels[$0] }
    let outputs =
      activations.outputs.isEmpty
      ? nil : activations.records.map { Double(activations.outputs[$0]) }
    return entries.compactMap { entry in
      entry.scores(of: activations).map { scores in
        (
          entry,
          ProbeMeasurement(scores, labels, threshold: entry.threshold, outputs: outputs)
        )
      }
    }
  }
}

extension SteeringVector {
  /// Applies the vector at every block and strength, as the sweep of `sextant steer eval` does, and measures
  /// how probable the matching answers become. Blocks are chosen on one half of the test and reported on the
  /// other.
  ///
  /// - Parameters:
  ///   - strengths: 0, the baseline, is always measured.
  ///   - layers: the blocks to steer; nil for all that the vector has something for.
  ///   - sites: the groups of sites to steer together; nil for the residual stream, the state and
  ///     both, as far as the vector has them.
  ///   - positions: the tokens to steer.
  ///   - seed: of the halves and the intervals.
  ///   - progress: receives prompts done and in all.
  /// - Throws: `artifact.*` for a vector that does not fit the model, `data.*`, `model.*`.
  public func evaluate(
    on test: ChoiceTest, with model: LoadedModel,
    strengths: [Float] = [-3, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 3], layers: ClosedRange<Int>? = nil,
    sites: [SteeredSites]? = nil, positions: PositionSelection = .last, seed: UInt64 = 0,
    allowsModelMismatch: Bool = false, progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(FormatError) -> SweepSummary {
    let items = try test.tokenized(by: model.textTokenizer())
    let sweep = try SteeringSweep(
      model.model, tokenizer: model.tokenizer?.digest, vector: self,
      options: SteeringOptions(positions: positions, allowsModelMismatch: allowsModelMismatch),
      layers: layers.map { LayerSelection($0) }, multipliers: strengths,
      sites: sites ?? steeredSites)
    return SweepSummary(try sweep.run(on: items, progress: progress), seed: seed)
  }

  /// The groups of sites that the vector can steer.
  private var steeredSites: [SteeredSites] {
    let own = vectors.compactMap { Site(name: $0.site.name) }
    let has = { (set: SteeredSites) in own.contains(where: set.includes) }
    return [.residual, .state].filter(has) + (has(.residual) && has(.state) ? [.both] : [])
  }
}
