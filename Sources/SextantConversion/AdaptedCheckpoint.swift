import SextantBytes
import SextantCheckpoints
import SextantTensor

/// Some tensors of a checkpoint, with other names or types than the file gives them.
final class AdaptedCheckpoint: Checkpoint {
  /// A tensor of the base under the name and type that it has here.
  struct Entry: Sendable {
    /// The name.
    var name: String
    /// The tensor of the base.
    let source: CheckpointTensor
    /// The type: the source's own, a type of the same width for the same bits, or F32 for F64.
    var dataType: DataType

    /// The tensor as it is.
    init(_ source: CheckpointTensor) {
      name = source.name
      self.source = source
      dataType = source.dataType
    }

    /// Whether the elements are converted: all else is another name for the same bits.
    fileprivate var isConverted: Bool { dataType.byteWidth != source.dataType.byteWidth }
  }

  /// The tensors, ordered by the UTF-8 bytes of their names.
  let tensors: [CheckpointTensor]
  /// The names, as they would be here, of tensors that the files announce and do not have.
  let absent: [String]
  private let base: any Checkpoint
  private let entries: [ExactString: Entry]

  /// Presents `entries` of `base`, whose names differ.
  init(_ base: any Checkpoint, _ entries: [Entry], absent: [String]) {
    self.base = base
    self.absent = absent
    self.entries = Dictionary(
      entries.map { (ExactString($0.name), $0) }, uniquingKeysWith: { first, _ in first })
    tensors = entries.map { entry in
      CheckpointTensor(
        name: entry.name, dataType: entry.dataType, shape: entry.source.shape,
        byteCount: entry.source.byteCount / entry.source.dataType.byteWidth
          * entry.dataType.byteWidth,
        encoding: entry.source.encoding)
    }.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
  }

  /// The path of the base.
  var path: String { base.path }
  /// The container format.
  var format: String { base.format }
  /// The free text in the files.
  var metadata: [String: String] { base.metadata }
  /// Whether the base can.
  var readsConcurrently: Bool { base.readsConcurrently }

  /// Hands over the elements of one tensor in pieces, as the base does.
  ///
  /// - Throws: `model.overflow` for a double that is beyond the range of F32.
  func read(
    _ tensor: CheckpointTensor, _ body: (UnsafeRawBufferPointer) throws(Refusal) -> Void
  ) throws(Refusal) {
    guard let entry = entries[ExactString(tensor.name)] else {
      preconditionFailure("no tensor \(tensor.name)")
    }
    if tensor.dataType.isBlocks, let blocks = entry.source.inBlocks {
      return try base.read(blocks, body)
    }
    guard entry.isConverted else { return try base.read(entry.source, body) }
    var converter = ElementConverter(from: entry.source.dataType, to: entry.dataType)
    var done = 0
    try base.read(entry.source) { piece throws(Refusal) in
      try converter.convert(piece) { bytes throws(Refusal) in
        if Kernels.nonfiniteCount(bytes, entry.dataType) > 0 {
          try self.checkRange(piece, from: done, entry)
        }
        try body(bytes)
      }
      done += piece.count / entry.source.dataType.byteWidth
    }
  }

  /// Refuses a finite double that becomes infinite.
  ///
  /// - Parameter start: the place of the first of `doubles` in the tensor.
  private func checkRange(
    _ doubles: UnsafeRawBufferPointer, from start: Int, _ entry: Entry
  ) throws(Refusal) {
    for offset in stride(from: 0, to: doubles.count, by: 8) {
      let value = doubles.loadUnaligned(fromByteOffset: offset, as: Double.self)
      guard value.isFinite, Float(value).isInfinite else { continue }
      throw Refusal(
        .modelOverflow, file: base.path(of: entry.source), at: .tensor(entry.name),
        found: "\(value) as element \(start + offset / 8), an F64 that is stored as F32",
        expected: "magnitudes of at most \(Overflow.largest(entry.dataType))",
        remedy: "Check the weights: no type of a native model has a larger range than F32.")
    }
  }

  /// The place of the elements in a file; nil if they are converted.
  func part(of tensor: CheckpointTensor) -> FilePart? {
    guard let entry = entries[ExactString(tensor.name)], !entry.isConverted else { return nil }
    return base.part(of: entry.source)
  }

  /// The file that contains the tensor that it is made from.
  func path(of tensor: CheckpointTensor) -> String {
    entries[ExactString(tensor.name)].map { base.path(of: $0.source) } ?? path
  }

  /// Refuses when a file was changed since it was opened.
  func checkUnchanged() throws(Refusal) { try base.checkUnchanged() }

  /// Whether `path` names a file that is being read.
  func reads(path: String) -> Bool { base.reads(path: path) }
}
