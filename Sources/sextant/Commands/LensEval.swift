import ArgumentParser
import Sextant
import SextantBytes
import SextantGeneration
import SextantInspection
import SextantReport
import SextantTerminal

/// How well lenses read a model.
struct LensEval: WritingCommand, SharedCommand {
  static let configuration = CommandConfiguration(
    commandName: "eval",
    abstract: "Measure lenses on a text.",
    discussion: """
      Reports for each block the cross-entropy of the next token, the divergence from the model's \
      own predictions and the entropy, in bits per byte, and how often lens and model rank the \
      same token first, with 95% intervals over chunks of the text. The logit lens is always \
      included. -o writes metrics.json, the figure depth.svg, and for each lens a folder with \
      aggregate_metrics.json in the form of the tuned-lens package.
      """)

  @OptionGroup var model: TextModelOptions
  @OptionGroup(title: "Texts") var texts: CorpusArguments

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("A lens to measure; may be given several times.", valueName: "file"))
  var lens: [String] = []

  @Flag(help: "Also read every block with the translators of all other blocks.")
  var transfer = false

  @Option(name: .shortAndLong, help: ArgumentHelp("A folder for results.", valueName: "folder"))
  var output: String?

  @Flag(help: "Accept lenses of another model of the same width and depth.")
  var allowModelMismatch = false

  @Flag(help: "Replace existing files.")
  var force = false

  @OptionGroup var printing: OutputOptions

  var fileUse: CommandFiles {
    guard let output else { return CommandFiles(replaces: force) }
    let inner = LensNames.names(of: lens).map { "\(output)/\($0)" }
    return CommandFiles(
      inputs: model.inputs + texts.inputs + lens, folders: [output] + inner,
      outputs: ["metrics.json", "depth.svg"].map { "\(output)/\($0)" }
        + inner.map { "\($0)/aggregate_metrics.json" },
      replaces: force)
  }

  func run() throws {
    let folder = output.map { ResultFolder($0, replacing: force) }
    let open = try model.open()
    let tokenizer = try open.textTokenizer()
    let lenses = try LensNames.lenses(lens)
    let corpus = try texts.corpus(for: open)
    let evaluation = try Progress.show("lens eval", .items("tokens")) {
      update throws(Refusal) in
      try LensEvaluation(
        of: lenses, open.model, tokenizer: tokenizer.digest, on: corpus,
        measuresTransfer: transfer, allowsModelMismatch: allowModelMismatch,
        ranks: Job.ranks, progress: update)
    }
    guard Job.ranks.isFirst else { return }
    if let folder { try evaluation.write(to: folder, of: open.description) }
    var report = evaluation.report(notes: corpus.notes)
    report.json["reference"] = open.reference.json
    report.print(asJSON: printing.json)
  }
}
