import ArgumentParser
import Sextant
import SextantAnalysis
import SextantBytes
import SextantEvaluation
import SextantReport
import SextantTerminal

/// Activations moved through a probe's hyperplane.
struct ProbeIntervene: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "intervene",
    abstract: "Move activations through a probe's hyperplane; report how the answer changes.",
    discussion: """
      At the last token of each record the value is reflected, so that the probe's score changes \
      its sign, and the model answers. As a control, the value is moved by the same distance in a \
      random direction. If the model uses the direction of the probe, its answers change more than \
      with the control.
      """)

  @OptionGroup var model: TextModelOptions
  @OptionGroup var probes: ProbeFileArguments
  @OptionGroup(title: "Records") var selection: RecordArguments

  @Option(
    name: .shortAndLong, help: ArgumentHelp("The seed of the control. Default: 0.", valueName: "s"),
    transform: Numbers.seed)
  var seed: UInt64 = 0

  @OptionGroup var printing: OutputOptions

  func run() throws {
    let open = try model.open()
    let file = try Probe(reading: probes.probe.path)
    try file.model.check(
      against: open.reference, allowingOther: probes.allowModelMismatch, file: file.file)
    let entries = try file.chosen(probes.probe.name)
    if entries.contains(where: { $0.site.site?.isState == true }),
      let note = open.description.untouchedByStateEdits
    {
      StandardStreams.printNote(note)
    }
    let selected = try selection.load()
    let prompts = try ChoicePrompts(selected.records, open.textTokenizer())
    let found = try Progress.show("answer", .items("records")) { update throws(Refusal) in
      try ProbeInterventionResult(
        of: entries, open.model, tokenizer: open.tokenizer?.digest, on: prompts,
        labels: selected.labels, seed: seed, probeFile: probes.probe.path, file: selection.data,
        progress: update)
    }
    found.report(of: selected, probes: probes.probe.path).print(asJSON: printing.json)
  }
}
