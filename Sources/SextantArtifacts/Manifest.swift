import SextantBytes
import SextantStore

/// The description of an artifact, without its tensors (`formats/artifact.md`).
///
/// The manifest is canonical JSON without time stamps or paths, so that training again from the
/// same inputs gives the same bytes.
public struct Manifest: Sendable, Equatable {
  /// The format's name in every manifest.
  package static let format = "sextant-artifact"
  /// The one version of the container that is read and written.
  package static let version = 1
  /// The names that `requires` may contain. None yet.
  static let knownFeatures: Set<String> = []

  /// The program that made an artifact.
  public struct Tool: Sendable, Equatable {
    /// The program's name.
    public var name: String
    /// The program's version.
    public var version: String

    /// Names a program.
    package init(name: String, version: String) {
      self.name = name
      self.version = version
    }

    /// This program.
    package static let current = Tool(name: "sextant", version: ToolVersion.current)
  }

  /// The kind's name, such as `steering`.
  public var kind: String
  /// The version of the kind.
  public var kindVersion: Int
  /// The model that the artifact was made from.
  public var model: ModelReference
  /// The sites that the tensors belong to, in the model's order.
  public var sites: [SiteReference]
  /// The program that made the artifact.
  public var tool: Tool
  /// The members of the kind, and optional members that this version does not know.
  public var details: JSONObject

  /// A manifest of a new artifact.
  package init(
    kind: String, kindVersion: Int, model: ModelReference, sites: [SiteReference],
    tool: Tool = .current, details: JSONObject
  ) {
    self.kind = kind
    self.kindVersion = kindVersion
    self.model = model
    self.sites = sites
    self.tool = tool
    self.details = details
  }

  /// The same manifest, marked as made by another version of the tool.
  package func made(by version: String) -> Manifest {
    var copy = self
    copy.tool.version = version
    return copy
  }

  /// The details as a place in the document, so that refusals name the JSON pointer.
  package func detailsNode(file: String?) -> JSONNode {
    JSONNode(.object(details), code: .artifactSchema, file: file)
  }
}

// MARK: Text

extension Manifest {
  /// The SHA-256 of each tensor's bytes, in the order of the names' bytes.
  typealias Digests = [(name: String, digest: Digest)]

  private static let commonKeys: Set<String> = [
    "format", "version", "kind", "kind_version", "requires", "model", "sites", "tool", "tensors",
  ]

  /// The canonical text, with the tensors' digests.
  func text(digests: Digests) -> String {
    var object = details
    object["format"] = .string(Self.format)
    object["version"] = .integer(Int64(Self.version))
    object["kind"] = .string(kind)
    object["kind_version"] = .integer(Int64(kindVersion))
    object["requires"] = []
    object["model"] = model.json
    object["sites"] = .array(sites.map(\.json))
    object["tool"] = ["name": .string(tool.name), "version": .string(tool.version)]
    object["tensors"] = .object(
      JSONObject(digests.map { ($0.name, .string($0.digest.description)) }))
    return JSONValue.object(object).canonicalText
  }

  /// Reads a manifest, and the digests that it records for the tensors.
  ///
  /// The members that decide how the others are read come first: format, versions, required
  /// features.
  static func read(
    _ text: String, file: String?
  ) throws(Refusal) -> (manifest: Manifest, digests: Digests) {
    let root = try parse(text, file: file)
    try checkFormat(root)
    var sites: [SiteReference] = []
    for node in try root.member("sites").elements() { sites.append(try SiteReference(node)) }
    let tool = try root.origin("tool")
    try tool.allowOnly(["name", "version"])
    var details = JSONObject()
    for (key, node) in try root.members() where !commonKeys.contains(key) {
      details[key] = node.value
    }
    let manifest = Manifest(
      kind: try root.member("kind").string(),
      kindVersion: try root.member("kind_version").integer(),
      model: try ModelReference(root.member("model")), sites: sites,
      tool: Tool(
        name: try tool.origin("name").words(), version: try tool.origin("version").words()),
      details: details)
    var digests: Digests = []
    for (name, node) in try root.member("tensors").members() {
      digests.append((name, try node.digest()))
    }
    guard manifest.text(digests: digests).utf8.elementsEqual(text.utf8) else {
      throw root.refusal(
        found: "a spelling that is not the canonical one", expected: "canonical JSON")
    }
    return (manifest, digests)
  }

  private static func parse(_ text: String, file: String?) throws(Refusal) -> JSONNode {
    let limits = JSONLimits(byteCount: Artifact.manifestLimit, stringByteCount: 1 << 20)
    do throws(Refusal) {
      return try JSONNode(
        parsing: Array(text.utf8), limits: limits, code: .artifactSchema, file: file)
    } catch {
      // The offset counts in the manifest, which is a string inside the file's header.
      var refusal = error
      if case .offset(let offset)? = refusal.place {
        refusal.place = .pointer("")
        refusal.found += " (byte \(offset) of the manifest)"
      }
      throw refusal
    }
  }

  private static func checkFormat(_ root: JSONNode) throws(Refusal) {
    let format = try root.member("format")
    guard try format.string() == Self.format else {
      throw refusal(.artifactFormat, format, found: try format.string(), expected: Self.format)
    }
    let version = try root.member("version")
    guard try version.integer() == Self.version else {
      throw refusal(
        .artifactVersion, version, found: "version \(try version.integer())",
        expected: "version \(Self.version)")
    }
    let kind = try root.member("kind")
    guard let known = ArtifactKinds.named(try kind.string()) else {
      throw refusal(
        .artifactKind, kind, found: try kind.string(), expected: "one of \(ArtifactKinds.names)")
    }
    let kindVersion = try root.member("kind_version")
    let versions = known.oldestVersion...known.version
    guard try versions.contains(kindVersion.integer()) else {
      throw refusal(
        .artifactVersion, kindVersion,
        found: "version \(try kindVersion.integer()) of \(known.name)",
        expected: "version "
          + (versions.count == 1
            ? "\(known.version)" : "\(versions.lowerBound) to \(versions.upperBound)"))
    }
    for feature in try root.member("requires").elements() {
      guard knownFeatures.contains(try feature.string()) else {
        throw refusal(
          .artifactRequiredFeature, feature, found: try feature.string(),
          expected: "no required feature")
      }
    }
  }

  private static func refusal(
    _ code: Refusal.Code, _ node: JSONNode, found: String, expected: String
  ) -> Refusal {
    Refusal(
      code, file: node.file, at: .pointer(node.pointer), found: found, expected: expected)
  }
}

// MARK: - Provenance

extension JSONNode {
  /// A member that records the origin of an artifact.
  ///
  /// - Throws: `artifact.provenance` if it is absent or null.
  func origin(_ key: String) throws(Refusal) -> JSONNode {
    guard let node = try optionalMember(key) else {
      throw Refusal(
        .artifactProvenance, file: file, at: .pointer(pointer), found: "no member \"\(key)\"",
        expected: "a member \"\(key)\"")
    }
    return node
  }

  /// A string that is not empty.
  ///
  /// - Throws: `artifact.schema` for what is not a string, `artifact.provenance` for an empty one.
  fileprivate func words() throws(Refusal) -> String {
    let text = try string()
    guard !text.isEmpty else {
      throw Refusal(
        .artifactProvenance, file: file, at: .pointer(pointer), found: "nothing",
        expected: "a name or version")
    }
    return text
  }
}
