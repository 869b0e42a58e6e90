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
    let sites = summary.curves.map(\.sites)
    page.add(heading: "Matching by strength, at the chosen block")
    page.add(paragraph: Self.terms)
    page.add(panels: summary.curves.map { Panel(strengthChart($0), strengthText($0)) })
    page.add(heading: "Change of matching by block")
    page.add(panels: sites.map { Panel(effectChart($0), effectText($0)) })
    page.add(heading: "Change of nonsense by block")
    page.add(panels: sites.map { Panel(nonsenseChart($0), nonsenseText($0)) })
    page.add(heading: "Residual stream, state and both")
    page.add(panels: [Panel(rangeChart, rangeText)])
    for (title, table) in tables { page.add(table: table, caption: title) }
    if !continuations.isEmpty {
      page.add(heading: "Continuations, side by side")
      page.add(table: continuationTable)
    }
    page.add(table: cellTable, caption: "Every cell", isFolded: true)
    return page
  }

  private static let terms = """
    Matching is p(matching) / (p(matching) + p(other)), the share of the answers that show the behaviour. \
    Nonsense is the probability of all other continuations. Figures of one kind have the same axes.
    """

  // MARK: What the figures show

  /// The effect at the chosen block, and whether it exceeds that of random directions.
  private func strengthText(_ curve: SweepSummary.Curve) -> String {
    let change =
      "From strength \(Self.signed(curve.ends.low)) to \(Self.signed(curve.ends.high)) at block "
      + "\(curve.layer), matching changes by \(Self.text(curve.contrast))"
    guard let control = control(of: curve) else { return change + "." }
    let verdict =
      switch Verdict(of: curve.contrast.interval, above: control.contrast.interval.high) {
      case .holds: "the vector has more effect than random directions of equal norm"
      case .fails: "random directions of equal norm have as much effect"
      case .unclear: "whether this is more than the effect of random directions cannot be told"
      }
    return "\(change); 95% of \(counted(controls.count, "random direction")) change it by "
      + "\(control.contrast.interval.text()): \(verdict)."
  }

  /// The extreme cells of a figure by block.
  private func extremes(
    _ sites: SteeredSites, _ figure: (SweepSummary.Row) -> Figure
  ) -> (low: SweepSummary.Row, high: SweepSummary.Row)? {
    let rows = summary.rows.filter { $0.sites == sites }
    let isLess = { (a: SweepSummary.Row, b: SweepSummary.Row) in figure(a).value < figure(b).value }
    guard let low = rows.min(by: isLess), let high = rows.max(by: isLess) else { return nil }
    return (low, high)
  }

  private static func place(_ row: SweepSummary.Row) -> String {
    "at block \(row.layer) and strength \(signed(row.multiplier))"
  }

  private func effectText(_ sites: SteeredSites) -> String {
    guard let (low, high) = extremes(sites, \.effect) else { return "Nothing was measured." }
    return "The largest change is \(Self.text(high.effect)) \(Self.place(high)), and the smallest "
      + "\(Self.text(low.effect)) \(Self.place(low)), both chosen on all prompts."
  }

  private func nonsenseText(_ sites: SteeredSites) -> String {
    guard let (_, high) = extremes(sites, \.nonsenseEffect) else { return "Nothing was measured." }
    return "Nonsense rises most \(Self.place(high)), by \(Self.text(high.nonsenseEffect)); without "
      + "steering it is \(Self.text(summary.baseline.nonsense))."
  }

  /// How much of the published range is due to the choice of cells.
  private var rangeText: String {
    let texts = summary.curves.map {
      "\($0.sites) \(Format.fixed($0.publishedRange, 3)) and \(Self.text($0.heldOutRange))"
    }
    return
      "The range of matching if cells are chosen and shown on the same prompts, and if they are "
      + "chosen on one half and shown on the other: \(texts.joined(separator: "; "))."
  }

  // MARK: The figures

  /// The ends of an axis that all sites share.
  private func shared(_ figures: [Figure]) -> ClosedRange<Double>? {
    let ends = figures.flatMap { [$0.value, $0.interval.low, $0.interval.high] }.filter(\.isFinite)
    guard let low = ends.min(), let high = ends.max(), low < high else { return nil }
    return low...high
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
      y: "change of p(matching)", series: series(sites, \.effect),
      yRange: shared(summary.rows.map(\.effect)), countsWhole: true)
  }

  /// The probability of other answers by layer, a line for each strength.
  package func nonsenseChart(_ sites: SteeredSites) -> LineChart {
    LineChart(
      title: "Nonsense by layer: \(sites)",
      subtitle: "1 − p(matching) − p(other), minus the unsteered model's", x: "block",
      y: "change of nonsense",
      series: series(sites, \.nonsenseEffect),
      yRange: shared(summary.rows.map(\.nonsenseEffect)), countsWhole: true)
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
      x: "strength", y: "p(matching)", series: series,
      yRange: shared(
        summary.curves.flatMap { curve in
          (curve.points + (control(of: curve)?.points ?? [])).map(\.matching)
        }))
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
