extension HeatMap {
  /// Columns of a cell in a terminal at most, if not all cells fit with their whole names.
  private static let cellLimit = 9

  /// The map for a terminal, in the number of parts that fit the width, one below the other.
  ///
  /// - Parameters:
  ///   - width: columns of the terminal.
  ///   - isColoured: whether cells have the colours of the scale.
  package func terminal(width: Int, isColoured: Bool) -> String {
    let texts = cells.map { $0.map { $0.value == nil ? "" : $0.text } }
    let longest = (texts.joined().map(\.count) + columns.map(\.count)).max() ?? 0
    let labelWidth = rows.map(\.count).max() ?? 0
    let fits = labelWidth + columns.count * (longest + 1) <= width
    let room = max(fits ? longest : min(longest, Self.cellLimit - 1), 4)
    let perPart = max(1, (width - labelWidth) / (room + 1))
    var lines = [title + (subtitle.map { ": \($0)" } ?? "")]
    for start in stride(from: 0, to: columns.count, by: perPart) {
      let part = start..<min(start + perPart, columns.count)
      if start > 0 { lines.append("") }
      let heads = part.map { " " + Self.fitted(columns[$0], room) }
      lines.append(String(repeating: " ", count: labelWidth) + heads.joined())
      for (row, name) in rows.enumerated() {
        let line = part.map { column in
          " " + cell(cells[row][column], Self.fitted(texts[row][column], room), isColoured)
        }
        lines.append(Format.padded(name, labelWidth) + line.joined())
      }
    }
    return lines.joined(separator: "\n")
  }

  private func cell(_ cell: Cell, _ text: String, _ isColoured: Bool) -> String {
    guard isColoured, let value = cell.value, value.isFinite else { return text }
    return TerminalText.onGround(text, scale.colour(value))
  }

  /// A text of exactly this width, at the right.
  private static func fitted(_ text: String, _ room: Int) -> String {
    text.count > room ? text.prefix(room - 1) + "\u{2026}" : Format.padded(text, room)
  }
}
