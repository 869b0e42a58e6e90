import SextantBytes
import SextantLocks
import SextantTensor

/// An HDF5 file whose datasets are tensors, in one of the layouts of `formats/hdf5.md`.
///
/// The file is never parsed in this process. A confined process, `sextant-hdf5`, reads it and
/// passes on names, types, shapes and elements; a crash or an endless loop there is a refusal here.
/// One tensor is read at a time; `body` may not read from the same checkpoint.
package final class HDF5Checkpoint: Checkpoint {
  /// The path as the user gave it.
  package let path: String
  /// The container format.
  package let format: String
  /// How the file spells the tensors' names.
  package let layout: HDF5Layout
  /// All tensors, ordered by the UTF-8 bytes of their names: the datasets' paths joined with ".",
  /// or the names in the lists of Keras 2.
  package let tensors: [CheckpointTensor]
  /// The texts among the root group's attributes, such as `config`.
  package let metadata: [String: String]
  /// The parts that were skipped or converted, in words.
  package let notes: [String]

  /// An HDF5 file inside another file.
  struct Member {
    /// Its bytes.
    var range: Range<Int>
    /// The format of the file around it.
    var format: String
    /// The description of the model in the surrounding file.
    var metadata: [String: String]
  }

  private let file: InputFile
  private let indices: [ExactString: Int]
  private let timeout: Duration
  private let conversation: Lock<HDF5Conversation>

  /// The longest wait for the reader, unless the environment variable `SEXTANT_HDF5_TIMEOUT` gives
  /// another number of seconds.
  package static let defaultTimeout = Duration.seconds(60)

  /// Opens a file and lists its tensors.
  ///
  /// - Parameters:
  ///   - readerPath: the executable to use; by default that of the environment variable
  ///     `SEXTANT_HDF5`, or `sextant-hdf5` in the folder of the running executable.
  ///   - timeout: how long the reader may take for the list, and for a tensor beyond one second
  ///     per 4 MiB.
  /// - Throws: `file.*`, `h5.*`.
  package convenience init(
    _ path: String, readerPath: String? = nil, timeout: Duration? = nil
  ) throws(Refusal) {
    try self.init(try InputFile(path), readerPath: readerPath, timeout: timeout)
  }

  /// Lists the tensors of an open file.
  ///
  /// - Parameters:
  ///   - member: the HDF5 part of an archive, and other facts about it; nil for a file of its own.
  ///   - isShard: whether other files contain the rest, so that numbers may be missing here.
  /// - Throws: `h5.*`.
  init(
    _ file: InputFile, member: Member? = nil, isShard: Bool = false, readerPath: String? = nil,
    timeout: Duration? = nil
  ) throws(Refusal) {
    do throws(Refusal) {
      let seconds = HDF5ReaderLocation.environment("SEXTANT_HDF5_TIMEOUT").flatMap { Int($0) }
      let timeout = timeout ?? seconds.map { .seconds($0) } ?? Self.defaultTimeout
      var process = try HDF5ReaderProcess.start(
        try HDF5ReaderLocation.find(readerPath), on: file, window: member?.range)
      var patience = Patience(timeout)
      let listing = try HDF5Listing(
        from: &process, fileByteCount: member?.range.count ?? file.byteCount, within: &patience)
      if !isShard { try KerasVariables.checkComplete(listing) }
      self.path = file.path
      self.file = file
      self.timeout = timeout
      tensors = listing.tensors.sorted { ExactString($0.name) < ExactString($1.name) }
      layout = listing.layout ?? .flat
      format = (member?.format ?? "hdf5") + (layout == .flat ? "" : ", \(layout.rawValue)")
      metadata = listing.metadata.merging(member?.metadata ?? [:]) { _, new in new }
      notes = listing.notes
      var indices: [ExactString: Int] = [:]
      for (index, tensor) in listing.tensors.enumerated() {
        indices[ExactString(tensor.name)] = index
      }
      self.indices = indices
      conversation = Lock(HDF5Conversation(consume process))
    } catch {
      throw error.inFile(file.path)
    }
  }

  /// The reader's process, while there is one.
  var readerProcessID: Int32? { conversation.withLock { $0.processID } }

  /// Hands over the elements of one tensor in pieces of at most 4 MiB.
  ///
  /// - Throws: `h5.*`; the errors of `body`.
  package func read(
    _ tensor: CheckpointTensor, _ body: (UnsafeRawBufferPointer) throws(Refusal) -> Void
  ) throws(Refusal) {
    guard let index = indices[ExactString(tensor.name)] else {
      throw Refusal(
        .modelTensorMissing, file: path, at: .tensor(tensor.name), found: "no such tensor",
        expected: "a tensor of this file")
    }
    let patience = Patience(timeout + .seconds(tensor.byteCount >> 22))
    do throws(Refusal) {
      try conversation.withLock { conversation throws(Refusal) in
        unsafe try conversation.read(tensor, at: UInt32(index), within: patience, body)
      }
    } catch {
      throw error.inFile(path)
    }
  }

  /// Refuses when the file was changed since it was opened.
  ///
  /// - Throws: `file.changed`.
  package func checkUnchanged() throws(Refusal) { try file.checkUnchanged() }

  /// Whether `path` names this file.
  package func reads(path: String) -> Bool { file.isSameFile(as: path) }
}
