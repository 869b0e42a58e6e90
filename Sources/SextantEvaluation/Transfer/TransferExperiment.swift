import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantModels
import SextantStore
import SextantTokenizers

/// Probes trained on one part of a quirky set and measured on others, at every site: the paper's
/// third experiment.
public struct TransferExperiment: Sendable {
  /// The parts that probes are trained on, by the labels of their own speaker.
  public var sources: [QuirkySubset]
  /// A part on which only the floor of the recovered gap is trained: a logistic regression on the last
  /// output that is read. Nil if `sources` contains the part.
  package var floorSource: QuirkySubset?
  /// The parts that they are measured on, against Alice's labels: the truth.
  public var targets: [QuirkySubset]
  /// The methods.
  public var methods: [ProbeMethod]
  /// The seed of random choices.
  public var seed: Int
  /// Random directions to measure on each target, as a control, at the sites of the earliest
  /// informative blocks.
  public var randomDirections = 0

  /// An experiment from some parts of a quirky set to others.
  public init(
    sources: [QuirkySubset], targets: [QuirkySubset], methods: [ProbeMethod], seed: Int = 0
  ) {
    (self.sources, self.targets) = (sources, targets)
    (self.methods, self.seed) = (methods, seed)
  }

  /// The field of each speaker's own label, and of the truth.
  private static let (ownLabel, truth) = ("label", "alice_label")
  /// The source and target of the recovered gap; floor and ceiling as in elk-generalization.
  private static let (floorPart, ceilingPart) = (
    (source: "B", target: "BH"), (source: "A", target: "AH")
  )

  /// Records with their activations.
  private struct Side {
    var records: [LabelledRecord]
    var activations: Activations
    var own: [Bool]
    var truth: [Bool]
  }

  /// Reads both files, trains and measures.
  ///
  /// - Parameters:
  ///   - training: the records to train on; `test`: those to measure on.
  ///   - sites: residual and state sites.
  ///   - positions: the tokens of each record that are read.
  ///   - progress: receives the step, `read` or `train`, and its records or sites done and in all.
  /// - Throws: `data.*` for records without the labels of both speakers, or a part with one label;
  ///   `usage.option`, `artifact.*`, `model.*`.
  public func run(
    _ model: any LanguageModel, _ tokenizer: any Tokenizer, training: LabelledRecords,
    test: LabelledRecords, sites: [SiteDescription],
    positions: PositionSelection = .last, pooling: Probe.Pooling = .each,
    progress: (_ step: String, _ done: Int, _ total: Int) -> Void = { _, _, _ in }
  ) throws(Refusal) -> TransferResult {
    let reader = ActivationReader(model, positions: positions, pooling: pooling)
    let learned = sources + [floorSource].compactMap { $0 }
    let first = training.records.count { record in learned.contains { $0.contains(record) } }
    let second = test.records.count { record in
      (learned + targets).contains { $0.contains(record) }
    }
    let train = try side(training, learned, tokenizer, reader, sites) {
      progress("read", $0, first + second)
    }
    let held = try side(test, learned + targets, tokenizer, reader, sites) {
      progress("read", first + $0, first + second)
    }
    var result = TransferResult(layerCount: model.description.layerCount)
    result.outputs = outputs(held)
    let lastOutput = Set(
      [
        sites.map(\.site).last { if case .output = $0 { true } else { false } }
      ].compactMap { $0 })
    var fitted: [(source: QuirkySubset, probes: [ProbeEntry])] = []
    for (place, source) in learned.enumerated() {
      // The floor is one probe.
      let isFloor = source == floorSource
      let activations = isFloor ? train.activations.keeping(lastOutput) : train.activations
      let part = activations.selecting { source.contains(train.records[$0]) }
      let trainer = ProbeTrainer(isFloor ? [.logistic] : methods, seed: seed)
      let trained = try trainer.train(part, labels: train.own) {
        if !isFloor { progress("train", place * $1 + $0, sources.count * $1) }
      }
      for note in trained.skipped where !result.skipped.contains(note) {
        result.skipped.append(note)
      }
      fitted.append((source, trained.entries))
    }
    for (source, probes) in fitted {
      let own = held.activations.selecting { source.contains(held.records[$0]) }
      for probe in probes {
        guard let scores = probe.scores(of: own) else { continue }
        let measured = ProbeMeasurement(scores, own.records.map { held.own[$0] })
        result.within.append(.init(source: source, target: source, probe: probe, measured))
      }
      for target in targets {
        let part = held.activations.selecting { target.contains(held.records[$0]) }
        guard part.count > 0 else { continue }
        let labels = part.records.map { held.truth[$0] }
        let outputs =
          part.outputs.isEmpty ? nil : part.records.map { Double(part.outputs[$0]) }
        for probe in probes {
          guard let scores = probe.scores(of: part) else { continue }
          let measured = ProbeMeasurement(
            scores, labels, threshold: probe.threshold, outputs: outputs)
          result.rows.append(.init(source: source, target: target, probe: probe, measured))
        }
      }
    }
    result.probes = fitted
    result.summarise(floor: Self.floorPart, ceiling: Self.ceilingPart)
    result.anomalies = anomalies(fitted, train, held)
    result.chance = chance(at: result.summaries, held)
    return result
  }

  private func side(
    _ file: LabelledRecords, _ parts: [QuirkySubset], _ tokenizer: any Tokenizer,
    _ reader: ActivationReader, _ sites: [SiteDescription], progress: (Int) -> Void
  ) throws(Refusal) -> Side {
    let everything = QuirkySubset(character: nil, difficulty: nil)
    // Only the records of the given parts are read.
    let needed = try SelectedRecords(file, label: Self.ownLabel, subset: everything) { record in
      parts.contains { $0.contains(record) }
    }
    let truth = try SelectedRecords(file, label: Self.truth, subset: everything) { record in
      parts.contains { $0.contains(record) }
    }
    let activations = try reader.read(
      ChoicePrompts(needed.records, tokenizer), sites: sites,
      readsPairs: methods.contains(where: \.needsPairs)
    ) { done, _ in progress(done) }
    return Side(
      records: needed.records, activations: activations, own: needed.labels, truth: truth.labels)
  }

  /// The model's own answers, measured like a probe.
  private func outputs(_ held: Side) -> [(target: QuirkySubset, measured: ProbeMeasurement)] {
    guard !held.activations.outputs.isEmpty else { return [] }
    return targets.compactMap { target in
      let own = held.records.indices.filter { target.contains(held.records[$0]) }
      guard !own.isEmpty else { return nil }
      let scores = own.map { Double(held.activations.outputs[$0]) }
      return (target, ProbeMeasurement(scores, own.map { held.truth[$0] }))
    }
  }

  /// Random directions at the sites of the summaries, on the same records.
  private func chance(
    at summaries: [TransferResult.Summary], _ held: Side
  ) -> [(target: QuirkySubset, measured: ProbeEvaluation.Chance)] {
    guard randomDirections > 0 else { return [] }
    return targets.flatMap { target -> [(target: QuirkySubset, measured: ProbeEvaluation.Chance)] in
      let part = held.activations.selecting { target.contains(held.records[$0]) }
      let labels = part.records.map { held.truth[$0] }
      return part.sites.compactMap { site in
        guard summaries.contains(where: { $0.target == target && $0.site.name == site.site.name }),
          let rows = part.values[site.site]
        else { return nil }
        let areas = RandomBaseline.areas(
          rows, labels, count: randomDirections, seed: UInt64(truncatingIfNeeded: seed))
        return areas.isEmpty
          ? nil : (target, ProbeEvaluation.Chance(site: site.site, areas: areas))
      }
    }
  }

  /// How well Bob's contexts can be detected from the distance of the scores across blocks from
  /// those in Alice's contexts.
  private func anomalies(
    _ fitted: [(source: QuirkySubset, probes: [ProbeEntry])], _ train: Side, _ held: Side
  ) -> [TransferResult.Anomaly] {
    guard let (source, probes) = fitted.first(where: { $0.source.description == "A" }),
      let bob = QuirkySubset("B")
    else { return [] }
    var found: [TransferResult.Anomaly] = []
    let normal = train.activations.selecting { source.contains(train.records[$0]) }
    let tested = held.activations.selecting { record in
      source.contains(held.records[record]) || bob.contains(held.records[record])
    }
    for (family, method) in probes.families {
      let own = probes.filter { $0.family == family && $0.method == method }
      let rows = { (part: Activations) -> [[Double]] in
        let columns = own.compactMap { $0.scores(of: part) }
        return part.records.indices.map { row in columns.map { $0[row] } }
      }
      guard let detector = AnomalyDetector(normal: rows(normal)) else { continue }
      let distances = rows(tested).map { detector.distance($0) }
      let isBob = tested.records.map { bob.contains(held.records[$0]) }
      guard let roc = ROC(distances, isBob) else { continue }
      found.append(.init(family: family, method: method, roc: roc))
    }
    return found
  }
}
