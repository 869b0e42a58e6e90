import SextantBytes
import SextantTensor

/// Writes files that `torch.load` reads, `weights_only` too: a dict of tensors.
///
/// Equal contents give equal bytes: members are named as PyTorch names them, in one folder called
/// `archive`, without times, and storages start at multiples of 64.
package struct PyTorchWriter {
  @safe
  private struct Entry {
    var name: String
    var dataType: DataType
    var shape: [Int]
    var byteCount: Int
    var source: SafetensorsWriter.Source
  }

  private var tensors: [Entry] = []

  /// A file without tensors.
  package init() {}

  /// Adds a tensor, after those that were added before.
  ///
  /// Names and types are checked when the file is made.
  package mutating func add(_ name: String, _ tensor: Tensor) {
    unsafe tensors.append(
      Entry(
        name: name, dataType: tensor.dataType, shape: tensor.shape,
        byteCount: tensor.count * tensor.dataType.byteWidth,
        source: { sink throws(Refusal) in unsafe try tensor.withUnsafeBytes(sink) }))
  }

  /// Adds a tensor whose elements `source` streams, row-major and little-endian.
  ///
  /// - Throws: `pth.tensor.kind` for an impossible shape.
  package mutating func add(
    _ name: String, _ dataType: DataType, shape: [Int], source: @escaping SafetensorsWriter.Source
  ) throws(Refusal) {
    guard let byteCount = dataType.byteCount(shape: shape) else {
      throw Refusal(
        .pytorchTensorKind, at: .tensor(name), found: "\(dataType.rawValue) \(shape)",
        expected: "non-negative dimensions and less than 2^63 bytes")
    }
    unsafe tensors.append(
      Entry(name: name, dataType: dataType, shape: shape, byteCount: byteCount, source: source))
  }

  /// Writes the file to `destination`, which is absent or complete at any time.
  ///
  /// - Throws: `file.exists` unless `replacing`, `file.create`, `disk.*`; `pth.root`, `pth.key` and
  ///   `pth.tensor.kind` for tensors that no reader would accept.
  package func publish(to destination: String, replacing: Bool = false) throws(Refusal) {
    let pickle = try pickle(for: destination)
    let file = try FilePublisher(destination, replacing: replacing)
    var zip = ZipWriter(file)
    try zip.add("archive/data.pkl", pickle)
    try zip.add("archive/byteorder", Array("little".utf8))
    for (place, tensor) in tensors.enumerated() {
      try unsafe zip.add(
        "archive/data/\(place)", byteCount: tensor.byteCount, source: tensor.source)
    }
    try zip.add("archive/version", Array("3\n".utf8))
    try zip.finish()
    try file.publish()
  }

  private func pickle(for file: String) throws(Refusal) -> [UInt8] {
    guard !tensors.isEmpty else {
      throw Refusal(.pytorchRoot, file: file, found: "no tensor", expected: "at least one")
    }
    if let (_, name) = TensorName.equivalentPair(tensors.lazy.map(\.name)) {
      throw Refusal(
        .pytorchKey, file: file, at: .tensor(name), found: "the same name twice",
        expected: "names that differ, also after Unicode normalisation")
    }
    var pickle = PickleWriter()
    for (place, tensor) in tensors.enumerated() {
      if let flaw = TensorName.flaw(tensor.name) {
        throw Refusal(
          .pytorchKey, file: file, at: .tensor(tensor.name), found: flaw,
          expected: "1 to \(counted(TensorName.byteLimit, "byte")), no control characters, no path")
      }
      guard let storage = PickleGlobal.storageName(of: tensor.dataType),
        tensor.shape.count <= PickleMachine.rankLimit
      else {
        throw Refusal(
          .pytorchTensorKind, file: file, at: .tensor(tensor.name),
          found: "\(tensor.dataType.rawValue) \(tensor.shape)",
          expected:
            "a type that PyTorch has, at most \(counted(PickleMachine.rankLimit, "dimension"))")
      }
      pickle.add(
        tensor.name, storage: storage, key: "\(place)",
        count: Shape.elementCount(tensor.shape) ?? 0,
        shape: tensor.shape)
    }
    return pickle.finish()
  }
}

extension PickleGlobal {
  /// PyTorch's name for the storage of a type; nil for a type that it does not have.
  fileprivate static func storageName(of type: DataType) -> String? {
    switch type {
    case .f32: "FloatStorage"
    case .f16: "HalfStorage"
    case .bf16: "BFloat16Storage"
    case .f64: "DoubleStorage"
    case .i64: "LongStorage"
    case .i32: "IntStorage"
    case .i16: "ShortStorage"
    case .i8: "CharStorage"
    case .u8: "ByteStorage"
    case .bool: "BoolStorage"
    default: nil
    }
  }
}

/// The pickle of a dict of contiguous tensors, in protocol 2 and without a memo.
private struct PickleWriter {
  // PROTO 2, EMPTY_DICT, MARK.
  private var bytes: [UInt8] = [0x80, 2, PickleOpcode.emptyDictionary.rawValue]

  init() { put(.mark) }

  /// Adds a name and a tensor that fills its storage.
  mutating func add(_ name: String, storage: String, key: String, count: Int, shape: [Int]) {
    put(name)
    put(.global, line: "torch._utils", "_rebuild_tensor_v2")
    put(.mark)
    put(.mark)
    put("storage")
    put(.global, line: "torch", storage)
    put(key)
    put("cpu")
    put(count)
    put(.tuple)
    put(.persistentID)
    put(0)
    put(shape)
    var stride = 1
    var strides: [Int] = []
    for dimension in shape.reversed() {
      strides.insert(stride, at: 0)
      stride *= max(dimension, 1)
    }
    put(strides)
    put(.newFalse)
    put(.global, line: "collections", "OrderedDict")
    put(.emptyTuple)
    put(.reduce)
    put(.tuple)
    put(.reduce)
  }

  /// The whole pickle.
  consuming func finish() -> [UInt8] {
    put(.setItems)
    put(.stop)
    return bytes
  }

  private mutating func put(_ opcode: PickleOpcode) { bytes.append(opcode.rawValue) }

  private mutating func put(_ opcode: PickleOpcode, line module: String, _ name: String) {
    put(opcode)
    bytes += Array("\(module)\n\(name)\n".utf8)
  }

  private mutating func put(_ text: String) {
    put(.unicode)
    bytes += UInt32(truncatingIfNeeded: text.utf8.count).littleEndianBytes + Array(text.utf8)
  }

  /// In the shortest form, as Python writes it.
  private mutating func put(_ number: Int) {
    if let byte = UInt8(exactly: number) {
      put(.integer1)
      bytes.append(byte)
    } else if let short = UInt16(exactly: number) {
      put(.integer2)
      bytes += short.littleEndianBytes
    } else if let word = Int32(exactly: number) {
      put(.integer)
      bytes += word.littleEndianBytes
    } else {
      put(.long)
      bytes += [8] + number.littleEndianBytes
    }
  }

  private mutating func put(_ numbers: [Int]) {
    put(.mark)
    for number in numbers { put(number) }
    put(.tuple)
  }
}
