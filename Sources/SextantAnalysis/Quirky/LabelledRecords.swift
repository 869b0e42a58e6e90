import SextantBytes
import SextantTexts

/// A file of labelled records.
public struct LabelledRecords: Sendable {
  /// The fields that may contain a record's text, the first one that is there.
  package static let textFields = ["statement", "text", "prompt"]

  /// The digest of the file's bytes.
  public let digest: Digest
  /// The records, in the file's order.
  public let records: [LabelledRecord]
  /// The file, for refusals; nil for records that a program made.
  public let file: String?

  /// Reads records: JSON lines, a JSON array, or a table with a header line. Difficulty quantiles
  /// are computed if the file has only difficulties.
  ///
  /// - Parameters:
  ///   - template: the template for a record's `template_args`, with `{name}` for each; nil for
  ///     records with a text of their own.
  ///   - field: the field with the text; nil for the first of `textFields` that a record has.
  /// - Throws: `file.*`, `limit.file`, `text.*`, `json.*`, `data.record`, `data.empty`; `usage.option` for a
  ///   template and a field, and for a template without a name.
  public init(
    reading path: String, template: String? = nil, field: String? = nil
  ) throws(Refusal) {
    guard template == nil || field == nil else {
      throw Refusal(
        .usageOption, at: .parameter("field"), found: "a field and a template",
        expected: "one of the two")
    }
    try self.init(TextFile(reading: path), template: template, field: field)
  }

  /// Reads records of a file that is in memory.
  ///
  /// - Throws: as the other initialiser.
  init(
    _ file: TextFile, template: String? = nil, field: String? = nil
  ) throws(Refusal) {
    let template = try template.map { text throws(Refusal) in try RecordTemplate(text) }
    self.file = file.path
    digest = file.digest
    let fields = field.map { [$0] } ?? Self.textFields
    let sought = template?.names ?? fields
    let records = try TextRecords(file, fields: sought).map { record, _ throws(Refusal) in
      try Self.record(record, template, fields)
    }
    guard !records.isEmpty else {
      throw Refusal(.dataEmpty, file: file.path, found: "no records", expected: "at least one")
    }
    self.records = DifficultyQuantiles.filled(in: records)
  }

  private static func record(
    _ node: JSONNode, _ template: RecordTemplate?, _ fields: [String]
  ) throws(Refusal) -> LabelledRecord {
    let text =
      if let template { try template.filled(with: node) } else { try node.field(fields).text() }
    guard !text.isEmpty else { throw node.refusal(found: "no text", expected: "a text") }
    return LabelledRecord(text: text, choices: try choices(node), fields: try node.object())
  }

  /// Two texts; a list, or in CSV a JSON list.
  private static func choices(_ node: JSONNode) throws(Refusal) -> [String]? {
    guard var list = try node.optionalMember("choices") else { return nil }
    if case .string(let text) = list.value {
      if text.isEmpty { return nil }
      let value = try JSONValue(parsing: Array(text.utf8), limits: JSONLimits(), file: node.file)
      list = JSONNode(value, code: .dataRecord, file: node.file, pointer: "/choices")
    }
    var choices: [String] = []
    for element in try list.elements() { choices.append(try element.string()) }
    guard choices.count == 2, ExactString(choices[0]) != ExactString(choices[1]) else {
      throw list.refusal(expected: "two different texts")
    }
    return choices
  }

  /// A manifest's record of the data.
  package var record: JSONObject {
    JSONObject([
      ("form", "records"), ("sha256", .string(digest.description)),
      ("records", .integer(Int64(records.count))),
    ])
  }
}
