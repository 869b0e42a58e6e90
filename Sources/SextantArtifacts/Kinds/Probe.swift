import SextantBytes
import SextantStore
import SextantTensor

/// Linear probes, which predict a label from the residual stream or the recurrent state.
///
/// Tensors, all F64, for each probe: `<name>.direction` [n] or, if two activations are joined,
/// [2n]; `<name>.scale`, `<name>.bias` and `<name>.threshold` []; and `<name>.eraser.mean`,
/// `.left`, `.right` [n] if the method erases something first. Specification: `formats/probe.md`.
public struct Probe: ArtifactKind, Sendable {
  /// `probe`.
  package static let name = "probe"
  /// 1.
  package static let version = 1
  /// A score of NaN has no meaning.
  package static let refusesNonfinite = true

  /// How several positions of a text make examples.
  public enum Pooling: String, Sendable, CaseIterable {
    /// Each position is an example.
    case each
    /// The mean over the positions is one.
    case mean
  }

  /// How the probes were made.
  public struct Training: Sendable, Equatable {
    /// The field of the records that contains the label.
    public var label: String
    /// The positions that were read.
    public var positions: PositionSelection
    /// How several positions make examples.
    public var pooling: Pooling
    /// The description of the data: form, digest and counts, and the selected records.
    public var data: JSONObject
    /// The seed of the random numbers that were used.
    public var seed: Int
    /// The values that training again needs in addition to the others (`formats/artifact.md`); nil
    /// if they are not known.
    public var retraining: JSONObject?

    /// Describes a training.
    public init(
      label: String, positions: PositionSelection, pooling: Pooling, data: JSONObject, seed: Int,
      retraining: JSONObject? = nil
    ) {
      self.retraining = retraining
      self.label = label
      self.positions = positions
      self.pooling = pooling
      self.data = data
      self.seed = seed
    }
  }

  /// The model that the probes read.
  public let model: ModelReference
  /// The sites that they read, in the model's order.
  public let sites: [SiteReference]
  /// The probes.
  public let entries: [ProbeEntry]
  /// How they were made.
  public let training: Training
  /// Figures of each probe from training, by its name.
  public let statistics: JSONObject
  /// The file that they were read from, for refusals.
  public let file: String?

  /// New probes.
  public init(
    model: ModelReference, sites: [SiteReference], entries: [ProbeEntry], training: Training,
    statistics: JSONObject
  ) {
    self.model = model
    self.sites = sites
    self.entries = entries
    self.training = training
    self.statistics = statistics
    file = nil
  }

  /// The probes that an artifact contains.
  ///
  /// - Throws: `artifact.*`.
  public init(_ artifact: Artifact) throws(Refusal) {
    try Self.expect(artifact)
    let node = artifact.manifest.detailsNode(file: artifact.file)
    let pooling = try node.member("pooling")
    guard let known = Pooling(rawValue: try pooling.string()) else {
      throw pooling.refusal(expected: Pooling.allCases.map(\.rawValue).joined(separator: " or "))
    }
    training = Training(
      label: try node.member("label").string(),
      positions: try PositionSelection(node.member("positions")), pooling: known,
      data: try node.origin("data").object(), seed: try node.member("seed").integer(),
      retraining: try node.optionalMember("retraining")?.object())
    statistics = try node.optionalMember("statistics")?.object() ?? JSONObject()
    model = artifact.manifest.model
    sites = artifact.manifest.sites
    file = artifact.file
    let (descriptions, expected) = try Self.descriptions(node, sites)
    try artifact.expectTensors(expected)
    entries = descriptions.map { $0.filled(from: artifact) }
  }

  /// The probes that the manifest names, still without numbers, and the tensors that they need.
  private static func descriptions(
    _ node: JSONNode, _ sites: [SiteReference]
  ) throws(Refusal) -> ([ProbeEntry], [ExpectedTensor]) {
    var (entries, expected): ([ProbeEntry], [ExpectedTensor]) = ([], [])
    var seen: Set<ExactString> = []
    for element in try node.member("probes").elements() {
      let entry = try ProbeEntry(element, sites: sites)
      guard seen.insert(ExactString(entry.name)).inserted else {
        throw element.refusal(found: "\(entry.name) twice", expected: "each probe once")
      }
      entries.append(entry)
      expected += try entry.expectedTensors(element)
    }
    guard !entries.isEmpty else {
      throw Refusal(
        .artifactEmpty, file: node.file, at: .pointer("/probes"), found: "no probes",
        expected: "at least one")
    }
    return (entries, expected)
  }

  /// Reads a file of probes.
  ///
  /// - Throws: `file.*`, `st.*`, `json.*`, `artifact.*`.
  public init(reading path: String) throws(Refusal) {
    try self.init(Artifact(reading: path))
  }

  /// The probes of a name; all for nil.
  ///
  /// - Throws: `artifact.empty` for a name that no probe has.
  package func chosen(_ name: String?) throws(Refusal) -> [ProbeEntry] {
    guard let name else { return entries }
    let chosen = entries.filter { ExactString($0.name) == ExactString(name) }
    guard !chosen.isEmpty else {
      throw Refusal(
        .artifactEmpty, file: file, found: "no probe \(name)",
        expected: "one of \(entries.count)", remedy: "`sextant inspect` lists them.")
    }
    return chosen
  }

  /// The probes as an artifact, ready to be written.
  public var artifact: Artifact {
    var details = JSONObject([
      ("probes", .array(entries.map(\.json))), ("label", .string(training.label)),
      ("positions", .string(training.positions.description)),
      ("pooling", .string(training.pooling.rawValue)), ("data", .object(training.data)),
      ("seed", .integer(Int64(training.seed))),
    ])
    details["retraining"] = training.retraining.map { .object($0) }
    if !statistics.members.isEmpty { details["statistics"] = .object(statistics) }
    let manifest = Manifest(
      kind: Self.name, kindVersion: Self.version, model: model, sites: sites, details: details)
    return Artifact(manifest: manifest, tensors: entries.flatMap(\.tensors))
  }

  /// Refuses artifacts of other kinds.
  package static func check(_ artifact: Artifact) throws(Refusal) {
    _ = try Probe(artifact)
  }
}
