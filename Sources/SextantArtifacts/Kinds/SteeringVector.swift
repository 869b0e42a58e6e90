import SextantBytes
import SextantStore
import SextantTensor

/// A steering vector: what to do to the residual stream or the recurrent state, and where.
///
/// Tensors: one F32 per site, [D] for `blocks.<i>.output`, the component's shape for
/// `blocks.<i>.state.<component>`. Specification: `formats/steering.md`.
public struct SteeringVector: ArtifactKind, Sendable {
  /// `steering`.
  public static let name = "steering"
  /// 1.
  public static let version = 1
  /// Steering with NaN would erase every token.
  public static let refusesNonfinite = true

  /// What is done with the vector at a site. It travels with the data: a vector made to be added
  /// and one made to be projected out look alike.
  public enum Operation: String, Sendable, CaseIterable {
    /// value ← value + strength · vector.
    case add
  }

  /// How the vector was made.
  public struct Training: Sendable, Equatable {
    /// The method, such as `mean`: the difference of the class means.
    public var method: String
    /// The positions of the texts at which values were read.
    public var positions: PositionSelection
    /// What was read: format, digest and counts, and whatever training again needs.
    public var data: JSONObject
    /// The seed of the random numbers that were used; nil where none were.
    public var seed: Int?

    /// Describes a training.
    public init(
      method: String, positions: PositionSelection, data: JSONObject, seed: Int? = nil
    ) {
      self.method = method
      self.positions = positions
      self.data = data
      self.seed = seed
    }
  }

  /// The model that it was made from.
  public let model: ModelReference
  /// The vectors by site, in the model's order.
  public let vectors: [(site: SiteReference, value: Tensor)]
  /// What is done with them.
  public let operation: Operation
  /// The positions to steer, unless told otherwise.
  public let positions: PositionSelection
  /// How they were made.
  public let training: Training
  /// Figures of each site from training: the vector's norm and the mean norm of what it was
  /// measured on, so that a strength can be judged.
  public let statistics: JSONObject
  /// The file that it was read from, for refusals.
  public let file: String?

  /// A new vector.
  public init(
    model: ModelReference, vectors: [(site: SiteReference, value: Tensor)],
    operation: Operation = .add, positions: PositionSelection = .fromLast, training: Training,
    statistics: JSONObject
  ) {
    self.model = model
    self.vectors = vectors
    self.operation = operation
    self.positions = positions
    self.training = training
    self.statistics = statistics
    file = nil
  }

  /// The vector that an artifact holds.
  ///
  /// - Throws: `artifact.*`.
  public init(_ artifact: Artifact) throws(FormatError) {
    try Self.expect(artifact)
    let node = artifact.manifest.detailsNode(file: artifact.file)
    let operationNode = try node.member("operation")
    guard let operation = Operation(rawValue: try operationNode.string()) else {
      throw operationNode.refusal(
        expected: Operation.allCases.map(\.rawValue).joined(separator: " or "))
    }
    self.operation = operation
    positions = try PositionSelection(node.member("positions"))
    let method = try node.member("method")
    training = Training(
      method: try method.member("name").string(),
      positions: try PositionSelection(method.member("positions")),
      data: try node.member("data").object(), seed: try node.optionalMember("seed")?.integer())
    statistics = try node.optionalMember("statistics")?.object() ?? JSONObject()
    model = artifact.manifest.model
    file = artifact.file
    try artifact.expectTensors(
      artifact.manifest.sites.map { ExpectedTensor($0.name, .f32, $0.shape) })
    vectors = artifact.manifest.sites.compactMap { site in
      artifact.tensor(site.name).map { (site, $0) }
    }
  }

  /// Reads a steering vector's file.
  ///
  /// - Throws: `file.*`, `st.*`, `json.*`, `artifact.*`.
  public init(reading path: String) throws(FormatError) {
    try self.init(Artifact(reading: path))
  }

  /// The vector as an artifact, ready to be written.
  public var artifact: Artifact {
    var details = JSONObject([
      ("operation", .string(operation.rawValue)), ("positions", .string(positions.description)),
      (
        "method",
        [
          "name": .string(training.method), "positions": .string(training.positions.description),
        ]
      ),
      ("data", .object(training.data)),
      ("seed", training.seed.map { .integer(Int64($0)) } ?? .null),
    ])
    if !statistics.members.isEmpty { details["statistics"] = .object(statistics) }
    let manifest = Manifest(
      kind: Self.name, kindVersion: Self.version, model: model, sites: vectors.map(\.site),
      details: details)
    return Artifact(manifest: manifest, tensors: vectors.map { ($0.site.name, $0.value) })
  }

  /// Refuses what is no steering vector.
  public static func check(_ artifact: Artifact) throws(FormatError) {
    _ = try SteeringVector(artifact)
  }
}
