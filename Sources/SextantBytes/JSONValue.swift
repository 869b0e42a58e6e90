/// A JSON value as the strict reader yields it.
///
/// Integers and other numbers are kept apart: a tensor's shape may not be `2.0`.
public enum JSONValue: Sendable, Equatable {
  case null
  case boolean(Bool)
  /// A number written without fraction and exponent.
  case integer(Int64)
  /// Any other finite number.
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object(JSONObject)
  /// A value of a record that is kept as it is written, because the strict profile has no such
  /// value: an integer beyond Int64, `-0`, a number beyond Double, `NaN`, an infinity, or a string
  /// with half of a surrogate pair. Only a reader that asks for such values gets them.
  case verbatim(String)
}

/// The members of a JSON object, in their order; keys are unique and compared byte by byte.
public struct JSONObject: Sendable, Equatable {
  /// The members, in the order in which they are in the text.
  public private(set) var members: [(key: String, value: JSONValue)] = []
  /// Positions by key, once there are too many members for a linear search. Most objects are small,
  /// and a header may contain millions of them.
  private var index: [ExactString: Int] = [:]
  private static let walkedCount = 8

  /// An object without members.
  public init() {}

  /// An object of these members; of equal keys the last one wins.
  public init(_ members: [(String, JSONValue)]) {
    for (key, value) in members { self[key] = value }
  }

  private func position(of key: String) -> Int? {
    members.count > Self.walkedCount
      ? index[ExactString(key)]
      : members.firstIndex { $0.key.utf8.elementsEqual(key.utf8) }
  }

  private mutating func append(_ key: String, _ value: JSONValue) {
    members.append((key, value))
    if members.count == Self.walkedCount + 1 {
      rebuildIndex()
    } else if members.count > Self.walkedCount {
      index[ExactString(key)] = members.count - 1
    }
  }

  private mutating func rebuildIndex() {
    index = [:]
    guard members.count > Self.walkedCount else { return }
    for (position, member) in members.enumerated() { index[ExactString(member.key)] = position }
  }

  /// The value of a key; setting nil removes the member.
  public subscript(key: String) -> JSONValue? {
    get { position(of: key).map { members[$0].value } }
    set {
      switch (position(of: key), newValue) {
      case (let position?, let value?):
        members[position].value = value
      case (let position?, nil):
        members.remove(at: position)
        rebuildIndex()
      case (nil, let value?):
        append(key, value)
      case (nil, nil):
        break
      }
    }
  }

  /// Adds a member; false when the key is there already.
  mutating func insert(_ key: String, _ value: JSONValue) -> Bool {
    guard position(of: key) == nil else { return false }
    append(key, value)
    return true
  }

  /// Equal members, in any order.
  public static func == (a: JSONObject, b: JSONObject) -> Bool {
    a.members.count == b.members.count && a.members.allSatisfy { b[$0.key] == $0.value }
  }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral,
  ExpressibleByFloatLiteral, ExpressibleByNilLiteral
{
  /// A string.
  public init(stringLiteral value: String) { self = .string(value) }
  /// An integer.
  public init(integerLiteral value: Int64) { self = .integer(value) }
  /// A boolean.
  public init(booleanLiteral value: Bool) { self = .boolean(value) }
  /// A number.
  public init(floatLiteral value: Double) { self = .number(value) }
  /// The null value.
  public init(nilLiteral: ()) { self = .null }
  /// An array.
  public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  /// An object.
  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    self = .object(JSONObject(elements.map { ($0.0, $0.1) }))
  }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
  /// An object.
  public init(dictionaryLiteral elements: (String, JSONValue)...) { self.init(elements) }
}
