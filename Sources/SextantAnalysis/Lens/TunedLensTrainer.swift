import SextantArtifacts
import SextantBytes
import SextantCollective
import SextantModels
import SextantStore
import SextantTensor
import SextantTokenizers

/// How a tuned lens is trained; the defaults are the published recipe.
public struct TunedLensOptions: Sendable {
  /// The loss.
  public var loss = LensLoss.kl
  /// The optimiser.
  public var optimizer = TunedLensOptions.Optimizer()
  /// Steps.
  public var steps = 250
  /// Tokens that each step reads, rounded down to whole chunks.
  public var tokensPerStep = 1 << 18
  /// Train the biases alone, and leave the matrices as they start.
  public var isBiasOnly = false
  /// The seed of the order in which chunks are read.
  public var seed = 42

  /// The published recipe.
  public init() {}

  /// Sets the number of steps, and the tokens per step, for a number of passes over the texts.
  ///
  /// Given values are kept. The default for `steps` is the number in the recipe, or the number in
  /// the passes if it is smaller. The default for `tokensPerStep` is the recipe's number, or the
  /// tokens of the passes divided by the recipe's steps.
  ///
  /// - Parameters:
  ///   - passes: the largest number of times to read each chunk; ignored if steps are given.
  /// - Throws: `usage.option` for passes that have fewer tokens than a step.
  public mutating func fit(
    to corpus: TextCorpus, passes: Int, steps: Int?, tokensPerStep: Int?
  ) throws(Refusal) {
    let wanted = tokensPerStep ?? self.tokensPerStep
    let wholeChunks = wanted / corpus.chunkLength * corpus.chunkLength
    // Less than a chunk is refused by the training.
    self.tokensPerStep = wholeChunks > 0 ? wholeChunks : wanted
    if let steps {
      self.steps = steps
      return
    }
    let (chunkCount, overflow) = corpus.chunks.count.multipliedReportingOverflow(by: passes)
    guard passes > 0, !overflow else {
      throw Refusal(
        .usageOption, at: .parameter("passes"), found: "\(passes)", expected: "1 or more")
    }
    if tokensPerStep == nil {
      let share = max(chunkCount / self.steps, 1)
      self.tokensPerStep = min(self.tokensPerStep, share.multipliedClamping(by: corpus.chunkLength))
      self.tokensPerStep = max(self.tokensPerStep, corpus.chunkLength)
    }
    let possible = chunkCount / max(self.tokensPerStep / corpus.chunkLength, 1)
    guard possible > 0 else {
      throw Refusal(
        .usageOption, at: .parameter("tokensPerStep"), found: "\(self.tokensPerStep)",
        expected: "at most the \(counted(corpus.tokenCount, "token")) of a pass over the texts",
        remedy: "Lower `tokensPerStep`, or allow more `passes`.")
    }
    self.steps = min(self.steps, possible)
  }

  /// How often training reads each chunk, on average.
  public func passes(over corpus: TextCorpus) -> Double {
    Double(steps) * Double(tokensPerStep / corpus.chunkLength) / Double(corpus.chunks.count)
  }

  /// Options that a manifest records.
  init(_ node: JSONNode, seed: Int?) throws(Refusal) {
    let name = try node.member("loss")
    guard let loss = LensLoss(rawValue: try name.string()) else {
      throw name.refusal(expected: "a loss of lenses")
    }
    self.loss = loss
    optimizer = try TunedLensOptions.Optimizer(node)
    steps = try node.member("steps").integer(in: 1...Int(Int32.max))
    tokensPerStep = try node.member("tokens_per_step").integer(in: 1...1 << 40)
    isBiasOnly = try node.member("bias_only").boolean()
    if let seed { self.seed = seed }
  }

  /// As manifests record them.
  var json: JSONObject {
    var object = optimizer.json
    object["loss"] = .string(loss.rawValue)
    object["steps"] = .integer(Int64(steps))
    object["tokens_per_step"] = .integer(Int64(tokensPerStep))
    object["bias_only"] = .boolean(isBiasOnly)
    return object
  }
}

/// How far training is.
package struct LensProgress: Sendable {
  /// Tokens that were read in this run, and those that the whole run reads.
  package var tokens: (done: Int, total: Int)
  /// Steps taken so far.
  package var step: Int
  /// The loss of each site in the last step, nats per token, in the order of the sites; empty
  /// before the first.
  package var losses: [Double]
}

/// Trains a tuned lens (Belrose et al., arXiv 2303.08112): for each site a translation after which
/// the model's own readout predicts the model's final distribution as closely as possible.
///
/// Activations are never stored: the model reads each chunk again when its turn comes, and logits are
/// made for a tile of tokens at a time. The same command gives the same bytes.
package struct TunedLensTrainer {
  private let model: any LanguageModel
  private let corpus: TextCorpus
  private let tokenizer: Digest
  private let options: TunedLensOptions
  private let sites: [SiteDescription]
  private let data: JSONObject
  private let ranks: any Collective
  /// The sites that this rank trains, as places among all sites.
  private let owned: [Int]

  /// Trains on a model and texts.
  ///
  /// - Parameter ranks: the processes that train together; the bytes of the lens do not depend on them.
  /// - Throws: `usage.option` for options that make no training.
  package init(
    _ model: any LanguageModel, tokenizer: Digest, corpus: TextCorpus, options: TunedLensOptions,
    ranks: any Collective = Alone()
  ) throws(Refusal) {
    guard options.steps > 0, options.optimizer.warmUp >= 0, options.optimizer.warmUp < options.steps
    else {
      throw Refusal(
        .usageOption, at: .parameter("steps"),
        found: "\(counted(options.steps, "step")), \(options.optimizer.warmUp) to warm up",
        expected: "more steps than that")
    }
    guard options.tokensPerStep >= corpus.chunkLength else {
      throw Refusal(
        .usageOption, at: .parameter("tokensPerStep"), found: "\(options.tokensPerStep)",
        expected: "a chunk of \(counted(corpus.chunkLength, "token")) at least")
    }
    try options.optimizer.check()
    self.model = model
    self.tokenizer = tokenizer
    self.corpus = corpus
    self.options = options
    self.ranks = ranks
    sites = model.description.lensSites
    owned = ranks.owned(sites.count)
    data = corpus.record
  }

  /// Trains the lens, in one process.
  ///
  /// - Parameters:
  ///   - start: the translators to start from, and where they come from; nil for the identity.
  ///   - checkpoint: where to continue from.
  ///   - save: is given a checkpoint after each step that is a multiple of `interval`.
  ///   - progress: called after every batch.
  /// - Throws: `data.*`, `model.*`; `artifact.*` for a checkpoint of another training;
  ///   `artifact.nonfinite` if a loss is not finite.
  package func train(
    from start: Lens? = nil, resuming checkpoint: LensCheckpoint? = nil,
    saveEvery interval: Int = 0,
    save: (LensCheckpoint) throws(Refusal) -> Void = { _ in },
    progress: (LensProgress) -> Void = { _ in }
  ) throws(Refusal) -> Lens {
    guard
      let lens = try trainTogether(
        from: start, resuming: checkpoint, saveEvery: interval, save: save, progress: progress)
    else { preconditionFailure("one of several ranks") }
    return lens
  }

  /// Trains the lens. The ranks divide the texts of a step for reading, and the sites for all else: a rank
  /// has the translators and the optimiser's state of its own sites.
  ///
  /// - Parameters: as of `train`. All ranks have the start and the checkpoint; `save` is called on the
  ///   first rank.
  /// - Returns: the lens on the first rank; nil on the others.
  /// - Throws: as `train`; `usage.ranks` for ranks with other texts, models, options or starts.
  package func trainTogether(
    from start: Lens? = nil, resuming checkpoint: LensCheckpoint? = nil,
    saveEvery interval: Int = 0,
    save: (LensCheckpoint) throws(Refusal) -> Void = { _ in },
    progress: (LensProgress) -> Void = { _ in }
  ) throws(Refusal) -> Lens? {
    let reference = model.description.reference(tokenizer: tokenizer)
    var options = options.json
    options["start"] = try Self.origin(start)
    // Recorded only where it matters, so that exact lenses do not depend on how this is spelt.
    if Precision.current == .fast { options["precision"] = "fast" }
    try ranks.requireSame([
      ("model", reference.json.canonicalText),
      ("data", JSONValue.object(data).canonicalText),
      ("options", JSONValue.object(options).canonicalText), ("seed", "\(self.options.seed)"),
      ("checkpoint", checkpoint.map { "of step \($0.step)" } ?? "none"),
      ("interval of checkpoints", "\(interval)"),
    ])
    // For each site a matrix, its gradient, and the optimiser's state.
    let copies = 2 + self.options.optimizer.kind.memories.count
    try MemoryBudget.check(
      MemoryBudget.sum(
        owned.map {
          MemoryBudget.product(copies, sites[$0].elementCount, sites[$0].elementCount + 1, 4)
        }),
      for: "the translators of \(counted(owned.count, "site")) in training")
    let readout = TrainingReadout(model.readout)
    var parameters = LensParameters(
      try translators(start), self.options.optimizer, isBiasOnly: self.options.isBiasOnly)
    var (first, firstLosses) = (0, [Double]())
    if let checkpoint {
      try check(checkpoint, options, reference)
      parameters.restore(checkpoint.values.map { values in owned.map { values[$0] } })
      (first, firstLosses) = (checkpoint.step, checkpoint.firstLosses)
    }
    try checkInterval(interval, after: first)
    var order = ChunkOrder(count: corpus.chunks.count, seed: self.options.seed)
    let perStep = self.options.tokensPerStep / corpus.chunkLength
    var state = LensProgress(
      tokens: (0, (self.options.steps - first) * perStep * corpus.chunkLength), step: first,
      losses: [])
    var chunks: [[Int]] = []
    for step in first..<self.options.steps {
      chunks = (0..<perStep).map { corpus.chunks[order.chunk(at: step * perStep + $0)] }
      parameters.clearGradients()
      state.losses = try accumulate(
        chunks, &parameters, readout, trainsLast: self.options.loss != .kl
      ) { count in
        state.tokens.done += count
        progress(state)
      }
      if step == 0 { firstLosses = state.losses }
      parameters.step(
        step, of: self.options.steps, gradientNorm: try gradientNorm(of: parameters))
      state.step = step + 1
      progress(state)
      if interval > 0, state.step % interval == 0, state.step < self.options.steps {
        if let values = try gathered(parameters.snapshot) {
          try save(
            LensCheckpoint(
              model: reference, sites: sites.map(\.reference), step: state.step, options: options,
              data: data, seed: self.options.seed,
              memories: self.options.optimizer.kind.memories, firstLosses: firstLosses,
              values: values))
        }
      }
    }
    // The last step is not followed by one that shows its result, so its texts are read again.
    let finalLosses = try accumulate(
      chunks, &parameters, readout, trainsLast: self.options.loss != .kl)
    guard let trained = try gathered([parameters.translators])?.first else { return nil }
    return Lens(
      model: reference,
      translators: zip(sites, trained).map { ($0.reference, $1) },
      training: Lens.Training(
        method: "tuned", options: options, data: data, seed: self.options.seed,
        retraining: RetrainingRecord.new(
          start.map { [("start_options", .object($0.training.options))] } ?? [])),
      statistics: JSONObject(
        sites.indices.map { index in
          var figures = JSONObject([("last_loss", .number(state.losses[index]))])
          if firstLosses.count == sites.count {
            figures["first_loss"] = .number(firstLosses[index])
            // Recorded only where it matters, so that good lenses do not depend on it.
            if finalLosses[index] > max(firstLosses[index], state.losses[index]) {
              figures["final_loss"] = .number(finalLosses[index])
            }
          }
          return (sites[index].site.name, .object(figures))
        }))
  }

  // MARK: Ranks

  /// The norm of the gradients of all sites, added in one order for every number of ranks.
  private func gradientNorm(of parameters: LensParameters) throws(Refusal) -> Double {
    let own = parameters.squaredGradientNorms
    let all = try ordered(own.weights) + ordered(own.biases)
    return all.reduce(0, +).squareRoot()
  }

  /// Numbers of the owned sites, on every rank in the order of all sites.
  private func ordered(_ own: [Double]) throws(Refusal) -> [Double] {
    if ranks.size == 1 { return own }
    var message = Message()
    for value in own { message.put(value) }
    return try ranks.ordered(sites.count, ranks.share(message)) { reader throws(Refusal) in
      try reader.double()
    }
  }

  /// Lists of translators of the owned sites, on the first rank for all sites; nil on the others.
  private func gathered(_ own: [[Translator]]) throws(Refusal) -> [[Translator]]? {
    if ranks.size == 1 { return own }
    var message = Message()
    for place in owned.indices {
      for list in own { message.put(list[place]) }
    }
    guard let readers = try ranks.gather(message) else { return nil }
    let sites = try ranks.ordered(sites.count, readers) { reader throws(Refusal) in
      try own.map { _ throws(Refusal) in try reader.translator() }
    }
    return own.indices.map { list in sites.map { $0[list] } }
  }

  /// The start of the training, as manifests record it.
  private static func origin(_ start: Lens?) throws(Refusal) -> JSONValue {
    guard let start else { return "identity" }
    return [
      "method": .string(start.training.method), "data": .object(start.training.data),
      "sha256": .string(SHA256.digest(try start.artifact.bytes()).description),
    ]
  }

  /// The translators of the owned sites at the start.
  private func translators(_ start: Lens?) throws(Refusal) -> [Translator] {
    let sites = owned.map { self.sites[$0] }
    guard let start else { return sites.map { Translator(identity: $0.elementCount) } }
    try start.model.check(
      against: model.description.reference(tokenizer: tokenizer), allowingOther: false,
      file: start.file)
    return sites.map { site in
      start.translator(site.site.name) ?? Translator(identity: site.elementCount)
    }
  }

  /// Refuses an interval at which no checkpoint would be written.
  private func checkInterval(_ interval: Int, after first: Int) throws(Refusal) {
    guard interval > 0, (first / interval + 1) * interval >= options.steps else { return }
    throw Refusal(
      .usageOption, at: .parameter("checkpointEvery"), found: counted(interval, "step"),
      expected: "fewer: training ends after \(counted(options.steps, "step")), "
        + "and no checkpoint would be written",
      remedy: "Lower `checkpointEvery`, or write no checkpoints.")
  }

  /// Refuses the checkpoint of another training.
  private func check(
    _ checkpoint: LensCheckpoint, _ options: JSONObject, _ reference: ModelReference
  ) throws(Refusal) {
    try checkpoint.model.check(against: reference, allowingOther: false, file: checkpoint.file)
    try checkpoint.model.checkWeights(of: reference, file: checkpoint.file)
    guard checkpoint.seed.map({ $0 == self.options.seed }) ?? true else {
      throw Refusal(
        .artifactRetrain, file: checkpoint.file, at: .pointer("/seed"),
        found: "a checkpoint of the seed \(checkpoint.seed ?? 0)",
        expected: "\(self.options.seed), the seed of this training")
    }
    guard checkpoint.options == options, checkpoint.data == data,
      checkpoint.sites == sites.map(\.reference), checkpoint.step < self.options.steps,
      checkpoint.memories == self.options.optimizer.kind.memories
    else {
      throw Refusal(
        .artifactRetrain, file: checkpoint.file, found: "a checkpoint of other options or texts",
        expected: "the options and texts of this training")
    }
  }

  /// Adds the gradients of one step's chunks.
  ///
  /// - Parameters:
  ///   - parameters: of the owned sites.
  ///   - trainsLast: whether the stream that the model reads out is translated too. By divergence its
  ///     translation is the identity.
  /// - Returns: the mean loss of each site, owned or not.
  func accumulate(
    _ chunks: [[Int]], _ parameters: inout LensParameters, _ training: TrainingReadout,
    trainsLast: Bool,
    read: (Int) -> Void = { _ in }
  ) throws(Refusal) -> [Double] {
    let readout = training.readout
    let length = corpus.chunkLength
    // A chunk's last token has no next one.
    let counted = chunks.count * (options.loss == .kl ? length : length - 1)
    let last = trainsLast ? nil : sites.firstIndex { $0.site == model.description.lastSite }
    var sums = [Double](repeating: 0, count: owned.count)
    let reader = DividedResiduals(model, sites: sites.map(\.site), ranks)
    try reader.read(chunks) { tile throws(Refusal) in
      let target = ReadoutTarget(readout, residual: tile.last)  // [M, V]
      for index in owned.indices where owned[index] != last {
        let translated = parameters.translator(index)(tile.values[index])  // [M, D]
        let (losses, gradient) = training.lossGradient(
          options.loss, of: translated, target: target, next: tile.next, weight: 1 / Float(counted))
        parameters.add(gradient, tile.values[index], at: index)
        sums[index] += losses.reduce(0) { $0 + Double($1) }
        guard sums[index].isFinite else {
          throw Refusal(
            .artifactNonfinite, at: .tensor(sites[owned[index]].site.name),
            found: "a loss of \(sums[index])",
            expected: "a finite loss", remedy: "Lower the learning rate with `rateScale`.")
        }
      }
      read(tile.next.count)
    }
    return try ordered(sums.map { $0 / Double(counted) })
  }
}

extension Lens {
  /// The sites whose loss in the last step of training, or after it, was above that in the first: the
  /// lens is worse there than at the start.
  public var sitesMadeWorse: [String] {
    statistics.members.compactMap { site, figures in
      guard case .object(let figures) = figures, case .number(let first)? = figures["first_loss"],
        case .number(let last)? = figures["final_loss"] ?? figures["last_loss"], last > first
      else { return nil }
      return site
    }
  }
}

extension Int {
  /// The product, or the largest number if it is larger.
  fileprivate func multipliedClamping(by other: Int) -> Int {
    let (product, overflow) = multipliedReportingOverflow(by: other)
    return overflow ? .max : product
  }
}

extension TextCorpus {
  /// A manifest's record of the texts.
  package var record: JSONObject {
    let record = JSONObject([
      ("sha256", .string(digest.description)), ("documents", .integer(Int64(documentCount))),
      ("chunks", .integer(Int64(chunks.count))), ("chunk_length", .integer(Int64(chunkLength))),
    ])
    return BeginningRecord.adding(beginOfTextIDs, to: record)
  }
}
