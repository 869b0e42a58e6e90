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
    /// Whether it adds the vector, so that a larger vector has a larger effect.
    package var isAddition: Bool { self == .add || self == .addPreservingNorm }
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

  /// The dose that a vector has: a vector of a search has only the sites that the search chose, and is
  /// scaled so that strength 1 is the strength that it found.
  public struct Dose: Sendable, Equatable {
    /// The blocks, both ends included.
    public var layers: ClosedRange<Int>
    /// The sites in each of them: `residual`, `state`, `both`, or the name of a component.
    public var sites: String
    /// The factor of the trained vector.
    public var strength: Float
    /// How the dose was found: the budget, the data, and the effect and the harm that were measured.
    public var search: JSONObject

    /// A dose.
    public init(layers: ClosedRange<Int>, sites: String, strength: Float, search: JSONObject) {
      (self.layers, self.sites) = (layers, sites)
      (self.strength, self.search) = (strength, search)
    }
  }

  /// The model that it was made from.
  public let model: ModelReference
  /// The vectors by site, in the model's order.
  public package(set) var vectors: [(site: SiteReference, value: Tensor)]
  /// The operation.
  public package(set) var operation: Operation
  /// The mean projections of the two classes, by the site's name; there for every site when the
  /// operation needs them.
  public package(set) var targets: [String: Targets]
  /// The positions to steer by default.
  public package(set) var positions: PositionSelection
  /// How they were made.
  public package(set) var training: Training
  /// Figures of each site from training: the vector's norm and the mean norm of the activations, so
  /// that a user can judge a strength.
  public package(set) var statistics: JSONObject
  /// The dose that a search gave the vector; nil if it is as it was trained.
  public package(set) var dose: Dose?
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
    dose = try node.optionalMember("dose").map(Dose.init)
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
    var copy = self
    (copy.operation, copy.positions) = (operation, positions)
    return copy
  }

  /// The part of the vector at some sites.
  package func keeping(where isKept: (SiteReference) -> Bool) -> SteeringVector {
    var copy = self
    copy.vectors = vectors.filter { isKept($0.site) }
    let names = Set(copy.vectors.map { ExactString($0.site.name) })
    copy.targets = targets.filter { names.contains(ExactString($0.key)) }
    copy.statistics = JSONObject(
      statistics.members.filter { names.contains(ExactString($0.key)) }.map { ($0.key, $0.value) })
    return copy
  }

  /// The part of the vector at some sites, scaled so that strength 1 is the strength of a dose. Only
  /// operations that add have a scale.
  package func dosed(_ dose: Dose, where isKept: (SiteReference) -> Bool) -> SteeringVector {
    precondition(operation.isAddition)
    var copy = keeping(where: isKept)
    copy.vectors = copy.vectors.map { site, value in
      (site, Tensor(value.values.map { dose.strength * $0 }, shape: value.shape))
    }
    copy.statistics = JSONObject(
      copy.statistics.members.map { ($0.key, Self.scaled($0.value, by: dose.strength)) })
    copy.dose = dose
    return copy
  }

  /// The figures of a site after scaling: its norm changes.
  private static func scaled(_ value: JSONValue, by factor: Float) -> JSONValue {
    guard case .object(var figures) = value, case .number(let norm)? = figures["norm"] else {
      return value
    }
    figures["norm"] = .number(norm * Double(abs(factor)))
    return .object(figures)
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
    details["dose"] = dose.map { .object($0.json) }
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

extension SteeringVector.Dose {
  fileprivate init(_ node: JSONNode) throws(Refusal) {
    let layers = try node.member("layers")
    guard let range = LayerSelection.range(try layers.string()[...]) else {
      throw layers.refusal(expected: "a block or a range of blocks, such as 3 or 2-4")
    }
    let factor = try node.member("strength")
    guard let strength = Float(exactly: try factor.number()), strength.isFinite, strength != 0
    else {
      throw factor.refusal(expected: "a finite number of 32 bits other than 0")
    }
    self.init(
      layers: range, sites: try node.member("sites").string(), strength: strength,
      search: try node.optionalMember("search")?.object() ?? JSONObject())
  }

  fileprivate var json: JSONObject {
    JSONObject([
      ("layers", .string(LayerSelection.text(layers))), ("sites", .string(sites)),
      ("strength", .number(Double(strength))), ("search", .object(search)),
    ])
  }
}
