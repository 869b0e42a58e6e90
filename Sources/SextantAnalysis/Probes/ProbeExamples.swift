import SextantArtifacts
import SextantBytes
import SextantCollective
import SextantModels
import SextantStore
import SextantTensor
import SextantTokenizers

/// What a model computes of records: what probes and erasers are learned from.
package struct ProbeExamples: Sendable {
  /// What was read, at the sites that this rank owns.
  package let activations: Activations
  /// All sites.
  package let sites: [SiteDescription]
  /// The records, described with the tokens that were put before their texts.
  package let records: SelectedRecords

  /// Reads records.
  ///
  /// - Parameters:
  ///   - positions, pooling: the tokens that are read, and whether several of a text are an example each.
  ///   - readsPairs: whether the activations after both choices are read too.
  ///   - progress: receives records done and in all.
  /// - Throws: what `ActivationReader.read` throws.
  package init(
    of records: SelectedRecords, _ model: any LanguageModel, _ tokenizer: any Tokenizer,
    sites: [SiteDescription], positions: PositionSelection, pooling: Probe.Pooling,
    readsPairs: Bool = false, ranks: any Collective = Alone(),
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) {
    self.sites = sites
    activations = try ActivationReader(
      model, positions: positions, pooling: pooling, ranks: ranks
    ).read(
      ChoicePrompts(records.records, tokenizer, needsChoices: readsPairs), sites: sites,
      readsPairs: readsPairs,
      progress: progress)
    var records = records
    records.description = tokenizer.recordingBeginning(in: records.description)
    self.records = records
  }

  /// Takes what a capture recorded of the records' texts.
  ///
  /// - Parameters:
  ///   - sites: the sites to take; nil for all that the capture has.
  ///   - layers: the blocks to keep; nil keeps all.
  /// - Throws: `artifact.*` for a capture of another model; `data.record` for one of other texts; what
  ///   `Activations` throws.
  package init(
    of records: SelectedRecords, capture path: String, _ model: ModelDescription,
    _ tokenizer: any Tokenizer, sites: [String]?, layers: LayerSelection?,
    positions: PositionSelection, pooling: Probe.Pooling, ranks: any Collective = Alone()
  ) throws(Refusal) {
    let file = try Artifact(reading: path)
    try file.manifest.model.check(
      against: model.reference(tokenizer: tokenizer.digest), allowingOther: false, file: path)
    try file.manifest.model.checkWeights(
      of: model.reference(tokenizer: tokenizer.digest), file: path)
    try Self.checkPrecision(of: file)
    let all = try Activations(
      capture: file, of: ChoicePrompts(records.records, tokenizer, needsChoices: false).prompts,
      model: model,
      sites: sites, layers: layers, positions: positions, pooling: pooling)
    self.sites = all.sites
    activations = all.owned(by: ranks)
    var records = records
    records.description[BeginningRecord.key] = file.manifest.details[BeginningRecord.key]
    self.records = records
  }

  /// Refuses a capture of another precision: the probe would record a run that did not happen.
  private static func checkPrecision(of capture: Artifact) throws(Refusal) {
    let precision = try Capture.precision(of: capture)
    guard precision == Precision.current else {
      throw Refusal(
        .dataRecord, file: capture.file, at: .pointer("/precision"),
        found: "a capture of the precision \(precision.rawValue)",
        expected: "`precision` \(Precision.current.rawValue)",
        remedy: "Give `precision` \(precision.rawValue), or capture again.")
    }
  }
}
