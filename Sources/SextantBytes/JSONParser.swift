/// The limits of a JSON text.
package struct JSONLimits: Sendable {
  /// Bytes of the text.
  package var byteCount: Int
  /// Nested arrays and objects.
  package var depth: Int
  /// Bytes of one string, escapes as they are written.
  package var stringByteCount: Int
  /// The number of values. The tree of a document takes up to 100 bytes for each, independent of
  /// its length.
  package var valueCount: Int

  /// Limits for headers and small documents.
  package init(
    byteCount: Int = 100_000_000, depth: Int = 32, stringByteCount: Int = 65_536,
    valueCount: Int = 15_000_000
  ) {
    self.byteCount = byteCount
    self.depth = depth
    self.stringByteCount = stringByteCount
    self.valueCount = valueCount
  }
}

extension JSONValue {
  /// Reads a JSON text strictly (RFC 8259), as `formats/json.md` specifies.
  ///
  /// Refused besides syntax errors: duplicate keys, a byte-order mark, invalid UTF-8, lone
  /// surrogates, `-0`, numbers beyond Int64 or Double, trailing commas and trailing bytes. All
  /// of them pass in some parser of the field, so that two tools would read different data.
  ///
  /// - Parameters:
  ///   - baseOffset: where the text starts in its file, for refusals.
  ///   - file: the file's path, for refusals.
  ///   - acceptsInfinity: whether the word `Infinity`, which Python's writer leaves in some
  ///     configurations, means `{"__float__": "Infinity"}`, which newer ones write instead.
  ///   - keepsVerbatim: whether values that the profile does not have become `verbatim`, so that only
  ///     a member that is used is refused. `NaN`, `Infinity` and `-Infinity`, which Python's writer
  ///     leaves in records, are among them.
  /// - Throws: `json.*`.
  package init(
    parsing text: [UInt8], limits: JSONLimits = JSONLimits(), baseOffset: Int = 0,
    file: String? = nil, acceptsInfinity: Bool = false, keepsVerbatim: Bool = false
  ) throws(Refusal) {
    var parser = JSONParser(text: text, limits: limits, baseOffset: baseOffset, file: file)
    parser.keepsVerbatim = keepsVerbatim
    if keepsVerbatim {
      parser.words += ["NaN", "Infinity", "-Infinity"].map { ($0, .verbatim($0)) }
    }
    if acceptsInfinity { parser.words.append(("Infinity", ["__float__": "Infinity"])) }
    self = try parser.document()
  }
}

private struct JSONParser {
  let text: [UInt8]
  let limits: JSONLimits
  let baseOffset: Int
  let file: String?
  var position = 0
  var valueCount = 0
  /// The values that are written as words.
  var words: [(spelling: String, value: JSONValue)] = [
    ("true", true), ("false", false), ("null", .null),
  ]
  /// Whether values that the profile does not have are kept as they are written.
  var keepsVerbatim = false
  /// Whether the string that was read last has half of a surrogate pair.
  var hasLoneSurrogate = false

  init(text: [UInt8], limits: JSONLimits, baseOffset: Int, file: String?) {
    self.text = text
    self.limits = limits
    self.baseOffset = baseOffset
    self.file = file
  }

  // MARK: Refusals

  func refusal(
    _ code: Refusal.Code, found: String, expected: String, at offset: Int? = nil
  ) -> Refusal {
    Refusal(
      code, file: file, at: .offset(baseOffset + (offset ?? position)), found: found,
      expected: expected)
  }

  func unexpected(_ expected: String) -> Refusal {
    guard position < text.count else {
      return refusal(.jsonInvalid, found: "the end of the text", expected: expected)
    }
    let scalar = Unicode.Scalar(text[position])
    return refusal(
      .jsonInvalid,
      found: scalar.isASCII ? "\"\(scalar)\"" : "byte 0x\(String(text[position], radix: 16))",
      expected: expected)
  }

  // MARK: Document

  mutating func document() throws(Refusal) -> JSONValue {
    guard text.count <= limits.byteCount else {
      throw refusal(
        .jsonTooLong, found: counted(text.count, "byte"), expected: "at most \(limits.byteCount)")
    }
    if text.starts(with: [0xEF, 0xBB, 0xBF]) || text.starts(with: [0xFE, 0xFF])
      || text.starts(with: [0xFF, 0xFE])
    {
      throw refusal(.jsonEncoding, found: "a byte-order mark", expected: "UTF-8 without one")
    }
    guard !text.prefix(2).contains(0) else {
      throw refusal(.jsonEncoding, found: "UTF-16 or UTF-32", expected: "UTF-8")
    }
    skipSpaces()
    let value = try self.value(depth: 1)
    skipSpaces()
    guard position == text.count else {
      throw refusal(
        .jsonTrailing, found: "\(counted(text.count - position, "byte")) after the value",
        expected: "the end of the text")
    }
    return value
  }

  mutating func skipSpaces() {
    while position < text.count {
      switch text[position] {
      case 0x20, 0x09, 0x0A, 0x0D: position += 1
      default: return
      }
    }
  }

  mutating func value(depth: Int) throws(Refusal) -> JSONValue {
    guard position < text.count else { throw unexpected("a value") }
    valueCount += 1
    guard valueCount <= limits.valueCount else {
      throw refusal(
        .jsonTooLong, found: "more than \(limits.valueCount) values", expected: "at most that")
    }
    switch text[position] {
    case UInt8(ascii: "{"): return try object(depth: depth)
    case UInt8(ascii: "["): return try array(depth: depth)
    case UInt8(ascii: "\""):
      let start = position
      let string = try string()
      return hasLoneSurrogate ? verbatim(from: start) : .string(string)
    case UInt8(ascii: "-"):
      if let word = word() { return word }
      return try number()
    case UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
    default:
      guard let word = word() else { throw unexpected("a value") }
      return word
    }
  }

  /// Consumes a value that is written as a word; nil if none is next.
  mutating func word() -> JSONValue? {
    for word in words where text[position...].starts(with: word.spelling.utf8) {
      position += word.spelling.utf8.count
      return word.value
    }
    return nil
  }

  /// The text from a place to here, as a value.
  func verbatim(from start: Int) -> JSONValue {
    .verbatim(String(decoding: text[start..<position], as: UTF8.self))
  }

  // MARK: Containers

  mutating func object(depth: Int) throws(Refusal) -> JSONValue {
    try enter(depth)
    var object = JSONObject()
    if consume(UInt8(ascii: "}")) { return .object(object) }
    while true {
      guard position < text.count, text[position] == UInt8(ascii: "\"") else {
        throw unexpected("a key in quotes")
      }
      let start = position
      let key = try string()
      if hasLoneSurrogate { throw loneSurrogate(at: start) }
      skipSpaces()
      guard consume(UInt8(ascii: ":")) else { throw unexpected("\":\"") }
      let value = try self.value(depth: depth + 1)
      guard object.insert(key, value) else {
        throw refusal(
          .jsonDuplicateKey, found: "\"\(key)\" again", expected: "each key once", at: start)
      }
      if try !next(closing: UInt8(ascii: "}")) { return .object(object) }
    }
  }

  mutating func array(depth: Int) throws(Refusal) -> JSONValue {
    try enter(depth)
    var elements: [JSONValue] = []
    if consume(UInt8(ascii: "]")) { return .array(elements) }
    while true {
      elements.append(try value(depth: depth + 1))
      if try !next(closing: UInt8(ascii: "]")) { return .array(elements) }
    }
  }

  mutating func enter(_ depth: Int) throws(Refusal) {
    guard depth <= limits.depth else {
      throw refusal(
        .jsonDepth, found: "nesting deeper than \(limits.depth)",
        expected: "at most \(limits.depth)")
    }
    position += 1
    skipSpaces()
  }

  /// Consumes a byte and the spaces after it, if it is the next one.
  mutating func consume(_ byte: UInt8) -> Bool {
    guard position < text.count, text[position] == byte else { return false }
    position += 1
    skipSpaces()
    return true
  }

  /// After an element: true when another follows, false after the closing bracket.
  mutating func next(closing: UInt8) throws(Refusal) -> Bool {
    skipSpaces()
    guard position < text.count else { throw unexpected("\",\" or a closing bracket") }
    if text[position] == closing {
      position += 1
      return false
    }
    guard consume(UInt8(ascii: ",")) else { throw unexpected("\",\" or a closing bracket") }
    guard position < text.count else { throw unexpected("another element") }
    guard text[position] != closing else {
      throw refusal(.jsonTrailing, found: "a trailing comma", expected: "another element")
    }
    return true
  }

  // MARK: Numbers

  mutating func number() throws(Refusal) -> JSONValue {
    let start = position
    let isNegative = text[position] == UInt8(ascii: "-")
    if isNegative { position += 1 }
    let digits = try digitRun()
    if digits.count > 1 && digits.first == UInt8(ascii: "0") {
      throw refusal(
        .jsonNumber, found: "a leading zero", expected: "a plain number", at: start)
    }
    var isInteger = true
    if position < text.count, text[position] == UInt8(ascii: ".") {
      isInteger = false
      position += 1
      _ = try digitRun()
    }
    if position < text.count, text[position] | 0x20 == UInt8(ascii: "e") {
      isInteger = false
      position += 1
      if position < text.count, [0x2B, 0x2D].contains(text[position]) { position += 1 }  // + or -
      _ = try digitRun()
    }
    let spelling = String(decoding: text[start..<position], as: UTF8.self)
    if isInteger {
      guard let value = Int64(spelling), !(isNegative && value == 0) else {
        if keepsVerbatim { return verbatim(from: start) }
        throw refusal(
          .jsonNumber, found: spelling, expected: "an integer between -2^63 and 2^63-1", at: start)
      }
      return .integer(value)
    }
    guard let value = Double(spelling), value.isFinite else {
      if keepsVerbatim { return verbatim(from: start) }
      throw refusal(.jsonNumber, found: spelling, expected: "a finite number", at: start)
    }
    return .number(value)
  }

  mutating func digitRun() throws(Refusal) -> ArraySlice<UInt8> {
    let start = position
    while position < text.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(text[position]) {
      position += 1
    }
    guard position > start else { throw unexpected("a digit") }
    return text[start..<position]
  }

  // MARK: Strings

  mutating func string() throws(Refusal) -> String {
    let start = position
    hasLoneSurrogate = false
    position += 1
    var runStart = position
    var decoded: [UInt8] = []
    while true {
      guard position < text.count else { throw unexpected("a closing quote") }
      guard position - start <= limits.stringByteCount + 1 else {
        throw refusal(
          .jsonTooLong, found: "a string over \(counted(limits.stringByteCount, "byte"))",
          expected: "at most that", at: start)
      }
      let byte = text[position]
      if byte == UInt8(ascii: "\"") { break }
      if byte < 0x20 { throw unexpected("an escape instead of a control character") }
      if byte == UInt8(ascii: "\\") {
        decoded += text[runStart..<position]
        try escape(into: &decoded)
        runStart = position
      } else {
        position += 1
      }
    }
    decoded += text[runStart..<position]
    position += 1
    guard let string = String(validating: decoded, as: UTF8.self) else {
      throw refusal(
        .jsonEncoding, found: "a string that is not UTF-8", expected: "UTF-8", at: start)
    }
    return string
  }

  /// Consumes one escape sequence, or two that form a surrogate pair.
  mutating func escape(into decoded: inout [UInt8]) throws(Refusal) {
    let start = position
    position += 1
    guard position < text.count else { throw unexpected("an escape") }
    let letter = text[position]
    position += 1
    switch letter {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): decoded.append(letter)
    case UInt8(ascii: "b"): decoded.append(0x08)
    case UInt8(ascii: "f"): decoded.append(0x0C)
    case UInt8(ascii: "n"): decoded.append(0x0A)
    case UInt8(ascii: "r"): decoded.append(0x0D)
    case UInt8(ascii: "t"): decoded.append(0x09)
    case UInt8(ascii: "u"):
      var value = try hexadecimal4()
      if (0xD800..<0xDC00).contains(value), text[position...].starts(with: [0x5C, 0x75]) {
        position += 2
        let low = try hexadecimal4()
        if (0xDC00..<0xE000).contains(low) {
          value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
        }
      }
      if Unicode.Scalar(value) == nil {
        guard keepsVerbatim else { throw loneSurrogate(at: start) }
        hasLoneSurrogate = true
      }
      let scalar = Unicode.Scalar(value) ?? "\u{FFFD}"
      decoded += Array(String(Character(scalar)).utf8)
    default:
      position -= 1
      throw unexpected("an escape of JSON")
    }
  }

  func loneSurrogate(at start: Int) -> Refusal {
    refusal(.jsonEncoding, found: Refusal.halfOfAPair, expected: "", at: start).expectingAWholePair
  }

  mutating func hexadecimal4() throws(Refusal) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard position < text.count, text[position] < 0x80,
        let digit = Character(Unicode.Scalar(text[position])).hexDigitValue
      else { throw unexpected("four hexadecimal digits") }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }
}

extension Refusal {
  /// A found value: a string is cut inside of a character.
  static let halfOfAPair = "half of a surrogate pair, which is not a character"

  /// The refusal of such a string, with what to do about it.
  var expectingAWholePair: Refusal {
    var error = self
    error.expected = "both halves, such as \\ud83d\\ude00, or the character itself"
    error.remedy = "Remove the escape, or write the whole character: the text was cut inside of it."
    return error
  }
}
