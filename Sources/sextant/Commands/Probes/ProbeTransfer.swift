import ArgumentParser
import Sextant
import SextantAnalysis
import SextantBytes
import SextantReport
import SextantTerminal

/// The whole experiment: from parts to parts.
struct ProbeTransfer: WritingCommand {
  static let configuration = CommandConfiguration(
    commandName: "transfer",
    abstract:
      "Train probes on parts of a quirky set, and measure them on other parts, at every block.",
    discussion: """
      Probes are trained by the labels of the part's own speaker (field label) and measured \
      against the truth (field alice_label), together with the model's own output. The earliest \
      informative block is the first whose area above chance, on held-out examples of the source, \
      is at least 95% of the best block's. The gap recovered (PGR) is measured there on BH, \
      between a floor (logistic regression from B to BH at the last block) and a ceiling (from A \
      to AH).
      """)

  @OptionGroup var model: TextModelOptions

  @Option(help: ArgumentHelp("The records to train on.", valueName: "file"))
  var data: String

  @Option(help: ArgumentHelp("The records to measure on.", valueName: "file"))
  var test: String

  @Option(
    name: .customLong("from"),
    help: ArgumentHelp("The parts on which probes are trained.", valueName: "list"))
  var sources = CommaList(["A", "AE", "B"].compactMap { QuirkySubset($0) })

  @Option(
    name: .customLong("to"),
    help: ArgumentHelp("The parts on which probes are measured.", valueName: "list"))
  var targets = CommaList(["A", "AH", "B", "BH"].compactMap { QuirkySubset($0) })

  @OptionGroup var texts: RecordTextArguments
  @OptionGroup(title: "Activations") var reading: ReadingArguments
  @OptionGroup var training: ProbeMethodArguments
  @OptionGroup var results: MeasurementArguments
  @OptionGroup var printing: OutputOptions

  var fileUse: CommandFiles {
    results.files(reading: model.inputs + [data, test])
  }

  func run() throws {
    let folder = results.folder
    let open = try model.open()
    let sites = try reading.places.sites(of: open.model.description)
    let experiment = TransferExperiment(
      sources: sources.values, targets: targets.values, methods: training.methods,
      seed: training.seed ?? 0)
    let learned = try texts.records(reading: data)
    let held = try texts.records(reading: test)
    let tokenizer = try open.textTokenizer()
    let steps = Progress.Steps(.items("items"))
    let result = try experiment.run(
      open.model, tokenizer, training: learned, test: held, sites: sites,
      positions: reading.places.readPositions, pooling: reading.pooling, progress: steps.update)
    steps.clear()
    if let folder {
      var page = HTMLPage(
        title: "Probes: latent knowledge of the model",
        subtitle: "\(model.options.model), trained on \(data), measured on \(test)")
      result.add(to: &page)
      try folder.write(json: result.json, csv: result.table.csv, page: page)
    }
    var report = result.report(
      title: "probes from \(sources.defaultValueDescription) to \(targets.defaultValueDescription)")
    if let folder { report.notes.append("results in \(printable(folder.path))/") }
    report.print(asJSON: printing.json)
  }
}
