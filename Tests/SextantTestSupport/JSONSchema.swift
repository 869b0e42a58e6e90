import SextantBytes

/// Checks JSON values against a JSON Schema (2020-12), for the keywords that the project's own
/// schemas use. Any other keyword is an error in the schema, so that no keyword is ignored.
package struct JSONSchema {
  private let documents: [String: JSONValue]
  private let root: String

  /// Schemas by file name; references may point from one to another.
  package init(_ documents: [String: JSONValue], root: String) {
    self.documents = documents
    self.root = root
  }

  /// The errors in a value, as `pointer: error`; empty if it is valid.
  package func flaws(of value: JSONValue) -> [String] {
    guard let schema = documents[root] else { return ["no schema \(root)"] }
    return flaws(of: value, "", schema, document: root)
  }

  /// The published schema of the manifests of an artifact kind.
  ///
  /// - Throws: `file.*`, `json.*`.
  package static func manifest(of kind: String) throws -> JSONSchema {
    var documents: [String: JSONValue] = [:]
    for name in ["artifact", kind].map({ "\($0).schema.json" }) {
      let path = PackageFiles.format("manifests/\(name)")
      documents[name] = try JSONValue(parsing: InputFile(path).readAll(limit: 1 << 20), file: path)
    }
    return JSONSchema(documents, root: "\(kind).schema.json")
  }

  /// The members of an object that no schema describes.
  package func undescribedMembers(of value: JSONValue) -> [String] {
    func members(_ value: JSONValue?) -> [(key: String, value: JSONValue)] {
      if case .object(let object)? = value { object.members } else { [] }
    }
    let described = documents.values.flatMap { document in
      members(members(document).first { $0.key == "properties" }?.value).map(\.key)
    }
    return members(value).map(\.key).filter { !described.contains($0) }
  }

  private static let annotations: Set<String> = [
    "$schema", "$id", "$defs", "$comment", "title", "description",
  ]

  private func flaws(
    of value: JSONValue, _ pointer: String, _ schema: JSONValue, document: String
  ) -> [String] {
    if case .boolean(let accepts) = schema { return accepts ? [] : ["\(pointer): not allowed"] }
    guard case .object(let keywords) = schema else { return ["\(document): no schema"] }
    var flaws: [String] = []
    for (keyword, argument) in keywords.members where !Self.annotations.contains(keyword) {
      switch keyword {
      case "$ref": flaws += referenced(value, pointer, argument, document)
      case "allOf":
        for part in argument.elements {
          flaws += self.flaws(of: value, pointer, part, document: document)
        }
      case "anyOf":
        let fits = argument.elements.contains {
          self.flaws(of: value, pointer, $0, document: document).isEmpty
        }
        if !fits { flaws.append("\(pointer): fits none of \(argument.elements.count)") }
      case "properties", "required", "additionalProperties", "propertyNames", "minProperties":
        flaws += ofObject(value, pointer, keyword, argument, keywords, document)
      case "items", "minItems", "maxItems", "uniqueItems":
        flaws += ofArray(value, pointer, keyword, argument, document)
      default: flaws += ofPlain(value, pointer, keyword, argument)
      }
    }
    return flaws
  }

  private func referenced(
    _ value: JSONValue, _ pointer: String, _ argument: JSONValue, _ document: String
  ) -> [String] {
    guard let reference = argument.text else { return ["\(document): a $ref that is no string"] }
    let parts = reference.split(separator: "#", omittingEmptySubsequences: false)
    let file = parts[0].isEmpty ? document : String(parts[0])
    guard var target = documents[file] else { return ["\(document): no document \(file)"] }
    for key in parts.dropFirst().first?.split(separator: "/") ?? [] {
      guard case .object(let object) = target, let next = object[String(key)] else {
        return ["\(document): nothing at \(reference)"]
      }
      target = next
    }
    return flaws(of: value, pointer, target, document: file)
  }

  private func ofObject(
    _ value: JSONValue, _ pointer: String, _ keyword: String, _ argument: JSONValue,
    _ keywords: JSONObject, _ document: String
  ) -> [String] {
    guard case .object(let object) = value else { return [] }
    switch keyword {
    case "required":
      return argument.elements.compactMap(\.text).filter { object[$0] == nil }
        .map { "\(pointer): no \($0)" }
    case "minProperties":
      return JSONValue.integer(Int64(object.members.count)).isBelow(argument)
        ? ["\(pointer): too few members"] : []
    case "propertyNames":
      return object.members.flatMap {
        flaws(of: .string($0.key), "\(pointer)/\($0.key)", argument, document: document)
      }
    default:
      let isListed = keyword == "properties"
      let known = isListed ? argument : keywords["properties"] ?? .object(JSONObject())
      guard case .object(let properties) = known else { return ["\(document): no properties"] }
      return object.members.flatMap { key, member in
        // `nil` alone would be the JSON value null.
        let rest: JSONValue? = properties[key] == nil ? argument : Optional.none
        return (isListed ? properties[key] : rest).map {
          flaws(of: member, "\(pointer)/\(key)", $0, document: document)
        } ?? []
      }
    }
  }

  private func ofArray(
    _ value: JSONValue, _ pointer: String, _ keyword: String, _ argument: JSONValue,
    _ document: String
  ) -> [String] {
    guard case .array(let elements) = value else { return [] }
    let count = JSONValue.integer(Int64(elements.count))
    switch keyword {
    case "minItems": return count.isBelow(argument) ? ["\(pointer): too few"] : []
    case "maxItems": return argument.isBelow(count) ? ["\(pointer): too many"] : []
    case "uniqueItems":
      let texts = elements.map(\.canonicalText)
      return Set(texts).count < texts.count ? ["\(pointer): one twice"] : []
    default:
      return elements.enumerated().flatMap {
        flaws(of: $0.element, "\(pointer)/\($0.offset)", argument, document: document)
      }
    }
  }

  private func ofPlain(
    _ value: JSONValue, _ pointer: String, _ keyword: String, _ argument: JSONValue
  ) -> [String] {
    var holds: Bool?
    switch (keyword, value) {
    case ("type", _):
      holds = (argument.text.map { [$0] } ?? argument.elements.compactMap(\.text))
        .contains { value.isOf(type: $0) }
    case ("const", _): holds = value == argument
    case ("enum", _): holds = argument.elements.contains(value)
    case ("minimum", .integer), ("minimum", .number): holds = !value.isBelow(argument)
    case ("maximum", .integer), ("maximum", .number): holds = !argument.isBelow(value)
    case ("pattern", .string(let text)):
      holds = argument.text.flatMap { try? Regex($0).firstMatch(in: text) != nil }
    case ("minimum", _), ("maximum", _), ("pattern", _): holds = true
    default: return ["\(pointer): the keyword \(keyword) is not known"]
    }
    return holds == true ? [] : ["\(pointer): \(keyword) \(argument.canonicalText)"]
  }
}

extension JSONValue {
  fileprivate var elements: [JSONValue] {
    if case .array(let elements) = self { elements } else { [] }
  }

  fileprivate var text: String? { if case .string(let text) = self { text } else { nil } }

  private var double: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  fileprivate func isBelow(_ other: JSONValue) -> Bool {
    guard let own = double, let other = other.double else { return true }
    return own < other
  }

  fileprivate func isOf(type: String) -> Bool {
    switch self {
    case .null: type == "null"
    case .boolean: type == "boolean"
    case .integer: type == "integer" || type == "number"
    case .number: type == "number"
    case .string: type == "string"
    case .array: type == "array"
    case .object: type == "object"
    case .verbatim: false
    }
  }
}
