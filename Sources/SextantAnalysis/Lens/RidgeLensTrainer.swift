import SextantArtifacts
import SextantBytes
import SextantCollective
import SextantModels
import SextantStore
import SextantTensor
import SextantTokenizers

/// How a ridge lens is made.
public struct RidgeLensOptions: Sendable {
  /// One of this number of chunks is held out, to choose how strongly W is pulled to zero.
  public var heldOutEvery = 10
  /// Tokens on which the lens is fitted by divergence in the end; 0 leaves it as regression makes it.
  public var calibrationTokens = 8192
  /// Steps of that fit at most.
  public var calibrationSteps = 12
  /// Steps, at most, of a fit of matrix and bias together that follows it; 0 for none.
  public var refinementSteps = 12
  /// The strengths to choose from, in units of the mean variance of a site's channels.
  public var strengths = (-16...4).map { exponent in RidgeLensOptions.power(exponent) }

  /// The defaults.
  public init() {}

  /// 10 to the power of half of `exponent`.
  private static func power(_ exponent: Int) -> Double {
    let whole = (0..<abs(exponent) / 2).reduce(1.0) { product, _ in product * 10 }
    let size = abs(exponent) % 2 == 0 ? whole : whole * 3.162_277_660_168_379_5
    return exponent < 0 ? 1 / size : size
  }

  /// Options that a manifest records.
  init(_ node: JSONNode) throws(Refusal) {
    heldOutEvery = try node.member("held_out_every").integer(in: 2...Int(Int32.max))
    calibrationTokens = try node.member("calibration_tokens").integer()
    calibrationSteps = try node.member("calibration_steps").integer()
    refinementSteps = try node.member("refinement_steps").integer()
    var strengths: [Double] = []
    for element in try node.member("strengths").elements() {
      strengths.append(try element.number())
    }
    guard !strengths.isEmpty else { throw node.refusal(expected: "strengths") }
    self.strengths = strengths
  }

  /// As manifests record them.
  var json: JSONObject {
    JSONObject([
      ("held_out_every", .integer(Int64(heldOutEvery))),
      ("calibration_tokens", .integer(Int64(calibrationTokens))),
      ("calibration_steps", .integer(Int64(calibrationSteps))),
      ("refinement_steps", .integer(Int64(refinementSteps))),
      ("strengths", .array(strengths.map { .number($0) })),
    ])
  }
}

/// Makes a lens in closed form from one pass over the texts: for each site the ridge regression of
/// the stream that the model reads out on the stream there.
///
/// The final norm divides every stream by its length, so that the length of the stream has no
/// effect on the readout. The regression's target is therefore the stream, scaled to one length.
/// The regression also loses the length of its result, and with it the confidence of the lens. Its
/// bias, D numbers for each site, restores this confidence: it is fitted by divergence on a few
/// thousand tokens. A few steps of L-BFGS over matrix and bias follow, in coordinates in which the
/// stream is white. A step that does not help on held-out tokens is not kept.
package struct RidgeLensTrainer {
  private let model: any LanguageModel
  private let tokenizer: Digest
  private let corpus: TextCorpus
  private let options: RidgeLensOptions
  private let sites: [SiteDescription]
  private let ranks: any Collective
  /// The sites that this rank solves, as places among all sites.
  private let owned: [Int]

  /// Makes lenses of a model from texts.
  ///
  /// - Parameter ranks: the processes that make the lens together; its bytes do not depend on them.
  /// - Throws: `data.empty` for texts of which no chunk can be held out.
  package init(
    _ model: any LanguageModel, tokenizer: Digest, corpus: TextCorpus,
    options: RidgeLensOptions = RidgeLensOptions(), ranks: any Collective = Alone()
  ) throws(Refusal) {
    guard corpus.chunks.count >= 2, options.heldOutEvery >= 2 else {
      throw Refusal(
        .dataEmpty, found: "\(corpus.chunks.count) chunk of text",
        expected: "at least two chunks, one of them held out",
        remedy: "Give more text, or a shorter `chunk`.")
    }
    self.model = model
    self.tokenizer = tokenizer
    self.corpus = corpus
    self.options = options
    self.ranks = ranks
    sites = model.description.lensSites
    owned = ranks.owned(sites.count)
  }

  /// The moments of the sites that this rank owns, for the regression and held out.
  struct Reading {
    var training: [JointMoments]
    var heldOut: [JointMoments]
    /// The mean square of a channel of the stream that is read out.
    var targetSquare = 0.0
    /// Rows to fit biases on, by site, and the rows that the model reads out.
    var sample: [[Tensor]]
    var sampleTarget: [Tensor] = []
    /// The same of chunks that are held out.
    var heldOutSample: [[Tensor]]
    var heldOutTarget: [Tensor] = []
  }

  /// Makes the lens, in one process.
  ///
  /// - Parameter progress: called with the number of tokens read, then of the sites solved.
  /// - Throws: `model.*`; `artifact.nonfinite` for a stream that is not finite.
  package func train(
    progress: (_ title: String, _ done: Int, _ total: Int) -> Void = { _, _, _ in }
  ) throws(Refusal) -> Lens {
    guard let lens = try trainTogether(progress: progress) else {
      preconditionFailure("one of several ranks")
    }
    return lens
  }

  /// Makes the lens. The ranks divide the texts for reading, and the sites for all else.
  ///
  /// - Parameter everywhere: whether every rank gets the lens, as the start of a tuned lens.
  /// - Returns: the lens on the first rank; nil on the others unless they get it.
  /// - Throws: as `train`; `usage.ranks` for ranks with other texts or models.
  package func trainTogether(
    everywhere: Bool = false,
    progress: (_ title: String, _ done: Int, _ total: Int) -> Void = { _, _, _ in }
  ) throws(Refusal) -> Lens? {
    let reference = model.description.reference(tokenizer: tokenizer)
    try ranks.requireSame([
      ("model", reference.json.canonicalText),
      ("data", JSONValue.object(corpus.record).canonicalText),
      ("options", JSONValue.object(options.json).canonicalText),
    ])
    // For each site, two scatter matrices of the training rows and two of the held-out rows.
    try MemoryBudget.check(
      MemoryBudget.sum(
        owned.map { MemoryBudget.product(4, sites[$0].elementCount, sites[$0].elementCount, 8) }),
      for:
        "the moments of \(counted(owned.count, "site")) of \(counted(sites.first?.elementCount ?? 0, "element"))"
    )
    let reading = try read { progress("read", $0, corpus.tokenCount) }
    var message = Message()
    var own: [Solved] = []
    for (place, index) in owned.enumerated() {
      let solved = try solve(place, reading)
      if ranks.size == 1 { own.append(solved) } else { solved.put(into: &message) }
      progress("solve", index + 1, sites.count)
    }
    if ranks.size > 1 {
      let readers = try everywhere ? ranks.share(message) : ranks.gather(message)
      guard let readers else { return nil }
      own = try ranks.ordered(sites.count, readers) { reader throws(Refusal) in
        try Solved(&reader)
      }
    }
    var statistics = JSONObject()
    for (site, solved) in zip(sites, own) where !solved.figures.isEmpty {
      statistics[site.site.name] = .object(
        JSONObject(
          zip(["strength", "held_out_error", "explained"], solved.figures).map {
            ($0, .number($1))
          }))
    }
    return Lens(
      model: reference, translators: zip(sites, own).map { ($0.reference, $1.translator) },
      training: Lens.Training(
        method: "ridge", options: options.json, data: corpus.record,
        retraining: RetrainingRecord.new()),
      statistics: statistics)
  }

  /// The result of one site.
  private struct Solved {
    var translator: Translator
    /// The strength, the error on held-out chunks, and the explained share; empty for the last site.
    var figures: [Double]

    init(translator: Translator, figures: [Double]) {
      (self.translator, self.figures) = (translator, figures)
    }

    init(_ reader: inout MessageReader) throws(Refusal) {
      translator = try reader.translator()
      figures = try reader.doubles()
    }

    func put(into message: inout Message) {
      message.put(translator)
      message.put(figures)
    }
  }

  /// Reads all chunks once.
  private func read(_ progress: (Int) -> Void) throws(Refusal) -> Reading {
    let empty = owned.map { JointMoments(width: sites[$0].elementCount) }
    var reading = Reading(
      training: empty, heldOut: empty, sample: owned.map { _ in [] },
      heldOutSample: owned.map { _ in [] })
    let last = sites.firstIndex { $0.site == model.description.lastSite }
    let norm = model.readout.norm
    var done = 0
    // Spread over the whole text.
    let stride = max(1, corpus.tokenCount / max(options.calibrationTokens, 1))
    for isHeldOut in [false, true] {
      let chunks = corpus.chunks.enumerated()
        .filter {
          ($0.offset % options.heldOutEvery == options.heldOutEvery - 1) == isHeldOut
            || corpus.chunks.count < options.heldOutEvery && isHeldOut == ($0.offset == 0)
        }.map(\.element)
      try DividedResiduals(model, sites: sites.map(\.site), ranks).read(chunks, rows: 512) { tile in
        let target = norm.unit(tile.last)  // [M, D]
        for index in owned.indices where owned[index] != last {
          if isHeldOut {
            reading.heldOut[index].add(tile.values[index], target)
          } else {
            reading.training[index].add(tile.values[index], target)
          }
        }
        let readOut = Tensor(copying: tile.last)
        reading.targetSquare += Kernels.squaredNorm(readOut) / Double(readOut.columnCount)
        let rows = tile.next.indices.filter { (done + $0) % stride == 0 }
        if options.calibrationTokens > 0, !rows.isEmpty {
          let targets = Kernels.gather(readOut, rows: rows)
          let values = tile.values.map { Kernels.gather(Tensor(copying: $0), rows: rows) }
          if isHeldOut {
            reading.heldOutTarget.append(targets)
            for index in owned.indices { reading.heldOutSample[index].append(values[index]) }
          } else {
            reading.sampleTarget.append(targets)
            for index in owned.indices { reading.sample[index].append(values[index]) }
          }
        }
        done += tile.next.count
        progress(done)
      }
    }
    reading.targetSquare /= Double(max(done, 1))
    return reading
  }

  /// The best regression of one site, fitted to the divergence.
  ///
  /// - Parameter index: a place among the owned sites.
  private func solve(_ index: Int, _ reading: Reading) throws(Refusal) -> Solved {
    let site = sites[owned[index]]
    guard site.site != model.description.lastSite else {
      return Solved(translator: Translator(identity: site.elementCount), figures: [])
    }
    let unit = reading.targetSquare.squareRoot()
    let training = reading.training[index].scalingTarget(by: unit)
    let heldOut = reading.heldOut[index].scalingTarget(by: unit)
    var all = training
    all.merge(heldOut)
    guard let trial = RidgeSolution(training), let solution = RidgeSolution(all) else {
      throw Refusal(
        .artifactNonfinite, at: .tensor(site.site.name),
        found: "a residual stream that is not finite", expected: "finite numbers",
        remedy: "Check the weights with `sextant verify`.")
    }
    let errors = options.strengths.map { trial.error(lambda: $0 * trial.unit, on: heldOut) }
    let best = errors.indices.min { errors[$0] < errors[$1] } ?? 0
    let strength = options.strengths[best]
    let spread = heldOut.targetScatter / Double(max(heldOut.count, 1))
    let translator = solution.translator(lambda: strength * solution.unit)
    return Solved(
      translator: calibrated(translator, index, reading),
      figures: [strength, errors[best], spread > 0 ? 1 - errors[best] / spread : 0])
  }

  /// The translator, fitted to the divergence on the sample.
  private func calibrated(_ translator: Translator, _ index: Int, _ reading: Reading) -> Translator
  {
    guard options.calibrationTokens > 0 else { return translator }
    let fit = LensFit(
      model.readout, unit: reading.targetSquare.squareRoot(), rows: reading.sample[index],
      targets: reading.sampleTarget)
    let check = LensFit(
      model.readout, unit: reading.targetSquare.squareRoot(), rows: reading.heldOutSample[index],
      targets: reading.heldOutTarget)
    var best = (translator: translator, loss: check.loss(translator))
    // Each is kept only if it helps on held-out tokens.
    let biased = fit.fittingBias(of: translator, steps: options.calibrationSteps)
    if case let loss = check.loss(biased), loss < best.loss { best = (biased, loss) }
    let refined = fit.fittingAll(
      of: best.translator, steps: options.refinementSteps, moments: reading.training[index])
    if let refined, check.loss(refined) < best.loss { return refined }
    return best.translator
  }
}
