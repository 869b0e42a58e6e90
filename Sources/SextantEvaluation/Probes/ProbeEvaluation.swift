import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantModels
import SextantReport
import SextantStore
import SextantTokenizers

/// Probes, the model's own output and random directions, measured on examples with labels.
public struct ProbeEvaluation: Sendable {
  /// One probe.
  public struct Row: Sendable {
    /// The probe.
    public let entry: ProbeEntry
    /// How well it reads the label.
    public let measured: ProbeMeasurement
  }

  /// Random directions at one site.
  public struct Chance: Sendable {
    /// The site.
    public let site: Site
    /// Their areas under the curve, ascending.
    public let areas: [Double]

    /// The area that 95% of them stay below.
    public var bound: Double { areas[areas.count * 95 / 100] }
  }

  /// Each probe whose site was read, in the order of the probes.
  public let rows: [Row]
  /// The model's own output; nil if the records have no choices.
  public let output: ProbeMeasurement?
  /// The results of random directions, by site; without sites if only one label occurs.
  public let chance: [Chance]
  /// Examples.
  public let count: Int

  /// Measures probes.
  ///
  /// - Parameters:
  ///   - activations: read as the probes were trained to read: `Probe.activations`.
  ///   - labels: of each record that was read.
  package init(of entries: [ProbeEntry], on activations: Activations, labels: [Bool]) {
    let own = activations.records.map { labels[$0] }
    let outputs =
      activations.outputs.isEmpty
      ? nil : activations.records.map { Double(activations.outputs[$0]) }
    rows = entries.compactMap { entry in
      entry.scores(of: activations).map { scores in
        Row(
          entry: entry,
          measured: ProbeMeasurement(scores, own, threshold: entry.threshold, outputs: outputs))
      }
    }
    output = outputs.map { ProbeMeasurement($0, own) }
    chance = activations.sites.compactMap { site in
      guard let values = activations.values[site.site] else { return nil }
      let areas = RandomBaseline.areas(values, own)
      return areas.isEmpty ? nil : Chance(site: site.site, areas: areas)
    }
    count = own.count
  }

  /// The figures for programs.
  public var json: JSONObject {
    JSONObject([
      ("rows", .array(rows.map { .object($0.entry.identity.with($0.measured.json)) })),
      ("output", output.map { .object($0.json) } ?? .null),
      (
        "random",
        .array(
          chance.map { own in
            [
              "site": .string(own.site.name), "directions": JSONValue(own.areas.count),
              "median": JSONValue(finite: own.areas[own.areas.count / 2]),
              "quantile_95": JSONValue(finite: own.bound),
              "max": JSONValue(finite: own.areas[own.areas.count - 1]),
            ]
          })
      ),
    ])
  }

  /// The short report.
  ///
  /// - Parameters:
  ///   - part: the part of a quirky set that the records are.
  ///   - probes: the file of the probes.
  ///   - data: the data that the probes were trained on, as their file records it; nil for unknown.
  ///   - folder: where the page was written, for a note; nil for none.
  package func report(
    of records: SelectedRecords, part: QuirkySubset, probes: String,
    trainedOn data: JSONObject? = nil,
    folder: String?
  ) -> Report {
    let isTrainingData = data.map { Self.isSame($0, records.description) } ?? false
    return Report(
      title:
        "\(printable(probes)): \(counted(rows.count, "probe")) on \(counted(count, "example")) "
        + "(\(records.label))",
      facts: output.map { [("the model's own output", $0.text)] } ?? [],
      tables: [("probes", table)],
      notes: [
        records.classes, "chance: 95% of random directions at the site stay below this AUROC",
      ] + [SmallSample.note(count, "example")].compactMap { $0 }
        + (isTrainingData
          ? ["the probes were trained on these records: on others, they may be worse"] : [])
        + (folder.map { ["results in \(printable($0))/"] } ?? []),
      json: JSONObject([
        ("label", .string(records.label)), ("subset", .string(part.description)),
      ]).with(json))
  }

  /// Whether two descriptions are of the same records, whatever was put before their texts.
  private static func isSame(_ data: JSONObject, _ other: JSONObject) -> Bool {
    let bare = { (object: JSONObject) in
      var copy = object
      copy[BeginningRecord.key] = nil
      return copy
    }
    return bare(data) == bare(other)
  }

  /// A row for each probe.
  package var table: Table {
    var table = Table([
      "probe", "#auroc", "#low", "#high", "#accuracy", "#ece", "#agreement", "#knows_unsaid",
      "#chance",
    ])
    for row in rows {
      let (entry, measured) = (row.entry, row.measured)
      let lucky = chance.first { $0.site.name == entry.site.name }
      table.add(
        [entry.name]
          + [
            measured.roc?.area, measured.roc?.interval.low, measured.roc?.interval.high,
            measured.accuracy, measured.calibrationError, measured.agreement, measured.unsaid,
            entry.input == .single ? lucky?.bound : nil,
          ].map { $0.map { Format.fixed($0, 4) } ?? "" })
    }
    return table
  }

  /// The best of some probes, beside random directions at its site.
  private func text(_ rows: [Row]) -> String {
    let known = rows.compactMap { row in row.measured.roc.map { (row.entry, $0) } }
    guard let (entry, roc) = known.max(by: { $0.1.area < $1.1.area }) else {
      return "The label does not vary."
    }
    let best =
      "The largest area is that of \(entry.name): \(Format.fixed(roc.area, 3)) "
      + "(\(roc.interval.text()))"
    guard entry.input == .single,
      let lucky = chance.first(where: { $0.site.name == entry.site.name })
    else { return best + "." }
    return "\(best); 95% of random directions there stay below \(Format.fixed(lucky.bound, 3))."
  }

  /// The areas by block in figures, a figure for each kind of site, and every probe in a table.
  package func page(title: String, subtitle: String) -> HTMLPage {
    var page = HTMLPage(title: title, subtitle: subtitle)
    if let output { page.add(facts: [("The model's own output", output.text)]) }
    let families = Dictionary(grouping: rows) { $0.entry.family }
    var panels: [Panel] = []
    for (family, own) in families.sorted(by: { $0.key < $1.key }) {
      let methods = own.map(\.entry).families.map(\.method)
      let series = methods.enumerated().map { index, method in
        LineChart.Series(
          method,
          own.filter { $0.entry.method == method }.compactMap { row in
            row.measured.roc.map {
              LineChart.Point(
                Double(row.entry.layer ?? 0), $0.area, interval: $0.interval.range)
            }
          }, colour: .category(index))
      }
      let chart = LineChart(
        title: "AUROC at \(family)", x: "block", y: "AUROC", series: series, yRange: 0...1,
        countsWhole: true)
      panels.append(Panel(chart, text(own)))
    }
    page.add(panels: panels)
    page.add(table: table, caption: "Every probe")
    return page
  }
}
