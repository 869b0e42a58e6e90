import SextantArtifacts
import SextantBytes
import SextantStore

/// Moments of several parts of the data, added up.
package struct MomentShards: Sendable {
  /// The moments of the whole.
  package private(set) var moments: MomentSet
  /// The model that all parts were read with.
  package let model: ModelReference
  /// The positions of all parts.
  package let positions: PositionSelection
  /// The description of each part's data.
  private var parts: [JSONValue]

  /// Reads and merges files, in order.
  ///
  /// - Throws: `artifact.*`: `artifact.model-digest` for parts of different
  ///   models, `artifact.schema` for different positions, `artifact.site` for different sites,
  ///   classes or spreads.
  package init(_ paths: [String]) throws(Refusal) {
    guard let first = paths.first else {
      throw Refusal(.dataEmpty, found: "no moments", expected: "at least one file")
    }
    let artifact = try Artifact(reading: first)
    moments = try MomentSet(artifact)
    model = artifact.manifest.model
    positions = try Moments.positions(of: artifact)
    parts = []
    try note(artifact)
    for path in paths.dropFirst() {
      let next = try Artifact(reading: path)
      try moments.merge(MomentSet(next))
      guard next.manifest.model == model else {
        throw Refusal(
          .artifactModelDigest, file: path, found: "moments of \(next.manifest.model.identity)",
          expected: "\(model.identity), as in \(first), with the same weights and tokenizer")
      }
      let own = try Moments.positions(of: next)
      guard own == positions else {
        throw Refusal(
          .artifactSchema, file: path, at: .pointer("/positions"), found: "\(own)",
          expected: "\(positions), as in \(first)")
      }
      try note(next)
    }
  }

  /// Keeps a part's description of its data; that of a merged part is a list already.
  private mutating func note(_ artifact: Artifact) throws(Refusal) {
    let data = try artifact.manifest.detailsNode(file: artifact.file).member("data")
    if case .array(let earlier)? = try data.optionalMember("parts")?.value {
      parts += earlier
    } else {
      parts.append(data.value)
    }
  }

  /// The moments as an artifact; of one part, with the data that the part records.
  package var artifact: Artifact {
    var data = JSONObject([("parts", .array(parts))])
    if parts.count == 1, case .object(let only) = parts[0] { data = only }
    return moments.artifact(model: model, data: data, positions: positions)
  }
}
