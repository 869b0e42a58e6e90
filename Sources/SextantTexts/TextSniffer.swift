import SextantBytes

/// Determines the form of a text by its content.
struct TextSniffer {
  private let file: TextFile
  private let first: (number: Int, range: Range<Int>)?

  private static let (quote, backslash) = (UInt8(ascii: "\""), UInt8(ascii: "\\"))
  private static let opening: Set<UInt8> = [UInt8(ascii: "{"), UInt8(ascii: "[")]
  private static let closing: Set<UInt8> = [UInt8(ascii: "}"), UInt8(ascii: "]")]

  init(_ file: TextFile) {
    self.file = file
    var lines = file.lines
    first = lines.next()
  }

  // MARK: JSON

  /// The first two bytes that are not white space.
  private var beginning: (UInt8, UInt8?)? {
    let marks = file.bytes.lazy.filter { !TextBytes.isSpace($0) }.prefix(2)
    return marks.first.map { ($0, marks.dropFirst().first) }
  }

  /// Whether the text begins as an object does, or as an array of objects, arrays or strings. Prose may
  /// begin with a bracket, too: "[INST]", "[1]".
  var beginsAsJSON: Bool {
    switch beginning {
    case (UInt8(ascii: "{"), let next)?: [Self.quote, UInt8(ascii: "}"), nil].contains(next)
    case (UInt8(ascii: "["), let next)?:
      [UInt8(ascii: "{"), UInt8(ascii: "["), UInt8(ascii: "]"), Self.quote, nil].contains(next)
    default: false
    }
  }

  /// Whether the text begins with a bracket, as JSON and defective JSON do.
  var beginsWithBracket: Bool { beginning.map { Self.opening.contains($0.0) } ?? false }

  /// The form of a text that is not a table. An object with one of these fields is a record.
  func formWithoutTable(_ fields: [String]) -> TextRecords.Form {
    guard beginsAsJSON, let first else {
      // A name such as .jsonl promises lines of JSON: a line that is none is then named.
      let isStrings = beginning?.0 == Self.quote && (promise == .json || hasStringsAlone)
      return isStrings ? .lines : .text
    }
    if file.bytes[first.range].first(where: { !TextBytes.isSpace($0) }) == UInt8(ascii: "[") {
      return .array
    }
    return isWrappedList(fields) ? .array : .lines
  }

  /// Whether the text begins with a bracket as JSON does, and is prose: its first value is not
  /// JSON, or, if the ending is that of plain text, not all of it is. A comma after the first
  /// value, or another value, is a mistake in intended JSON.
  var onlyBeginsAsJSON: Bool {
    guard beginsAsJSON, promise != .json, let start = first?.range.lowerBound else { return false }
    if promise == .text { return !isJSONThroughout }
    let end = Self.endOfValue(in: file.bytes, from: start)
    let text = Array(file.bytes[start..<end])
    do throws(Refusal) {
      _ = try Self.value(text)
      return false
    } catch {
      guard error.code == .jsonTrailing, case .offset(let offset)? = error.place else {
        return error.code == .jsonInvalid
      }
      return !(Self.opening.contains(text[offset]) || text[offset] == UInt8(ascii: ","))
    }
  }

  /// Whether the text is one JSON value, or every value that begins on a line is one.
  private var isJSONThroughout: Bool {
    if (try? Self.value(file.bytes)) != nil { return true }
    var end = 0
    return file.lines.allSatisfy { _, range in
      if range.lowerBound < end { return true }
      end = Self.endOfValue(in: file.bytes, from: range.lowerBound)
      return (try? Self.value(Array(file.bytes[range.lowerBound..<end]))) != nil
    }
  }

  /// The value that a text is.
  private static func value(_ text: [UInt8]) throws(Refusal) -> JSONValue {
    try JSONValue(parsing: text, limits: TextRecords.limits, keepsVerbatim: true)
  }

  /// Whether every line is a JSON string or an object. Prose may begin with a line in quotes, too.
  private var hasStringsAlone: Bool {
    file.lines.allSatisfy { _, range in
      return switch try? Self.value(Array(file.bytes[range])) {
      case .string?, .object?: true
      default: false
      }
    }
  }

  /// Whether the text is one object with the list of records in it.
  private func isWrappedList(_ fields: [String]) -> Bool {
    guard let first,
      Self.endOfValue(in: file.bytes, from: first.range.lowerBound) >= (lastContent ?? 0)
    else { return false }
    guard case .object(let root)? = try? Self.value(file.bytes),
      !fields.contains(where: { root[$0] != nil })
    else { return false }
    return Self.wrappedList(in: JSONNode(.object(root), code: .dataRecord, file: nil)) != nil
  }

  private var lastContent: Int? { file.bytes.lastIndex { !TextBytes.isSpace($0) } }

  /// The list of an object whose only array it is, and whose elements are objects, such as
  /// `{"version": 1, "data": [{…}, {…}]}`.
  static func wrappedList(in root: JSONNode) -> JSONNode? {
    guard let members = try? root.members() else { return nil }
    let lists = members.filter { if case .array = $0.node.value { true } else { false } }
    guard lists.count == 1, case .array(let elements) = lists[0].node.value, !elements.isEmpty,
      elements.allSatisfy({ if case .object = $0 { true } else { false } })
    else { return nil }
    return lists[0].node
  }

  /// Whether the first record continues after its first line.
  var recordsExtendOverLines: Bool {
    guard let first else { return false }
    return Self.endOfValue(in: file.bytes, from: first.range.lowerBound) > first.range.upperBound
  }

  /// The end of the line on which a value ends that begins at `start`, or of the text. A string that is
  /// not closed on its line ends the value there.
  static func endOfValue(in bytes: [UInt8], from start: Int) -> Int {
    var (depth, isInString, position) = (0, false, start)
    while position < bytes.count {
      let byte = bytes[position]
      if byte == TextBytes.lineFeed, isInString || depth == 0 { return position }
      if isInString {
        if byte == backslash { position += 1 } else if byte == quote { isInString = false }
      } else if byte == quote {
        isInString = true
      } else if opening.contains(byte) {
        depth += 1
      } else if closing.contains(byte) {
        depth -= 1
      }
      position += 1
    }
    return bytes.count
  }

  // MARK: Tables, and file endings

  /// Whether text that may be prose is a table: its ending is that of a table, or it has several
  /// columns and the same number of cells in every row.
  func isCertainly(_ table: TextTable) -> Bool {
    if promise == .table { return true }
    guard table.columns.count > 1 else { return false }
    var rowCount = 0
    let isWhole: Void? = try? table.forEachRow { _, _ in rowCount += 1 }
    return isWhole != nil && rowCount > 0
  }

  /// The form that a file's ending declares.
  enum Promise: String {
    case table = "a table (.csv, .tsv)"
    case json = "JSON (.json, .jsonl, .ndjson)"
    case text = "plain text (.txt, .text, .md)"
  }

  /// Whether the file's name promises records.
  var promisesRecords: Bool { promise == .table || promise == .json }

  /// The form that the file's ending declares; nil if none.
  var promise: Promise? {
    var name = file.path.lowercased()
    if name.hasSuffix(".gz") { name.removeLast(3) }
    if [".csv", ".tsv", ".tab"].contains(where: name.hasSuffix) { return .table }
    if [".jsonl", ".ndjson", ".json"].contains(where: name.hasSuffix) { return .json }
    if [".txt", ".text", ".md"].contains(where: name.hasSuffix) { return .text }
    return nil
  }
}
