/// Rows of text in aligned columns.
package struct Table: Sendable, Equatable {
  /// The heads of the columns.
  package let heads: [String]
  /// The columns of numbers, which are aligned to the right.
  package let numeric: Set<Int>
  package private(set) var rows: [[String]] = []

  /// An empty table; heads that begin with `#` are those of numbers.
  package init(_ heads: [String]) {
    numeric = Set(heads.indices.filter { heads[$0].hasPrefix("#") })
    self.heads = heads.map { $0.hasPrefix("#") ? String($0.dropFirst()) : $0 }
  }

  /// Adds a row, one text for each column.
  package mutating func add(_ row: [String]) { rows.append(row) }

  /// Only the first and last rows, and a line with the number of rows that are left out.
  package func abbreviated(to limit: Int) -> Table {
    guard rows.count > limit else { return self }
    var short = self
    let (first, last) = (limit - limit / 3, limit / 3)
    let gap = ["… \(rows.count - limit) more"] + heads.dropFirst().map { _ in "" }
    short.rows = rows.prefix(first) + [gap] + rows.suffix(last)
    return short
  }

  /// The lines, without spaces at their ends.
  package var lines: [String] {
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

  /// The table as RFC 4180 writes it: fields between commas, heads first, lines that end in CR LF.
  package var csv: String {
    ([heads] + rows).map { row in
      row.map { field in
        let isPlain = !field.utf8.contains { [0x22, 0x2C, 0x0A, 0x0D].contains($0) }
        return isPlain
          ? field
          : "\""
            + field.split(separator: "\"", omittingEmptySubsequences: false)
            .joined(separator: "\"\"") + "\""
      }.joined(separator: ",") + "\r\n"
    }.joined()
  }
}
