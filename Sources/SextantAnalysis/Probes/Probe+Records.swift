import SextantArtifacts
import SextantBytes
import SextantModels
import SextantTokenizers

extension Probe {
  /// Trains probes on records with labels.
  ///
  /// The same records, model and seed give the same probes, bit for bit. `artifact.write(to:)` writes
  /// them.
  ///
  /// - Parameters:
  ///   - records: texts with labels; `SelectedRecords` has initialisers for files and for values.
  ///   - sites: where the probes read, such as `model.description.sites(named: ["residual"])`.
  ///   - positions: the tokens of each text that are examples.
  ///   - pooling: whether each of several tokens of a text is an example, or their mean is one.
  ///   - splitsHeads: train a probe for each head of sites whose first axis counts heads.
  ///   - progress: receives records read and in all.
  /// - Returns: the probes, and which ones were left out, in words.
  /// - Throws: `data.*` for records with one label, without choices for methods that need them, or
  ///   that do not differ; `usage.option` for positions that a text does not have; `artifact.site`,
  ///   `artifact.nonfinite`, `model.*`.
  package static func train(
    on records: SelectedRecords, _ model: any LanguageModel, _ tokenizer: any Tokenizer,
    sites: [SiteDescription], positions: PositionSelection = .last, pooling: Pooling = .each,
    methods: [ProbeMethod] = [.logistic], splitsHeads: Bool = false, seed: Int = 0,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> (probe: Probe, skipped: [String]) {
    let examples = try ProbeExamples(
      of: records, model, tokenizer, sites: sites, positions: positions, pooling: pooling,
      readsPairs: methods.contains(where: \.needsPairs), progress: progress)
    var trainer = ProbeTrainer(methods, seed: seed)
    trainer.splitsHeads = splitsHeads
    return try trainer.probe(
      of: examples.records, examples.activations,
      model: model.description.reference(tokenizer: tokenizer.digest), positions: positions,
      pooling: pooling)
  }

  /// Reads activations of records for some of the probes, in the same way as in their training.
  ///
  /// - Parameters:
  ///   - entries: the probes; nil for all.
  ///   - progress: receives records read and in all.
  /// - Throws: `artifact.model-digest`, `artifact.tokenizer-digest`, `artifact.width` for another
  ///   model; `artifact.site` for a site that the model does not have, or that has another shape;
  ///   the errors of `ActivationReader.read`.
  package func activations(
    of records: [LabelledRecord], for entries: [ProbeEntry]? = nil, _ model: any LanguageModel,
    _ tokenizer: any Tokenizer, allowsModelMismatch: Bool = false,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> Activations {
    let entries = entries ?? self.entries
    try self.model.check(
      against: model.description.reference(tokenizer: tokenizer.digest),
      allowingOther: allowsModelMismatch, file: file)
    var sites: [SiteDescription] = []
    let used = Set(entries.map { ExactString($0.site.name) })
    for site in self.sites where used.contains(ExactString(site.name)) {
      let own = try model.description.sites(named: [site.name])[0]
      guard own.reference == site else {
        throw Refusal(
          .artifactSite, file: file, at: .tensor(site.name), found: "\(own.shape) \(own.axes)",
          expected: "\(site.shape) \(site.axes)")
      }
      sites.append(own)
    }
    return try ActivationReader(
      model, positions: training.positions, pooling: training.pooling
    ).read(
      ChoicePrompts(records, tokenizer), sites: sites,
      readsPairs: entries.contains { $0.input != .single }, progress: progress)
  }
}
