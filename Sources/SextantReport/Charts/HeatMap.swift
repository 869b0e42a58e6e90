import SextantBytes

/// Numbers by row and column, as colours.
package struct HeatMap: Chart {
  /// One cell.
  package struct Cell: Sendable, Equatable {
    /// The number; nil, or one that is not finite, leaves the cell empty.
    package var value: Double?
    /// The text in the cell, if there is space.
    package var text: String
    /// The text that is shown when the pointer is on the cell.
    package var hover: String

    /// A cell.
    package init(_ value: Double?, text: String = "", hover: String = "") {
      (self.value, self.text, self.hover) = (value, text, hover)
    }
  }

  /// The title.
  package var title: String
  /// A line under the title.
  package var subtitle: String?
  /// The meaning of the rows.
  package var rowTitle: String
  /// The meaning of the columns.
  package var columnTitle: String
  /// The names of the rows, from top to bottom.
  package var rows: [String]
  /// The names of the columns, from left to right.
  package var columns: [String]
  /// The cells, row by row.
  package var cells: [[Cell]]
  /// How numbers become colours.
  package var scale: ColourScale

  /// A map; there is a cell for each row and column.
  package init(
    title: String, subtitle: String? = nil, rowTitle: String, columnTitle: String, rows: [String],
    columns: [String], cells: [[Cell]], scale: ColourScale
  ) {
    precondition(cells.count == rows.count && cells.allSatisfy { $0.count == columns.count })
    (self.title, self.subtitle) = (title, subtitle)
    (self.rowTitle, self.columnTitle, self.rows, self.columns) = (
      rowTitle, columnTitle, rows, columns
    )
    (self.cells, self.scale) = (cells, scale)
  }

  /// None: a scale in the picture explains the colours.
  package var legend: [LegendEntry] { [] }

  package var panel: String {
    svg(width: PanelSize.width, cellHeight: 32, standsAlone: false, isPanel: true)
  }

  /// The map as SVG.
  ///
  /// - Parameters:
  ///   - width: pixels at most, unless cells would become narrower than 6.
  ///   - cellWidth: pixels of a column; nil for as many as `width` gives.
  ///   - cellHeight: pixels of a row.
  ///   - isPanel: without title, for a page that has it as text.
  package func svg(
    width: Double = 720, cellWidth: Double? = nil, cellHeight: Double = 22,
    standsAlone: Bool = true,
    isPanel: Bool = false
  ) -> String {
    picture(width: width, cellWidth: cellWidth, cellHeight: cellHeight, isPanel: isPanel)
      .text(standsAlone: standsAlone)
  }

  /// Maps as one SVG that can stand alone, one below the other.
  ///
  /// - Parameter cellWidth: pixels of a column.
  package static func stacked(_ maps: [HeatMap], cellWidth: Double) -> String {
    SVG.stacked(
      maps.map { $0.picture(width: 720, cellWidth: cellWidth, cellHeight: 22, isPanel: false) },
      title: maps.map(\.title).joined(separator: ", "))
  }

  private func picture(
    width: Double, cellWidth: Double?, cellHeight: Double, isPanel: Bool
  ) -> SVG {
    let left = 36 + (rows.map { SVG.width(of: $0) }.max() ?? 0)
    let cellWidth =
      cellWidth ?? min(max((width - left - 16) / Double(max(columns.count, 1)), 6), 96)
    let longest = columns.map { SVG.width(of: $0) }.max() ?? 0
    let leans = longest > cellWidth - 4
    let top = isPanel ? 4.0 : subtitle == nil ? 44 : 62
    let gridHeight = cellHeight * Double(rows.count)
    let labels = leans ? 24 + longest * 0.75 : 24
    let total = max(left + cellWidth * Double(columns.count) + 16, 360)
    var svg = SVG(width: total, height: top + gridHeight + labels + 64, title: title)
    if !isPanel {
      svg.text(title, (16, 28), size: 15, bold: true)
      if let subtitle { svg.text(subtitle, (16, 46), fill: "var(--soft)") }
    }
    svg.text(
      rowTitle, (16, top + gridHeight / 2), anchor: .middle, fill: "var(--soft)", rotation: -90)
    for (row, name) in rows.enumerated() {
      let y = top + cellHeight * Double(row)
      svg.text(name, (left - 8, y + cellHeight / 2 + 4), anchor: .end)
      for (column, cell) in cells[row].enumerated() {
        draw(
          cell, &svg, x: left + cellWidth * Double(column), y: y, width: cellWidth,
          height: cellHeight)
      }
    }
    // A name needs about 14 pixels of its own.
    let stride = max(1, Int(clamping: (14 / cellWidth).rounded(.up)))
    for (column, name) in columns.enumerated() where column % stride == 0 {
      let at = (left + cellWidth * (Double(column) + 0.5), top + gridHeight + 16)
      svg.text(name, at, anchor: leans ? .end : .middle, rotation: leans ? -48 : 0)
    }
    svg.text(
      columnTitle, (left + cellWidth * Double(columns.count) / 2, top + gridHeight + labels + 14),
      anchor: .middle, fill: "var(--soft)")
    drawScale(&svg, x: left, y: top + gridHeight + labels + 28, width: min(240, total - left - 16))
    return svg
  }

  private func draw(
    _ cell: Cell, _ svg: inout SVG, x: Double, y: Double, width: Double, height: Double
  ) {
    let value = cell.value.flatMap { $0.isFinite ? $0 : nil }
    let colour = value.map { scale.colour($0) }
    svg.rectangle(
      x: x, y: y, width: width, height: height, fill: colour?.css ?? "var(--panel)",
      extra: width > 10 ? "stroke=\"var(--ground)\"" : "",
      hover: cell.hover.isEmpty ? nil : cell.hover)
    if !cell.text.isEmpty, SVG.width(of: cell.text, size: 10) <= width - 4 {
      svg.text(
        cell.text, (x + width / 2, y + height / 2 + 3.5), anchor: .middle, size: 10,
        fill: colour.map { $0.prefersBlackText ? "#000" : "#fff" } ?? "var(--soft)")
    }
  }

  /// The meaning of the colours.
  private func drawScale(_ svg: inout SVG, x: Double, y: Double, width: Double) {
    let (steps, ends) = (48, scale.ends)
    for step in 0..<steps {
      let share = (Double(step) + 0.5) / Double(steps)
      let value = ends.lowerBound + (ends.upperBound - ends.lowerBound) * share
      svg.rectangle(
        x: x + width * Double(step) / Double(steps), y: y, width: width / Double(steps) + 0.5,
        height: 10, fill: scale.colour(value).css)
    }
    svg.text(Format.figure(ends.lowerBound), (x, y + 24), size: 11, fill: "var(--soft)")
    svg.text(
      Format.figure(ends.upperBound), (x + width, y + 24), anchor: .end, size: 11,
      fill: "var(--soft)")
  }
}
