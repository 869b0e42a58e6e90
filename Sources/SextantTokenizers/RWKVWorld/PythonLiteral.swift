import SextantBytes

/// A string or bytes literal of Python in the form that `repr` writes, read without evaluating
/// anything.
///
/// Single or double quotes; the escapes `\\ \' \" \n \r \t \xhh` and, in strings, `\uhhhh` and
/// `\Uhhhhhhhh`. Everything else of the language's literals is refused: other prefixes, triple
/// quotes, octal and named escapes, control characters as they are.
struct PythonLiteral {
  /// The bytes of the value; of a string in UTF-8.
  private(set) var value: [UInt8] = []
  /// Whether it is a string rather than bytes.
  private(set) var isText = true
  /// The end of the literal.
  private(set) var end: Int

  private let bytes: [UInt8]
  private let limit: Int

  /// The fault of a literal.
  struct Mistake: Error {
    /// The value that was found.
    var found: String
    /// The value that would have been accepted.
    var expected: String
  }

  /// Reads the literal that starts at `start` and ends before `limit`.
  init(_ bytes: [UInt8], from start: Int, to limit: Int) throws(Mistake) {
    self.bytes = bytes
    self.limit = limit
    end = start
    if try peek() == UInt8(ascii: "b") {
      isText = false
      end += 1
    }
    let quote = try peek()
    guard quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"") else {
      throw Mistake(found: Self.show(quote), expected: "a quoted literal")
    }
    end += 1
    while try peek() != quote {
      if bytes[end] == UInt8(ascii: "\\") { try readEscape() } else { try readCharacter() }
    }
    end += 1
    guard !isText || String(validating: value, as: UTF8.self) != nil else {
      throw Mistake(found: "a string that is not UTF-8", expected: "UTF-8")
    }
  }

  private func peek() throws(Mistake) -> UInt8 {
    guard end < limit else { throw Mistake(found: "the end of the line", expected: "a literal") }
    return bytes[end]
  }

  private mutating func readCharacter() throws(Mistake) {
    let byte = bytes[end]
    guard byte >= 0x20, byte != 0x7F, isText || byte < 0x80 else {
      throw Mistake(found: Self.show(byte), expected: "an escape for it")
    }
    value.append(byte)
    end += 1
  }

  private mutating func readEscape() throws(Mistake) {
    end += 1
    let letter = try peek()
    end += 1
    switch letter {
    case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""): value.append(letter)
    case UInt8(ascii: "n"): value.append(0x0A)
    case UInt8(ascii: "r"): value.append(0x0D)
    case UInt8(ascii: "t"): value.append(0x09)
    case UInt8(ascii: "x") where !isText: value.append(UInt8(try readHexadecimal(2)))
    case UInt8(ascii: "x"): try append(try readHexadecimal(2))
    case UInt8(ascii: "u") where isText: try append(try readHexadecimal(4))
    case UInt8(ascii: "U") where isText: try append(try readHexadecimal(8))
    default:
      throw Mistake(
        found: "the escape \\\(Self.show(letter))",
        expected: "\\\\, \\', \\\", \\n, \\r, \\t, \\x\(isText ? ", \\u or \\U" : "")")
    }
  }

  private mutating func append(_ scalarValue: UInt32) throws(Mistake) {
    guard let scalar = Unicode.Scalar(scalarValue), let encoded = UTF8.encode(scalar) else {
      throw Mistake(found: "the code point \(scalarValue)", expected: "a Unicode scalar value")
    }
    value.append(contentsOf: encoded)
  }

  private mutating func readHexadecimal(_ count: Int) throws(Mistake) -> UInt32 {
    var number: UInt32 = 0
    for _ in 0..<count {
      let byte = try peek()
      guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw Mistake(found: Self.show(byte), expected: "\(count) hexadecimal digits")
      }
      number = number << 4 | UInt32(digit)
      end += 1
    }
    return number
  }

  private static func show(_ byte: UInt8) -> String {
    0x21...0x7E ~= byte ? String(Unicode.Scalar(byte)) : "byte \(byte)"
  }
}
