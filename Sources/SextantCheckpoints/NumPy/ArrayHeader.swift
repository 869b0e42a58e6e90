import SextantBytes
import SextantTensor

/// The header of a NumPy array (`.npy`): magic bytes, version, and a dictionary in Python's spelling.
///
///     offset  bytes
///     0       6      0x93 "NUMPY"
///     6       2      version: 1.0, 2.0 or 3.0
///     8       2, 4   bytes of the dictionary, little-endian: 2 in version 1.0
///     …              {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }, spaces, "\n"
struct ArrayHeader: Equatable {
  /// The type of the elements; meaningless for texts.
  var dataType: DataType
  /// Whether the elements are texts, which are not numbers to read.
  var isText: Bool
  /// Whether the most significant byte comes first.
  var isBigEndian: Bool
  /// Whether the first axis varies fastest.
  var isFortran: Bool
  /// The dimensions.
  var shape: [Int]
  /// Bytes before the elements.
  var byteCount: Int

  /// Bytes that a header may have.
  static let byteLimit = 1 << 16
  private static let rankLimit = 8

  /// Parses the front of an array's bytes.
  ///
  /// - Throws: `npy.header`, `npy.dtype`, `npy.shape`.
  init(_ bytes: [UInt8], name: String, file: String) throws(Refusal) {
    func refusal(_ code: Refusal.Code, _ found: String, _ expected: String) -> Refusal {
      Refusal(code, file: file, at: .tensor(name), found: found, expected: expected)
    }
    guard bytes.count >= 10, bytes.starts(with: [0x93] + Array("NUMPY".utf8)) else {
      throw refusal(.numpyHeader, "other bytes", "an array of NumPy")
    }
    guard (1...3).contains(bytes[6]), bytes[7] == 0 else {
      throw refusal(.numpyHeader, "version \(bytes[6]).\(bytes[7])", "1.0, 2.0 or 3.0")
    }
    let width = bytes[6] == 1 ? 2 : 4
    let start = 8 + width
    let count = bytes[8...].prefix(width).reversed().reduce(0) { $0 << 8 | Int($1) }
    guard count <= Self.byteLimit - start, bytes.count >= start + count else {
      throw refusal(
        .numpyHeader, "a header of \(counted(count, "byte"))", "at most \(Self.byteLimit)")
    }
    var parser = PythonDictionary(bytes[start..<start + count])
    guard let fields = parser.fields() else {
      throw refusal(
        .numpyHeader,
        "\"\(String(decoding: bytes[start..<start + min(count, 80)], as: UTF8.self))\"",
        "'descr', 'fortran_order' and 'shape'")
    }
    guard let (dataType, isBigEndian) = Self.type(fields.type) else {
      throw refusal(
        .numpyDataType, "'\(fields.type)'",
        "f2, f4, f8, i1 to i8, u1 to u8 or b1, in either order, or V2")
    }
    guard fields.shape.count <= Self.rankLimit, dataType.byteCount(shape: fields.shape) != nil
    else {
      throw refusal(
        .numpyShape, "\(fields.shape)", "at most \(counted(Self.rankLimit, "dimension"))")
    }
    self.dataType = dataType
    isText = Self.isText(fields.type)
    self.isBigEndian = isBigEndian
    // With at most one axis there is only one order.
    isFortran = fields.isFortran && fields.shape.count > 1
    shape = fields.shape
    byteCount = start + count
  }

  /// Whether a type is NumPy's for texts of a fixed length: byte order, `S` or `U`, a number.
  private static func isText(_ spelling: String) -> Bool {
    let spelling = Array(spelling.utf8)
    return spelling.count > 2 && "<>|".utf8.contains(spelling[0]) && "SU".utf8.contains(spelling[1])
      && spelling.dropFirst(2).allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
  }

  /// NumPy's spelling of a type: byte order, letter, bytes.
  private static func type(_ spelling: String) -> (DataType, isBigEndian: Bool)? {
    // Two bytes without a type, as NumPy stores the bfloat16 of ml_dtypes. Only the user knows
    // their type.
    if ["<V2", "|V2"].contains(spelling) { return (.u16, false) }
    if isText(spelling) { return (.u8, false) }
    let types: [String: DataType] = [
      "f2": .f16, "f4": .f32, "f8": .f64, "i1": .i8, "i2": .i16, "i4": .i32, "i8": .i64,
      "u1": .u8, "u2": .u16, "u4": .u32, "u8": .u64, "b1": .bool,
    ]
    guard let type = types[String(spelling.dropFirst())] else { return nil }
    switch spelling.first {
    case "<": return type.byteWidth > 1 ? (type, false) : nil
    case ">": return type.byteWidth > 1 ? (type, true) : nil
    case "|": return type.byteWidth == 1 ? (type, false) : nil
    default: return nil
    }
  }
}

/// The one dictionary that NumPy writes, read without evaluating anything.
private struct PythonDictionary {
  struct Fields {
    var type = ""
    var isFortran = false
    var shape: [Int] = []
  }

  private var rest: ArraySlice<UInt8>

  init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

  /// The three fields, in any order and each once; nil for anything else.
  mutating func fields() -> Fields? {
    var fields = Fields()
    var seen: Set<String> = []
    guard take("{") else { return nil }
    while !take("}") {
      guard let key = string(), seen.insert(key).inserted, take(":") else { return nil }
      switch key {
      case "descr":
        guard let type = string() else { return nil }
        fields.type = type
      case "fortran_order":
        if take("True") { fields.isFortran = true } else if !take("False") { return nil }
      case "shape":
        guard let shape = tuple() else { return nil }
        fields.shape = shape
      default: return nil
      }
      if !take(",") {
        guard take("}") else { return nil }
        break
      }
    }
    skipSpaces()
    // Padding ends with a line feed.
    guard rest.allSatisfy({ $0 == UInt8(ascii: "\n") }), rest.count <= 1 else { return nil }
    return seen.count == 3 ? fields : nil
  }

  private mutating func skipSpaces() { rest = rest.drop { $0 == UInt8(ascii: " ") } }

  private mutating func take(_ text: String) -> Bool {
    skipSpaces()
    guard rest.starts(with: text.utf8) else { return false }
    rest = rest.dropFirst(text.utf8.count)
    return true
  }

  private mutating func string() -> String? {
    skipSpaces()
    guard let quote = rest.first, quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"") else {
      return nil
    }
    let body = rest.dropFirst().prefix { $0 != quote && (0x20..<0x7F).contains($0) && $0 != 0x5C }
    rest = rest.dropFirst(1 + body.count)
    guard rest.first == quote else { return nil }
    rest = rest.dropFirst()
    return String(decoding: body, as: UTF8.self)
  }

  private mutating func tuple() -> [Int]? {
    guard take("(") else { return nil }
    var numbers: [Int] = []
    while !take(")") {
      skipSpaces()
      let digits = rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
      let text = String(decoding: digits, as: UTF8.self)
      guard let number = Int(text), String(number) == text, numbers.count < 32 else { return nil }
      numbers.append(number)
      rest = rest.dropFirst(digits.count)
      if !take(",") {
        // (3) is a number and no tuple.
        guard numbers.count > 1, take(")") else { return nil }
        break
      }
    }
    return numbers
  }
}
