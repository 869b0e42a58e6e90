import SextantBytes
import SextantReport

extension HalfLife {
  /// Half-lives by block and component.
  package var figure: HeatMap {
    let layers = Set(entries.map(\.layer)).sorted()
    var components: [String] = []
    for entry in entries where !components.contains(entry.component) {
      components.append(entry.component)
    }
    let cells = components.map { component in
      layers.map { layer -> HeatMap.Cell in
        let entry = entries.first { $0.layer == layer && $0.component == component }
        guard let entry else { return HeatMap.Cell(nil) }
        let text = text(entry.measured.halfLife, digits: 1)
        let predicted = entry.predicted.map { self.text($0.halfLife, digits: 1) }
        return HeatMap.Cell(
          entry.measured.halfLife ?? Double(horizon), text: text,
          hover: "\(entry.site): measured \(text), "
            + "predicted \(predicted ?? "unknown"), repeat every "
            + (entry.measured.reinjectionInterval.map(String.init) ?? "> \(horizon)"))
      }
    }
    return HeatMap(
      title: "Half-life of an edit of the state", subtitle: "tokens until half of it is left",
      rowTitle: "component", columnTitle: "block", rows: components,
      columns: layers.map(String.init), cells: cells,
      scale: .sequential(0...Double(horizon)))
  }

  /// A row for each component of each block.
  package var table: Table {
    var table = Table(["site", "#measured", "#predicted", "#repeat every", "#output"])
    for entry in entries {
      table.add([
        entry.site.name, text(entry.measured.halfLife),
        entry.predicted.map { text($0.halfLife) } ?? "",
        entry.measured.reinjectionInterval.map(String.init) ?? "> \(horizon)",
        text(entry.divergenceCurve?.halfLife),
      ])
    }
    return table
  }

  /// A page with the figure and the table.
  ///
  /// - Parameter subtitle: the model, in a line.
  package func page(subtitle: String) -> HTMLPage {
    var page = HTMLPage(title: "Half-life of an edit of the state", subtitle: subtitle)
    page.add(figure: figure.svg(standsAlone: false))
    page.add(table: table, caption: "tokens")
    return page
  }

  /// The table, and for programs the curves, too.
  package var report: Report {
    let number = { (value: Double?) -> JSONValue in value.map { JSONValue(finite: $0) } ?? .null }
    return Report(
      title: "half-lives of edits of the state, in tokens, means of \(counted(editCount, "edit"))",
      tables: [("measured in the component, predicted from decays, and of the output", table)],
      json: JSONObject([
        ("edits", JSONValue(editCount)), ("horizon", JSONValue(horizon)),
        (
          "rows",
          .array(
            entries.map { entry in
              [
                "layer": JSONValue(entry.layer), "component": .string(entry.component),
                "measured": number(entry.measured.halfLife),
                "predicted": number(entry.predicted?.halfLife),
                "is_predicted": .boolean(entry.predicted != nil),
                "interval": entry.measured.reinjectionInterval.map { JSONValue($0) } ?? .null,
                "output": number(entry.divergenceCurve?.halfLife),
                "curve": .array(entry.measured.shares.map { .number($0) }),
                "predicted_curve": entry.predicted.map {
                  .array($0.shares.map { .number($0) })
                } ?? .null,
                "divergence": .array(entry.divergence.map { .number($0) }),
              ]
            })
        ),
      ]))
  }

  /// Tokens for people.
  private func text(_ halfLife: Double?, digits: Int = 2) -> String {
    halfLife.map { Format.fixed($0, digits) } ?? "> \(horizon)"
  }
}
