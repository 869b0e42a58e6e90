import SextantGeneration
import SextantReport
import SextantTokenizers

/// A lens grid for terminals: layers by tokens, the most probable token in each cell.
package struct LensTerminal {
  private let grid: LensGrid
  private let tokenizer: any Tokenizer
  private let measure: LensMeasure
  private let isColoured: Bool
  private let width: Int

  private static let cellWidth = 9

  /// A grid for a terminal.
  ///
  /// - Parameter width: columns of the terminal.
  package init(
    _ grid: LensGrid, _ tokenizer: any Tokenizer, colouredBy measure: LensMeasure,
    isColoured: Bool, width: Int
  ) {
    (self.grid, self.tokenizer, self.measure) = (grid, tokenizer, measure)
    (self.isColoured, self.width) = (isColoured, width)
  }

  /// The grid, in the number of parts that fit the width, one below the other.
  package func text(layerStride: Int, tokens: Range<Int>) -> String {
    let scale = measure.scale(grid.cells)
    let labels = grid.sites.map(LensText.label)
    let labelWidth = labels.map(\.count).max() ?? 0
    let perPart = max(1, (width - labelWidth - 1) / Self.cellWidth)
    let rows = grid.sites.indices.filter {
      $0 % max(layerStride, 1) == 0 || $0 == grid.sites.count - 1
    }
    var lines: [String] = []
    for start in stride(from: tokens.lowerBound, to: tokens.upperBound, by: perPart) {
      let part = start..<min(start + perPart, tokens.upperBound)
      if !lines.isEmpty { lines.append("") }
      let heads = part.map { " " + Self.fitted(shown(grid.tokens[$0])) }
      lines.append(String(repeating: " ", count: labelWidth) + heads.joined())
      for row in rows {
        var line = Format.padded(labels[row], labelWidth)
        for column in part { line += " " + cell(grid.cells[row][column], scale) }
        lines.append(line)
      }
    }
    return lines.joined(separator: "\n")
  }

  private func cell(_ cell: LensCell, _ scale: ColourScale) -> String {
    let text = Self.fitted(cell.guesses.first.map { shown($0.token) } ?? "")
    guard isColoured, let value = measure.value(cell), value.isFinite else { return text }
    return TerminalText.onGround(text, scale.colour(value))
  }

  private func shown(_ token: Int) -> String { LensText.shown(tokenizer.decode([token])) }

  /// A text of exactly the cell's width.
  private static func fitted(_ text: String) -> String {
    let room = cellWidth - 1
    if text.count > room { return text.prefix(room - 1) + "\u{2026}" }
    return text + String(repeating: " ", count: room - text.count)
  }
}
