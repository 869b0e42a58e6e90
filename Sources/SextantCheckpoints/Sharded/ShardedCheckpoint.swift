import SextantBytes
import SextantTensor

/// A checkpoint in several files, bound together by an index: safetensors or PyTorch
/// (`*.index.json`), or HDF5 of TensorFlow (`*.h5.index.json`) or Keras 3 (`*.weights.json`).
///
/// Index and shards must agree: each tensor is in the one shard that the index names, and no shard
/// has another. A tensor of the index that no shard has is `absent`: only the architecture decides
/// whether anything is missing then. Shards are in the folder of the index, or are links to
/// checkpoints elsewhere.
package final class ShardedCheckpoint: Checkpoint {
  /// The path of the index as the user gave it.
  package let path: String
  /// The format of the shards.
  package var format: String { shards.first?.format ?? "" }
  /// The tensors of all shards, ordered by the UTF-8 bytes of their names.
  package let tensors: [CheckpointTensor]
  /// Whether all shards can.
  package var readsConcurrently: Bool { shards.allSatisfy(\.readsConcurrently) }
  /// Those of all shards.
  package var arrays: [String] { shards.flatMap(\.arrays) }
  /// The common `__metadata__` of the shards.
  package let metadata: [String: String]
  /// The tensors that the index names and no shard has, in the order of the index.
  package let absent: [String]
  /// Harmless faults of the index, such as a stale `total_size`.
  package let warnings: [String]
  /// The paths of the shards, in the order of their names.
  package var shardPaths: [String] { shards.map(\.path) }

  private let index: InputFile
  private let shards: [any Checkpoint]
  private let shardOfTensor: [ExactString: Int]

  /// Opens an index and all its shards.
  ///
  /// - Throws: `file.*`, `json.*`, `index.*`, and each shard's `st.*`, `pth.*` or `h5.*`.
  package init(_ path: String) throws(Refusal) {
    let file = try InputFile(path)
    try FileKind(of: file).expect(.json, in: file)
    let index = try ShardIndex(
      of: file, entries: ShardIndex.EntryKind(ofIndexAt: path))
    let folder = Folder(of: path)
    try folder.checkDownloadsComplete(reading: path)
    let (shards, links) = try index.openShards(in: folder)
    let contents = try index.match(shards)

    self.path = path
    self.index = file
    self.shards = shards
    shardOfTensor = contents.shardOfTensor
    tensors = contents.tensors
    absent = contents.absent
    let (metadata, warnings) = Self.merge(shards, index, contents.tensors)
    self.metadata = metadata
    self.warnings = warnings + contents.warnings + links
  }

  /// Whether a path is that of an index by Keras 3, which names layers and not tensors.
  static func isOfKeras(_ path: String) -> Bool { path.hasSuffix(".weights.json") }

  private static func merge(
    _ shards: [any Checkpoint], _ index: ShardIndex, _ tensors: [CheckpointTensor]
  ) -> (metadata: [String: String], warnings: [String]) {
    var warnings: [String] = []
    var metadata = shards.first?.metadata ?? [:]
    for shard in shards.dropFirst() {
      for (key, value) in metadata where shard.metadata[key] != value { metadata[key] = nil }
    }
    // The sum cannot overflow: each shard's bytes are in a file.
    let sum = tensors.reduce(0) { $0 + $1.byteCount }
    // Keras writes the number with a decimal point.
    let isRight =
      index.totalSize == .integer(Int64(sum))
      || index.entryKind == .kerasLayer && index.totalSize == .number(Double(sum))
    if let total = index.totalSize, !isRight {
      warnings.append(
        "the index declares total_size \(total.canonicalText), and the shards contain \(sum)")
    }
    return (metadata, warnings)
  }

  /// Hands over the elements of one tensor in pieces, as its shard does.
  package func read(
    _ tensor: CheckpointTensor, _ body: (UnsafeRawBufferPointer) throws(Refusal) -> Void
  ) throws(Refusal) {
    guard let shard = shardOfTensor[ExactString(tensor.name)] else { throw absent(tensor) }
    try unsafe shards[shard].read(tensor, body)
  }

  /// The declaration in the shard that contains it.
  package func part(of tensor: CheckpointTensor) -> FilePart? {
    shardOfTensor[ExactString(tensor.name)].flatMap { shards[$0].part(of: tensor) }
  }

  /// The shard that contains it.
  package func path(of tensor: CheckpointTensor) -> String {
    shardOfTensor[ExactString(tensor.name)].map { shards[$0].path } ?? path
  }

  /// Refuses when the index or a shard was changed since it was opened.
  package func checkUnchanged() throws(Refusal) {
    try index.checkUnchanged()
    for shard in shards { try shard.checkUnchanged() }
  }

  /// Whether `path` names the index or a shard.
  package func reads(path: String) -> Bool {
    index.isSameFile(as: path) || shards.contains { $0.reads(path: path) }
  }
}
