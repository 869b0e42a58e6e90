import SextantBytes

/// The body of a request: JSON whose fields are read through the table of fields.
struct RequestBody {
  /// The limits of a body. A list of a million ids fits.
  static let limits = JSONLimits(
    byteCount: Access.bodyLimit, stringByteCount: Access.bodyLimit, valueCount: 2_000_000)

  let node: JSONNode
  let route: RequestRoute
  /// Names of fields that the route does not have. They have no effect, and the answer names them.
  let ignored: [String]

  /// Reads a body.
  ///
  /// - Throws: `json.*`; `usage.option` for a field that is refused.
  init(_ bytes: [UInt8], _ route: RequestRoute) throws(Refusal) {
    // Numbers such as -0, which sliders make, and fields that nobody reads are no reason to refuse.
    let value = try JSONValue(parsing: bytes, limits: Self.limits, keepsVerbatim: true)
    guard case .object(let object) = value else {
      throw Refusal(.jsonNotObject, found: "another value", expected: "an object of fields")
    }
    node = JSONNode(value, code: .usageOption, file: nil)
    self.route = route
    ignored = object.members.map(\.key).filter { RequestField.named($0, route) == nil }
    for (name, value) in object.members {
      guard case .refused(let accepted)? = RequestField.named(name, route)?.kind else { continue }
      guard Self.asksForNothing(name, value) else {
        throw try node.member(name).refusal(
          found: "`\(name)`, which this server does not support", expected: accepted)
      }
    }
  }

  private static func asksForNothing(_ name: String, _ value: JSONValue) -> Bool {
    switch value {
    case .null, .array([]), .string(""): true
    case .string(let text): name == "tool_choice" && (text == "none" || text == "auto")
    case .object(let object):
      name == "response_format" && object["type"] == .string("text") && object.members.count == 1
    default: false
    }
  }

  // MARK: Fields

  private func field(_ name: String) -> RequestField {
    guard let field = RequestField.named(name, route) else {
      preconditionFailure("\(route) has no field \(name)")
    }
    return field
  }

  /// The value of a field; nil if it is absent or null.
  func value(_ name: String) throws(Refusal) -> JSONNode? {
    _ = field(name)
    return try node.optionalMember(name)
  }

  /// The default of a field, as a value in its place.
  private func standard(_ name: String) -> JSONValue { field(name).defaults[route] ?? .null }

  /// An integer, or the default of the field.
  func integer(_ name: String) throws(Refusal) -> Int? {
    guard case .integer(let range) = field(name).kind else { preconditionFailure(name) }
    guard let node = try value(name) else {
      if case .integer(let standard) = standard(name) { return Int(standard) }
      return nil
    }
    return try node.requestInteger(in: range)
  }

  /// A number, or the default of the field.
  func number(_ name: String) throws(Refusal) -> Double? {
    guard case .number(let range) = field(name).kind else { preconditionFailure(name) }
    guard let node = try value(name) else {
      switch standard(name) {
      case .integer(let standard): return Double(standard)
      case .number(let standard): return standard
      default: return nil
      }
    }
    return try node.requestNumber(in: range)
  }

  /// A truth value, or the default of the field.
  func boolean(_ name: String) throws(Refusal) -> Bool? {
    guard let node = try value(name) else {
      if case .boolean(let standard) = standard(name) { return standard }
      return nil
    }
    return try node.boolean()
  }

  /// A string.
  func string(_ name: String) throws(Refusal) -> String? {
    guard case .string(let limit) = field(name).kind else { preconditionFailure(name) }
    guard let node = try value(name) else { return nil }
    let text = try node.string()
    guard text.utf8.count <= limit else {
      throw node.refusal(found: counted(text.utf8.count, "byte"), expected: "at most \(limit)")
    }
    return text
  }

  /// Some strings: one, or a list. Empty ones are left out.
  func stops() throws(Refusal) -> [String] {
    guard let node = try value("stop") else { return [] }
    let nodes = if case .string = node.value { [node] } else { try node.elements() }
    guard nodes.count <= 64 else {
      throw node.refusal(found: "\(nodes.count) strings", expected: "at most 64")
    }
    var stops: [String] = []
    for node in nodes {
      let text = try node.string()
      guard text.utf8.count <= 1024 else {
        throw node.refusal(found: counted(text.utf8.count, "byte"), expected: "at most 1024")
      }
      if !text.isEmpty { stops.append(text) }
    }
    return stops
  }
}

extension JSONNode {
  /// An integer, which may be written as `4.0`, and zero as `-0`.
  func requestInteger(in range: ClosedRange<Int>) throws(Refusal) -> Int {
    let whole: Int?
    switch value {
    case .integer(let integer): whole = Int(integer)
    case .number(let number): whole = Int(exactly: number)
    case .verbatim("-0"): whole = 0
    default: whole = nil
    }
    guard let whole, range.contains(whole) else {
      let isFree = range == Int.min...Int.max
      throw refusal(
        expected: isFree
          ? "an integer of 64 bits" : "an integer from \(range.lowerBound) to \(range.upperBound)")
    }
    return whole
  }

  /// A finite number.
  func requestNumber(in range: ClosedRange<Double>) throws(Refusal) -> Double {
    let expected = "a number from \(range.lowerBound) to \(range.upperBound)"
    let number: Double?
    switch value {
    case .integer(let integer): number = Double(integer)
    case .number(let value): number = value
    case .verbatim("-0"): number = 0
    default: number = nil
    }
    guard let number, range.contains(number) else { throw refusal(expected: expected) }
    return number == 0 ? 0 : number
  }

  /// Ids of a vocabulary.
  func ids(below size: Int, limit: Int) throws(Refusal) -> [Int] {
    guard case .array(let elements) = value else { throw refusal(expected: "a list of ids") }
    guard elements.count <= limit else {
      throw refusal(found: counted(elements.count, "id"), expected: "at most \(limit)")
    }
    var ids: [Int] = []
    ids.reserveCapacity(elements.count)
    for (place, element) in elements.enumerated() {
      if case .integer(let id) = element, (0..<size).contains(Int(id)) {
        ids.append(Int(id))
        continue
      }
      // The slow way tells the place.
      let node = try self.elements()[place]
      guard let id = try? node.requestInteger(in: 0...size - 1) else {
        throw Refusal(
          .modelToken, at: .pointer(node.pointer),
          found: printable(element.canonicalText, limit: 40),
          expected: "an id from 0 to \(size - 1)")
      }
      ids.append(id)
    }
    return ids
  }
}
