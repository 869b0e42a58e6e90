import ArgumentParser
import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantEvaluation
import SextantModels
import SextantReport

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

  @OptionGroup var model: ModelOptions
  @OptionGroup var beginning: TextOptions

  @Option(help: ArgumentHelp("The probes.", valueName: "file[#name]"))
  var probe: ProbeFile

  @OptionGroup(title: "Records") var selection: RecordArguments

  @Option(
    name: .shortAndLong, help: ArgumentHelp("The seed of the control.", valueName: "s"),
    transform: Numbers.seed)
  var seed: UInt64 = 0

  @Flag(help: "Accept probes of another model of the same width and depth.")
  var allowModelMismatch = false

  @OptionGroup var printing: OutputOptions

  func run() throws {
    let open = try model.open(beginning)
    let file = try Probe(reading: probe.path)
    try file.model.check(
      against: open.reference, allowingOther: allowModelMismatch, file: file.file)
    let entries = try file.chosen(probe.name)
    let selected = try selection.load()
    let prompts = try ChoicePrompts(selected.records, open.textTokenizer())
    let found = try Progress.show("answer", .items("records")) { update throws(FormatError) in
      try ProbeInterventionResult(
        of: entries, open.model, tokenizer: open.tokenizer?.digest, on: prompts,
        labels: selected.labels, seed: seed, probeFile: probe.path, file: selection.data,
        progress: update)
    }
    let count = prompts.prompts.count
    Report(
      title: "\(printable(probe.path)): reflected at the last token of "
        + counted(count, "record"),
      tables: [
        (
          "the share of answers that change, the change of the log-odds, and the output's AUROC",
          found.table
        )
      ],
      notes: [selected.classes],
      json: JSONObject([
        ("records", JSONValue(count)), ("label", .string(selection.label)),
        ("rows", .array(found.json)),
      ])
    ).print(asJSON: printing.json)
  }
}
