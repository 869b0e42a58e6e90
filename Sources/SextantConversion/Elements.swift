import Glibc
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

/// Converts a tensor's elements that come in pieces.
struct ElementConverter {
  private let source: DataType
  private let target: DataType
  /// Bytes of the source that the target stores together.
  private let unit: Int
  /// The elements since the last whole block, where the target has blocks.
  private var rest: [UInt8] = []

  /// Both types are floating-point or blocks.
  init(from source: DataType, to target: DataType) {
    self.source = source
    self.target = target
    unit = target.blockLength * source.byteWidth
  }

  /// The next elements, as far as they fill blocks; pieces may be cut between any two elements.
  mutating func convert(_ piece: UnsafeRawBufferPointer) -> Tensor {
    if rest.isEmpty, piece.count.isMultiple(of: unit) { return converted(piece) }
    rest += piece
    let count = rest.count / unit * unit
    defer { rest.removeFirst(count) }
    return rest.withUnsafeBytes { converted(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
  }

  private func converted(_ bytes: UnsafeRawBufferPointer) -> Tensor {
    let elements = Tensor(
      copying: bytes, dataType: source, shape: [bytes.count / source.byteWidth])
    guard let converted = elements?.converted(to: target) else {
      preconditionFailure("types were checked to convert")
    }
    return converted
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

/// A matrix whose heads alternate between rows of their halves, with the halves one after the other.
func unpaired(_ bytes: [UInt8], rows: Int, headWidth: Int) -> [UInt8] {
  let width = bytes.count / rows  // bytes of a row
  precondition(rows % headWidth == 0 && headWidth % 2 == 0 && width * rows == bytes.count)
  var result: [UInt8] = []
  result.reserveCapacity(bytes.count)
  for head in stride(from: 0, to: rows, by: headWidth) {
    for half in 0..<2 {
      for pair in 0..<headWidth / 2 {
        let row = head + 2 * pair + half
        result += bytes[row * width..<(row + 1) * width]
      }
    }
  }
  return result
}

/// The x of f32 elements -exp(x). One that is not negative becomes NaN or infinite, and is counted.
func logarithmOfNegated(_ bytes: [UInt8]) -> [UInt8] {
  var bytes = bytes
  bytes.withUnsafeMutableBytes { buffer in
    for offset in stride(from: 0, to: buffer.count, by: 4) {
      let value = buffer.loadUnaligned(fromByteOffset: offset, as: Float.self)
      buffer.storeBytes(of: Float(log(-Double(value))), toByteOffset: offset, as: Float.self)
    }
  }
  return bytes
}
