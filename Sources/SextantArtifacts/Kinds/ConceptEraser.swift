import SextantBytes
import SextantStore
import SextantTensor

/// Erasers: affine maps after which no linear probe predicts a label better than chance, with the
/// smallest change of the activations (LEACE, Belrose et al., arXiv 2306.03819).
///
/// Tensors, all F64, for each site: `<site>.mean`, `<site>.left` and `<site>.right`, of the site's
/// shape; x becomes x - left (right · (x - mean)). Specification: `formats/eraser.md`.
public struct ConceptEraser: ArtifactKind, Sendable {
  /// `eraser`.
  package static let name = "eraser"
  /// 1.
  package static let version = 1
  /// Erasing with NaN would erase every token.
  package static let refusesNonfinite = true

  /// The model that the erasers were made from.
  public let model: ModelReference
  /// The erasers by site, in the model's order.
  public let erasers: [(site: SiteReference, eraser: ProbeEntry.Eraser)]
  /// The positions to erase at by default.
  public let positions: PositionSelection
  /// How they were made.
  public let training: Probe.Training
  /// The figures of the certificate, by site.
  public let statistics: JSONObject
  /// The file that they were read from, for refusals.
  public let file: String?

  private static let parts = ["mean", "left", "right"]

  /// New erasers.
  public init(
    model: ModelReference, erasers: [(site: SiteReference, eraser: ProbeEntry.Eraser)],
    positions: PositionSelection, training: Probe.Training, statistics: JSONObject
  ) {
    self.model = model
    self.erasers = erasers
    self.positions = positions
    self.training = training
    self.statistics = statistics
    file = nil
  }

  /// The erasers that an artifact contains.
  ///
  /// - Throws: `artifact.*`.
  public init(_ artifact: Artifact) throws(Refusal) {
    try Self.expect(artifact)
    let node = artifact.manifest.detailsNode(file: artifact.file)
    positions = try PositionSelection(node.member("positions"))
    let method = try node.member("method")
    guard try method.member("name").string() == "leace" else {
      throw try method.member("name").refusal(expected: "leace")
    }
    let poolingNode = try method.member("pooling")
    guard let pooling = Probe.Pooling(rawValue: try poolingNode.string()) else {
      throw poolingNode.refusal(expected: "each or mean")
    }
    training = Probe.Training(
      label: try node.member("label").string(),
      positions: try PositionSelection(method.member("positions")), pooling: pooling,
      data: try node.origin("data").object(), seed: try node.optionalMember("seed")?.integer() ?? 0,
      retraining: try node.optionalMember("retraining")?.object())
    statistics = try node.optionalMember("statistics")?.object() ?? JSONObject()
    model = artifact.manifest.model
    file = artifact.file
    try artifact.expectTensors(
      artifact.manifest.sites.flatMap { site in
        Self.parts.map { ExpectedTensor("\(site.name).\($0)", .f64, site.shape) }
      })
    erasers = artifact.manifest.sites.map { site in
      let values = Self.parts.map { part in
        artifact.tensor("\(site.name).\(part)").map { unsafe $0.withDoubles { unsafe Array($0) } }
          ?? []
      }
      return (site, ProbeEntry.Eraser(mean: values[0], left: values[1], right: values[2]))
    }
  }

  /// Reads a file of erasers.
  ///
  /// - Throws: `file.*`, `st.*`, `json.*`, `artifact.*`.
  public init(reading path: String) throws(Refusal) {
    try self.init(Artifact(reading: path))
  }

  /// The erasers as an artifact, ready to be written.
  public var artifact: Artifact {
    var details = JSONObject([
      ("positions", .string(positions.description)), ("label", .string(training.label)),
      (
        "method",
        [
          "name": "leace", "positions": .string(training.positions.description),
          "pooling": .string(training.pooling.rawValue),
        ]
      ),
      ("data", .object(training.data)), ("seed", .integer(Int64(training.seed))),
    ])
    details["retraining"] = training.retraining.map { .object($0) }
    if !statistics.members.isEmpty { details["statistics"] = .object(statistics) }
    let manifest = Manifest(
      kind: Self.name, kindVersion: Self.version, model: model, sites: erasers.map(\.site),
      details: details)
    let tensors = erasers.flatMap { site, eraser in
      [("mean", eraser.mean), ("left", eraser.left), ("right", eraser.right)].map { part, values in
        (name: "\(site.name).\(part)", value: Tensor(doubles: values, shape: site.shape))
      }
    }
    return Artifact(manifest: manifest, tensors: tensors)
  }

  /// Refuses artifacts of other kinds.
  package static func check(_ artifact: Artifact) throws(Refusal) {
    _ = try ConceptEraser(artifact)
  }
}
