import SextantBytes
import SextantTensor

/// One tensor of a checkpoint, as its file declares it.
package struct CheckpointTensor: Sendable, Equatable {
  /// The name as the file spells it.
  package let name: String
  /// The type of the elements that are passed on.
  package let dataType: DataType
  /// The dimensions, outermost first.
  package let shape: [Int]
  /// Bytes of the elements.
  package let byteCount: Int
  /// The stored form of elements that have to be computed, such as `Q4_1`; nil if the file contains
  /// the elements themselves.
  package let encoding: String?

  /// A tensor of `byteCount` bytes.
  package init(
    name: String, dataType: DataType, shape: [Int], byteCount: Int, encoding: String? = nil
  ) {
    self.name = name
    self.dataType = dataType
    self.shape = shape
    self.byteCount = byteCount
    self.encoding = encoding
  }

  /// The same tensor with the blocks that the file contains as its elements; nil if it has none of a type
  /// that native models have.
  package var inBlocks: CheckpointTensor? {
    guard let type = encoding.flatMap({ DataType(rawValue: $0) }), type.isBlocks,
      let byteCount = type.byteCount(shape: shape)
    else { return nil }
    return CheckpointTensor(name: name, dataType: type, shape: shape, byteCount: byteCount)
  }
}

/// A file, or a set of files, that contains named tensors in a foreign format.
///
/// Readers of foreign formats are independent of models: they return names, types, shapes and
/// bytes, checked against the file before anything is allocated.
package protocol Checkpoint: AnyObject, Sendable {
  /// The path as the user gave it.
  var path: String { get }
  /// The container format, such as `safetensors`.
  var format: String { get }
  /// All tensors, ordered by the UTF-8 bytes of their names.
  var tensors: [CheckpointTensor] { get }
  /// The free text in the files.
  var metadata: [String: String] { get }
  /// The names of tensors that the files announce and do not have; a model may do without them.
  var absent: [String] { get }
  /// The names of values that are arrays of NumPy instead of tensors. They are not read.
  var arrays: [String] { get }

  /// Hands over the elements of one tensor, row-major and little-endian, in consecutive pieces.
  ///
  /// Memory is limited by the piece, for tensors of any size. Every piece except the last contains
  /// a whole number of elements. `CheckpointTensor.inBlocks` of a tensor is read in whole blocks.
  ///
  /// - Parameter body: receives each piece; the memory is valid during the call only.
  /// - Throws: `file.*` or the format's codes; the errors of `body`.
  func read(
    _ tensor: CheckpointTensor, _ body: (UnsafeRawBufferPointer) throws(Refusal) -> Void
  ) throws(Refusal)

  /// Whether `read` may be called from several threads at a time.
  var readsConcurrently: Bool { get }

  /// The place of one tensor's elements in a file, if the file has them in the form that `read`
  /// passes on; nil if they have to be gathered or computed.
  func part(of tensor: CheckpointTensor) -> FilePart?

  /// The path of the file that contains a tensor.
  func path(of tensor: CheckpointTensor) -> String

  /// Refuses when a file was changed since it was opened.
  ///
  /// - Throws: `file.changed`.
  func checkUnchanged() throws(Refusal)

  /// Whether `path` names one of the files that are being read.
  func reads(path: String) -> Bool
}

extension Checkpoint {
  /// None, unless the format declares some.
  package var absent: [String] { [] }

  /// None, unless the format may have some.
  package var arrays: [String] { [] }

  /// False, unless a format declares otherwise.
  package var readsConcurrently: Bool { false }

  /// The one file, unless a format has several.
  package func path(of tensor: CheckpointTensor) -> String { path }

  /// Nil, unless a format declares otherwise.
  package func part(of tensor: CheckpointTensor) -> FilePart? { nil }

  /// All elements of one tensor.
  package func bytes(of tensor: CheckpointTensor) throws(Refusal) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(tensor.byteCount)
    try unsafe read(tensor) { piece throws(Refusal) in
      unsafe bytes.append(contentsOf: piece)
    }
    return bytes
  }
}
