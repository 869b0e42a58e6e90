import SextantArtifacts
import SextantBytes
import SextantStore
import SextantTensor

/// The members of `data` in a manifest that tell into how many shards the data were cut, and which of them
/// a file has.
enum ShardRecord {
  /// The number of shards.
  static let shards = "shards"
  /// The number of a file's shard, from 0; absent in what was computed of all shards.
  static let shard = "shard"
}

/// Moments of several parts of the data, added up: the shards of one run in their order, or any parts in
/// the given order.
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

  /// The number of shards; nil for parts that are no shards.
  package private(set) var shardCount: Int?
  /// The values that reading again needs; nil for parts that are no shards.
  private let retraining: JSONObject?

  /// Reads and merges files: shards of one run in their order, other parts in the given order.
  ///
  /// - Throws: `artifact.*`: `artifact.model-digest` for parts of different
  ///   models, `artifact.schema` for different positions, precisions, classes or spreads,
  ///   `artifact.site` for different sites, `data.record` for data that two parts contain; `data.shard`
  ///   for a shard twice, a missing one, and one of other data.
  package init(_ paths: [String]) throws(Refusal) {
    let (paths, run) = try Self.ordered(paths)
    guard let first = paths.first else {
      throw Refusal(.dataEmpty, found: "no moments", expected: "at least one file")
    }
    let artifact = try Artifact(reading: first)
    moments = try MomentSet(artifact)
    model = artifact.manifest.model
    positions = try Moments.positions(of: artifact)
    precision = try Self.precision(of: artifact)
    shardCount = run == nil ? nil : paths.count
    retraining =
      run == nil
      ? nil
      : try artifact.manifest.detailsNode(file: first).optionalMember("retraining")?.object()
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
    // The shards of one run are described as the run that reads all of them.
    if let run { parts = [.object(run)] }
  }

  /// A file that has one shard of a run.
  private struct Shard {
    var path: String
    var number: Int
    var count: Int
    /// The data of the whole run.
    var run: JSONObject
  }

  /// The files in the order of their shards, and the data of the run; files that are no shards as they are.
  private static func ordered(
    _ paths: [String]
  ) throws(Refusal) -> (paths: [String], run: JSONObject?) {
    var shards: [Shard] = []
    var other: String?
    for path in paths {
      let data = try Artifact.manifest(of: path).detailsNode(file: path).optionalMember("data")
      guard let data, let node = try data.optionalMember(ShardRecord.shard) else {
        other = path
        continue
      }
      let count = try data.member(ShardRecord.shards).integer(in: 1...Int(Int32.max))
      var run = try data.object()
      run[ShardRecord.shard] = nil
      shards.append(
        Shard(path: path, number: try node.integer(in: 0...count - 1), count: count, run: run))
    }
    guard let first = shards.first else { return (paths, nil) }
    if let other {
      throw Refusal(
        .dataShard, file: other, at: .pointer("/data"), found: "moments that are no shard",
        expected: "shards only, as \(first.path) is")
    }
    var byNumber: [Int: Shard] = [:]
    for shard in shards {
      guard shard.run == first.run else {
        throw Refusal(
          .dataShard, file: shard.path, at: .pointer("/data"),
          found: shard.count == first.count
            ? "a shard of other data" : "a shard of \(shard.count)",
          expected: shard.count == first.count
            ? "the data of \(first.path)" : "\(first.count), as in \(first.path)")
      }
      if let twin = byNumber[shard.number] {
        throw Refusal(
          .dataShard, file: shard.path, at: .pointer("/data/shard"),
          found: "shard \(shard.number), which \(twin.path) is too", expected: "each shard once")
      }
      byNumber[shard.number] = shard
    }
    let missing = (0..<first.count).filter { byNumber[$0] == nil }
    guard missing.isEmpty else {
      let named = missing.prefix(8).map(String.init).joined(separator: ", ")
      throw Refusal(
        .dataShard, found: "no shard \(named)" + (missing.count > 8 ? ", …" : ""),
        expected: "all \(first.count) shards, 0 to \(first.count - 1)")
    }
    return (shards.sorted { $0.number < $1.number }.map(\.path), first.run)
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
    // Shards keep the record of how they were read, which contains the precision.
    if precision == .fast, shardCount == nil { data["precision"] = "fast" }
    return moments.artifact(
      model: model, data: data, positions: positions, retraining: retraining)
  }
}
