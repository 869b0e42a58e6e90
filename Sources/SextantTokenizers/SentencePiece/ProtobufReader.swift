import SextantBytes

/// The fields of a message in protocol buffers' wire format, one after the other.
///
/// Stricter than the format asks for: groups are refused, and numbers that are longer than they
/// need be.
struct ProtobufReader {
  /// A field: its number, its value and where it starts in the file.
  struct Field {
    var number: Int
    var value: Value
    var offset: Int
  }

  /// A value, in one of the wire types that are in use.
  enum Value {
    case varint(UInt64)
    case fixed64(UInt64)
    /// A string, bytes or a message: a range of the file's bytes.
    case bytes(Range<Int>)
    case fixed32(UInt32)
  }

  /// The file's bytes.
  let bytes: [UInt8]
  /// The file's path.
  let file: String?
  private var position: Int
  private let end: Int

  /// Reads the message in `range`, by default the whole file.
  init(_ bytes: [UInt8], in range: Range<Int>? = nil, file: String?) {
    self.bytes = bytes
    self.file = file
    position = range?.lowerBound ?? 0
    end = range?.upperBound ?? bytes.count
  }

  /// The next field; nil at the end of the message.
  ///
  /// - Throws: `tokenizer.invalid`, with an offset.
  mutating func next() throws(Refusal) -> Field? {
    guard position < end else { return nil }
    let offset = position
    let key = try varint()
    guard let number = Int(exactly: key >> 3), 1...0x1FFF_FFFF ~= number else {
      throw refusal(at: offset, found: "field \(key >> 3)", expected: "a field number")
    }
    let value: Value
    switch key & 7 {
    case 0: value = .varint(try varint())
    case 1: value = .fixed64(try fixed(8))
    case 2:
      let count = try varint()
      guard count <= UInt64(end - position) else {
        throw refusal(
          at: offset, found: "a field of \(counted(count, "byte"))",
          expected: "at most the \(end - position) that are left")
      }
      value = .bytes(position..<position + Int(count))
      position += Int(count)
    case 5: value = .fixed32(UInt32(truncatingIfNeeded: try fixed(4)))
    case let type: throw refusal(at: offset, found: "wire type \(type)", expected: "0, 1, 2 or 5")
    }
    return Field(number: number, value: value, offset: offset)
  }

  /// A refusal at an offset.
  func refusal(at offset: Int, found: String, expected: String) -> Refusal {
    Refusal(
      .tokenizerInvalid, file: file, at: .offset(offset), found: found, expected: expected)
  }

  private mutating func varint() throws(Refusal) -> UInt64 {
    let start = position
    var number: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 64, by: 7) {
      guard position < end else {
        throw refusal(at: start, found: "the end of a message", expected: "a number")
      }
      let byte = bytes[position]
      position += 1
      // The tenth byte has one bit left to give.
      guard shift < 63 || byte <= 1 else { break }
      number |= UInt64(byte & 0x7F) << shift
      if byte & 0x80 == 0 {
        if byte == 0 && shift > 0 { break }
        return number
      }
    }
    throw refusal(
      at: start, found: "a number that is too long", expected: "at most 64 bits, no idle bytes")
  }

  private mutating func fixed(_ count: Int) throws(Refusal) -> UInt64 {
    guard end - position >= count else {
      throw refusal(at: position, found: "the end of a message", expected: counted(count, "byte"))
    }
    defer { position += count }
    return bytes[position..<position + count].reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }
}

extension ProtobufReader {
  /// The range of a string, bytes or a message.
  func range(_ field: Field) throws(Refusal) -> Range<Int> {
    guard case .bytes(let range) = field.value else { throw wrongType(field, "bytes") }
    return range
  }

  /// The bytes of a string, which must be UTF-8.
  func text(_ field: Field) throws(Refusal) -> Range<Int> {
    let range = try range(field)
    guard String(validating: bytes[range], as: UTF8.self) != nil else {
      throw refusal(at: field.offset, found: "a string that is not UTF-8", expected: "UTF-8")
    }
    return range
  }

  /// A truth value.
  func boolean(_ field: Field) throws(Refusal) -> Bool {
    guard case .varint(let number) = field.value, number <= 1 else {
      throw wrongType(field, "a truth value")
    }
    return number == 1
  }

  /// A small non-negative number.
  func small(_ field: Field) throws(Refusal) -> Int {
    guard case .varint(let number) = field.value, number <= 1_000 else {
      throw wrongType(field, "a small number")
    }
    return Int(number)
  }

  /// A number in single precision that is one.
  func float(_ field: Field) throws(Refusal) -> Float {
    guard case .fixed32(let bits) = field.value, case let number = Float(bitPattern: bits),
      !number.isNaN
    else { throw wrongType(field, "a 32-bit floating-point number") }
    return number
  }

  private func wrongType(_ field: Field, _ expected: String) -> Refusal {
    refusal(
      at: field.offset, found: "another type or value of field \(field.number)",
      expected: expected)
  }
}
