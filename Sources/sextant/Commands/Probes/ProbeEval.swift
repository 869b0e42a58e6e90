import ArgumentParser
import Sextant
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
    abstract: "Measure probes and the model's own output on records with labels.",
    discussion: """
      Areas under the curve have 95% intervals by DeLong, or by Newcombe if the classes are \
      separated. With fewer than two records of a label there is no interval. agreement is how \
      often a probe and the model's output give the same label. knows_unsaid is how often the \
      probe is right when the output is wrong. Random directions show the results of chance.
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
    let selected = try selection.load()
    let found = try Progress.show("read", .items("records")) { update throws(FormatError) in
      try file.evaluate(
        on: selected, with: open.loaded, name: probe.name, allowsModelMismatch: allowModelMismatch,
        progress: update)
    }
    let json = JSONObject([
      ("label", .string(selection.label)), ("subset", .string(selection.subset.description)),
    ]).with(found.json)
    try folder?.write(
      json: json, csv: found.table.csv,
      page: found.page(
        title: "Probes of \(selection.label)",
        subtitle: "\(probe.path) on \(selection.data), part \(selection.subset)"))
    Report(
      title: "\(printable(probe.path)): \(counted(found.rows.count, "probe")) on "
        + "\(counted(found.count, "example")) (\(selection.label))",
      facts: found.output.map { [("the model's own output", $0.text)] } ?? [],
      tables: [("probes", found.table)],
      notes: [
        selected.classes, "chance: 95% of random directions at the site stay below this AUROC",
      ] + (folder.map { ["results in \(printable($0.path))/"] } ?? []),
      json: json
    ).print(asJSON: printing.json)
  }
}
