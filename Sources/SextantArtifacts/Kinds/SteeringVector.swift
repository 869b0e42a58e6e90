import SextantBytes
import SextantStore
import SextantTensor

/// A steering vector: an edit of the residual stream or the recurrent state, and its sites.
///
/// Tensors: one F32 per site, [D] for `blocks.<i>.output`, the component's shape for
/// `blocks.<i>.state.<component>`. Specification: `formats/steering.md`.
public struct SteeringVector: ArtifactKind, Sendable {
  /// `steering`.
  package static let name = "steering"
  /// 2: operations in addition to `add`, and targets; positions that version 1 does not have.
  package static let version = 2
  /// Steering with NaN would erase every token.
  package static let refusesNonfinite = true

  /// The operation on a site's value. The artifact records it, because a vector to be added and a
  /// vector to be projected out have the same form.
  ///
  /// x is a value, s the strength, u the unit vector along v, p = x·u the projection, and t₋, t₊ the
  /// mean projections of the negative and the positive texts (`targets`).
  public enum Operation: String, Sendable, CaseIterable {
    /// x ← x + s v.
    case add
    /// x ← x + s v, scaled back to the norm of x.
    case addPreservingNorm = "add-preserving-norm"
    /// x ← x - s p u: with strength 1 nothing is left along u.
    case project
    /// x ← x + |s| (t - p) u with t = t₊ for s > 0 and t₋ for s < 0: with strength 1 the projection is
    /// that of the mean positive text, with -1 that of the mean negative one.
    case affine
    /// As `affine`, but only if p is below t₊ (for s > 0) or above t₋ (for s < 0).
    case clamp

    /// Whether it needs `targets`.
    package var needsTargets: Bool { self == .affine || self == .clamp }
  }

  /// The mean projections of a site's two classes on the unit vector.
  public struct Targets: Sendable, Equatable {
    /// The projection of the negative texts.
    public var negative: Double
    /// The projection of the positive texts.
    public var positive: Double

    /// Two mean projections.
    public init(negative: Double, positive: Double) {
      self.negative = negative
      self.positive = positive
    }
  }

  /// How the vector was made.
  public struct Training: Sendable, Equatable {
    /// The method, such as `mean`: the difference of the class means.
    public var method: String
    /// The positions of the texts at which values were read.
    public var positions: PositionSelection
    /// The description of the data: format, digest and counts, and the values that training again
    /// needs.
    public var data: JSONObject
    /// The seed of the random numbers that were used; nil if none were.
    public var seed: Int?
    /// The numeric options of the method, such as a shrinkage; empty if it has none.
    public var parameters: JSONObject
    /// The values that training again needs in addition to the others (`formats/artifact.md`); nil
    /// if they are not known.
    public var retraining: JSONObject?

    /// Describes a training.
    public init(
      method: String, positions: PositionSelection, data: JSONObject, seed: Int? = nil,
      parameters: JSONObject = JSONObject(), retraining: JSONObject? = nil
    ) {
      self.retraining = retraining
      self.parameters = parameters
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
  /// The operation.
  public let operation: Operation
  /// The mean projections of the two classes, by the site's name; there for every site when the
  /// operation needs them.
  public let targets: [String: Targets]
  /// The positions to steer by default.
  public let positions: PositionSelection
  /// How they were made.
  public let training: Training
  /// Figures of each site from training: the vector's norm and the mean norm of the activations, so
  /// that a user can judge a strength.
  public let statistics: JSONObject
  /// The file that it was read from, for refusals.
  public let file: String?

  /// A new vector.
  public init(
    model: ModelReference, vectors: [(site: SiteReference, value: Tensor)],
    operation: Operation = .add, targets: [String: Targets] = [:],
    positions: PositionSelection = .fromLast, training: Training, statistics: JSONObject
  ) {
    self.model = model
    self.vectors = vectors
    self.operation = operation
    self.targets = targets
    self.positions = positions
    self.training = training
    self.statistics = statistics
    file = nil
  }

  /// The vector that an artifact contains.
  ///
  /// - Throws: `artifact.*`.
  public init(_ artifact: Artifact) throws(Refusal) {
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
      data: try node.origin("data").object(), seed: try node.optionalMember("seed")?.integer(),
      parameters: try method.optionalMember("parameters")?.object() ?? JSONObject(),
      retraining: try node.optionalMember("retraining")?.object())
    targets = try Self.targets(node, operation, artifact.manifest.sites)
    statistics = try node.optionalMember("statistics")?.object() ?? JSONObject()
    model = artifact.manifest.model
    file = artifact.file
    try artifact.expectTensors(
      artifact.manifest.sites.map { ExpectedTensor($0.name, .f32, $0.shape) })
    vectors = artifact.manifest.sites.compactMap { site in
      artifact.tensor(site.name).map { (site, $0) }
    }
  }

  /// The targets in a manifest: of sites that it lists, and of all of them if they are needed.
  private static func targets(
    _ node: JSONNode, _ operation: Operation, _ sites: [SiteReference]
  ) throws(Refusal) -> [String: Targets] {
    var targets: [String: Targets] = [:]
    guard let member = try node.optionalMember("targets") else {
      guard !operation.needsTargets else {
        throw node.refusal(found: "no targets", expected: "targets, which the operation needs")
      }
      return targets
    }
    for (name, pair) in try member.members() {
      let ends = try pair.elements()
      guard ends.count == 2, sites.contains(where: { ExactString($0.name) == ExactString(name) })
      else {
        throw pair.refusal(expected: "two projections of a site of the artifact")
      }
      targets[name] = Targets(negative: try ends[0].number(), positive: try ends[1].number())
    }
    if operation.needsTargets, let site = sites.first(where: { targets[$0.name] == nil }) {
      throw member.refusal(found: "no targets of \(site.name)", expected: "targets of every site")
    }
    return targets
  }

  /// The same vectors, to be applied in another way.
  public func applied(as operation: Operation, at positions: PositionSelection) -> SteeringVector {
    SteeringVector(
      model: model, vectors: vectors, operation: operation, targets: targets, positions: positions,
      training: training, statistics: statistics)
  }

  /// Reads a steering vector's file.
  ///
  /// - Throws: `file.*`, `st.*`, `json.*`, `artifact.*`.
  public init(reading path: String) throws(Refusal) {
    try self.init(Artifact(reading: path))
  }

  /// The vector as an artifact, ready to be written.
  public var artifact: Artifact {
    var method = JSONObject([
      ("name", .string(training.method)), ("positions", .string(training.positions.description)),
    ])
    if !training.parameters.members.isEmpty { method["parameters"] = .object(training.parameters) }
    var details = JSONObject([
      ("operation", .string(operation.rawValue)), ("positions", .string(positions.description)),
      ("method", .object(method)), ("data", .object(training.data)),
      ("seed", training.seed.map { .integer(Int64($0)) } ?? .null),
    ])
    if !targets.isEmpty {
      details["targets"] = .object(
        JSONObject(
          targets.sorted { $0.key < $1.key }.map {
            ($0.key, [.number($0.value.negative), .number($0.value.positive)])
          }))
    }
    details["retraining"] = training.retraining.map { .object($0) }
    if !statistics.members.isEmpty { details["statistics"] = .object(statistics) }
    let manifest = Manifest(
      kind: Self.name, kindVersion: Self.version, model: model, sites: vectors.map(\.site),
      details: details)
    return Artifact(manifest: manifest, tensors: vectors.map { ($0.site.name, $0.value) })
  }

  /// Refuses artifacts of other kinds.
  package static func check(_ artifact: Artifact) throws(Refusal) {
    _ = try SteeringVector(artifact)
  }
}
