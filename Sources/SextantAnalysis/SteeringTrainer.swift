import SextantArtifacts
import SextantBytes
import SextantCollective
import SextantModels
import SextantStore
import SextantTensor
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
  private let shards: Int?
  private let ranks: any Collective

  /// Learns vectors of `model`.
  ///
  /// - Parameters:
  ///   - estimator: how vectors are computed.
  ///   - sites: the sites to learn a vector for; residual stream and state.
  ///   - positions: where the texts are read.
  ///   - kept: methods whose moments to keep for later use, in addition to the estimator's.
  ///   - batch: pairs that run together; no bit of the vector depends on it.
  ///   - shards: parts into which the pairs are cut, each of which is summed on its own; the parts are then
  ///     added in their order. nil sums all pairs in one.
  ///   - ranks: the processes that train together; no bit depends on them.
  /// - Throws: `artifact.empty` for no sites, `artifact.site` for one that cannot have a vector.
  package init(
    _ model: any LanguageModel, _ tokenizer: any Tokenizer, estimator: SteeringEstimator,
    sites: [SiteDescription], positions: PositionSelection = .last,
    keeping kept: [SteeringMethod] = [],
    batch: Int = 16, shards: Int? = nil, ranks: any Collective = Alone()
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
    (self.shards, self.ranks) = (shards, ranks)
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
  /// The same pairs, and the same number of shards, give the same bytes.
  ///
  /// - Returns: the vector, on every rank, and the moments that it was computed from, of the sites that
  ///   this rank owns; in one process those of all sites.
  /// - Throws: `data.*`, `model.*`, `artifact.nonfinite`, `artifact.empty` for a site that is too
  ///   large for the method; `usage.option` for more shards than pairs; `usage.ranks` for ranks with other
  ///   pairs, models or settings.
  package func train(
    _ pairs: ContrastPairs, progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> (vector: SteeringVector, moments: MomentSet) {
    try checkSizes()
    let data = description(of: pairs)
    try ranks.requireSame([
      ("model", reference.json.canonicalText), ("data", JSONValue.object(data).canonicalText),
      ("settings", settings),
    ])
    let tokens = try pairs.tokenized(by: tokenizer)
    var whole: MomentSet?
    for range in try tokens.shards(shards ?? 1) {
      let part = try read(tokens.pairs(range)) { done, _ in
        progress(2 * range.lowerBound + done, 2 * tokens.count)
      }
      try whole?.merge(part)
      if whole == nil { whole = part }
    }
    guard let moments = whole else { preconditionFailure("no shards") }
    let vector = try estimator.vector(
      from: moments, sites: sites, ranks, at: positions, model: reference, data: data,
      retraining: RetrainingRecord.new())
    return (vector, moments)
  }

  /// Reads one of the shards.
  ///
  /// - Parameter shard: its number, from 0; the trainer has a number of shards.
  /// - Returns: the moments as an artifact, which `MomentShards` adds to those of the other shards.
  /// - Throws: as `train`; `usage.option` for a number that is not below that of the shards.
  package func moments(
    ofShard shard: Int, of pairs: ContrastPairs,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> Artifact {
    precondition(ranks.size == 1, "a shard is read by one process")
    try checkSizes()
    let tokens = try pairs.tokenized(by: tokenizer)
    let ranges = try tokens.shards(shards ?? 1)
    guard ranges.indices.contains(shard) else {
      throw Refusal(
        .usageOption, at: .parameter("shard"), found: "\(shard)",
        expected: "0 to \(ranges.count - 1)")
    }
    var data = description(of: pairs)
    data[ShardRecord.shard] = .integer(Int64(shard))
    return try read(tokens.pairs(ranges[shard]), progress).artifact(
      model: reference, data: data, positions: positions, retraining: RetrainingRecord.new())
  }

  private var reference: ModelReference {
    model.description.reference(tokenizer: tokenizer.digest)
  }

  /// A manifest's record of the pairs and their shards.
  package func description(of pairs: ContrastPairs) -> JSONObject {
    var data = tokenizer.recordingBeginning(in: pairs.record)
    if let shards { data[ShardRecord.shards] = .integer(Int64(shards)) }
    return data
  }

  /// The settings that decide how the work is divided and what is computed, for the comparison of ranks.
  private var settings: String {
    ([
      "\(estimator.method)", "\(estimator.shrinkage)", "\(estimator.scale)", "\(positions)",
      "\(batch)", Precision.current.rawValue,
    ] + kept.map(\.rawValue) + sites.map(\.site.name)).joined(separator: " ")
  }

  private func read(
    _ pairs: TokenPairs, _ progress: (_ done: Int, _ total: Int) -> Void
  ) throws(Refusal) -> MomentSet {
    let methods = kept + [estimator.method]
    let order: MomentOrder =
      methods.contains { $0.order == .covariance } ? .covariance : .variance
    return try MomentReader(
      model, positions: positions, order: order, batch: batch, ranks: ranks
    ).read(
      pairs, sites: sites,
      differences: methods.contains(where: \.needsDifferences) ? .covariance : nil,
      progress: progress)
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
