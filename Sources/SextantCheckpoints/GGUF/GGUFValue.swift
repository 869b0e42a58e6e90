import SextantBytes

/// A value of a GGUF file's metadata.
package enum GGUFValue: Sendable, Equatable {
  /// Any integer type, signed or not.
  case integer(Int64)
  /// Either floating-point type; a 32-bit number as the 64-bit number equal to it.
  case number(Double)
  /// True or false.
  case boolean(Bool)
  /// A text.
  case string(String)
  /// An array, whose elements stay in the file.
  case array(GGUFArray)
}

/// An array in the metadata of a GGUF file: the position of its elements.
///
/// A vocabulary has hundred thousands of elements, and a hostile file may have as many as its
/// length allows. They are checked when the file is opened, and decoded only when `GGUFFile` needs
/// them.
package struct GGUFArray: Sendable, Equatable {
  /// The elements' type.
  let elementType: GGUFValueType
  /// How many elements there are.
  package let count: Int
  /// The offset of the first one in the file.
  let offset: Int
}

/// The types of metadata values, by their numbers in the format.
enum GGUFValueType: UInt32, Sendable {
  case uint8, int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64
  case float64

  /// Bytes of a value, at least; nil if they depend on the value.
  var byteCount: Int? {
    switch self {
    case .uint8, .int8, .bool: 1
    case .uint16, .int16: 2
    case .uint32, .int32, .float32: 4
    case .uint64, .int64, .float64: 8
    case .string, .array: nil
    }
  }

  /// Bytes that even an empty value takes: a string has its length, an array its type as well.
  var leastByteCount: Int { byteCount ?? (self == .string ? 8 : 12) }
}

extension GGUFCursor {
  /// How deeply arrays may be nested; published files do not nest them.
  static let depthLimit = 4

  /// The number of a value type.
  ///
  /// - Throws: `gguf.value`.
  mutating func valueType() throws(Refusal) -> GGUFValueType {
    let number = try integer(UInt32.self)
    guard let type = GGUFValueType(rawValue: number) else {
      throw refusal(
        .ggufValue, back: 4, found: "a value of type \(number)", expected: "a type from 0 to 12")
    }
    return type
  }

  /// A value of a type; an array is checked and passed over.
  ///
  /// - Throws: `gguf.value`, `gguf.string`, `gguf.count`, `gguf.depth`, `gguf.truncated`.
  mutating func value(_ type: GGUFValueType) throws(Refusal) -> GGUFValue {
    switch type {
    case .uint8: return .integer(Int64(try integer(UInt8.self)))
    case .int8: return .integer(Int64(try integer(Int8.self)))
    case .uint16: return .integer(Int64(try integer(UInt16.self)))
    case .int16: return .integer(Int64(try integer(Int16.self)))
    case .uint32: return .integer(Int64(try integer(UInt32.self)))
    case .int32: return .integer(Int64(try integer(Int32.self)))
    case .int64: return .integer(try integer())
    case .uint64:
      let number = try integer(UInt64.self)
      guard let value = Int64(exactly: number) else {
        throw refusal(.ggufValue, back: 8, found: "\(number)", expected: "at most \(Int64.max)")
      }
      return .integer(value)
    case .float32: return .number(Double(Float(bitPattern: try integer())))
    case .float64: return .number(Double(bitPattern: try integer()))
    case .bool: return .boolean(try boolean())
    case .string: return .string(try string())
    case .array: return .array(try array(depth: 1))
    }
  }

  private mutating func boolean() throws(Refusal) -> Bool {
    let byte = try integer(UInt8.self)
    guard byte <= 1 else {
      throw refusal(.ggufValue, back: 1, found: "a boolean of \(byte)", expected: "0 or 1")
    }
    return byte == 1
  }

  private mutating func array(depth: Int) throws(Refusal) -> GGUFArray {
    guard depth <= Self.depthLimit else {
      throw refusal(
        .ggufDepth, found: "an array in \(depth - 1) others", expected: "at most \(Self.depthLimit)"
      )
    }
    let type = try valueType()
    let count = try count(of: "elements", byteCount: type.leastByteCount)
    let array = GGUFArray(elementType: type, count: count, offset: position)
    switch (type, type.byteCount) {
    case (.bool, _): for _ in 0..<count { _ = try boolean() }
    case (_, let width?): try skip(count * width)  // no overflow: they fit into the file
    case (.string, nil): for _ in 0..<count { _ = try string() }
    case (_, nil): for _ in 0..<count { _ = try self.array(depth: depth + 1) }
    }
    return array
  }
}
