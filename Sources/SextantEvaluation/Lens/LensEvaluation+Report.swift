import SextantBytes
import SextantReport

extension LensEvaluation {
  /// A table for each lens.
  ///
  /// - Parameter notes: sentences at the end.
  public func report(notes: [String] = []) -> Report {
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

  private func text(_ figure: LensFigure) -> String {
    let half = (figure.interval.high - figure.interval.low) / 2
    return "\(Format.fixed(figure.mean * bitsPerByteFactor, 3))"
      + (figure.interval.isKnown ? " ± \(Format.fixed(half * bitsPerByteFactor, 3))" : "")
  }
}
