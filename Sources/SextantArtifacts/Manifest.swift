import SextantBytes
import SextantStore

/// What an artifact says of itself, apart from its tensors (`formats/artifact.md`).
///
/// The manifest is canonical JSON without time stamps or paths, so that training again from the
/// same inputs gives the same bytes.
public struct Manifest: Sendable, Equatable {
  /// The format's name in every manifest.
  public static let format = "sextant-artifact"
  /// The one version of the container that is read and written.
  public static let version = 1
  /// The names that `requires` may hold. None yet.
  static let knownFeatures: Set<String> = []

  /// The kind's name, such as `steering`.
  public var kind: String
  /// The version of the kind.
  public var kindVersion: Int
  /// The model that the artifact was made from.
  public var model: ModelReference
  /// The sites that the tensors belong to, in the model's order.
  public var sites: [String]
  /// The program that made the artifact.
  public var toolVersion: String
  /// What the kind adds, and optional members that this version does not know.
  public var details: JSONObject

  /// A manifest of a new artifact.
  public init(
    kind: String, kindVersion: Int, model: ModelReference, sites: [String], details: JSONObject
  ) {
    self.kind = kind
    self.kindVersion = kindVersion
    self.model = model
    self.sites = sites
    toolVersion = ToolVersion.current
    self.details = details
  }

  /// The same manifest, said to be made by another version.
  public func made(by version: String) -> Manifest {
    var copy = self
    copy.toolVersion = version
    return copy
  }

  private static let commonKeys: Set<String> = [
    "format", "version", "kind", "kind_version", "requires", "model", "sites", "tool", "tensors",
  ]

  /// Reads a manifest, and the digests that it records for the tensors.
  static func read(
    _ text: String, file: String?
  ) throws(FormatError) -> (manifest: Manifest, digests: [(name: String, digest: Digest)]) {
    let limits = JSONLimits(byteCount: Artifact.manifestLimit, stringByteCount: 1 << 20)
    let root = try JSONNode(
      parsing: Array(text.utf8), limits: limits, code: .artifactSchema, file: file)
    guard try root.member("format").string() == format else {
      throw FormatError(
        .artifactFormat, file: file, at: .pointer("/format"),
        found: try root.member("format").string(), expected: format)
    }
    let version = try root.member("version").integer()
    guard version == Self.version else {
      throw FormatError(
        .artifactVersion, file: file, at: .pointer("/version"), found: "version \(version)",
        expected: "version \(Self.version)")
    }
    for feature in try root.member("requires").elements() {
      guard knownFeatures.contains(try feature.string()) else {
        throw FormatError(
          .artifactRequiredFeature, file: file, at: .pointer(feature.pointer),
          found: try feature.string(), expected: "no required feature")
      }
    }
    var sites: [String] = []
    for site in try root.member("sites").elements() {
      let name = try site.string()
      guard !sites.contains(name) else {
        throw FormatError(
          .artifactSite, file: file, at: .pointer(site.pointer), found: "\(name) twice",
          expected: "each site once")
      }
      sites.append(name)
    }
    let tool = try root.member("tool")
    var details = JSONObject()
    for (key, node) in try root.members() where !commonKeys.contains(key) {
      details[key] = node.value
    }
    var manifest = Manifest(
      kind: try root.member("kind").string(),
      kindVersion: try root.member("kind_version").integer(),
      model: try ModelReference(root.member("model")), sites: sites, details: details)
    manifest.toolVersion = try tool.member("version").string()
    var digests: [(name: String, digest: Digest)] = []
    for (name, node) in try root.member("tensors").members() {
      digests.append((name, try node.digest()))
    }
    return (manifest, digests)
  }

  /// The canonical text, with the tensors' digests.
  func text(digests: [(name: String, digest: Digest)]) -> String {
    var object = details
    object["format"] = .string(Self.format)
    object["version"] = .integer(Int64(Self.version))
    object["kind"] = .string(kind)
    object["kind_version"] = .integer(Int64(kindVersion))
    object["requires"] = []
    object["model"] = model.json
    object["sites"] = .array(sites.map { .string($0) })
    object["tool"] = ["name": "sextant", "version": .string(toolVersion)]
    object["tensors"] = .object(
      JSONObject(digests.map { ($0.name, .string($0.digest.description)) }))
    return JSONValue.object(object).canonicalText
  }

  /// The details as a place in the document, so that refusals name the JSON pointer.
  public func detailsNode(file: String?) -> JSONNode {
    JSONNode(.object(details), code: .artifactSchema, file: file)
  }
}
