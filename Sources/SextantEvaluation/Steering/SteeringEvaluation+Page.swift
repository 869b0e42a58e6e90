import SextantBytes
import SextantReport

extension SteeringEvaluation {
  /// The page in one file, with the figures of arXiv 2404.05971.
  package var page: HTMLPage {
    var page = HTMLPage(
      title: "Steering: effect by layer and strength",
      subtitle:
        "\(model.architecture), \(counted(model.layerCount, "block")) · \(vector.training.method) vector · "
        + "\(counted(test.items.count, "prompt")) · positions \(positions)")
    page.add(facts: [
      ("model", model.identity.description), ("test", test.digest.description),
      ("unsteered matching", Self.text(summary.baseline.matching)),
      ("unsteered nonsense", Self.text(summary.baseline.nonsense)),
      ("seed", String(seed)),
    ])
    for curve in summary.curves {
      page.add(heading: "Steering: \(curve.sites)")
      page.add(figure: effectChart(curve.sites).svg(standsAlone: false))
      page.add(figure: strengthChart(curve).svg(standsAlone: false))
      page.add(figure: nonsenseChart(curve.sites).svg(standsAlone: false))
    }
    page.add(heading: "Residual stream, state and both")
    page.add(figure: rangeChart.svg(standsAlone: false))
    for (title, table) in tables { page.add(table: table, caption: title) }
    if !continuations.isEmpty {
      page.add(heading: "Continuations, side by side")
      page.add(table: continuationTable)
    }
    page.add(table: cellTable, caption: "Every cell", isFolded: true)
    return page
  }

  private func series(
    _ sites: SteeredSites, _ figure: (SweepSummary.Row) -> Figure
  ) -> [LineChart.Series] {
    let largest = summary.rows.map { abs($0.multiplier) }.max() ?? 1
    let multipliers = Set(summary.rows.map(\.multiplier)).sorted()
    return multipliers.map { multiplier in
      let points = summary.rows.filter { $0.sites == sites && $0.multiplier == multiplier }.map {
        let value = figure($0)
        return LineChart.Point(
          Double($0.layer), value.value, interval: value.interval.range)
      }
      return LineChart.Series(
        Self.signed(multiplier), points, colour: .diverging(Double(multiplier / largest)))
    }
  }

  /// The effect by layer, a line for each strength.
  package func effectChart(_ sites: SteeredSites) -> LineChart {
    LineChart(
      title: "Change of the matching probability by layer: \(sites)",
      subtitle: "all \(counted(test.items.count, "prompt")); bands are 95% intervals", x: "block",
      y: "change of p(matching)", series: series(sites, \.effect), countsWhole: true)
  }

  /// The probability of other answers by layer, a line for each strength.
  package func nonsenseChart(_ sites: SteeredSites) -> LineChart {
    LineChart(
      title: "Nonsense by layer: \(sites)",
      subtitle: "1 − p(matching) − p(other), minus the unsteered model's", x: "block",
      y: "change of nonsense",
      series: series(sites, \.nonsenseEffect),
      countsWhole: true)
  }

  /// Matching by strength at the chosen layers: all sets of sites, and the random directions of the
  /// last one.
  package var mainFigure: LineChart {
    var series = summary.curves.enumerated().map { index, curve in
      LineChart.Series(
        "\(curve.sites), block \(curve.layer)", Self.line(curve.points), colour: .category(index))
    }
    if let last = summary.curves.last, let control = control(of: last) {
      series.append(
        LineChart.Series(
          "\(counted(controls.count, "random direction")) (\(last.sites))",
          Self.line(control.points),
          colour: .muted, isDashed: true))
    }
    return LineChart(
      title: "Matching by strength",
      subtitle: "\(counted(summary.halves.reporting.count, "prompt")); blocks "
        + "chosen on \(summary.halves.choosing.count) others; bands are 95% intervals",
      x: "strength", y: "p(matching)", series: series)
  }

  private static func line(
    _ points: [(multiplier: Float, matching: Figure)]
  ) -> [LineChart.Point] {
    points.map {
      LineChart.Point(
        Double($0.multiplier), $0.matching.value,
        interval: $0.matching.interval.range)
    }
  }

  /// Matching by strength at the chosen layer, with random directions.
  package func strengthChart(_ curve: SweepSummary.Curve) -> LineChart {
    var series = [
      LineChart.Series(
        "\(curve.sites), block \(curve.layer)", Self.line(curve.points),
        colour: .category(0))
    ]
    if let control = control(of: curve) {
      series.append(
        LineChart.Series(
          "\(counted(controls.count, "random direction"))", Self.line(control.points),
          colour: .muted,
          isDashed: true))
    }
    return LineChart(
      title: "Matching by strength: \(curve.sites), block \(curve.layer)",
      subtitle:
        "block chosen on \(counted(summary.halves.choosing.count, "prompt")), shown on the other "
        + "\(summary.halves.reporting.count)",
      x: "strength", y: "p(matching)", series: series)
  }

  /// The range of matching, by sites.
  package var rangeChart: BarChart {
    let bar = { (figure: Figure) in
      BarChart.Bar(figure.value, interval: figure.interval.range)
    }
    return BarChart(
      title: "Range of the matching probability over layers and strengths",
      subtitle: "as published: cells chosen and shown on all prompts",
      y: "range of p(matching)", groups: summary.curves.map(\.sites.description),
      series: [
        ("as published", summary.curves.map { BarChart.Bar($0.publishedRange) }, .category(1)),
        ("held out", summary.curves.map { bar($0.heldOutRange) }, .category(0)),
      ])
  }

  private var continuationTable: Table {
    var table = Table(["prompt", "sites", "#strength", "text"])
    for text in continuations {
      table.add([
        printable(text.prompt), text.sites.description, Self.signed(text.multiplier),
        printable(text.text),
      ])
    }
    return table
  }
}
