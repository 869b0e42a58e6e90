import Glibc
import SextantBytes
import SextantTensor

/// Writes HDF5 files with one dataset for each tensor: at the root, under its name, as in the flat layout
/// of `formats/hdf5.md`, or in groups, as Keras 3 has them.
///
/// A confined process, `sextant-hdf5`, makes the layout of the file and returns the position of
/// each tensor's elements. This process writes the elements after the confined one has ended.
/// bfloat16 is stored as in Keras: two opaque bytes and the attribute `dataType`. Equal contents in
/// equal order give equal bytes.
package struct HDF5Writer {
  @safe
  private struct Entry {
    var name: String
    var dataType: DataType
    var shape: [Int]
    var byteCount: Int
    var source: SafetensorsWriter.Source
  }

  private var metadata: [(key: String, value: String)] = []
  private var tensors: [Entry] = []
  private let writerPath: String?
  private let timeout: Duration

  /// The types that datasets are written in.
  private static let types: Set<DataType> = [.f64, .f32, .f16, .bf16]

  /// A file without tensors.
  ///
  /// - Parameter writerPath: the executable to use, found as that of `HDF5Checkpoint`.
  package init(writerPath: String? = nil, timeout: Duration = HDF5Checkpoint.defaultTimeout) {
    self.writerPath = writerPath
    self.timeout = timeout
  }

  /// Adds a text, as an attribute of the root group.
  package mutating func set(_ key: String, _ value: String) { metadata.append((key, value)) }

  /// Adds a tensor whose elements `source` streams, row-major and little-endian.
  ///
  /// - Parameter isPath: whether slashes in the name separate groups, which are made as needed.
  /// - Throws: `h5.datatype` for a type without a form in these files; `h5.name`, `h5.dataspace`.
  package mutating func add(
    _ name: String, _ dataType: DataType, shape: [Int], isPath: Bool = false,
    source: @escaping SafetensorsWriter.Source
  ) throws(Refusal) {
    guard Self.types.contains(dataType) else {
      throw Refusal(
        .hdf5DataType, at: .tensor(name), found: dataType.rawValue,
        expected: "F64, F32, F16 or BF16")
    }
    guard shape.count <= HDF5ReaderMessage.maximumRank, !shape.contains(0),
      let byteCount = dataType.byteCount(shape: shape)
    else {
      throw Refusal(
        .hdf5Dataspace, at: .tensor(name), found: "\(shape)",
        expected: "at most \(HDF5ReaderMessage.maximumRank) dimensions of at least 1")
    }
    let parts = name.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    guard TensorName.flaw(name) == nil, isPath || parts.count == 1,
      !parts.contains(where: { $0.isEmpty || $0.elementsEqual(".".utf8) })
    else {
      throw Refusal(
        .hdf5Name, at: .tensor(name), found: "a name that is invalid or a path",
        expected: "a plain name")
    }
    unsafe tensors.append(
      Entry(name: name, dataType: dataType, shape: shape, byteCount: byteCount, source: source))
  }

  /// Writes the file to `destination`, which is absent or complete at any time.
  ///
  /// - Throws: `file.exists` unless `replacing`, `file.create`, `disk.*`; `h5.*`; the errors of a
  ///   source.
  package func publish(to destination: String, replacing: Bool = false) throws(Refusal) {
    if let (_, name) = TensorName.equivalentPair(tensors.lazy.map(\.name)) {
      throw Refusal(
        .hdf5Name, file: destination, at: .tensor(name), found: "the same name twice",
        expected: "names that differ, also after Unicode normalisation")
    }
    let file = try FilePublisher(destination, replacing: replacing)
    let places: [Int]
    do throws(Refusal) {
      places = try layOut(file)
      try check(places, within: file.fileByteCount())
    } catch {
      throw error.inFile(destination)
    }
    for (tensor, place) in zip(tensors, places) {
      var done = 0
      try unsafe tensor.source { piece throws(Refusal) in
        if done + piece.count <= tensor.byteCount {
          unsafe try file.write(piece, at: place + done)
        }
        done += piece.count
      }
      guard done == tensor.byteCount else {
        throw Refusal(
          .hdf5Dataspace, file: destination, at: .tensor(tensor.name), found: "\(done) bytes",
          expected: counted(tensor.byteCount, "byte"))
      }
    }
    try file.publish()
  }

  /// Lets the confined process write everything except the elements; it has ended afterwards.
  private func layOut(_ file: FilePublisher) throws(Refusal) -> [Int] {
    let executable = try HDF5ReaderLocation.find(writerPath)
    var process = try file.withDescriptor { descriptor throws(Refusal) in
      try HDF5ReaderProcess.start(executable, arguments: ["write"], descriptor: descriptor)
    }
    var patience = Patience(timeout)
    guard case .hello(HDF5ReaderMessage.version) = try Self.answer(&process, &patience) else {
      throw Refusal(
        .hdf5ReaderProtocol, found: "no greeting",
        expected: "a greeting of version \(HDF5ReaderMessage.version)",
        remedy: "Install sextant and sextant-hdf5 of the same version.")
    }
    for (key, value) in metadata { try process.send(.metadata(key: key, value: value)) }
    var places: [Int] = []
    for tensor in tensors {
      let type = tensor.dataType.rawValue
      try process.send(.tensor(name: tensor.name, dataType: type, shape: tensor.shape))
      guard case .place(let offset) = try Self.answer(&process, &patience) else {
        throw Self.nonsense("no place for \(tensor.name)")
      }
      places.append(offset)
    }
    try process.send(.end(tensorCount: tensors.count))
    guard case .end(tensors.count) = try Self.answer(&process, &patience) else {
      throw Self.nonsense("no end")
    }
    return places
  }

  private static func answer(
    _ process: inout HDF5ReaderProcess, _ patience: inout Patience
  ) throws(Refusal) -> HDF5ReaderMessage {
    let (kind, count) = try process.receiveHeader(within: &patience)
    let message = try HDF5ReaderMessage(
      kind: kind, payload: try process.receive(count, within: &patience))
    if case .refusal(let refusal) = message { throw refusal }
    return message
  }

  /// Refuses places that overlap or are outside of the file.
  private func check(_ places: [Int], within fileByteCount: Int) throws(Refusal) {
    var end = 0
    for (tensor, place) in zip(tensors, places).sorted(by: { $0.1 < $1.1 }) {
      guard place >= end, place <= fileByteCount - tensor.byteCount else {
        throw Self.nonsense("an impossible place for \(tensor.name)")
      }
      end = place + tensor.byteCount
    }
  }

  private static func nonsense(_ found: String) -> Refusal {
    Refusal(.hdf5ReaderProtocol, found: found, expected: "a place for each tensor")
  }
}
