import SextantBytes
import SextantModels
import SextantReport

extension LensEvaluation {
  /// A table for each lens.
  ///
  /// - Parameter notes: sentences at the end.
  package func report(notes: [String] = []) -> Report {
    let tables = results.map { result in
      var table = Table(["site", "#CE", "#KL", "#entropy", "#same best"])
      for layer in result.layers {
        table.add([
          layer.site.name, text(layer.crossEntropy), text(layer.divergence), text(layer.entropy),
          "\(Format.fixed(layer.agreement.mean * 100, 1))%",
        ])
      }
      return (title: "\(printable(result.name)) lens, bits per byte", table: table)
    }
    return Report(
      title: "\(counted(tokenCount, "token")); the model itself: CE "
        + "\(text(crossEntropy)), entropy \(text(entropy))",
      tables: tables, notes: ["± is half of a 95% interval over chunks of text"] + notes, json: json
    )
  }

  private func text(_ figure: LensEvaluation.Mean) -> String {
    let half = (figure.interval.high - figure.interval.low) / 2
    return "\(Format.fixed(figure.mean * bitsPerByteFactor, 3))"
      + (figure.interval.isKnown ? " ± \(Format.fixed(half * bitsPerByteFactor, 3))" : "")
  }

  /// Writes metrics.json, the figure depth.svg, and aggregate_metrics.json of each lens in a folder of its
  /// own.
  ///
  /// - Throws: what publishing a file throws.
  package func write(
    to folder: ResultFolder, of model: ModelDescription
  ) throws(Refusal) {
    let chart = LensFigures.depth(
      self,
      model: "\(model.architecture) of width \(model.width), "
        + "\(Format.count(tokenCount)) tokens, 95% intervals")
    try folder.write(JSONValue.object(json).prettyText + "\n", to: "metrics.json")
    try folder.write(chart.svg() + "\n", to: "depth.svg")
    for result in results.dropFirst() {
      try folder.folder(result.name).write(
        JSONValue.object(aggregateMetrics(of: result)).prettyText + "\n",
        to: "aggregate_metrics.json")
    }
  }
}
