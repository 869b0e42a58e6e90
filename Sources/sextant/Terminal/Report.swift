import SextantBytes

/// What a command has to say: the same facts for people and for programs.
struct Report {
  /// The first line for people.
  var title: String
  /// Facts in one line each.
  var facts: [(name: String, value: String)] = []
  /// Tables, each under a line of its own.
  var tables: [(title: String, table: Table)] = []
  /// Sentences at the end.
  var notes: [String] = []
  /// The whole for programs.
  var json: JSONObject

  /// Prints one JSON document, or the text for people.
  func print(asJSON: Bool) {
    StandardStreams.print(asJSON ? JSONValue.object(json).prettyText : text)
  }

  /// The text for people, without a newline at the end.
  var text: String {
    var lines = [title]
    let width = facts.map(\.name.count).max() ?? 0
    for (name, value) in facts {
      lines.append("  \(name)\(String(repeating: " ", count: width - name.count))  \(value)")
    }
    for (title, table) in tables {
      lines.append("")
      lines.append(title)
      lines += table.lines.map { "  \($0)" }
    }
    lines += notes.map { "note: \($0)" }
    return lines.joined(separator: "\n")
  }
}

/// Rows of text in aligned columns.
struct Table {
  /// The heads of the columns.
  let heads: [String]
  /// The columns that hold numbers, which are aligned to the right.
  let numeric: Set<Int>
  private(set) var rows: [[String]] = []

  /// An empty table; heads that begin with `#` are those of numbers.
  init(_ heads: [String]) {
    numeric = Set(heads.indices.filter { heads[$0].hasPrefix("#") })
    self.heads = heads.map { $0.hasPrefix("#") ? String($0.dropFirst()) : $0 }
  }

  /// Adds a row, one text for each column.
  mutating func add(_ row: [String]) { rows.append(row) }

  /// Only the first and last rows, and a line that tells how many are left out.
  func abbreviated(to limit: Int) -> Table {
    guard rows.count > limit else { return self }
    var short = self
    let (first, last) = (limit - limit / 3, limit / 3)
    let gap = ["… \(rows.count - limit) more"] + heads.dropFirst().map { _ in "" }
    short.rows = rows.prefix(first) + [gap] + rows.suffix(last)
    return short
  }

  /// The lines, without spaces at their ends.
  var lines: [String] {
    let all = [heads] + rows
    let widths = heads.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
    return all.map { row in
      var line = ""
      for (column, text) in row.enumerated() {
        if column > 0 { line += "  " }
        let space = String(repeating: " ", count: widths[column] - text.count)
        line += numeric.contains(column) ? space + text : text + space
      }
      while line.last == " " { line.removeLast() }
      return line
    }
  }
}
