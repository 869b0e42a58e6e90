import SextantBytes
import SextantTokenizers

/// A file of labelled records.
public struct LabelledRecords: Sendable {
  /// Bytes that a file of records may have.
  public static let byteCountLimit = 1 << 30

  /// The digest of the file's bytes.
  public let digest: Digest
  /// The records, in the file's order.
  public let records: [LabelledRecord]
  /// The file, for refusals.
  public let file: String

  /// Reads records: CSV with a head line from a file whose name ends in `.csv`, otherwise one JSON
  /// object on each line. Difficulty quantiles are computed where the file has difficulties only.
  ///
  /// - Parameter template: what a record's `template_args` are put into, with `{name}` for each;
  ///   nil for records with a `statement` (or `text`).
  /// - Throws: `file.*`, `json.*`, `data.record`, `data.empty`.
  public init(reading path: String, template: String? = nil) throws(FormatError) {
    let bytes = try InputFile(path).readAll(limit: Self.byteCountLimit)
    file = path
    digest = SHA256.digest(bytes)
    var records: [LabelledRecord] = []
    for (line, fields) in try path.hasSuffix(".csv")
      ? Self.table(bytes, path) : Self.lines(bytes, path)
    {
      do throws(FormatError) {
        records.append(try Self.record(fields, template, path))
      } catch {
        throw error.at(line: line)
      }
    }
    guard !records.isEmpty else {
      throw FormatError(.dataEmpty, file: path, found: "no records", expected: "at least one")
    }
    self.records = DifficultyQuantiles.filled(in: records)
  }

  /// Records of a file, the line each starts on first.
  private typealias Rows = [(line: Int, fields: JSONObject)]

  private static func lines(_ bytes: [UInt8], _ path: String) throws(FormatError) -> Rows {
    var rows: Rows = []
    let limits = JSONLimits(byteCount: byteCountLimit, stringByteCount: 1 << 20)
    let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    for (index, line) in lines.enumerated() where line.contains(where: { $0 > 0x20 }) {
      do throws(FormatError) {
        let node = try JSONNode(
          parsing: Array(line), limits: limits, code: .dataRecord, file: path)
        rows.append((index + 1, try node.object()))
      } catch {
        throw error.at(line: index + 1)
      }
    }
    return rows
  }

  private static func table(_ bytes: [UInt8], _ path: String) throws(FormatError) -> Rows {
    var table = try CSVReader(bytes, file: path).rows()
    guard !table.isEmpty else { return [] }
    let heads = table.removeFirst().cells
    var rows: Rows = []
    for (line, cells) in table {
      guard cells.count == heads.count else {
        throw FormatError(
          .dataRecord, file: path, at: .line(line), found: "\(cells.count) cells",
          expected: "\(heads.count), as the first line has")
      }
      rows.append((line, JSONObject(zip(heads, cells).map { ($0, .string($1)) })))
    }
    return rows
  }

  private static func record(
    _ fields: JSONObject, _ template: String?, _ path: String
  ) throws(FormatError) -> LabelledRecord {
    let node = JSONNode(.object(fields), code: .dataRecord, file: path)
    var text: String?
    if let template {
      text = try filled(template, node)
    } else {
      for key in ["statement", "text", "prompt"] where text == nil {
        text = try node.optionalMember(key)?.string()
      }
    }
    guard let text, !text.isEmpty else {
      throw node.refusal(
        found: "no text", expected: "a \"statement\", or \"template_args\" and a template")
    }
    return LabelledRecord(text: text, choices: try choices(node), fields: fields)
  }

  /// The template with the record's arguments in place of their names in braces.
  private static func filled(_ template: String, _ node: JSONNode) throws(FormatError) -> String {
    var text = template
    let arguments = try node.optionalMember("template_args") ?? node
    for (key, value) in try arguments.members() {
      let argument =
        switch value.value {
        case .string(let string): string
        case .array, .object, .null: ""
        default: value.value.canonicalText
        }
      text = text.split(separator: "{\(key)}", omittingEmptySubsequences: false)
        .joined(separator: argument)
    }
    return text
  }

  /// Two texts; a list, or in CSV a JSON list.
  private static func choices(_ node: JSONNode) throws(FormatError) -> [String]? {
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

  /// What a manifest records of the data.
  public var record: JSONObject {
    JSONObject([
      ("form", "records"), ("sha256", .string(digest.description)),
      ("records", .integer(Int64(records.count))),
    ])
  }
}

extension FormatError {
  /// The same refusal, said of a line of the file instead of a place in the line.
  func at(line: Int) -> FormatError {
    var refusal = self
    refusal.found += refusal.place.map { " (\($0))" } ?? ""
    refusal.place = .line(line)
    return refusal
  }
}
