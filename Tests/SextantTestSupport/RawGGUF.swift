import SextantBytes

/// Bytes of GGUF files, good and bad, without the reader that the tests check.
package enum RawGGUF {
  /// A string with its length, which need not be the true one.
  package static func string(_ text: String, length: UInt64? = nil) -> [UInt8] {
    (length ?? UInt64(text.utf8.count)).littleEndianBytes + Array(text.utf8)
  }

  /// A metadata entry of a type's number and a value's bytes.
  package static func entry(_ key: String, _ type: UInt32, _ value: [UInt8]) -> [UInt8] {
    string(key) + type.littleEndianBytes + value
  }

  /// A metadata entry that is a string.
  package static func entry(_ key: String, _ text: String) -> [UInt8] {
    entry(key, 8, string(text))
  }

  /// A metadata entry that is a 32-bit unsigned integer.
  package static func entry(_ key: String, _ number: UInt32) -> [UInt8] {
    entry(key, 4, number.littleEndianBytes)
  }

  /// A metadata entry that is a 32-bit floating-point number.
  package static func entry(_ key: String, f32 number: Float) -> [UInt8] {
    entry(key, 6, number.bitPattern.littleEndianBytes)
  }

  /// A metadata entry that is a boolean.
  package static func entry(_ key: String, _ value: Bool) -> [UInt8] {
    entry(key, 7, [value ? 1 : 0])
  }

  /// The value of an array of strings.
  package static func array(_ texts: [String]) -> [UInt8] {
    array(8, count: texts.count, texts.flatMap { string($0) })
  }

  /// The value of an array of 32-bit integers.
  package static func array(_ numbers: [Int32]) -> [UInt8] {
    array(5, count: numbers.count, numbers.flatMap { $0.littleEndianBytes })
  }

  /// The value of an array.
  package static func array(_ type: UInt32, count: Int, _ elements: [UInt8]) -> [UInt8] {
    type.littleEndianBytes + UInt64(count).littleEndianBytes + elements
  }

  /// An entry of the table of tensors; dimensions are the file's, innermost first.
  package static func tensor(
    _ name: String, _ dimensions: [UInt64], type: UInt32 = 0, offset: UInt64 = 0
  ) -> [UInt8] {
    string(name) + UInt32(dimensions.count).littleEndianBytes
      + dimensions.flatMap { $0.littleEndianBytes } + type.littleEndianBytes
      + offset.littleEndianBytes
  }

  /// A file of these parts.
  ///
  /// - Parameters:
  ///   - valueCount: the count to declare, if it is not the true one; as `tensorCount`.
  package static func file(
    version: UInt32 = 3, values: [[UInt8]] = [], valueCount: UInt64? = nil,
    tensors: [[UInt8]] = [], tensorCount: UInt64? = nil, data: [UInt8] = [], alignment: Int = 32
  ) -> [UInt8] {
    var bytes = Array("GGUF".utf8) + version.littleEndianBytes
    bytes += (tensorCount ?? UInt64(tensors.count)).littleEndianBytes
    bytes += (valueCount ?? UInt64(values.count)).littleEndianBytes
    bytes += values.flatMap { $0 } + tensors.flatMap { $0 }
    if !data.isEmpty { while bytes.count % alignment != 0 { bytes.append(0) } }
    return bytes + data
  }

  /// A valid file of F32 tensors, row-major shapes; each takes `bytes`, filled up to 32.
  package static func file(
    values: [[UInt8]], f32 tensors: [(name: String, shape: [Int], bytes: [UInt8])]
  ) -> [UInt8] {
    var table: [[UInt8]] = []
    var data: [UInt8] = []
    for item in tensors {
      let dimensions = item.shape.reversed().map { UInt64($0) }
      table.append(tensor(item.name, dimensions, offset: UInt64(data.count)))
      data += item.bytes
      while data.count % 32 != 0 { data.append(0) }
    }
    return file(values: values, tensors: table, data: data)
  }

  /// Where a type of blocks has its scale, and its minimum if it has one: halves, at these bytes of a block.
  package static func halves(of type: String) -> [Int] {
    switch type {
    case "Q6_K": [208]
    case "Q4_1", "Q5_1", "Q4_K", "Q5_K": [0, 2]
    default: [0]
    }
  }
}
