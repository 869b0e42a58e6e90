import ArgumentParser
import Sextant
import SextantAnalysis
import SextantBytes
import SextantReport
import SextantTerminal

/// Records to erasers.
struct ProbeErase: WritingCommand {
  static let configuration = CommandConfiguration(
    commandName: "erase",
    abstract: "Train an eraser, which removes a label so that no linear probe finds it.",
    discussion: """
      Least-squares concept erasure (LEACE). A fifth of the records is held out. New probes are \
      trained on the other records, before and after erasing; their areas under the curve on the \
      held-out records are the certificate. An eraser is refused if the held-out records do not \
      have both labels. Apply the artifact with `sextant generate --apply`.
      """)

  @OptionGroup var model: TextModelOptions
  @OptionGroup(title: "Records") var selection: RecordArguments
  @OptionGroup(title: "Activations") var reading: ReadingArguments

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "The tokens at which the artifact erases when it is applied. Default: all.",
      valueName: "list"),
    transform: Written.positions)
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
    let open = try model.open()
    let sites = try reading.places.sites(of: open.model.description)
    try applyPositions.check(
      vocabularySize: open.model.description.vocabularySize, parameter: "applyPositions")
    let selected = try selection.load()
    let tokenizer = try open.textTokenizer()
    let (eraser, certificate) = try Progress.show("read", .items("records")) {
      update throws(Refusal) in
      try EraserTrainer.certifiedEraser(
        on: selected, open.model, tokenizer, sites: sites, positions: reading.places.readPositions,
        pooling: reading.pooling, applied: applyPositions, progress: update)
    }
    try eraser.artifact.write(to: output, replacing: force)
    certificate.report(of: selected, to: output).print(asJSON: printing.json)
  }
}
