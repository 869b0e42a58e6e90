import SextantBytes

/// A table with a header line, as RFC 4180 has it: quoted cells may contain separators, line feeds, and
/// quotes, which are written twice. The separator is the one that the header shows.
struct TextTable {
  /// The separator of cells.
  enum Separator: UInt8, CaseIterable {
    case comma = 0x2C, semicolon = 0x3B, tab = 0x09, bar = 0x7C

    /// The separator in words.
    var name: String {
      switch self {
      case .comma: "commas"
      case .semicolon: "semicolons"
      case .tab: "tabs"
      case .bar: "vertical bars"
      }
    }
  }

  /// The separator of cells.
  let separator: Separator
  /// The names of the columns, without white space around them. A column may have none.
  let columns: [String]
  /// Whether the header has white space around names, as in `positive, negative`. Cells then lose
  /// theirs, too, unless they are quoted.
  private let trimsCells: Bool
  private let file: TextFile
  /// The position of the first row, and its line.
  private let start: (index: Int, line: Int)

  /// The table that a file is, if one separator gives its first line a column of these names.
  init?(_ file: TextFile, columns wanted: [String]) {
    let names = Set(wanted.map { ExactString($0) })
    for separator in Self.separators(of: file) {
      guard let table = TextTable(file, separator), !table.columns.isEmpty,
        table.columns.contains(where: { names.contains(ExactString($0)) })
      else { continue }
      self = table
      return
    }
    return nil
  }

  /// The first line as a header: the separator that gives it most columns; nil if none gives two.
  static func guess(_ file: TextFile) -> TextTable? {
    let tables = separators(of: file).compactMap { TextTable(file, $0) }
    let best = tables.max { $0.columns.count < $1.columns.count }
    return best.flatMap { $0.columns.count > 1 ? $0 : nil }
  }

  private init?(_ file: TextFile, _ separator: Separator) {
    guard let first = Self.header(of: file) else { return nil }
    self.file = file
    self.separator = separator
    var reader = RowReader(file, separator, at: first.start, line: first.line)
    guard let row = try? reader.next() else { return nil }
    columns = row.cells.map(TextBytes.trimmed)
    trimsCells = columns != row.cells
    start = (reader.index, reader.line)
  }

  /// The position of the header: the first line that is not blank, after the line `sep=` and a
  /// character, which spreadsheets put first.
  private static func header(of file: TextFile) -> (start: Int, line: Int)? {
    var lines = file.lines
    guard let first = lines.next() else { return nil }
    let header = declaredSeparator(file.bytes[first.range]) == nil ? first : lines.next()
    return header.map { ($0.range.lowerBound, $0.number) }
  }

  private static func separators(of file: TextFile) -> [Separator] {
    var lines = file.lines
    let declared = lines.next().flatMap { declaredSeparator(file.bytes[$0.range]) }
    return declared.map { [$0] } ?? Separator.allCases
  }

  private static func declaredSeparator(_ line: ArraySlice<UInt8>) -> Separator? {
    let prefix = Array("sep=".utf8)
    guard line.starts(with: prefix), line.count == prefix.count + 1 else { return nil }
    return line.last.flatMap { Separator(rawValue: $0) }
  }

  /// Hands over the rows as objects, with the line that each starts on. Rows without any content are
  /// passed over, and so are columns without a name.
  ///
  /// - Throws: `data.record` for two columns of one name, another number of cells than the header
  ///   has, or a quote that is not closed or is inside a plain cell.
  func forEachRow(
    _ body: (_ row: JSONObject, _ line: Int) throws(Refusal) -> Void
  ) throws(Refusal) {
    try checkColumns()
    var reader = RowReader(
      file, separator, at: start.index, line: start.line, trimsCells: trimsCells)
    while let (line, cells) = try reader.next() {
      if cells.allSatisfy({ $0.utf8.allSatisfy(TextBytes.isSpace) }) { continue }
      guard cells.count == columns.count else {
        throw refusal(line, counted(cells.count, "cell"), "\(columns.count), as the header has")
      }
      let members = zip(columns, cells).filter { !$0.0.isEmpty }
      try body(JSONObject(members.map { ($0, .string($1)) }), line)
    }
  }

  private func checkColumns() throws(Refusal) {
    var seen: Set<ExactString> = []
    for column in columns where !column.isEmpty {
      guard seen.insert(ExactString(column)).inserted else {
        throw refusal(
          Self.header(of: file)?.line ?? 1, "two columns \"\(column)\"", "each column once")
      }
    }
  }

  private func refusal(_ line: Int, _ found: String, _ expected: String) -> Refusal {
    Refusal(
      .dataRecord, file: file.path, at: .line(line), found: found,
      expected: "\(expected) (cells separated by \(separator.name))")
  }
}

/// Reads a table row by row.
private struct RowReader {
  /// The position of the next row, and its line.
  private(set) var index: Int
  private(set) var line: Int
  private let file: TextFile
  private let separator: UInt8
  private let trimsCells: Bool

  private static let quote = UInt8(ascii: "\"")

  init(
    _ file: TextFile, _ separator: TextTable.Separator, at index: Int, line: Int,
    trimsCells: Bool = false
  ) {
    self.trimsCells = trimsCells
    (self.file, self.separator) = (file, separator.rawValue)
    (self.index, self.line) = (index, line)
  }

  /// The next row with the line that it starts on; nil at the end.
  mutating func next() throws(Refusal) -> (line: Int, cells: [String])? {
    let bytes = file.bytes
    guard index < bytes.count else { return nil }
    let start = line
    var cells = [try cell(bytes)]
    while index < bytes.count, bytes[index] == separator {
      index += 1
      cells.append(try cell(bytes))
    }
    if index < bytes.count {
      guard bytes[index] == TextBytes.lineFeed else {
        throw refusal(line, "text after a closed quote", "a separator or the line's end")
      }
      index += 1
      line += 1
    }
    return (start, cells)
  }

  private mutating func cell(_ bytes: [UInt8]) throws(Refusal) -> String {
    guard index < bytes.count, bytes[index] == Self.quote else {
      let start = index
      while index < bytes.count, bytes[index] != separator, bytes[index] != TextBytes.lineFeed {
        index += 1
      }
      let cell = String(decoding: bytes[start..<index], as: UTF8.self)
      return trimsCells ? TextBytes.trimmed(cell) : cell
    }
    let start = line
    var content: [UInt8] = []
    index += 1
    while true {
      guard index < bytes.count else {
        throw refusal(start, "a quote without its end", "a closing quote")
      }
      let byte = bytes[index]
      index += 1
      if byte == Self.quote {
        guard index < bytes.count, bytes[index] == Self.quote else { break }
        index += 1
      } else if byte == TextBytes.lineFeed {
        line += 1
      }
      content.append(byte)
    }
    return String(decoding: content, as: UTF8.self)
  }

  private func refusal(_ line: Int, _ found: String, _ expected: String) -> Refusal {
    Refusal(.dataRecord, file: file.path, at: .line(line), found: found, expected: expected)
  }
}
