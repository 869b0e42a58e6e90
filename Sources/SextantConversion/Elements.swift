import SextantBytes
import SextantStore
import SextantTensor

/// Counts the elements that are NaN or infinite.
struct NonfiniteCounter {
  private let dataType: DataType
  private(set) var total = 0

  init(_ dataType: DataType) {
    self.dataType = dataType
  }

  /// Adds a piece of whole elements.
  mutating func count(_ bytes: UnsafeRawBufferPointer) {
    switch dataType {
    case .f32: add(bytes, as: UInt32.self, exponent: 0x7F80_0000)
    case .bf16: add(bytes, as: UInt16.self, exponent: 0x7F80)
    case .f16: add(bytes, as: UInt16.self, exponent: 0x7C00)
    default: break
    }
  }

  /// An exponent of all ones means NaN or infinity in every IEEE format.
  private mutating func add<Bits: FixedWidthInteger>(
    _ bytes: UnsafeRawBufferPointer, as type: Bits.Type, exponent: Bits
  ) {
    var count = 0
    for offset in stride(from: 0, to: bytes.count, by: MemoryLayout<Bits>.size) {
      let bits = bytes.loadUnaligned(fromByteOffset: offset, as: Bits.self)
      if bits & exponent == exponent { count += 1 }
    }
    total += count
  }
}

extension TensorSink {
  /// Adds a piece of whole elements in another floating-point type.
  mutating func appendConverted(
    _ piece: UnsafeRawBufferPointer, from source: DataType, to target: DataType
  ) throws(FormatError) {
    let count = piece.count / source.byteWidth
    guard let elements = Tensor(copying: piece, dataType: source, shape: [count]),
      let converted = elements.converted(to: target)
    else { preconditionFailure("types were checked to be floating-point") }
    try converted.withUnsafeBytes { bytes throws(FormatError) in
      try append(bytes, source: piece)
    }
  }
}

/// The elements of matrices [rows, columns], one after the other, each as [columns, rows].
func transposed(_ bytes: [UInt8], rows: Int, columns: Int, width: Int) -> [UInt8] {
  let size = rows * columns * width
  precondition(size > 0 && bytes.count % size == 0)
  return [UInt8](unsafeUninitializedCapacity: bytes.count) { target, count in
    for matrix in stride(from: 0, to: bytes.count, by: size) {
      for row in 0..<rows {
        for column in 0..<columns {
          let from = matrix + (row * columns + column) * width
          let to = matrix + (column * rows + row) * width
          for byte in 0..<width { target.initializeElement(at: to + byte, to: bytes[from + byte]) }
        }
      }
    }
    count = bytes.count
  }
}
