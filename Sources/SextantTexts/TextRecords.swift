import SextantBytes

/// The records of a text file in any of the supported forms. The form follows from the content,
/// never from the name of the file.
package struct TextRecords: Sendable {
  /// How a file contains records.
  package enum Form: String, Sendable {
    /// One JSON array; or one JSON object that contains one array of records, and otherwise only
    /// values that describe it.
    case array = "a JSON array"
    /// JSON lines: objects or strings, each of which begins on a line of its own.
    case lines = "JSON lines"
    /// A table with a header line.
    case table = "a table"
    /// Anything else.
    case text
  }

  /// Records that a file may have.
  package static let countLimit = 1 << 24

  /// The file.
  package let file: TextFile
  /// How it contains the records.
  package let form: Form
  private let table: TextTable?

  static let limits = JSONLimits(
    byteCount: TextFile.byteCountLimit, stringByteCount: TextFile.byteCountLimit)

  /// Recognises the form of a file.
  ///
  /// - Parameters:
  ///   - fields: names of which each record has one. A table is recognised by them.
  ///   - acceptsText: whether a file of another form is read as lines of text. Such a file is then
  ///     refused only if its ending is that of records. Text that only begins like JSON is such a
  ///     file, too.
  /// - Throws: `text.kind`.
  package init(
    _ file: TextFile, fields: [String], acceptsText: Bool = false
  ) throws(Refusal) {
    self.file = file
    let sniffer = TextSniffer(file)
    let isProse = acceptsText && sniffer.onlyBeginsAsJSON
    let table = sniffer.beginsAsJSON ? nil : TextTable(file, columns: fields)
    if isProse {
      (form, self.table) = (.text, nil)
    } else if let table, !acceptsText || sniffer.isCertainly(table) {
      (form, self.table) = (.table, table)
    } else {
      (form, self.table) = (sniffer.formWithoutTable(fields), nil)
    }
    guard form == .text, !file.isBlank, !acceptsText || sniffer.promisesRecords else { return }
    throw Self.refusal(file, fields, acceptsText ? sniffer.promise : nil)
  }

  /// Describes a file that has no records.
  private static func refusal(
    _ file: TextFile, _ fields: [String], _ promise: TextSniffer.Promise?
  ) -> Refusal {
    var lines = file.lines
    let first = lines.next()
    let found =
      if !TextSniffer(file).beginsWithBracket, let table = TextTable.guess(file) {
        "columns \(JSONNode.list(table.columns)), separated by \(table.separator.name)"
      } else {
        "text that begins \"\(first.map { start(of: file.bytes[$0.range]) } ?? "")\""
      }
    let names = fields.isEmpty ? "" : " with \(JSONNode.choice(fields))"
    return Refusal(
      .textKind, file: file.path, at: first.map { .line($0.number) },
      found: found + (promise.map { ", in a file whose name promises \($0.rawValue)" } ?? ""),
      expected:
        "JSON lines or a JSON array of records\(names), or a table with a column of that name",
      remedy: promise == nil
        ? nil : "Name the field, repair the file, or rename it if it is plain text.")
  }

  private static func start(of line: ArraySlice<UInt8>) -> String {
    String(String(decoding: line.prefix(240), as: UTF8.self).prefix(60))
  }

  // MARK: Reading

  /// Reads all records in their order.
  ///
  /// A refusal of `read` gets the file, and the line of the record if the file has records on
  /// lines; in a JSON array it keeps its JSON pointer.
  ///
  /// - Parameter read: receives a record, an object or a string, and the line that it begins on; nil in
  ///   a JSON array.
  /// - Throws: the errors of `read`; `json.*`, `data.record`, `limit.file`.
  package func map<Result>(
    _ read: (_ record: JSONNode, _ line: Int?) throws(Refusal) -> Result
  ) throws(Refusal) -> [Result] {
    var results: [Result] = []
    func add(_ record: JSONNode, _ line: Int?) throws(Refusal) {
      guard results.count < Self.countLimit else {
        throw Refusal(
          .limitFile, file: file.path, found: "more than \(Self.countLimit) records",
          expected: "at most that")
      }
      do throws(Refusal) {
        results.append(try read(record, line))
      } catch {
        throw line.map { error.at(line: $0) } ?? error
      }
    }
    switch form {
    case .array: try readArray(add)
    case .lines: try readLines(add)
    case .table:
      try table?.forEachRow { row, line throws(Refusal) in
        try add(JSONNode(.object(row), code: .dataRecord, file: file.path), line)
      }
    case .text:
      for (number, range) in file.lines {
        let line = String(decoding: file.bytes[range], as: UTF8.self)
        try add(JSONNode(.string(line), code: .dataRecord, file: file.path), number)
      }
    }
    return results
  }

  private typealias Receiver = (_ record: JSONNode, _ line: Int?) throws(Refusal) -> Void

  private func readArray(_ receive: Receiver) throws(Refusal) {
    let root = try document(file.bytes, at: 0)
    let list = TextSniffer.wrappedList(in: root) ?? root
    for record in try list.elements() { try receive(record, nil) }
  }

  private func readLines(_ receive: Receiver) throws(Refusal) {
    // Whether records extend over lines follows from the first one, so that a truncated record in a
    // file of JSON lines is found on its own line.
    let extendOverLines = TextSniffer(file).recordsExtendOverLines
    var (lines, end) = (file.lines, 0)
    while let (number, range) = lines.next() {
      if range.lowerBound < end { continue }
      end =
        extendOverLines
        ? TextSniffer.endOfValue(in: file.bytes, from: range.lowerBound) : range.upperBound
      let record = file.bytes[range.lowerBound..<end]
      try receive(try document(Array(record), at: range.lowerBound), number)
    }
  }

  private func document(_ bytes: [UInt8], at offset: Int) throws(Refusal) -> JSONNode {
    do throws(Refusal) {
      let value = try JSONValue(
        parsing: bytes, limits: Self.limits, baseOffset: offset, file: file.path,
        keepsVerbatim: true)
      return JSONNode(value, code: .dataRecord, file: file.path)
    } catch {
      throw located(error, in: bytes)
    }
  }

  /// A refusal of the JSON parser, with the line instead of the byte.
  private func located(_ error: Refusal, in record: [UInt8]) -> Refusal {
    guard case .offset(let offset)? = error.place else { return error }
    var refusal = error
    let (line, column) = TextBytes.place(of: offset, in: file.bytes)
    refusal.place = .line(line)
    refusal.found += " (column \(column))"
    let content = record.lastIndex { !TextBytes.isSpace($0) }
    if form == .lines, error.code == .jsonTrailing, content.map({ record[$0] }) == 0x2C {
      refusal.found = "a comma after the record"
      refusal.expected = "JSON lines, which have no comma between them, or one JSON array"
      refusal.remedy = "Remove the commas at the ends of lines, or put [ and ] around all."
    }
    return refusal
  }
}

extension Refusal {
  /// The same refusal with a line of the file as its place, instead of a place in the line.
  func at(line: Int) -> Refusal {
    var refusal = self
    switch place {
    case .line, .option, .parameter, .tensor, .key: return self
    case .pointer(""), nil: break
    case .pointer, .offset: refusal.found += place.map { " (\($0))" } ?? ""
    }
    refusal.place = .line(line)
    return refusal
  }
}
