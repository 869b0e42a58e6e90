import SextantBytes
import SextantTensor

/// A value for a GGUF file's metadata, with the width that it is stored in.
package enum GGUFNewValue: Sendable, Equatable {
  case uint32(UInt32)
  case int32(Int32)
  case float32(Float)
  case boolean(Bool)
  case string(String)
  case strings([String])
  case booleans([Bool])
  case int32s([Int32])
  case float32s([Float])
  case bytes([UInt8])
}

/// Writes GGUF files, version 3: equal contents in equal order give equal bytes.
///
/// Metadata and tensors are in the file in the order in which they are added. Nothing is written
/// before `publish`, and the destination is absent or complete.
package struct GGUFWriter {
  private var values: [(key: String, value: GGUFNewValue)] = []
  private var tensors: [Entry] = []

  @safe
  private struct Entry {
    var name: String
    var type: GGUFTensorType
    var shape: [Int]
    var byteCount: Int
    var source: SafetensorsWriter.Source
  }

  private static let alignment = 32

  /// A writer without metadata and tensors.
  package init() {}

  /// Adds a value; a key that was there keeps its place.
  package mutating func set(_ key: String, _ value: GGUFNewValue) {
    if let place = values.firstIndex(where: { $0.key == key }) {
      values[place].value = value
    } else {
      values.append((key, value))
    }
  }

  /// Adds a tensor whose elements `source` streams, row-major and little-endian.
  ///
  /// - Throws: `gguf.type`, `gguf.shape`, `gguf.name` for a tensor that no reader would accept.
  package mutating func add(
    _ name: String, _ dataType: DataType, shape: [Int], source: @escaping SafetensorsWriter.Source
  ) throws(Refusal) {
    guard let type = GGUFTensorType(storing: dataType) else {
      throw Refusal(
        .ggufType, at: .tensor(name), found: dataType.rawValue,
        expected: "F32, F16, BF16 or blocks")
    }
    guard (1...GGUFHeader.dimensionLimit).contains(shape.count), shape.allSatisfy({ $0 > 0 }),
      let byteCount = dataType.byteCount(shape: shape)
    else {
      throw Refusal(
        .ggufShape, at: .tensor(name), found: "\(shape)",
        expected: "1 to \(counted(GGUFHeader.dimensionLimit, "dimension")) of at least 1")
    }
    guard TensorName.flaw(name) == nil, !tensors.contains(where: { $0.name == name }) else {
      throw Refusal(
        .ggufName, at: .tensor(name), found: "a name that is invalid or occurs twice",
        expected: "names that differ")
    }
    unsafe tensors.append(
      Entry(name: name, type: type, shape: shape, byteCount: byteCount, source: source))
  }

  /// Adds a tensor.
  ///
  /// - Throws: as `add(_:_:shape:source:)`.
  package mutating func add(_ name: String, _ tensor: Tensor) throws(Refusal) {
    unsafe try add(name, tensor.dataType, shape: tensor.shape) { sink throws(Refusal) in
      unsafe try tensor.withUnsafeBytes(sink)
    }
  }

  // MARK: Files

  /// Writes the file to `destination`, which is absent or complete at any time.
  ///
  /// - Throws: `file.exists` unless `replacing`, `file.create`, `disk.*`; `gguf.offset` if the
  ///   number of bytes from a source does not fit type and shape; the errors of a source.
  package func publish(to destination: String, replacing: Bool = false) throws(Refusal) {
    let file = try FilePublisher(destination, replacing: replacing)
    try file.append(header)
    for tensor in tensors {
      try file.pad(to: Self.alignment)
      let start = file.byteCount
      unsafe try tensor.source { piece throws(Refusal) in
        if file.byteCount - start + piece.count <= tensor.byteCount {
          unsafe try file.append(piece)
        }
      }
      guard file.byteCount - start == tensor.byteCount else {
        throw Refusal(
          .ggufOffset, file: destination, at: .tensor(tensor.name),
          found: counted(file.byteCount - start, "byte"),
          expected: counted(tensor.byteCount, "byte"))
      }
    }
    try file.pad(to: Self.alignment)
    try file.publish()
  }

  /// Everything before the padding in front of the first tensor.
  private var header: [UInt8] {
    var bytes = Array("GGUF".utf8) + UInt32(3).littleEndianBytes
    bytes += UInt64(tensors.count).littleEndianBytes + UInt64(values.count).littleEndianBytes
    for (key, value) in values { bytes += Self.string(key) + Self.encoded(value) }
    var offset = 0
    for tensor in tensors {
      bytes += Self.string(tensor.name) + UInt32(tensor.shape.count).littleEndianBytes
      for dimension in tensor.shape.reversed() { bytes += UInt64(dimension).littleEndianBytes }
      bytes += tensor.type.rawValue.littleEndianBytes + UInt64(offset).littleEndianBytes
      offset += (tensor.byteCount + Self.alignment - 1) / Self.alignment * Self.alignment
    }
    return bytes
  }

  private static func string(_ text: String) -> [UInt8] {
    UInt64(text.utf8.count).littleEndianBytes + Array(text.utf8)
  }

  private static func type(_ type: GGUFValueType) -> [UInt8] { type.rawValue.littleEndianBytes }

  /// The type's number and the value.
  private static func encoded(_ value: GGUFNewValue) -> [UInt8] {
    func array(_ element: GGUFValueType, _ count: Int, _ bytes: [UInt8]) -> [UInt8] {
      type(.array) + type(element) + UInt64(count).littleEndianBytes + bytes
    }
    return switch value {
    case .uint32(let number): type(.uint32) + number.littleEndianBytes
    case .int32(let number): type(.int32) + number.littleEndianBytes
    case .float32(let number): type(.float32) + number.bitPattern.littleEndianBytes
    case .boolean(let flag): type(.bool) + [flag ? 1 : 0]
    case .string(let text): type(.string) + string(text)
    case .strings(let texts): array(.string, texts.count, texts.flatMap(string))
    case .booleans(let flags): array(.bool, flags.count, flags.map { $0 ? 1 : 0 })
    case .int32s(let numbers):
      array(.int32, numbers.count, numbers.flatMap { $0.littleEndianBytes })
    case .float32s(let numbers):
      array(.float32, numbers.count, numbers.flatMap { $0.bitPattern.littleEndianBytes })
    case .bytes(let bytes): array(.uint8, bytes.count, bytes)
    }
  }
}
