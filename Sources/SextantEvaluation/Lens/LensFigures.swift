import SextantGeneration
import SextantReport
import SextantTokenizers

/// Figures of lenses.
package enum LensFigures {
  /// Cross-entropy by depth, all lenses in one figure; the model's own as a grey line.
  ///
  /// A logit lens may have values in early layers that are too large for a readable figure. Values
  /// over one and a half times the largest one of the other lenses are left out, and the subtitle
  /// reports it.
  package static func depth(_ evaluation: LensEvaluation, model: String) -> LineChart {
    let factor = evaluation.bitsPerByteFactor
    let losses = { (result: LensEvaluation.Result) in
      result.layers.map { $0.crossEntropy.mean * factor }
    }
    let others = evaluation.results.dropFirst().flatMap(losses)
    let limit = others.max().map { 1.5 * $0 } ?? .infinity
    var cut = 0
    var series = evaluation.results.enumerated().map { index, result in
      let shown = result.layers.filter { $0.crossEntropy.mean * factor <= limit }
      cut += result.layers.count - shown.count
      return LineChart.Series(
        "\(result.name) lens",
        shown.map { layer in
          LineChart.Point(
            place(of: layer), layer.crossEntropy.mean * factor,
            interval: layer.crossEntropy.interval.scaled(by: factor).range)
        }, colour: .category(index))
    }
    let ends = evaluation.results.first?.layers.map(place) ?? []
    series.append(
      LineChart.Series(
        "the model",
        [ends.first ?? 0, ends.last ?? 0].map {
          LineChart.Point($0, evaluation.crossEntropy.mean * factor)
        }, colour: .muted, isDashed: true))
    let own = evaluation.crossEntropy.mean * factor
    let highest = series.flatMap { $0.points.compactMap { $0.interval?.upperBound ?? $0.y } }.max()
    let note =
      cut == 0 ? "" : "; over \(Format.fixed(limit, 1)): \(cut) of the logit lens, left out"
    return LineChart(
      title: "The prediction of each block", subtitle: model + note,
      x: "blocks passed (0: the embedding)", y: "cross-entropy, bits per byte", series: series,
      yRange: Interval(low: own * 0.95, high: max(highest ?? own, own)).range, countsWhole: true)
  }

  /// Blocks that the stream has passed.
  private static func place(of layer: LensEvaluation.Layer) -> Double {
    Double(layer.site.block.map { $0 + 1 } ?? 0)
  }

  /// A grid of layers by tokens, as a picture.
  ///
  /// - Parameters:
  ///   - tokens: the columns.
  ///   - layerStride: every n-th layer is shown, and the last.
  package static func grid(
    _ grid: LensGrid, _ tokenizer: any Tokenizer, _ measure: LensMeasure, title: String,
    _ tokens: Range<Int>, layerStride: Int
  ) -> HeatMap {
    let shown = { (token: Int) in LensText.shown(tokenizer.decode([token])) }
    let rows = grid.sites.indices.filter {
      $0 % max(layerStride, 1) == 0 || $0 == grid.sites.count - 1
    }
    return HeatMap(
      title: title, subtitle: "most probable next token; colour: \(measure.title)",
      rowTitle: "depth",
      columnTitle: "input token", rows: rows.map { LensText.label(grid.sites[$0]) },
      columns: tokens.map { shown(grid.tokens[$0]) },
      cells: rows.map { row in
        tokens.map { column in
          let cell = grid.cells[row][column]
          let guesses = cell.guesses.prefix(5).map {
            "\(shown($0.token)) \(Format.fixed($0.probability * 100, 1))%"
          }
          return HeatMap.Cell(
            measure.value(cell), text: cell.guesses.first.map { shown($0.token) } ?? "",
            hover: guesses.joined(separator: "\n"))
        }
      }, scale: measure.scale(grid.cells))
  }
}
