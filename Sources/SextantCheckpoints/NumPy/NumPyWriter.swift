import SextantBytes
import SextantTensor

/// Writes `.npz` archives that `numpy.load` reads: stored members, one array each.
///
/// Equal contents give equal bytes: members are in the order in which they are added, without
/// times, and elements start at multiples of 64.
package struct NumPyWriter {
  private var tensors: [(name: String, value: Tensor)] = []

  /// An archive without arrays.
  package init() {}

  /// Adds an array. NumPy has no bfloat16: such a tensor is written as float32.
  ///
  /// Names and types are checked when the file is made.
  package mutating func add(_ name: String, _ tensor: Tensor) { tensors.append((name, tensor)) }

  /// Writes the file to `destination`, which is absent or complete at any time.
  ///
  /// - Throws: `file.exists` unless `replacing`, `file.create`, `disk.*`; `export.inexpressible` for
  ///   names and types that no reader would accept.
  package func publish(to destination: String, replacing: Bool = false) throws(Refusal) {
    if let (_, name) = TensorName.equivalentPair(tensors.lazy.map(\.name)) {
      throw Self.refusal(name, "the same name twice", "names that differ")
    }
    let file = try FilePublisher(destination, replacing: replacing)
    var zip = ZipWriter(file)
    for (name, tensor) in tensors {
      if let flaw = TensorName.flaw(name) {
        throw Self.refusal(name, flaw, "a name without control characters and paths")
      }
      let value = tensor.dataType == .bf16 ? tensor.converted(to: .f32) ?? tensor : tensor
      guard let descriptor = Self.descriptor(value.dataType) else {
        throw Self.refusal(name, value.dataType.rawValue, "numbers that NumPy has")
      }
      let header = Self.header(descriptor, value.shape)
      let byteCount = header.count + value.count * value.dataType.byteWidth
      try unsafe zip.add("\(name).npy", byteCount: byteCount) { sink throws(Refusal) in
        unsafe try header.span.bytes.withUnsafeBytes(sink)
        unsafe try value.withUnsafeBytes(sink)
      }
    }
    try zip.finish()
    try file.publish()
  }

  /// Magic, version 1.0, and a Python dict padded to a multiple of 64.
  private static func header(_ descriptor: String, _ shape: [Int]) -> [UInt8] {
    let dimensions = shape.map(String.init).joined(separator: ", ")
    let tuple = shape.count == 1 ? "(\(dimensions),)" : "(\(dimensions))"
    var text = "{'descr': '\(descriptor)', 'fortran_order': False, 'shape': \(tuple), }"
    while (10 + text.utf8.count + 1) % 64 != 0 { text += " " }
    text += "\n"
    return [0x93] + Array("NUMPY".utf8) + [1, 0] + UInt16(text.utf8.count).littleEndianBytes
      + Array(text.utf8)
  }

  private static func descriptor(_ type: DataType) -> String? {
    switch type {
    case .f64: "<f8"
    case .f32: "<f4"
    case .f16: "<f2"
    case .i64: "<i8"
    case .i32: "<i4"
    case .i16: "<i2"
    case .i8: "|i1"
    case .u64: "<u8"
    case .u32: "<u4"
    case .u16: "<u2"
    case .u8: "|u1"
    case .bool: "|b1"
    default: nil
    }
  }

  private static func refusal(_ name: String, _ found: String, _ expected: String) -> Refusal {
    Refusal(.exportInexpressible, at: .tensor(name), found: found, expected: expected)
  }
}
