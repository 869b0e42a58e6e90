/// A table in Markdown, aligned for terminals too.
struct Table {
  private var rows: [[String]]

  init(_ head: [String]) { rows = [head] }

  mutating func add(_ cells: [String]) { rows.append(cells) }

  var text: String {
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    func line(_ cells: [String]) -> String {
      let padded = zip(cells, widths).map { cell, width in
        cell + String(repeating: " ", count: width - cell.count)
      }
      return "| " + padded.joined(separator: " | ") + " |"
    }
    var lines = [line(rows[0]), line(widths.map { String(repeating: "-", count: $0) })]
    lines += rows.dropFirst().map(line)
    return lines.joined(separator: "\n")
  }
}
