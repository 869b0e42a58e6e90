/// The element types of checkpoints, stores and tensors.
///
/// The raw value is the spelling of the safetensors format, which the project uses everywhere; `q8`
/// is spelled as in GGUF, whose layout it has.
public enum DataType: String, Sendable, Hashable, CaseIterable {
  case f64 = "F64"
  case f32 = "F32"
  case f16 = "F16"
  case bf16 = "BF16"
  case i64 = "I64"
  case i32 = "I32"
  case i16 = "I16"
  case i8 = "I8"
  case u64 = "U64"
  case u32 = "U32"
  case u16 = "U16"
  case u8 = "U8"
  case bool = "BOOL"
  /// Blocks of 32 neighbours in a row: a scale (f16), then 32 signed bytes that it multiplies.
  ///
  /// A block has its own scale, so that one large weight reduces the precision of only 31 others;
  /// f16 is precise enough for the scale of bytes (2⁻¹¹ compared with 2⁻⁸) and needs half the space
  /// of f32. Weights only, in rows of whole blocks.
  case q8 = "Q8_0"

  /// The types of single elements, the only ones in foreign containers and activations.
  package static let elementTypes = allCases.filter { $0.blockLength == 1 }

  /// The type of single elements with that spelling.
  package init?(elementType spelling: String) {
    guard let type = Self(rawValue: spelling), type.blockLength == 1 else { return nil }
    self = type
  }

  /// The short name that options and reports use: `f32`, `bf16`, `q8`.
  package var word: String { self == .q8 ? "q8" : rawValue.lowercased() }

  /// Elements that are stored together: 1, or 32 for `q8`.
  package var blockLength: Int { self == .q8 ? 32 : 1 }

  /// The alignment of the elements, in bytes.
  package var alignment: Int { self == .q8 ? 2 : byteWidth }

  /// Bytes of one element, or of one block of `blockLength` elements.
  public var byteWidth: Int {
    switch self {
    case .f64, .i64, .u64: 8
    case .f32, .i32, .u32: 4
    case .f16, .bf16, .i16, .u16: 2
    case .i8, .u8, .bool: 1
    case .q8: 34
    }
  }

  /// Whether the elements are floating-point numbers.
  public var isFloatingPoint: Bool {
    switch self {
    case .f64, .f32, .f16, .bf16: true
    default: false
    }
  }

  /// Bytes of a tensor of this type, or nil when the shape is negative, the product overflows, or
  /// the last dimension is not a whole number of blocks.
  ///
  /// A zero dimension does not excuse an overflow in the others: the product is taken over
  /// max(dimension, 1) first, so that `[0, 2^62, 8]` is refused too.
  package func byteCount(shape: [Int]) -> Int? {
    guard let elements = Shape.elementCount(shape) else { return nil }
    guard (shape.last ?? 1).isMultiple(of: blockLength) else { return nil }
    let (bytes, overflow) = (elements / blockLength).multipliedReportingOverflow(by: byteWidth)
    return overflow ? nil : bytes
  }
}

/// Checked arithmetic on shapes.
package enum Shape {
  /// The number of elements, or nil when a dimension is negative or the product overflows.
  package static func elementCount(_ shape: [Int]) -> Int? {
    var product = 1
    var isEmpty = false
    for dimension in shape {
      guard dimension >= 0 else { return nil }
      if dimension == 0 { isEmpty = true }
      let (next, overflow) = product.multipliedReportingOverflow(by: max(dimension, 1))
      if overflow { return nil }
      product = next
    }
    return isEmpty ? 0 : product
  }
}
