import SextantArtifacts
import SextantBytes
import SextantGeneration

/// What a request wants to know of each token: the field `sextant`.
struct Reports {
  /// The probes and the lens.
  var items: [Intervention] = []
  /// The name of each item.
  var names: [String] = []
  /// Whether edits are reported.
  var edits = false

  /// Whether something is reported of tokens.
  var isEmpty: Bool { items.isEmpty && !edits }

  /// Tokens of a prompt with reports at most: the reports are kept until all of it was read.
  static let promptLimit = 8192

  /// Nothing.
  init() {}

  /// Reads `{"lens": "tuned", "probes": ["truth"], "edits": true}`; a lens may be
  /// `{"artifact": "tuned", "top": 3}`, and `logit` is the lens without an artifact.
  init(_ node: JSONNode, _ shelf: ArtifactShelf) throws {
    try node.allowOnly(keys: ["lens", "probes", "edits"])
    edits = try node.optionalMember("edits")?.boolean() ?? false
    for (place, probe) in try (node.optionalMember("probes")?.elements() ?? []).enumerated() {
      let path = "sextant.probes[\(place)]"
      guard place < 16 else { throw probe.refusal(found: "more", expected: "at most 16 probes") }
      guard let named = ProbeFile(argument: try probe.string()) else {
        throw probe.refusal(expected: "the name of an artifact")
      }
      let (artifact, _) = try shelf.artifact(named.path, parameter: path)
      let own = try refusing(path) { () throws(Refusal) in try Probe(artifact) }
      items.append(.probe(AppliedProbe(own, name: named.name)))
      names.append(named.path)
    }
    if let lens = try node.optionalMember("lens") { try add(lens, shelf) }
  }

  private mutating func add(_ node: JSONNode, _ shelf: ArtifactShelf) throws {
    var (name, top) = ("logit", 3)
    if case .string(let text) = node.value {
      name = text
    } else {
      try node.allowOnly(keys: ["artifact", "top"])
      name = try node.optionalMember("artifact")?.string() ?? name
      top = try node.optionalMember("top")?.requestInteger(in: 1...20) ?? top
    }
    var lens = NamedLens.logit
    if name != lens.name {
      let (artifact, _) = try shelf.artifact(name, parameter: "sextant.lens")
      lens = NamedLens(
        name: name,
        lens: try refusing("sextant.lens") { () throws(Refusal) in try Lens(artifact) })
    }
    items.append(.lens(AppliedLens(lens, guesses: top)))
    names.append(name)
  }
}
