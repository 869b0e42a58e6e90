import SextantBytes
import SextantTensor

/// The reader's list of the file's content, checked.
struct HDF5Listing {
  /// Tensors in one file.
  static let tensorLimit = 200_000
  /// Bytes that the tensors may have for each byte of the file: deflate makes no more of one.
  static let ratioLimit = 1032
  /// Bytes of all messages together.
  private static let byteLimit = 256 << 20
  private static let noteLimit = 1000
  private static let metadataLimit = 64

  /// The tensors, in the reader's order.
  private(set) var tensors: [CheckpointTensor] = []
  /// How the file spells the tensors' names.
  private(set) var layout: HDF5Layout?
  /// The texts of the root group.
  private(set) var metadata: [String: String] = [:]
  /// The parts that the reader skipped or converted.
  private(set) var notes: [String] = []
  private var totalByteCount = 0

  /// Receives the list.
  ///
  /// - Throws: `h5.*`; the refusals of the reader.
  init(
    from process: inout HDF5ReaderProcess, fileByteCount: Int, within patience: inout Patience
  ) throws(Refusal) {
    var received = 0
    var isFirst = true
    while true {
      let (kind, count) = try process.receiveHeader(within: &patience)
      received += count
      guard received <= Self.byteLimit else {
        throw nonsense("more than \(counted(Self.byteLimit, "byte")) of names")
      }
      let message = try HDF5ReaderMessage(
        kind: kind, payload: try process.receive(count, within: &patience))
      if isFirst {
        isFirst = false
        switch message {
        case .hello(HDF5ReaderMessage.version): continue
        case .refusal(let refusal): throw refusal
        default:
          throw Refusal(
            .hdf5ReaderProtocol, found: "\(message)",
            expected: "a greeting of version \(HDF5ReaderMessage.version)",
            remedy: "Install sextant and sextant-hdf5 of the same version.")
        }
      }
      switch message {
      case .hello: throw nonsense("a second greeting")
      case .place: throw nonsense("a place")
      case .layout(let found):
        guard layout == nil else { throw nonsense("a second layout") }
        layout = found
      case .metadata(let key, let value): try add(key, value)
      case .note(let text): if notes.count < Self.noteLimit { notes.append(text) }
      case .tensor(let name, let dataType, let shape):
        try add(name, dataType, shape, fileByteCount: fileByteCount)
      case .refusal(let refusal): throw refusal
      case .end(let tensorCount):
        guard tensorCount == tensors.count else {
          throw nonsense("\(counted(tensors.count, "tensor")) of \(tensorCount)")
        }
        guard layout != nil else { throw nonsense("no layout") }
        try checkNames()
        return
      }
    }
  }

  private mutating func add(_ key: String, _ value: String) throws(Refusal) {
    guard metadata.count < Self.metadataLimit, metadata.updateValue(value, forKey: key) == nil
    else { throw nonsense("too many attributes, or one twice") }
  }

  private mutating func add(
    _ name: String, _ spelling: String, _ shape: [Int], fileByteCount: Int
  ) throws(Refusal) {
    guard tensors.count < Self.tensorLimit else {
      throw nonsense("more than \(counted(Self.tensorLimit, "tensor"))")
    }
    guard let dataType = DataType(elementType: spelling) else {
      throw nonsense("the data type \(spelling)")
    }
    guard let byteCount = dataType.byteCount(shape: shape) else {
      throw nonsense("a tensor of shape \(shape)")
    }
    let (total, overflow) = totalByteCount.addingReportingOverflow(byteCount)
    guard !overflow, total / Self.ratioLimit <= fileByteCount else {
      throw Refusal(
        .hdf5Bomb, at: .tensor(name),
        found: "more than \(counted(Self.ratioLimit, "byte")) declared for each byte of the file",
        expected: "at most that")
    }
    totalByteCount = total
    tensors.append(
      CheckpointTensor(name: name, dataType: dataType, shape: shape, byteCount: byteCount))
  }

  private func checkNames() throws(Refusal) {
    guard !tensors.isEmpty else {
      throw Refusal(
        .hdf5DialectUnknown, found: "no dataset of numbers", expected: "one dataset per tensor")
    }
    for tensor in tensors {
      if let flaw = TensorName.flaw(tensor.name) {
        throw Refusal(
          .hdf5Name, at: .tensor(tensor.name), found: flaw,
          expected: "a plain name of at most \(counted(TensorName.byteLimit, "byte"))")
      }
    }
    if layout == .keras3 {
      guard tensors.allSatisfy({ HDF5Layout.isNumbered($0.name.split(separator: ".")) }) else {
        throw nonsense("a variable without a number")
      }
    }
    if let (a, b) = TensorName.equivalentPair(tensors.map(\.name)) {
      throw Refusal(
        .hdf5Name, at: .tensor(a), found: "\"\(a)\" and \"\(b)\", equal to most programs",
        expected: "names that differ")
    }
  }

  private func nonsense(_ found: String) -> Refusal {
    Refusal(.hdf5ReaderProtocol, found: found, expected: "a list of tensors")
  }
}
