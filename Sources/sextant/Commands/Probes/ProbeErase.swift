import ArgumentParser
import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantEvaluation
import SextantModels
import SextantReport
import SextantTokenizers

/// Records to erasers.
struct ProbeErase: WritingCommand {
  static let configuration = CommandConfiguration(
    commandName: "erase",
    abstract: "Learn what to subtract so that no linear probe finds a label.",
    discussion: """
      Least-squares concept erasure (LEACE). A fifth of the records is held out: a fresh probe is \
      trained on the others before and after erasing, and its area under the curve on the held-out \
      ones is the certificate. An eraser is refused where the held-out records do not have both \
      labels. Apply the artifact with `sextant generate --apply`.
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var beginning: TextOptions
  @OptionGroup(title: "Records") var selection: RecordArguments
  @OptionGroup(title: "Activations") var reading: ReadingArguments

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "The tokens at which the artifact erases when it is applied.", valueName: "list"))
  var applyPositions = PositionSelection([.all])

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("The artifact to make.", valueName: "out.eraser.safetensors"))
  var output: String

  @Flag(help: "Replace an existing file.")
  var force = false

  @OptionGroup var printing: OutputOptions

  var fileUse: CommandFiles {
    CommandFiles(
      inputs: model.inputs + selection.inputs, outputs: [output], replaces: force)
  }

  func run() throws {
    let open = try model.open(beginning)
    let sites = try open.model.description.sites(
      named: reading.sites.words, layers: reading.layers)
    var selected = try selection.load()
    let progress = Progress("read", .items("records"))
    let activations = try ActivationReader(
      open.model, positions: reading.positions, pooling: reading.pooling
    ).read(ChoicePrompts(selected.records, open.textTokenizer()), sites: sites) {
      progress.update($0, $1)
    }
    progress.clear()
    selected.description = try open.textTokenizer().recordingBeginning(in: selected.description)
    let (eraser, trained, labels) = try EraserTrainer.eraser(
      of: selected, activations, model: open.reference, positions: reading.positions,
      pooling: reading.pooling, applied: applyPositions
    ) { ROC($0, $1)?.area }
    var rows: [JSONValue] = []
    var table = Table(["site", "#before", "interval", "#after", "interval"])
    for own in trained {
      let rocs = [own.before, own.after].map { ROC($0, labels) }
      let areas = rocs.map { roc in roc.map { JSONValue(finite: $0.area) } ?? .null }
      table.add(
        [own.site.name]
          + rocs.flatMap { roc in
            [roc.map { Format.fixed($0.area, 3) } ?? "-", roc?.interval.text() ?? ""]
          })
      rows.append([
        "site": .string(own.site.name), "auroc_before": areas[0], "auroc_after": areas[1],
        "auroc_before_ci": rocs[0].map(\.interval.json) ?? .null,
        "auroc_after_ci": rocs[1].map(\.interval.json) ?? .null,
      ])
    }
    try eraser.artifact.write(to: output, replacing: force)
    Report(
      title: "\(printable(output)): erasers of \(selection.label) at "
        + Format.count(trained.count, of: "site"),
      tables: [
        ("the area under the curve of a fresh probe on \(labels.count) held-out examples", table)
      ],
      notes: [selected.classes],
      json: JSONObject([
        ("output", .string(output)), ("label", .string(selection.label)),
        ("held_out", JSONValue(labels.count)), ("sites", .array(rows)),
      ])
    ).print(asJSON: printing.json)
  }
}
