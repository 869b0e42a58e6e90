import SextantBytes

extension JSONNode {
  /// The first of these fields that the record has; nil if it has none of them, or has only null.
  package func optionalField(_ names: [String]) throws(Refusal) -> JSONNode? {
    for name in names {
      if let field = try optionalMember(name) { return field }
    }
    return nil
  }

  /// The first of these fields that the record has.
  ///
  /// - Throws: a refusal that names the fields that the record has in their place.
  package func field(_ names: String...) throws(Refusal) -> JSONNode {
    try field(names)
  }

  /// The first of these fields that the record has.
  ///
  /// - Throws: a refusal that names the fields that the record has in their place.
  package func field(_ names: [String]) throws(Refusal) -> JSONNode {
    guard let field = try optionalField(names) else {
      let members = try object().members
      if let empty = names.first(where: { name in
        members.contains { ExactString($0.key) == ExactString(name) }
      }) {
        throw refusal(found: "null in the field \"\(empty)\"", expected: "a value")
      }
      let own = members.map(\.key)
      throw refusal(
        found: own.isEmpty ? "a record without fields" : "the fields \(Self.list(own))",
        expected: Self.choice(names))
    }
    return field
  }

  /// The value as a text that is not empty.
  package func text() throws(Refusal) -> String {
    let text = try string()
    guard !text.isEmpty else { throw refusal(expected: "a text that is not empty") }
    return text
  }

  /// Names in quotes, the first ones of many.
  static func list(_ names: [String]) -> String {
    names.prefix(12).map { "\"\($0)\"" }.joined(separator: ", ")
      + (names.count > 12 ? " and \(names.count - 12) more" : "")
  }

  /// The fields of which a record must have one.
  static func choice(_ names: [String]) -> String {
    (names.count == 1 ? "a field " : "one of the fields ") + list(names)
  }
}
