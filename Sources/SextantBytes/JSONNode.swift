/// A place in a JSON document with its pointer, so that every wrong type or value is refused with
/// file, JSON pointer, the found value and the expected one.
package struct JSONNode: Sendable {
  /// The value at this place.
  package let value: JSONValue
  /// The JSON pointer (RFC 6901) of this place.
  package let pointer: String
  /// The file of the document, for refusals.
  package let file: String?
  /// The code of refusals about types and values.
  package let code: Refusal.Code
  /// The members of the document that were read; nil if they are not tracked.
  let reads: JSONReads?

  /// The root of a document whose wrong values are refused with `code`.
  ///
  /// - Parameter reads: records the members that are read.
  package init(
    _ value: JSONValue, code: Refusal.Code, file: String?, pointer: String = "",
    reads: JSONReads? = nil
  ) {
    self.value = value
    self.code = code
    self.file = file
    self.pointer = pointer
    self.reads = reads
  }

  /// Reads a document and returns its root, which must be an object.
  ///
  /// - Parameter acceptsInfinity: as for `JSONValue`.
  /// - Throws: `json.*`, `json.not-object`.
  package init(
    parsing text: [UInt8], limits: JSONLimits = JSONLimits(), code: Refusal.Code,
    baseOffset: Int = 0, file: String?, acceptsInfinity: Bool = false, reads: JSONReads? = nil
  ) throws(Refusal) {
    let value = try JSONValue(
      parsing: text, limits: limits, baseOffset: baseOffset, file: file,
      acceptsInfinity: acceptsInfinity)
    guard case .object = value else {
      throw Refusal(
        .jsonNotObject, file: file, at: .offset(baseOffset), found: Self.kind(of: value),
        expected: "an object")
    }
    self.init(value, code: code, file: file, reads: reads)
  }

  /// A refusal at this place.
  package func refusal(found: String? = nil, expected: String) -> Refusal {
    Refusal(
      code, file: file, at: .pointer(pointer), found: found ?? Self.describe(value),
      expected: expected)
  }

  // MARK: Members and elements

  /// The member `key`.
  package func member(_ key: String) throws(Refusal) -> JSONNode {
    guard let node = try optionalMember(key) else {
      let isNull = try object()[key] != nil
      throw refusal(
        found: isNull ? "null as the member \"\(key)\"" : "no member \"\(key)\"",
        expected: isNull ? "a value" : "a member \"\(key)\"")
    }
    return node
  }

  /// The member `key`, or nil if it is absent or null.
  package func optionalMember(_ key: String) throws(Refusal) -> JSONNode? {
    reads?.note(pointer(to: key))
    guard let value = try object()[key], value != .null else { return nil }
    return child(key, value)
  }

  /// All members, in their order.
  package func members() throws(Refusal) -> [(key: String, node: JSONNode)] {
    try object().members.map { ($0.key, child($0.key, $0.value)) }
  }

  /// Refuses members other than these.
  package func allowOnly(_ keys: Set<String>) throws(Refusal) {
    for (key, _) in try object().members where !keys.contains(key) {
      throw refusal(
        found: "a member \"\(key)\"", expected: "only \(keys.sorted().joined(separator: ", "))")
    }
  }

  /// The elements of an array.
  package func elements() throws(Refusal) -> [JSONNode] {
    guard case .array(let elements) = value else { throw refusal(expected: "an array") }
    return elements.enumerated().map { child(String($0.offset), $0.element) }
  }

  func child(_ key: String, _ value: JSONValue) -> JSONNode {
    JSONNode(value, code: code, file: file, pointer: pointer(to: key), reads: reads)
  }

  private func pointer(to key: String) -> String { "\(pointer)/\(Self.pointerToken(key))" }

  /// A key as it is in a JSON pointer.
  private static func pointerToken(_ key: String) -> String {
    guard key.utf8.contains(where: { $0 == UInt8(ascii: "~") || $0 == UInt8(ascii: "/") }) else {
      return key
    }
    var token = ""
    for character in key.unicodeScalars {
      switch character {
      case "~": token += "~0"
      case "/": token += "~1"
      default: token.unicodeScalars.append(character)
      }
    }
    return token
  }

  // MARK: Values

  /// The value as an object.
  package func object() throws(Refusal) -> JSONObject {
    guard case .object(let object) = value else { throw refusal(expected: "an object") }
    return object
  }

  /// The value as a string.
  package func string() throws(Refusal) -> String {
    if case .string(let string) = value { return string }
    guard case .verbatim(let spelling) = value, spelling.hasPrefix("\"") else {
      throw refusal(expected: "a string")
    }
    // Only half of a surrogate pair keeps a string verbatim.
    throw refusal(expected: "").expectingAWholePair
  }

  /// The value as a boolean.
  package func boolean() throws(Refusal) -> Bool {
    guard case .boolean(let boolean) = value else { throw refusal(expected: "true or false") }
    return boolean
  }

  /// The value as an integer in `range`.
  package func integer(in range: ClosedRange<Int> = 0...Int.max) throws(Refusal) -> Int {
    guard case .integer(let integer) = value, range.contains(Int(integer)) else {
      let limits = "an integer between \(range.lowerBound) and \(range.upperBound)"
      throw refusal(expected: range == 0...Int.max ? "a non-negative integer" : limits)
    }
    return Int(integer)
  }

  /// The value as a finite number.
  package func number() throws(Refusal) -> Double {
    switch value {
    case .integer(let integer): return Double(integer)
    case .number(let number): return number
    case .verbatim(let spelling):
      guard let number = Double(spelling), number.isFinite else {
        throw refusal(expected: "a finite number")
      }
      return number
    default: throw refusal(expected: "a number")
    }
  }

  private static func kind(of value: JSONValue) -> String {
    switch value {
    case .null: "null"
    case .boolean: "a boolean"
    case .integer, .number: "a number"
    case .string: "a string"
    case .array: "an array"
    case .object: "an object"
    case .verbatim(let spelling): spelling
    }
  }

  private static func describe(_ value: JSONValue) -> String {
    switch value {
    case .array(let elements): "an array of \(elements.count)"
    case .object: "an object"
    case .string(let string): "\"\(string.prefix(100))\""
    case .verbatim(let spelling):
      (spelling.hasPrefix("\"") ? "\(Refusal.halfOfAPair), in " : "") + spelling.prefix(100)
    default: value.canonicalText
    }
  }
}
