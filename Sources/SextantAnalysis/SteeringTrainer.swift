import SextantArtifacts
import SextantBytes
import SextantModels
import SextantTokenizers

/// Learns steering vectors from contrast pairs.
///
/// Contrastive activation addition (Rimsky et al., arXiv 2312.06681; for recurrent models and
/// their states arXiv 2404.05971, sections 2 and 3): at each site the vector is computed from the
/// moments of the positive and the negative texts, which one pass collects.
package struct SteeringTrainer {
  private let model: any LanguageModel
  private let tokenizer: any Tokenizer
  private let estimator: SteeringEstimator
  private let sites: [SiteDescription]
  private let positions: PositionSelection
  private let kept: [SteeringMethod]
  private let batch: Int

  /// Learns vectors of `model`.
  ///
  /// - Parameters:
  ///   - estimator: how vectors are computed.
  ///   - sites: the sites to learn a vector for; residual stream and state.
  ///   - positions: where the texts are read.
  ///   - kept: methods whose moments to keep for later use, in addition to the estimator's.
  ///   - batch: pairs that run together; no bit of the vector depends on it.
  /// - Throws: `artifact.empty` for no sites, `artifact.site` for one that cannot have a vector.
  package init(
    _ model: any LanguageModel, _ tokenizer: any Tokenizer, estimator: SteeringEstimator,
    sites: [SiteDescription], positions: PositionSelection = .last,
    keeping kept: [SteeringMethod] = [],
    batch: Int = 16
  ) throws(Refusal) {
    guard !sites.isEmpty else {
      throw Refusal(.artifactEmpty, found: "no sites", expected: "at least one")
    }
    if let logits = sites.first(where: { $0.site == .logits }) {
      throw Refusal(
        .artifactSite, found: logits.site.name, expected: "the residual stream or the state")
    }
    if let shown = sites.first(where: \.isReadOnly) { throw Refusal(readOnly: shown.site) }
    self.model = model
    self.tokenizer = tokenizer
    self.estimator = estimator
    self.sites = sites
    self.positions = positions
    self.kept = kept
    self.batch = batch
  }

  /// Learns vectors by a method without further settings.
  ///
  /// - Throws: as the other initialiser.
  package init(
    _ model: any LanguageModel, _ tokenizer: any Tokenizer, method: SteeringMethod = .mean,
    sites: [SiteDescription], positions: PositionSelection = .last
  ) throws(Refusal) {
    try self.init(
      model, tokenizer, estimator: SteeringEstimator(method), sites: sites, positions: positions)
  }

  /// Reads the pairs and learns the vectors.
  ///
  /// The same pairs give the same bytes.
  ///
  /// - Returns: the vector, and the moments that it was computed from.
  /// - Throws: `data.*`, `model.*`, `artifact.nonfinite`, `artifact.empty` for a site that is too
  ///   large for the method.
  package func train(
    _ pairs: ContrastPairs, progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> (vector: SteeringVector, moments: MomentSet) {
    try checkSizes()
    let methods = kept + [estimator.method]
    let order: MomentOrder =
      methods.contains { $0.order == .covariance } ? .covariance : .variance
    let reader = MomentReader(model, positions: positions, order: order, batch: batch)
    let moments = try reader.read(
      pairs.tokenized(by: tokenizer), sites: sites,
      differences: methods.contains(where: \.needsDifferences) ? .covariance : nil,
      progress: progress)
    let vector = try estimator.vector(
      from: moments, at: positions, model: model.description.reference(tokenizer: tokenizer.digest),
      data: tokenizer.recordingBeginning(in: pairs.record), retraining: RetrainingRecord.new())
    return (vector, moments)
  }

  /// Refuses sizes before the pass over the data, because the pass can take hours.
  private func checkSizes() throws(Refusal) {
    let method = estimator.method
    guard method.order == .covariance || method.needsDifferences,
      let site = sites.first(where: { $0.elementCount > MomentSet.covarianceLimit })
    else { return }
    throw Refusal(
      .artifactEmpty, at: .tensor(site.site.name), found: counted(site.elementCount, "element"),
      expected: "at most \(counted(MomentSet.covarianceLimit, "element")) for a covariance matrix",
      remedy: "Leave the site out with `sites`, or use `method` mean or lda-diagonal.")
  }
}
