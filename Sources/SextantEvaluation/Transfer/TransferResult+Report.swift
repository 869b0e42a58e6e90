import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantReport

extension TransferResult {
  /// Everything for programs.
  public var json: JSONObject {
    JSONObject([
      (
        "rows",
        .array(
          rows.map { row in
            .object(
              JSONObject([
                ("source", .string(row.source.description)),
                ("target", .string(row.target.description)),
              ]).with(row.probe.identity).with(row.measured.json))
          })
      ),
      (
        "output",
        .array(
          outputs.map { target, measured in
            .object(
              JSONObject([("target", .string(target.description))]).with(measured.json))
          })
      ),
      ("floor", bounds.floor.map { JSONValue(finite: $0) } ?? .null),
      ("ceiling", bounds.ceiling.map { JSONValue(finite: $0) } ?? .null),
      ("earliest_informative", .array(summaries.map { .object(Self.json($0)) })),
      (
        "anomaly",
        .array(
          anomalies.map {
            [
              "site": .string($0.family), "method": .string($0.method),
              "auroc": JSONValue(finite: $0.roc.area), "auroc_ci": $0.roc.interval.json,
            ]
          })
      ),
      ("skipped", .array(skipped.map { .string($0) })),
    ])
  }

  private static func json(_ summary: Summary) -> JSONObject {
    JSONObject([
      ("source", .string(summary.source.description)),
      ("target", .string(summary.target.description)), ("site", .string(summary.family)),
      ("method", .string(summary.method)), ("layer", JSONValue(summary.layer)),
      ("auroc", JSONValue(finite: summary.roc.area)), ("auroc_ci", summary.roc.interval.json),
      ("pgr", summary.recovered.map { JSONValue(finite: $0) } ?? .null),
      ("pgr_ci", summary.recoveredInterval.map(\.json) ?? .null),
    ])
  }

  /// Every row, for a file.
  package var table: Table {
    var table = Table([
      "source", "target", "method", "site", "#layer", "#auroc", "#auroc_low", "#auroc_high",
      "#accuracy", "#ece", "#agreement", "#knows_unsaid",
    ])
    for row in rows {
      let (measured, digits) = (row.measured, 6)
      table.add(
        [
          row.source.description, row.target.description, row.probe.method, row.probe.site.name,
          row.probe.layer.map(String.init) ?? "",
        ]
          + [
            measured.roc?.area, measured.roc?.interval.low, measured.roc?.interval.high,
            measured.accuracy, measured.calibrationError, measured.agreement, measured.unsaid,
          ].map { $0.map { Format.fixed($0, digits) } ?? "" })
    }
    return table
  }

  /// The earliest informative blocks of the transfers that are selected, for people.
  package func summaryTable(where isSelected: (Summary) -> Bool = { _ in true }) -> Table {
    var table = Table([
      "from", "to", "site", "method", "#layer", "#AUROC", "95% interval", "#PGR", "interval",
    ])
    for summary in summaries where isSelected(summary) {
      table.add([
        summary.source.description, summary.target.description, summary.family, summary.method,
        String(summary.layer), Format.fixed(summary.roc.area, 3), summary.roc.interval.text(),
        summary.recovered.map { Format.fixed($0, 2) } ?? "",
        summary.recoveredInterval?.text(2) ?? "",
      ])
    }
    return table
  }

  /// The model's own output, for people.
  package var outputTable: Table {
    var table = Table(["on", "#AUROC", "95% interval", "#accuracy"])
    for (target, measured) in outputs {
      table.add([
        target.description, measured.roc.map { Format.fixed($0.area, 3) } ?? "-",
        measured.roc?.interval.text() ?? "", Format.fixed(measured.accuracy, 3),
      ])
    }
    return table
  }

  /// One curve for each target, by block, of one method at one kind of site.
  package func chart(_ source: String, _ targets: [String], _ family: String, _ method: String)
    -> LineChart?
  {
    var series: [LineChart.Series] = []
    guard let from = probes.map(\.source).first(where: { $0.description == source }) else {
      return nil
    }
    for (index, name) in targets.enumerated() {
      guard let target = rows.map(\.target).first(where: { $0.description == name }) else {
        continue
      }
      let points = curve(from, target, family, method).compactMap { row in
        row.measured.roc.map { roc in
          LineChart.Point(
            Double(row.probe.layer ?? 0), roc.area,
            interval: roc.interval.range)
        }
      }
      series.append(.init("probe on \(name)", points, colour: .category(index)))
      if let own = outputs.first(where: { $0.target == target })?.measured.roc {
        series.append(
          .init(
            "output on \(name)",
            [0, max(layerCount - 1, 0)].map { LineChart.Point(Double($0), own.area) },
            colour: .category(index), isDashed: true))
      }
    }
    guard !series.isEmpty else { return nil }
    return LineChart(
      title: "\(method) at \(family), trained on \(source)",
      subtitle: "area under the curve against the truth, with 95% intervals", x: "block",
      y: "AUROC", series: series, yRange: 0...1, countsWhole: true)
  }

  /// The areas at the earliest informative blocks, from every source to every target.
  package func matrix(_ family: String, _ method: String) -> HeatMap {
    let sources = probes.map(\.source.description)
    let targets = outputs.map(\.target.description)
    let cells = sources.map { source in
      targets.map { target -> HeatMap.Cell in
        guard let own = summary(source, target, family, method) else { return HeatMap.Cell(nil) }
        return HeatMap.Cell(
          own.roc.area - 0.5, text: Format.fixed(own.roc.area, 2),
          hover: "\(source) to \(target), block \(own.layer): \(own.roc.interval.text())")
      }
    }
    return HeatMap(
      title: "\(method) at \(family): from source to target",
      subtitle: "AUROC against the truth at the earliest informative block", rowTitle: "trained on",
      columnTitle: "measured on", rows: sources, columns: targets, cells: cells,
      scale: .diverging(limit: 0.5))
  }

  /// The summaries of Bob's statements, with the model's own output.
  package func report(title: String) -> Report {
    Report(
      title: title,
      facts: [
        ("floor", bounds.floor.map { Format.fixed($0, 3) } ?? "not measured"),
        ("ceiling", bounds.ceiling.map { Format.fixed($0, 3) } ?? "not measured"),
      ],
      tables: [
        ("the model's own output against the truth", outputTable),
        (
          "probes at their earliest informative block, on Bob's statements",
          summaryTable { $0.target.character == "Bob" }
        ),
      ],
      notes: skipped.map { "left out: \($0)" }, json: json)
  }

  /// The methods of all probes, in their order.
  private var methods: [String] {
    var seen: Set<String> = []
    return probes.flatMap(\.probes).map(\.method).filter { seen.insert($0).inserted }
  }

  /// The kinds of sites that have probes of a method.
  private func families(of method: String) -> [String] {
    var seen: Set<String> = []
    return probes.flatMap(\.probes).filter { $0.method == method }.map(\.family)
      .filter { seen.insert($0).inserted }
  }

  /// The area at the earliest informative block, beside the model's own output.
  private func chartText(_ source: String, _ family: String, _ method: String) -> String {
    let target = summary(source, "B", family, method) == nil ? "A" : "B"
    guard let own = summary(source, target, family, method) else {
      return "The probes predict no label that varies."
    }
    let found =
      "At block \(own.layer), the earliest informative one on held-out statements of "
      + "\(source), the area on \(target) is \(Format.fixed(own.roc.area, 3)) (\(own.roc.interval.text()))"
    guard let output = outputs.first(where: { $0.target.description == target })?.measured.roc
    else { return found + "." }
    let verdict =
      switch Verdict(of: Interval(own.roc.interval, minus: output.interval), above: 0) {
      case .holds: "the probe finds more of the truth than the output contains"
      case .fails: "the probe finds less of the truth than the output contains"
      case .unclear: "which of the two is larger cannot be told"
      }
    return "\(found), and that of the model's output \(Format.fixed(output.area, 3)) "
      + "(\(output.interval.text())): \(verdict)."
  }

  /// The best and the worst transfer.
  private func matrixText(_ family: String, _ method: String) -> String {
    let own = summaries.filter { $0.family == family && $0.method == method }
    let isLess = { (a: Summary, b: Summary) in a.roc.area < b.roc.area }
    guard let low = own.min(by: isLess), let high = own.max(by: isLess) else {
      return "No transfer was measured."
    }
    let text = { (summary: Summary) in
      "\(Format.fixed(summary.roc.area, 3)) (\(summary.roc.interval.text())) from "
        + "\(summary.source) to \(summary.target)"
    }
    return "The largest area is \(text(high)), and the smallest \(text(low))."
  }

  /// The whole as sections of a page.
  package func add(to page: inout HTMLPage) {
    page.add(heading: "The model's own answers")
    page.add(table: outputTable, caption: "The model's own output against the truth")
    page.add(heading: "Probes, block by block")
    page.add(
      paragraph: """
        A part is written A for Alice's contexts and B for Bob's, with E for the easiest and H for the hardest \
        quarter. An area (AUROC) of 1 means that the label is always found, 0.5 is chance, and an area below \
        0.5 means that the opposite of the label is found.
        """)
    for method in methods {
      var panels: [Panel] = []
      for family in families(of: method) {
        for source in probes.map(\.source.description) where source.hasPrefix("A") {
          guard let chart = chart(source, ["A", "B"], family, method) else { continue }
          panels.append(Panel(chart, chartText(source, family, method)))
        }
      }
      page.add(panels: panels)
    }
    page.add(heading: "From part to part")
    for method in methods {
      page.add(
        panels: families(of: method).map { Panel(matrix($0, method), matrixText($0, method)) })
    }
    page.add(table: summaryTable(), caption: "Earliest informative blocks", isFolded: true)
    if !anomalies.isEmpty {
      var table = Table(["site", "method", "#AUROC", "95% interval"])
      for anomaly in anomalies {
        table.add([
          anomaly.family, anomaly.method, Format.fixed(anomaly.roc.area, 3),
          anomaly.roc.interval.text(),
        ])
      }
      page.add(heading: "Detection of the speaker by the distance of the scores")
      page.add(
        table: table,
        caption: "Mahalanobis distance of the scores across blocks from those in Alice's contexts")
    }
    page.add(table: self.table, caption: "Every figure", isFolded: true)
    for note in skipped { page.add(paragraph: "Left out: \(note)") }
  }
}
