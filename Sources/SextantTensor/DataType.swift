/// The element types of checkpoints, stores and tensors.
///
/// The raw value is the spelling of the safetensors format, which the project uses everywhere. Types
/// with blocks are spelled as in GGUF, whose bytes they have.
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
  /// Blocks of 32 neighbours in a row: a scale (f16), then 4 bits each; weight = scale · (bits - 8).
  case q4v0 = "Q4_0"
  /// Blocks of 32 neighbours in a row: a scale and a minimum (f16), then 4 bits each;
  /// weight = scale · bits + minimum.
  case q4v1 = "Q4_1"
  /// As `q4v0` with 5 bits; weight = scale · (bits - 16).
  case q5v0 = "Q5_0"
  /// As `q4v1` with 5 bits.
  case q5v1 = "Q5_1"
  /// Blocks of 256 neighbours in a row with 4 bits each, and scales and minima of 6 bits for each 32.
  case q4k = "Q4_K"
  /// As `q4k` with 5 bits.
  case q5k = "Q5_K"
  /// Blocks of 256 neighbours in a row with 6 bits each, and scales of 8 bits for each 16.
  case q6k = "Q6_K"

  /// The types of single elements, the only ones in activations, and in containers other than GGUF.
  package static let elementTypes = allCases.filter { !$0.isBlocks }

  /// The types with blocks, of weights only.
  package static let blockTypes = allCases.filter(\.isBlocks)

  /// The type of single elements with that spelling.
  package init?(elementType spelling: String) {
    guard let type = Self(rawValue: spelling), !type.isBlocks else { return nil }
    self = type
  }

  /// The short name that options and reports use: `f32`, `bf16`, `q8`, `q4` (for Q4_1), `q4_k`.
  package var word: String {
    switch self {
    case .q8: "q8"
    case .q4v1: "q4"
    default: rawValue.lowercased()
    }
  }

  /// Elements that are stored together: 1, or those of a block.
  package var blockLength: Int {
    switch self {
    case .q8, .q4v0, .q4v1, .q5v0, .q5v1: 32
    case .q4k, .q5k, .q6k: 256
    default: 1
    }
  }

  /// Whether elements are stored in blocks that share scales.
  package var isBlocks: Bool { blockLength > 1 }

  /// The alignment of the elements, in bytes.
  package var alignment: Int { isBlocks ? 2 : byteWidth }

  /// Bytes of whole blocks with so many elements.
  package func byteCount(elements: Int) -> Int { elements / blockLength * byteWidth }

  /// Bytes of one element, or of one block of `blockLength` elements.
  public var byteWidth: Int {
    switch self {
    case .f64, .i64, .u64: 8
    case .f32, .i32, .u32: 4
    case .f16, .bf16, .i16, .u16: 2
    case .i8, .u8, .bool: 1
    case .q8: 34
    case .q4v0: 18
    case .q4v1: 20
    case .q5v0: 22
    case .q5v1: 24
    case .q4k: 144
    case .q5k: 176
    case .q6k: 210
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
