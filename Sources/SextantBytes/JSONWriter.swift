extension JSONValue {
  /// The canonical text: keys sorted by their UTF-8 bytes, no spaces, shortest escapes and numbers.
  ///
  /// Equal values give equal bytes, so that the text can be digested. JSON has no NaN and no
  /// infinity: such a number is written as null. A string with half of a surrogate pair is written
  /// as null, too.
  public var canonicalText: String { String(decoding: canonicalBytes, as: UTF8.self) }

  /// The bytes of the canonical text.
  public var canonicalBytes: [UInt8] {
    var writer = JSONWriter(isForPeople: false)
    writer.write(self)
    return writer.bytes
  }

  /// A text for people: two spaces of indentation, members in their own order.
  public var prettyText: String {
    var writer = JSONWriter(isForPeople: true)
    writer.write(self)
    return String(decoding: writer.bytes, as: UTF8.self)
  }
}

/// Writes values as bytes, one after the other.
private struct JSONWriter {
  private(set) var bytes: [UInt8] = []
  /// Whether lines are broken and indented, and members keep their order; otherwise they are sorted.
  let isForPeople: Bool

  init(isForPeople: Bool) { self.isForPeople = isForPeople }

  mutating func write(_ value: JSONValue) { write(value, indentation: isForPeople ? 0 : nil) }

  /// - Parameter indentation: blanks before the line; nil if the value is to stay on one line.
  private mutating func write(_ value: JSONValue, indentation: Int?) {
    switch value {
    case .null: append("null")
    case .boolean(let value): append(value ? "true" : "false")
    case .integer(let value): append("\(value)")
    case .number(let value): append(value.isFinite ? value == 0 ? "0.0" : "\(value)" : "null")
    case .string(let value): write(value)
    case .verbatim(let spelling): append(Double(spelling)?.isFinite ?? false ? spelling : "null")
    case .array(let elements):
      // Arrays of plain values stay on one line: shapes and ranges read better so.
      let indentation = elements.allSatisfy(\.isPlain) ? nil : indentation
      append("[")
      for (place, element) in elements.enumerated() {
        separate(place, indentation)
        write(element, indentation: indentation.map { $0 + 2 })
      }
      end("]", isEmpty: elements.isEmpty, indentation)
    case .object(let object):
      var members = object.members
      if !isForPeople { members.sort { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) } }
      append("{")
      for (place, (key, value)) in members.enumerated() {
        separate(place, indentation)
        write(key)
        append(isForPeople ? ": " : ":")
        write(value, indentation: indentation.map { $0 + 2 })
      }
      end("}", isEmpty: members.isEmpty, indentation)
    }
  }

  private mutating func append(_ text: String) { bytes.append(contentsOf: text.utf8) }

  /// What stands before an element.
  private mutating func separate(_ place: Int, _ indentation: Int?) {
    if place > 0 { append(indentation == nil && isForPeople ? ", " : ",") }
    if let indentation { startLine(indentation + 2) }
  }

  private mutating func end(_ bracket: String, isEmpty: Bool, _ indentation: Int?) {
    if let indentation, !isEmpty { startLine(indentation) }
    append(bracket)
  }

  private mutating func startLine(_ indentation: Int) {
    bytes.append(UInt8(ascii: "\n"))
    bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: indentation))
  }

  private mutating func write(_ string: String) {
    bytes.append(UInt8(ascii: "\""))
    for byte in string.utf8 {
      switch byte {
      case UInt8(ascii: "\""): append("\\\"")
      case UInt8(ascii: "\\"): append("\\\\")
      case UInt8(ascii: "\n"): append("\\n")
      case UInt8(ascii: "\r"): append("\\r")
      case UInt8(ascii: "\t"): append("\\t")
      case 0..<0x20, 0x7F:
        let digits = String(byte, radix: 16)
        append("\\u" + String(repeating: "0", count: 4 - digits.count) + digits)
      default: bytes.append(byte)
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }
}

extension JSONValue {
  fileprivate var isPlain: Bool {
    switch self {
    case .array, .object: false
    default: true
    }
  }
}
