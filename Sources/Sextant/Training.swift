import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantEvaluation
import SextantModels
import SextantTokenizers

extension SteeringVector {
  /// Learns a vector from pairs of texts, as `sextant steer train` does: the same pairs and model give the
  /// same bytes.
  ///
  ///     let pairs = try ContrastPairs([(positive: "I love it.", negative: "I hate it.")])
  ///     let joy = try SteeringVector.train(on: pairs, for: model)
  ///     try joy.write(to: "joy.steer.safetensors")
  ///
  /// - Parameters:
  ///   - patterns: the sites to learn vectors for, as in `LoadedModel.record`.
  ///   - layers: the blocks to keep; nil keeps all.
  ///   - shrinkage: the share of a multiple of the identity in the covariance of `lda` and `ldaTotal`.
  ///   - positions: the tokens that are read.
  ///   - operation: the operation when the vector is applied.
  ///   - steered: the tokens to steer by default.
  ///   - progress: receives texts done and in all.
  /// - Throws: `artifact.site`, `usage.option`, `data.*`, `model.*`, `artifact.*`.
  public static func train(
    on pairs: ContrastPairs, for model: LoadedModel, at patterns: [String] = ["residual"],
    layers: ClosedRange<Int>? = nil, method: SteeringMethod = .mean, shrinkage: Double = 0,
    scale: SteeringMethod.Scale = .none, reading positions: PositionSelection = .last,
    operation: Operation = .add, steering steered: PositionSelection = .fromLast,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> SteeringVector {
    try SteeringTrainer(
      model.model, model.textTokenizer(),
      estimator: SteeringEstimator(method, shrinkage: shrinkage, scale: scale),
      sites: model.trainableSites(patterns, layers: layers), positions: positions
    ).train(pairs, progress: progress).vector.applied(as: operation, at: steered)
  }
}

extension Probe {
  /// Trains linear probes on texts with labels, as `sextant probe train` does: the same records and model
  /// give the same bytes.
  ///
  ///     let records = try SelectedRecords([("2 + 2 = 4", true), ("2 + 2 = 5", false)])
  ///     let truth = try Probe.train(on: records, for: model, at: ["all"])
  ///
  /// - Parameters:
  ///   - patterns: the sites to read, as in `LoadedModel.record`.
  ///   - layers: the blocks to keep; nil keeps all.
  ///   - methods: one probe for each at every site.
  ///   - splitsHeads: a probe for each head of states whose first axis counts heads.
  ///   - positions: the tokens that are read.
  ///   - pooling: whether several tokens of a text are an example each, or their mean is one.
  ///   - progress: receives records done and in all.
  /// - Throws: `artifact.site`, `data.*`, `model.*`.
  public static func train(
    on records: SelectedRecords, for model: LoadedModel, at patterns: [String] = ["residual"],
    layers: ClosedRange<Int>? = nil,
    methods: [ProbeMethod] = [.logistic, .meanDifference, .discriminant], splitsHeads: Bool = false,
    reading positions: PositionSelection = .last, pooling: Pooling = .each, seed: Int = 0,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> Probe {
    try train(
      on: records, model.model, model.textTokenizer(),
      sites: model.trainableSites(patterns, layers: layers),
      positions: positions, pooling: pooling, methods: methods, splitsHeads: splitsHeads,
      seed: seed, progress: progress
    ).probe
  }
}

extension ConceptEraser {
  /// Learns an eraser, which removes a label so that no linear probe finds it, as `sextant probe
  /// erase` does. A fifth of the records is held out, to measure the remaining signal.
  ///
  ///     let (eraser, certificate) = try ConceptEraser.train(on: records, for: model)
  ///     for row in certificate.rows { print(row.site.name, row.after?.area ?? 0) }
  ///
  /// - Parameters:
  ///   - patterns, layers, positions, pooling, progress: as for `Probe.train`.
  ///   - erased: the default tokens to erase at.
  /// - Returns: the eraser, and how well new probes predict the label before and after erasing.
  /// - Throws: `data.empty` unless both labels occur among the records to learn from and among those held
  ///   out; `artifact.site`, `artifact.width`, `data.*`, `model.*`.
  public static func train(
    on records: SelectedRecords, for model: LoadedModel, at patterns: [String] = ["residual"],
    layers: ClosedRange<Int>? = nil, reading positions: PositionSelection = .last,
    pooling: Probe.Pooling = .each, erasing erased: PositionSelection = PositionSelection([.all]),
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> (eraser: ConceptEraser, certificate: EraserCertificate) {
    try EraserTrainer.certifiedEraser(
      on: records, model.model, model.textTokenizer(),
      sites: model.trainableSites(patterns, layers: layers),
      positions: positions, pooling: pooling, applied: erased, progress: progress)
  }
}

/// How a lens is learned.
public enum LensMethod: Sendable {
  /// By gradient descent, from the identity or another lens. Without options: the published recipe,
  /// with fewer tokens per step if one pass over the texts is too short for it.
  case tuned(TunedLensOptions? = nil, from: Lens? = nil)
  /// In closed form from one pass over the texts.
  case ridge(RidgeLensOptions = RidgeLensOptions())
}

extension Lens {
  /// Learns a lens from texts, as `sextant lens train` does: the same texts and model give the same bytes.
  ///
  ///     let corpus = try model.corpus(reading: ["reviews.txt"])
  ///     let lens = try Lens.train(on: corpus, for: model, by: .ridge())
  ///
  /// - Parameter progress: receives tokens, or sites solved, done and in all.
  /// - Throws: `data.empty` for too little text, `usage.option` for options with which no step is trained,
  ///   `model.*`, `artifact.nonfinite`.
  public static func train(
    on corpus: TextCorpus, for model: LoadedModel, by method: LensMethod = .tuned(),
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> Lens {
    let digest = try model.textTokenizer().digest
    switch method {
    case .ridge(let options):
      return try RidgeLensTrainer(
        model.model, tokenizer: digest, corpus: corpus, options: options
      ).train { _, done, total in progress(done, total) }
    case .tuned(let given, let start):
      var options = given ?? TunedLensOptions()
      if given == nil { try options.fit(to: corpus, passes: 1, steps: nil, tokensPerStep: nil) }
      return try TunedLensTrainer(
        model.model, tokenizer: digest, corpus: corpus, options: options
      ).train(from: start, progress: { progress($0.tokens.done, $0.tokens.total) })
    }
  }
}

extension LoadedModel {
  /// Files of text for lenses, cut into chunks.
  ///
  /// - Parameters:
  ///   - paths: text, JSON lines, JSON arrays or tables; records have their text in `field`; nil for `text`.
  ///   - chunkLength: tokens of a chunk; nil for 2048, or the model's context length if that is less.
  ///   - limit: tokens to keep at most; nil keeps all.
  /// - Throws: `file.*`, `text.*`, `json.*`, `data.*`; `usage.option` for a chunk of fewer than 2 tokens, or
  ///   of more than the model's context length.
  public func corpus(
    reading paths: [String], chunkLength: Int? = nil, field: String? = nil, limit: Int? = nil
  ) throws(Refusal) -> TextCorpus {
    try TextCorpus(
      reading: paths, tokenizer: textTokenizer(), chunkLength: checkedChunkLength(chunkLength),
      field: field, limit: limit)
  }

  /// Texts for lenses, cut into chunks.
  ///
  /// - Throws: as for files.
  public func corpus(
    of texts: [String], chunkLength: Int? = nil, limit: Int? = nil
  ) throws(Refusal) -> TextCorpus {
    try TextCorpus(
      texts, tokenizer: textTokenizer(), chunkLength: checkedChunkLength(chunkLength), limit: limit)
  }

  /// Tokens of a chunk, which the model must be able to read.
  private func checkedChunkLength(_ asked: Int?) throws(Refusal) -> Int {
    guard let limit = description.context?.length else { return asked ?? 2048 }
    guard let asked else { return min(2048, limit) }
    guard asked <= limit else {
      throw Refusal(
        .usageOption, at: .parameter("chunk"), found: "\(asked)",
        expected: "at most \(limit), the model's context length")
    }
    return asked
  }
}
