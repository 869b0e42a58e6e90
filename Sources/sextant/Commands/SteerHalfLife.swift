import ArgumentParser
import Sextant
import SextantBytes
import SextantGeneration
import SextantReport
import SextantTerminal

/// How long an edit of the state survives.
struct SteerHalfLife: WritingCommand {
  static let configuration = CommandConfiguration(
    commandName: "half-life",
    abstract: "Measure how many tokens an edit of the recurrent state survives.",
    discussion: """
      Each component of each block is edited once by the vector; then the edited and the unedited \
      model read the rest of the text. The half-life is the number of tokens after which half of \
      the difference is left in the component, as measured, and as predicted from the model's \
      decays if they are known. The interval is the number of tokens after which to repeat the \
      edit to keep half of it (`generate --state-positions every-K`). The half-life of the output \
      is that of the difference of the predictions.
      """)

  @OptionGroup var model: TextModelOptions

  @Option(
    help: ArgumentHelp("A vector of the state.", valueName: "file[:strength]"),
    transform: Written.applied)
  var apply: AppliedFile

  @Option(help: ArgumentHelp("The text to read; @FILE reads it from a file.", valueName: "text"))
  var text: PromptArgument

  @Option(help: ArgumentHelp("The number of tokens to read after each edit.", valueName: "count"))
  var horizon = 64

  @Option(
    help: ArgumentHelp(
      "The number of edits in the text; results are their means.", valueName: "count"))
  var edits = 4

  @Option(help: ArgumentHelp("Also write a page with a heat map.", valueName: "out.html"))
  var html: String?

  @Flag(help: "Replace an existing file.")
  var force = false

  @OptionGroup var printing: OutputOptions

  func validate() throws {
    try Numbers.check(atLeast: 1, [("--horizon", horizon), ("--edits", edits)])
    if !apply.strength.isPlain {
      throw ValidationError("The strength of --apply is a plain number.")
    }
  }

  var fileUse: CommandFiles {
    CommandFiles(
      inputs: model.inputs + apply.inputs + text.inputs, outputs: [html].compactMap { $0 },
      replaces: force)
  }

  func run() throws {
    let open = try model.open()
    let tokenizer = try open.textTokenizer()
    let vector = try SteeringVector(reading: apply.path)
    let tokens = try tokenizer.encodeText(text.text())
    if let note = open.description.untouchedByStateEdits { StandardStreams.printNote(note) }
    let found = try Progress.show("half-life", .items("edits")) { update throws(Refusal) in
      try HalfLife(
        of: open.model, tokenizer: tokenizer.digest, vector: vector,
        strength: apply.strength.value, on: tokens, horizon: horizon, edits: edits,
        progress: update)
    }
    if let html {
      let page = found.page(
        subtitle: "\(open.reference.architecture), \(counted(open.reference.layerCount, "block"))")
      try FilePublisher.publish(Array(page.html.utf8), to: html, replacing: force)
    }
    found.report.print(asJSON: printing.json)
  }
}
