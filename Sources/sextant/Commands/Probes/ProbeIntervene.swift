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
      At the last token of each record the value is reflected, so that the probe's score turns into \
      its opposite, and the model answers. As a control the value is moved as far in a random \
      direction. A probe that reads what the model uses changes answers more than the control.
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
    let entries = try file.chosen(probe.name).filter {
      $0.input == .single && $0.direction.contains { $0 != 0 } && $0.scale != 0
    }
    let selected = try selection.load()
    let prompts = try ChoicePrompts(selected.records, open.textTokenizer())
    guard let choices = prompts.choices else {
      throw FormatError(
        .dataRecord, file: selection.data, found: "records without choices",
        expected: "\"choices\" in every record")
    }
    var table = Table([
      "probe", "#flips", "#control", "#mean change", "#control", "#AUROC", "#after", "#control",
    ])
    var rows: [JSONValue] = []
    let progress = Progress("answer", .items("records"))
    for entry in entries {
      let answers = try ProbeIntervention(open.model, entry, seed: seed).run(
        prompts.prompts, choices: choices, tokenizer: open.tokenizer?.digest, file: probe.path
      ) { progress.update($0, $1) }
      let turned = [answers.after, answers.control]
      let flips = turned.map { ProbeIntervention.Answers.flips(answers.before, $0) }
      let changes = turned.map { turned in
        zip(turned, answers.before).reduce(0) { $0 + abs($1.0 - $1.1) }
          / Double(max(turned.count, 1))
      }
      let areas = [answers.before, answers.after, answers.control].map {
        ROC($0, selected.labels)?.area ?? .nan
      }
      table.add(
        [entry.name] + (flips + changes + areas).map { Format.fixed($0, 3) })
      rows.append(
        .object(
          entry.identity.with(
            JSONObject([
              ("flips", JSONValue(finite: flips[0])),
              ("flips_control", JSONValue(finite: flips[1])),
              ("change", JSONValue(finite: changes[0])),
              ("change_control", JSONValue(finite: changes[1])),
              ("auroc_before", JSONValue(finite: areas[0])),
              ("auroc_after", JSONValue(finite: areas[1])),
              ("auroc_control", JSONValue(finite: areas[2])),
            ]))))
    }
    progress.clear()
    Report(
      title: "\(printable(probe.path)): reflected at the last token of "
        + Format.count(prompts.prompts.count, of: "record"),
      tables: [
        ("answers that change sides, by how much (log-odds), and the output's AUROC", table)
      ],
      notes: [selected.classes],
      json: JSONObject([
        ("records", JSONValue(prompts.prompts.count)), ("label", .string(selection.label)),
        ("rows", .array(rows)),
      ])
    ).print(asJSON: printing.json)
  }
}
