import ArgumentParser
import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantEvaluation
import SextantModels
import SextantReport

/// Probes measured on records.
struct ProbeEval: WritingCommand {
  static let configuration = CommandConfiguration(
    commandName: "eval",
    abstract: "Measure probes on records with labels, beside the model's own output.",
    discussion: """
      Areas under the curve have 95% intervals by DeLong; where the classes are apart, by Newcombe; of \
      fewer than two records of a label, none. agreement is how often a probe and the \
      model's output say the same; knows_unsaid how often the probe is right where the output is \
      wrong. Random directions show what chance finds.
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var beginning: TextOptions

  @Option(help: ArgumentHelp("The probes.", valueName: "file[#name]"))
  var probe: ProbeFile

  @OptionGroup(title: "Records") var selection: RecordArguments

  @Flag(help: "Accept probes of another model of the same width and depth.")
  var allowModelMismatch = false

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp(
      "A folder for results.json, results.csv and index.html.", valueName: "folder"))
  var output: String?

  @Flag(help: "Replace existing files.")
  var force = false

  @OptionGroup var printing: OutputOptions

  var fileUse: CommandFiles {
    CommandFiles(
      inputs: model.inputs + selection.inputs + [probe.path],
      folders: output.map { [$0] } ?? [],
      outputs: output.map(ResultFolder.measurement(in:)) ?? [], replaces: force)
  }

  func run() throws {
    let folder = output.map { ResultFolder($0, replacing: force) }
    let open = try model.open(beginning)
    let file = try Probe(reading: probe.path)
    let entries = try file.chosen(probe.name)
    let selected = try selection.load()
    let activations = try file.activations(
      open, entries, selected.records, allowsModelMismatch: allowModelMismatch)
    let labels = activations.records.map { selected.labels[$0] }
    let outputs =
      activations.outputs.isEmpty
      ? nil : activations.records.map { Double(activations.outputs[$0]) }
    var rows: [(entry: ProbeEntry, measured: ProbeMeasurement)] = []
    for entry in entries {
      guard let scores = entry.scores(of: activations) else { continue }
      rows.append(
        (
          entry,
          ProbeMeasurement(scores, labels, threshold: entry.threshold, outputs: outputs)
        ))
    }
    let own = outputs.map { ProbeMeasurement($0, labels) }
    let chance = activations.sites.compactMap { site -> (site: String, areas: [Double])? in
      guard let values = activations.values[site.site] else { return nil }
      let areas = RandomBaseline.areas(values, labels)
      return areas.isEmpty ? nil : (site.site.name, areas)
    }
    if let folder {
      try folder.write(
        json: json(rows, own, chance), csv: table(rows, chance).csv, page: page(rows, own, chance))
    }
    Report(
      title: "\(printable(probe.path)): \(Format.count(rows.count, of: "probe")) on "
        + "\(Format.count(labels.count, of: "example")) (\(selection.label))",
      facts: own.map { [("the model's own output", Self.text($0))] } ?? [],
      tables: [("probes", table(rows, chance))],
      notes: [
        selected.classes, "chance: 95% of random directions at the site stay below this AUROC",
      ]
        + (folder.map { ["results in \(printable($0.path))/"] } ?? []),
      json: json(rows, own, chance)
    ).print(asJSON: printing.json)
  }

  private static func text(_ measured: ProbeMeasurement) -> String {
    guard let roc = measured.roc else { return "one label only" }
    return "AUROC \(Format.fixed(roc.area, 3)) (\(roc.interval.text())), "
      + "accuracy \(Format.fixed(measured.accuracy, 3))"
  }

  private func json(
    _ rows: [(entry: ProbeEntry, measured: ProbeMeasurement)], _ output: ProbeMeasurement?,
    _ chance: [(site: String, areas: [Double])]
  ) -> JSONObject {
    JSONObject([
      ("label", .string(selection.label)), ("subset", .string(selection.subset.description)),
      ("rows", .array(rows.map { .object($0.entry.identity.with($0.measured.json)) })),
      ("output", output.map { .object($0.json) } ?? .null),
      (
        "random",
        .array(
          chance.map { site, areas in
            [
              "site": .string(site), "directions": JSONValue(areas.count),
              "median": JSONValue(finite: areas[areas.count / 2]),
              "quantile_95": JSONValue(finite: areas[areas.count * 95 / 100]),
              "max": JSONValue(finite: areas[areas.count - 1]),
            ]
          })
      ),
    ])
  }

  private func table(
    _ rows: [(entry: ProbeEntry, measured: ProbeMeasurement)],
    _ chance: [(site: String, areas: [Double])]
  ) -> Table {
    var table = Table([
      "probe", "#auroc", "#low", "#high", "#accuracy", "#ece", "#agreement", "#knows_unsaid",
      "#chance",
    ])
    for (entry, measured) in rows {
      let lucky = chance.first { $0.site == entry.site.name }?.areas
      table.add(
        [entry.name]
          + [
            measured.roc?.area, measured.roc?.interval.low, measured.roc?.interval.high,
            measured.accuracy, measured.calibrationError, measured.agreement, measured.unsaid,
            entry.input == .single ? lucky.map { $0[$0.count * 95 / 100] } : nil,
          ].map { $0.map { Format.fixed($0, 4) } ?? "" })
    }
    return table
  }

  private func page(
    _ rows: [(entry: ProbeEntry, measured: ProbeMeasurement)], _ output: ProbeMeasurement?,
    _ chance: [(site: String, areas: [Double])]
  ) -> HTMLPage {
    var page = HTMLPage(
      title: "Probes of \(selection.label)",
      subtitle: "\(probe.path) on \(selection.data), part \(selection.subset)")
    if let output { page.add(facts: [("The model's own output", Self.text(output))]) }
    var seen: [String: [(entry: ProbeEntry, measured: ProbeMeasurement)]] = [:]
    for row in rows { seen[TransferResult.family(of: row.entry), default: []].append(row) }
    for (family, own) in seen.sorted(by: { $0.key < $1.key }) {
      let methods = TransferResult.families(of: own.map(\.entry)).map(\.method)
      let series = methods.enumerated().map { index, method in
        LineChart.Series(
          method,
          own.filter { $0.entry.method == method }.compactMap { entry, measured in
            measured.roc.map {
              LineChart.Point(
                Double(entry.layer ?? 0), $0.area, interval: $0.interval.range)
            }
          }, colour: .category(index))
      }
      let chart = LineChart(
        title: "AUROC at \(family)", x: "block", y: "AUROC", series: series, yRange: 0...1,
        countsWhole: true)
      page.add(figure: chart.svg(standsAlone: false))
    }
    page.add(table: table(rows, chance), caption: "Every probe")
    return page
  }
}

extension Probe {
  /// The probes of that name, or all.
  func chosen(_ name: String?) throws(FormatError) -> [ProbeEntry] {
    guard let name else { return entries }
    let chosen = entries.filter { ExactString($0.name) == ExactString(name) }
    guard !chosen.isEmpty else {
      throw FormatError(
        .artifactEmpty, file: file, found: "no probe \(name)",
        expected: "one of \(entries.count)", remedy: "`sextant inspect` lists them.")
    }
    return chosen
  }

  /// What the probes read of records, as they were trained to read.
  func activations(
    _ open: OpenModel, _ entries: [ProbeEntry], _ records: [LabelledRecord],
    allowsModelMismatch: Bool
  ) throws(FormatError) -> Activations {
    try model.check(against: open.reference, allowingOther: allowsModelMismatch, file: file)
    var sites: [SiteDescription] = []
    let used = Set(entries.map { ExactString($0.site.name) })
    for site in self.sites where used.contains(ExactString(site.name)) {
      let own = try open.model.description.sites(named: [site.name])[0]
      guard own.reference == site else {
        throw FormatError(
          .artifactSite, file: file, at: .tensor(site.name), found: "\(own.shape) \(own.axes)",
          expected: "\(site.shape) \(site.axes)")
      }
      sites.append(own)
    }
    let progress = Progress("read", .items("records"))
    defer { progress.clear() }
    return try ActivationReader(
      open.model, positions: training.positions, pooling: training.pooling
    ).read(
      ChoicePrompts(records, open.textTokenizer()), sites: sites,
      readsPairs: entries.contains { $0.input != .single }
    ) { progress.update($0, $1) }
  }
}
