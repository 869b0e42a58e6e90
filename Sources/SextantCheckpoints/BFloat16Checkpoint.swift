import SextantBytes
import SextantTensor

/// A checkpoint whose integers of 16 bits are the bits of bfloat16 numbers.
///
/// HDF5 and NumPy have no such type of their own, so that some programs store the bits. No file says
/// so: it is the user's word.
public final class BFloat16Checkpoint: Checkpoint {
  private let base: any Checkpoint
  /// The tensors, those of type `U16` as `BF16`.
  public let tensors: [CheckpointTensor]

  /// Reads `U16` as `BF16`.
  public init(reading base: any Checkpoint) {
    self.base = base
    tensors = base.tensors.map { tensor in
      tensor.dataType == .u16 ? Self.tensor(tensor, .bf16) : tensor
    }
  }

  /// The path of the checkpoint.
  public var path: String { base.path }
  /// The container format.
  public var format: String { base.format }
  /// Free text that the files carry.
  public var metadata: [String: String] { base.metadata }
  /// The tensors that the files announce and do not have.
  public var absent: [String] { base.absent }

  private static func tensor(_ tensor: CheckpointTensor, _ type: DataType) -> CheckpointTensor {
    CheckpointTensor(
      name: tensor.name, dataType: type, shape: tensor.shape, byteCount: tensor.byteCount,
      encoding: tensor.encoding)
  }

  /// Hands over the elements of one tensor.
  public func read(
    _ tensor: CheckpointTensor, _ body: (UnsafeRawBufferPointer) throws(FormatError) -> Void
  ) throws(FormatError) {
    let own = base.tensors.first { ExactString($0.name) == ExactString(tensor.name) }
    guard let own else { throw absent(tensor) }
    unsafe try base.read(own, body)
  }

  /// Refuses when a file was changed since it was opened.
  public func checkUnchanged() throws(FormatError) { try base.checkUnchanged() }

  /// Whether `path` names a file that is being read.
  public func reads(path: String) -> Bool { base.reads(path: path) }
}
