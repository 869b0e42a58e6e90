import ArgumentParser
import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantEvaluation
import SextantModels
import SextantReport

/// Parts of a quirky set, joined by commas.
struct SubsetList: ExpressibleByArgument {
  /// The parts.
  let subsets: [QuirkySubset]

  init(_ subsets: [QuirkySubset]) {
    self.subsets = subsets
  }

  init?(argument: String) {
    let words = argument.split(separator: ",", omittingEmptySubsequences: false)
    let subsets = words.compactMap { QuirkySubset(String($0)) }
    guard subsets.count == words.count else { return nil }
    self.init(subsets)
  }

  var defaultValueDescription: String { subsets.map(\.description).joined(separator: ",") }
}

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

  @OptionGroup var model: ModelOptions
  @OptionGroup var beginning: TextOptions

  @Option(help: ArgumentHelp("The records to train on.", valueName: "file"))
  var data: String

  @Option(help: ArgumentHelp("The records to measure on.", valueName: "file"))
  var test: String

  @Option(
    name: .customLong("from"),
    help: ArgumentHelp("The parts on which probes are trained.", valueName: "list"))
  var sources = SubsetList(["A", "AE", "B"].compactMap { QuirkySubset($0) })

  @Option(
    name: .customLong("to"),
    help: ArgumentHelp("The parts on which probes are measured.", valueName: "list"))
  var targets = SubsetList(["A", "AH", "B", "BH"].compactMap { QuirkySubset($0) })

  @Option(
    help: ArgumentHelp("The template for template_args, with {name} for each.", valueName: "text"))
  var template: String?

  @Option(
    help: ArgumentHelp(
      "The field with the text. Default: statement, text or prompt.", valueName: "field"))
  var field: String?

  @OptionGroup(title: "Activations") var reading: ReadingArguments

  @Option(
    help: ArgumentHelp("The methods, joined by commas, or all.", valueName: "list"))
  var methods = MethodList([.logistic, .meanDifference, .discriminant])

  @Option(
    name: .shortAndLong, help: ArgumentHelp("The seed.", valueName: "s"),
    transform: Numbers.positiveSeed)
  var seed = 0

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
      inputs: model.inputs + [data, test], folders: output.map { [$0] } ?? [],
      outputs: output.map(ResultFolder.measurement(in:)) ?? [], replaces: force)
  }

  func run() throws {
    let folder = output.map { ResultFolder($0, replacing: force) }
    let open = try model.open(beginning)
    let sites = try reading.sites(of: open.model.description)
    let experiment = TransferExperiment(
      sources: sources.subsets, targets: targets.subsets, methods: methods.methods, seed: seed)
    let training = try LabelledRecords(reading: data, template: template, field: field)
    let held = try LabelledRecords(reading: test, template: template, field: field)
    let tokenizer = try open.textTokenizer()
    let result = try Progress.show("read", .items("records")) { update throws(FormatError) in
      try experiment.run(
        open.model, tokenizer, training: training, test: held, sites: sites,
        positions: reading.positions, pooling: reading.pooling, progress: update)
    }
    if let folder {
      var page = HTMLPage(
        title: "Probes: latent knowledge of the model",
        subtitle: "\(model.model), trained on \(data), measured on \(test)")
      result.add(to: &page)
      try folder.write(json: result.json, csv: result.table.csv, page: page)
    }
    var report = result.report(
      title: "probes from \(sources.defaultValueDescription) to \(targets.defaultValueDescription)")
    if let folder { report.notes.append("results in \(printable(folder.path))/") }
    report.print(asJSON: printing.json)
  }
}
