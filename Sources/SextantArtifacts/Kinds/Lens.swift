import SextantBytes
import SextantStore
import SextantTensor

/// A lens: a translation of the residual stream of each site, after which the model's own final
/// norm and unembedding give the model's prediction at this depth.
///
/// Tensors: for each site `<site>.weight` F32 [D, D] and `<site>.bias` F32 [D]; the translation is
/// x + W x + b. Specification: `formats/lens.md`.
public struct Lens: ArtifactKind, Sendable {
  /// `lens`.
  public static let name = "lens"
  /// 1.
  package static let version = 1
  /// A lens of NaN has no predictions.
  package static let refusesNonfinite = true

  /// The one depth convention: a translator belongs to the site whose value it reads, before any norm.
  ///
  /// Other tools count from the embedding, and some leave it out: they are converted on import and
  /// export.
  package static let depth = "site"

  /// How the lens was made.
  public struct Training: Sendable, Equatable {
    /// The method: `tuned` or `ridge`, or `imported`.
    public var method: String
    /// The options and the cost of the method, as far as training again needs them.
    public var options: JSONObject
    /// The description of the data: digest and counts.
    public var data: JSONObject
    /// The seed of the random numbers that were used; nil if none were.
    public var seed: Int?
    /// The values that training again needs in addition to the others (`formats/artifact.md`); nil
    /// if they are not known.
    public var retraining: JSONObject?

    /// Describes a training.
    public init(
      method: String, options: JSONObject, data: JSONObject, seed: Int? = nil,
      retraining: JSONObject? = nil
    ) {
      self.retraining = retraining
      self.method = method
      self.options = options
      self.data = data
      self.seed = seed
    }
  }

  /// The model that it was made from.
  public let model: ModelReference
  /// The translators by site, in the model's order.
  public let translators: [(site: SiteReference, translator: Translator)]
  /// How they were made.
  public let training: Training
  /// Figures of each site from training, by site.
  public let statistics: JSONObject
  /// The file that it was read from, for refusals.
  public let file: String?

  /// A new lens.
  public init(
    model: ModelReference, translators: [(site: SiteReference, translator: Translator)],
    training: Training, statistics: JSONObject = JSONObject()
  ) {
    self.model = model
    self.translators = translators
    self.training = training
    self.statistics = statistics
    file = nil
  }

  /// The translator of a site.
  public func translator(_ site: String) -> Translator? {
    translators.first { ExactString($0.site.name) == ExactString(site) }?.translator
  }

  /// The lens that an artifact contains.
  ///
  /// - Throws: `artifact.*`.
  public init(_ artifact: Artifact) throws(Refusal) {
    try Self.expect(artifact)
    let node = artifact.manifest.detailsNode(file: artifact.file)
    let depth = try node.member("depth")
    guard try depth.string() == Self.depth else {
      throw depth.refusal(expected: "\"\(Self.depth)\"")
    }
    let method = try node.member("method")
    training = Training(
      method: try method.member("name").string(), options: try method.member("options").object(),
      data: try node.origin("data").object(), seed: try node.optionalMember("seed")?.integer(),
      retraining: try node.optionalMember("retraining")?.object())
    statistics = try node.optionalMember("statistics")?.object() ?? JSONObject()
    model = artifact.manifest.model
    file = artifact.file
    let width = model.width
    for site in artifact.manifest.sites where !Self.reads(site) {
      throw Refusal(
        .artifactSite, file: artifact.file, at: .tensor(site.name), found: "site \(site.name)",
        expected: "embedding, or the output of a block")
    }
    try artifact.expectTensors(
      artifact.manifest.sites.flatMap {
        [
          ExpectedTensor($0.name + ".weight", .f32, [width, width]),
          ExpectedTensor($0.name + ".bias", .f32, [width]),
        ]
      })
    translators = artifact.manifest.sites.compactMap { site in
      guard let weight = artifact.tensor(site.name + ".weight"),
        let bias = artifact.tensor(site.name + ".bias")
      else { return nil }
      return (site, Translator(weight: weight, bias: bias))
    }
  }

  /// Whether a lens may have a translator for a site.
  private static func reads(_ site: SiteReference) -> Bool {
    switch site.site {
    case .embedding, .output: true
    default: false
    }
  }

  /// Reads a lens's file.
  ///
  /// - Throws: `file.*`, `st.*`, `json.*`, `artifact.*`.
  public init(reading path: String) throws(Refusal) {
    try self.init(Artifact(reading: path))
  }

  /// The lens as an artifact, ready to be written.
  public var artifact: Artifact {
    var details = JSONObject([
      ("depth", .string(Self.depth)),
      ("method", ["name": .string(training.method), "options": .object(training.options)]),
      ("data", .object(training.data)),
      ("seed", training.seed.map { .integer(Int64($0)) } ?? .null),
    ])
    details["retraining"] = training.retraining.map { .object($0) }
    if !statistics.members.isEmpty { details["statistics"] = .object(statistics) }
    let manifest = Manifest(
      kind: Self.name, kindVersion: Self.version, model: model, sites: translators.map(\.site),
      details: details)
    return Artifact(
      manifest: manifest,
      tensors: translators.flatMap { site, translator in
        [(site.name + ".weight", translator.weight), (site.name + ".bias", translator.bias)]
      })
  }

  /// Refuses artifacts of other kinds.
  package static func check(_ artifact: Artifact) throws(Refusal) {
    _ = try Lens(artifact)
  }
}
