import SextantEvaluation
import SextantReport

/// Figures of lenses.
enum LensFigures {
  /// Cross-entropy by depth, all lenses in one figure; the model's own as a grey line.
  static func depth(_ evaluation: LensEvaluation, model: String) -> LineChart {
    let factor = evaluation.bitsPerByteFactor
    var series = evaluation.results.enumerated().map { index, result in
      LineChart.Series(
        "\(result.name) lens",
        result.layers.map { layer in
          LineChart.Point(
            place(of: layer), layer.crossEntropy.mean * factor,
            interval: layer.crossEntropy.interval.low * factor...layer.crossEntropy.interval.high
              * factor)
        }, colour: .category(index))
    }
    let ends = evaluation.results.first?.layers.map(place) ?? []
    series.append(
      LineChart.Series(
        "the model",
        [ends.first ?? 0, ends.last ?? 0].map {
          LineChart.Point($0, evaluation.crossEntropy.mean * factor)
        }, colour: .muted, isDashed: true))
    return LineChart(
      title: "What each layer would predict", subtitle: model,
      x: "blocks passed (0: the embedding)", y: "cross-entropy, bits per byte", series: series,
      countsWhole: true)
  }

  /// Blocks that the stream has passed.
  private static func place(of layer: LensLayer) -> Double {
    Double(layer.site.block.map { $0 + 1 } ?? 0)
  }
}
