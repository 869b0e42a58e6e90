import ArgumentParser
import Sextant
import SextantReport
import SextantTerminal

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

  @OptionGroup var model: TextModelOptions
  @OptionGroup var probes: ProbeFileArguments
  @OptionGroup(title: "Records") var selection: RecordArguments
  @OptionGroup var results: MeasurementArguments
  @OptionGroup var printing: OutputOptions

  var fileUse: CommandFiles {
    results.files(reading: model.inputs + selection.inputs + [probes.probe.path])
  }

  func run() throws {
    let folder = results.folder
    let open = try model.open()
    let file = try Probe(reading: probes.probe.path)
    let selected = try selection.load()
    let found = try Progress.show("read", .items("records")) { update throws(Refusal) in
      try file.evaluate(
        on: selected, with: open, name: probes.probe.name,
        allowsModelMismatch: probes.allowModelMismatch,
        progress: update)
    }
    let report = found.report(
      of: selected, part: selection.subset, probes: probes.probe.path,
      trainedOn: file.training.data, folder: folder?.path)
    try folder?.write(
      json: report.json, csv: found.table.csv,
      page: found.page(
        title: "Probes of \(selection.label)",
        subtitle: "\(probes.probe.path) on \(selection.data), part \(selection.subset)"))
    report.print(asJSON: printing.json)
  }
}
