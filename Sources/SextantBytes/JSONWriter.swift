extension JSONValue {
  /// The canonical text: keys sorted by their UTF-8 bytes, no spaces, shortest escapes and numbers.
  ///
  /// Equal values give equal bytes, so that the text can be digested. JSON has no NaN and no
  /// infinity: such a number is written as null. A string with half of a surrogate pair is written
  /// as null, too.
  public var canonicalText: String {
    var text = ""
    write(to: &text, indentation: nil, sorted: true)
    return text
  }

  /// The bytes of the canonical text.
  public var canonicalBytes: [UInt8] { Array(canonicalText.utf8) }

  /// A text for people: two spaces of indentation, members in their own order.
  public var prettyText: String {
    var text = ""
    write(to: &text, indentation: 0, sorted: false)
    return text
  }

  private func write(to text: inout String, indentation: Int?, sorted: Bool) {
    switch self {
    case .null: text += "null"
    case .boolean(let value): text += value ? "true" : "false"
    case .integer(let value): text += String(value)
    case .number(let value):
      text += value.isFinite ? value == 0 ? "0.0" : "\(value)" : "null"
    case .string(let value): Self.write(value, to: &text)
    case .verbatim(let spelling):
      text += Double(spelling)?.isFinite ?? false ? spelling : "null"
    case .array(let elements):
      // Arrays of plain values stay on one line: shapes and ranges read better so.
      let flat = elements.allSatisfy { $0.isPlain }
      write(
        elements.map { (nil, $0) }, brackets: ("[", "]"), to: &text,
        indentation: flat ? nil : indentation, sorted: sorted,
        spaced: indentation != nil)
    case .object(let object):
      var members = object.members
      if sorted { members.sort { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) } }
      write(
        members.map { ($0.key, $0.value) }, brackets: ("{", "}"), to: &text,
        indentation: indentation, sorted: sorted, spaced: indentation != nil)
    }
  }

  private var isPlain: Bool {
    switch self {
    case .array, .object: false
    default: true
    }
  }

  private func write(
    _ items: [(key: String?, value: JSONValue)], brackets: (String, String), to text: inout String,
    indentation: Int?, sorted: Bool, spaced: Bool
  ) {
    text += brackets.0
    for (place, item) in items.enumerated() {
      if place > 0 { text += indentation == nil && spaced ? ", " : "," }
      if let indentation { text += "\n" + String(repeating: " ", count: indentation + 2) }
      if let key = item.key {
        Self.write(key, to: &text)
        text += spaced ? ": " : ":"
      }
      item.value.write(to: &text, indentation: indentation.map { $0 + 2 }, sorted: sorted)
    }
    if let indentation, !items.isEmpty {
      text += "\n" + String(repeating: " ", count: indentation)
    }
    text += brackets.1
  }

  private static func write(_ string: String, to text: inout String) {
    text += "\""
    defer { text += "\"" }
    // Most strings need no escape, and are appended as a whole, which is much faster than scalar by
    // scalar.
    let needsEscape = string.utf8.contains { byte in
      byte < 0x20 || byte == 0x7F || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\")
    }
    guard needsEscape else {
      text += string
      return
    }
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      default:
        if scalar.value < 0x20 || scalar.value == 0x7F {
          let digits = String(scalar.value, radix: 16)
          text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        } else {
          text.unicodeScalars.append(scalar)
        }
      }
    }
  }
}
