import SextantBytes

extension JSONValue {
  /// A count.
  package init(_ count: Int) { self = .integer(Int64(count)) }

  /// A number; null if it is not finite, because JSON cannot express it.
  package init(finite value: Double) { self = value.isFinite ? .number(value) : .null }

  /// A shape.
  package init(shape: [Int]) { self = .array(shape.map { JSONValue($0) }) }
}

extension JSONObject {
  /// The members of both, those of this object first.
  package func with(_ other: JSONObject) -> JSONObject {
    JSONObject((members + other.members).map { ($0.key, $0.value) })
  }
}
