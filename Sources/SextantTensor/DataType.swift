/// The element types that a checkpoint, a store or a tensor can hold.
///
/// The raw value is the spelling of the safetensors format, which the project uses everywhere.
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

  /// Bytes of one element.
  public var byteWidth: Int {
    switch self {
    case .f64, .i64, .u64: 8
    case .f32, .i32, .u32: 4
    case .f16, .bf16, .i16, .u16: 2
    case .i8, .u8, .bool: 1
    }
  }

  /// Whether the elements are floating-point numbers.
  public var isFloatingPoint: Bool {
    switch self {
    case .f64, .f32, .f16, .bf16: true
    default: false
    }
  }

  /// Bytes of a tensor of this type, or nil when the shape is negative or the product overflows.
  ///
  /// A zero dimension does not excuse an overflow in the others: the product is taken over
  /// max(dimension, 1) first, so that `[0, 2^62, 8]` is refused too.
  public func byteCount(shape: [Int]) -> Int? {
    guard let elements = Shape.elementCount(shape) else { return nil }
    let (bytes, overflow) = elements.multipliedReportingOverflow(by: byteWidth)
    return overflow ? nil : bytes
  }
}

/// Checked arithmetic on shapes.
public enum Shape {
  /// The number of elements, or nil when a dimension is negative or the product overflows.
  public static func elementCount(_ shape: [Int]) -> Int? {
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
