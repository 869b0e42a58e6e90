import SextantBytes
import SextantTensor

/// A file that `torch.save` wrote: a zip archive with a pickle of tensors and their elements, or,
/// before version 1.6, pickles and elements one after the other.
///
/// The accepted subset is in `formats/pytorch.md`. The pickle is read symbolically: nothing that it
/// names is ever called. Opening reads the archive's directory and the pickle, and no weights.
/// Elements are read with `pread`, in the tensor's own order for any strides.
package final class PyTorchFile: Checkpoint {
  /// The path as the user gave it.
  package var path: String { file.path }
  /// `PyTorch`.
  package var format: String { "PyTorch" }
  /// All tensors, ordered by the UTF-8 bytes of their names.
  package let tensors: [CheckpointTensor]
  /// True: every call reads into memory of its own.
  package var readsConcurrently: Bool { true }
  /// Empty: the format has none.
  package var metadata: [String: String] { [:] }

  /// The names of values that are arrays of NumPy, and not tensors.
  package let arrays: [String]

  private let file: InputFile
  private let reader: StorageReader
  private let views: [ExactString: StorageView]

  /// Opens a file.
  ///
  /// - Throws: `file.*`, `pth.*`, `limit.file`.
  package convenience init(_ path: String) throws(Refusal) {
    try self.init(InputFile(path))
  }

  /// Reads a file that is already open.
  ///
  /// - Throws: `file.html`, `file.extension-mismatch`, `pth.*`, `limit.file`.
  package init(_ file: InputFile) throws(Refusal) {
    let (root, machine, storages) = try Self.contents(of: file)
    let state = try StateDictionary(root, machine, file: file.path)

    var views: [ExactString: StorageView] = [:]
    var tensors: [CheckpointTensor] = []
    for (name, tensor) in state.tensors {
      let storage = machine.heap.storages[tensor.storage]
      let key = machine.text(storage.key) ?? ""
      guard let region = storages[ExactString(key)] else {
        throw Refusal(
          .pytorchStorageMissing, file: file.path, at: .tensor(name),
          found: "no storage \"\(key)\"", expected: "the tensor's elements")
      }
      let view = try StorageView(tensor, of: storage, in: region, name: name, file: file.path)
      views[ExactString(name)] = view
      tensors.append(
        CheckpointTensor(
          name: name, dataType: view.dataType, shape: tensor.shape,
          byteCount: view.count * view.dataType.byteWidth))
    }
    self.file = file
    arrays = state.arrays
    self.views = views
    self.tensors = tensors.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    reader = StorageReader(file)
  }

  /// The tensors that the pickle describes, and the positions of their elements.
  private static func contents(
    of file: InputFile
  ) throws(Refusal) -> (PickleValue, PickleMachine, [ExactString: StorageRegion]) {
    if try isLegacy(file) {
      let legacy = try PyTorchLegacyFile(file)
      return (legacy.root, legacy.machine, legacy.storages)
    }
    try FileKind(of: file).expect(.zip, in: file)
    let archive: PyTorchArchive
    do throws(Refusal) {
      archive = try PyTorchArchive(ZipArchive(of: file), in: file)
    } catch {
      throw PyTorchArchive.refusalOfProgram(file, after: error) ?? error
    }
    var machine = PickleMachine(archive.pickle)
    let root = try machine.run()
    try machine.expectEnd()
    return (root, machine, archive.storages)
  }

  /// Whether a file is of a format before version 1.6: a pickle, or, older still, a tar archive.
  static func isLegacy(_ file: InputFile) throws(Refusal) -> Bool {
    let start = try file.read(at: 0, count: min(file.byteCount, 512))
    return PyTorchLegacyFile.isPickle(start) || PyTorchLegacyFile.isTar(start)
  }

  /// Hands over the elements of one tensor in pieces of at most 256 KiB; an empty tensor has none.
  ///
  /// - Throws: `pth.zip.crc`, for a tensor that is its whole storage after the last piece.
  package func read(
    _ tensor: CheckpointTensor, _ body: (UnsafeRawBufferPointer) throws(Refusal) -> Void
  ) throws(Refusal) {
    guard let view = views[ExactString(tensor.name)], self.tensor(named: tensor.name) == tensor
    else { throw absent(tensor) }
    unsafe try reader.read(view, body)
  }

  /// Refuses when the file was changed since it was opened.
  package func checkUnchanged() throws(Refusal) { try file.checkUnchanged() }

  /// Whether `path` names this file.
  package func reads(path: String) -> Bool { file.isSameFile(as: path) }
}
