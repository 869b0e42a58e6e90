import SextantArtifacts
import SextantBytes
import SextantStore
import SextantTensor

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
  /// The precision with which the model read all parts.
  private let precision: Precision

  /// Reads and merges files, in order.
  ///
  /// - Throws: `artifact.*`: `artifact.model-digest` for parts of different
  ///   models, `artifact.schema` for different positions, precisions, classes or spreads,
  ///   `artifact.site` for different sites, `data.record` for data that two parts contain.
  package init(_ paths: [String]) throws(Refusal) {
    guard let first = paths.first else {
      throw Refusal(.dataEmpty, found: "no moments", expected: "at least one file")
    }
    let artifact = try Artifact(reading: first)
    moments = try MomentSet(artifact)
    model = artifact.manifest.model
    positions = try Moments.positions(of: artifact)
    precision = try Self.precision(of: artifact)
    parts = []
    try note(artifact)
    for path in paths.dropFirst() {
      let next = try Artifact(reading: path)
      let part = try MomentSet(next)  // refuses artifacts of other kinds first
      try Self.check(next.manifest.model, against: model, path, first)
      let read = try Self.precision(of: next)
      guard read == precision else {
        throw Refusal(
          .artifactSchema, file: path, found: "moments of the precision \(read.rawValue)",
          expected: "\(precision.rawValue), as in \(first)")
      }
      let own = try Moments.positions(of: next)
      guard own == positions else {
        throw Refusal(
          .artifactSchema, file: path, at: .pointer("/positions"), found: "\(own)",
          expected: "\(positions), as in \(first)")
      }
      try moments.merge(part, file: path)
      try note(next)
    }
  }

  /// Refuses a part that another model read, or the same one with other weights or another tokenizer.
  private static func check(
    _ found: ModelReference, against expected: ModelReference, _ path: String, _ first: String
  ) throws(Refusal) {
    let remedy = "Merge moments that were read with one file of the model."
    guard found.identity == expected.identity else {
      throw Refusal(
        .artifactModelDigest, file: path, at: .pointer("/model/identity"),
        found: "moments of the model \(found.identity)",
        expected: "\(expected.identity), as in \(first)", remedy: remedy)
    }
    guard found.weights == expected.weights else {
      throw Refusal(
        .artifactModelDigest, file: path, at: .pointer("/model/weights"),
        found: "moments of weights stored as \(found.weights)",
        expected: "\(expected.weights), as in \(first)", remedy: remedy)
    }
    guard found == expected else {
      let name = { (model: ModelReference) in model.tokenizer?.description ?? "none" }
      throw Refusal(
        .artifactTokenizerDigest, file: path, at: .pointer("/model/tokenizer"),
        found: name(found), expected: "\(name(expected)), as in \(first)", remedy: remedy)
    }
  }

  /// The precision with which a part was read. Merged parts record it with their data, others with
  /// the values that reading again needs.
  private static func precision(of artifact: Artifact) throws(Refusal) -> Precision {
    let details = artifact.manifest.detailsNode(file: artifact.file)
    var node = try details.member("data").optionalMember("precision")
    if node == nil {
      node = try details.optionalMember("retraining")?.optionalMember("precision")
    }
    return try node?.precision() ?? .exact
  }

  /// Keeps a part's description of its data; that of a merged part is a list already.
  private mutating func note(_ artifact: Artifact) throws(Refusal) {
    let data = try artifact.manifest.detailsNode(file: artifact.file).member("data")
    var own = [data.value]
    if case .array(let earlier)? = try data.optionalMember("parts")?.value { own = earlier }
    guard !own.contains(where: parts.contains) else {
      throw Refusal(
        .dataRecord, file: artifact.file, at: .pointer("/data"),
        found: "data that an earlier part has too", expected: "parts with different data",
        remedy: "Name each part once: data that are added twice count twice.")
    }
    parts += own
  }

  /// The moments as an artifact; of one part, with the data that the part records.
  package var artifact: Artifact {
    var data = JSONObject([("parts", .array(parts))])
    if parts.count == 1, case .object(let only) = parts[0] { data = only }
    if precision == .fast { data["precision"] = "fast" }
    return moments.artifact(model: model, data: data, positions: positions)
  }
}
