import ArgumentParser
import Sextant
import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantInspection
import SextantReport
import SextantTerminal
import SextantTexts

/// `sextant capture`: the activations of a model, as a file.
struct Capture: WritingCommand, SharedCommand {
  static let configuration = CommandConfiguration(
    abstract: "Record a model's activations while it reads prompts.",
    discussion: """
      The file contains one tensor per site: tokens [T], logits [T, V], embedding, every block's \
      output and final_norm [T, D], and each component of the recurrent state after the last \
      token. Rows of several prompts are joined, and states are stacked; row.prompt and \
      row.position give the prompt and position of each row. Any tool that reads safetensors opens \
      the file.
      """)

  @OptionGroup var model: TextModelOptions
  @OptionGroup var text: TextOrTokenArguments

  @Option(
    help: ArgumentHelp(
      """
      Prompts, one on each line; or JSON strings, or records with a statement, text, prompt or \
      question. With --chat, also records with messages. - is standard input.
      """,
      valueName: "file"))
  var prompts: String?

  @Option(
    help: ArgumentHelp(
      """
      What to write: residual (every block's output), state, all (both), or sites such as \
      blocks.0.mixer or blocks.*.input, joined by commas.
      """,
      valueName: "list"))
  var sites = CommaList(["logits", "embedding", "residual", "final_norm", "state"])

  @OptionGroup var blocks: LayerArguments
  @OptionGroup(title: "Conversations") var chat: ChatPromptArguments

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "Edit by a steering vector or an eraser first, as generate does. May be repeated.",
      valueName: "file[:strength]"),
    transform: Written.applied)
  var apply: [AppliedFile] = []

  @Option(
    name: .shortAndLong, help: ArgumentHelp("The file to make.", valueName: "out.safetensors"))
  var output: String

  @Flag(help: "Replace an existing file.")
  var force = false

  @OptionGroup var printing: OutputOptions

  func validate() throws {
    guard [text.prompt != nil, text.tokens != nil, prompts != nil].count(where: { $0 }) == 1 else {
      throw ValidationError("Give one of --prompt, --tokens and --prompts.")
    }
    if text.tokens != nil { try model.beginning.checkUnused("--tokens") }
    try chat.checkAlone([("--tokens", text.tokens != nil), ("--no-bos", model.beginning.noBos)])
  }

  var fileUse: CommandFiles {
    CommandFiles(
      inputs: model.inputs + text.inputs + [prompts].compactMap { $0 }
        + apply.flatMap(\.inputs) + chat.inputs,
      outputs: [output], replaces: force)
  }

  func run() throws {
    let clock = Stopwatch()
    let open = try chat.apply(to: model.open())
    let sites = try open.model.description.sites(named: sites.values, layers: blocks.layers)
    let sequences = try sequences(open)
    let applied = try AppliedArtifacts(apply)
    try open.notes(on: applied).forEach(StandardStreams.printNote)
    let edits = applied.interventions
    try edits.check(.edits, of: "capture")
    let progress = Progress("capture", .items("prompts"))
    let artifact = try CaptureReader(open.model, sites: sites).captureTogether(
      sequences, tokenizer: text.tokens == nil ? open.tokenizer?.digest : nil,
      beginOfText: text.tokens == nil ? open.tokenizer?.beginOfTextIDs ?? [] : [],
      isEdited: edits.hasEdits, ranks: Job.ranks,
      editing: { prompt throws(Refusal) in
        try open.editor(edits, of: prompt, from: open.model.initialState(), for: "capture")
      }, progress: { progress.update($0, $1) })
    progress.clear()
    guard let artifact else { return }  // the first rank writes
    try artifact.write(to: output, replacing: force)
    Report(
      captured: artifact, sites: sites, of: sequences, to: output, seconds: clock.seconds
    ).print(asJSON: printing.json)
  }

  /// The prompts as token ids.
  private func sequences(_ open: LoadedModel) throws(Refusal) -> [[Int]] {
    if let prompts { return try open.readPrompts(prompts) }
    return [try text.ids(open.textTokenizer)]
  }
}
