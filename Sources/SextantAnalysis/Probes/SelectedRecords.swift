import SextantBytes

/// The records of a file that meet all conditions, with their labels.
public struct SelectedRecords: Sendable {
  /// The records.
  public let records: [LabelledRecord]
  /// Their labels.
  public let labels: [Bool]
  /// The field that contains the label.
  public let label: String
  /// A manifest's record of them.
  public var description: JSONObject
  /// Which values of the label are which class, for people.
  public let classes: String

  /// The records of a part of a file.
  ///
  /// - Parameters:
  ///   - subset: the part of a quirky set; every record by default.
  ///   - template, field: the template and field with which the file was read, for the description.
  ///   - conditions: fields, and the values that they must have.
  /// - Throws: `data.record` for a record without the label, and for a value of a condition that is not a
  ///   number, such as NaN; `data.empty` for no records.
  public init(
    _ file: LabelledRecords, label: String,
    subset: QuirkySubset = QuirkySubset(character: nil, difficulty: nil), template: String? = nil,
    field: String? = nil, where conditions: [(field: String, value: String)] = [],
    _ isSelected: (LabelledRecord) -> Bool = { _ in true }
  ) throws(Refusal) {
    try Self.checkFields(
      conditions.map(\.field) + (subset.character == nil ? [] : ["character"]), of: file)
    try Self.checkValues(of: conditions.map(\.field) + subset.fields, in: file)
    let chosen = file.records.enumerated().filter { _, record in
      subset.contains(record) && isSelected(record)
        && conditions.allSatisfy { field, value in
          record.text(of: field).map { ExactString($0) == ExactString(value) } ?? false
        }
    }
    let column = try LabelColumn(label, of: chosen.map { ($0.offset, $0.element) }, file: file.file)
    let records = chosen.map(\.element)
    guard !records.isEmpty else {
      throw Refusal(
        .dataEmpty, file: file.file, found: "no record that meets the conditions",
        expected: "at least one")
    }
    var description = file.record
    description["subset"] = .string(subset.description)
    description["template"] = template.map { .string($0) } ?? .null
    description["examples"] = .integer(Int64(records.count))
    if !conditions.isEmpty {
      description["where"] = .object(JSONObject(conditions.map { ($0.field, .string($0.value)) }))
    }
    if let field { description["field"] = .string(field) }
    (self.records, self.labels, self.label) = (records, column.labels, label)
    classes = column.description
    self.description = description
  }

  /// Refuses fields that no record has.
  private static func checkFields(
    _ fields: [String], of file: LabelledRecords
  ) throws(Refusal) {
    for field in fields where !file.records.contains(where: { $0.fields[field] != nil }) {
      let names = file.records.prefix(100).flatMap { $0.fields.members.map(\.key) }
      throw Refusal(
        .dataEmpty, file: file.file, found: "no record with a field \"\(field)\"",
        expected: "one of the fields \(Self.list(names))",
        remedy: "Name a field that the records have.")
    }
  }

  /// Refuses NaN, an infinity or a cut string in a field that decides which records are selected.
  private static func checkValues(
    of fields: [String], in file: LabelledRecords
  ) throws(Refusal) {
    for (index, record) in file.records.enumerated() {
      for field in fields {
        guard let value = record.fields[field], case .verbatim = value,
          record.text(of: field) == nil
        else { continue }
        throw JSONNode(
          value, code: .dataRecord, file: file.file, pointer: "/\(index)/\(field)"
        ).refusal(expected: "a text, a number or a boolean, to select records by")
      }
    }
  }

  /// Each of some names once, at most 12 of them.
  private static func list(_ names: [String]) -> String {
    var seen: [String] = []
    for name in names where !seen.contains(name) { seen.append(name) }
    return seen.prefix(12).joined(separator: ", ") + (seen.count > 12 ? ", …" : "")
  }

  /// The records that a manifest describes.
  ///
  /// - Parameters:
  ///   - path: the file of records.
  ///   - data: the value of `description`.
  ///   - artifact: the file of the manifest, for refusals.
  /// - Throws: `artifact.retrain` for another file; `artifact.schema`, `data.*`.
  package init(
    reading path: String, recordedAs data: JSONObject, label: String, artifact: String
  ) throws(Refusal) {
    let node = JSONNode(.object(data), code: .artifactSchema, file: artifact, pointer: "/data")
    let template = try node.optionalMember("template")?.string()
    let subsetNode = try node.member("subset")
    guard let subset = QuirkySubset(try subsetNode.string()) else {
      throw subsetNode.refusal(expected: "a part of a set")
    }
    var conditions: [(field: String, value: String)] = []
    for (field, value) in try node.optionalMember("where")?.members() ?? [] {
      conditions.append((field, try value.string()))
    }
    let field = try node.optionalMember("field")?.string()
    let file = try LabelledRecords(reading: path, template: template, field: field)
    guard try node.member("sha256").string() == file.digest.description else {
      throw Refusal(
        .artifactRetrain, file: path, found: "records with SHA-256 \(file.digest)",
        expected: "SHA-256 \(try node.member("sha256").string()), as \(artifact) records")
    }
    try self.init(
      file, label: label, subset: subset, template: template, field: field, where: conditions)
  }
}
