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
