import ArgumentParser
import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModels
import SextantReport
import SextantStore
import SextantTexts
import SextantTokenizers

/// `sextant capture`: the activations of a model, as a file.
struct Capture: WritingCommand {
  static let configuration = CommandConfiguration(
    abstract: "Record a model's activations while it reads prompts.",
    discussion: """
      The file contains one tensor per site: tokens [T], logits [T, V], embedding, every block's \
      output and final_norm [T, D], and each component of the recurrent state after the last \
      token. Rows of several prompts are joined, and states are stacked; row.prompt and \
      row.position give the prompt and position of each row. Any tool that reads safetensors opens \
      the file.
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var beginning: TextOptions

  @Option(
    name: .shortAndLong, parsing: .unconditional,
    help: ArgumentHelp(
      "The prompt; @FILE reads it from a file, - from standard input.", valueName: "text"))
  var prompt: PromptArgument?

  @Option(help: ArgumentHelp("The prompt as token ids, joined by commas.", valueName: "ids"))
  var tokens: TokenList?

  @Option(
    help: ArgumentHelp(
      """
      Prompts, one on each line; or JSON strings, or records with a statement, text, prompt or \
      question. - is standard input.
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
  var sites = WordList(["logits", "embedding", "residual", "final_norm", "state"])

  @Option(
    help: ArgumentHelp(
      "Only these blocks, such as 3 or 1,3,10-12. Default: all.", valueName: "list"))
  var layers: LayerSelection?

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "Edit by a steering vector or an eraser first, as generate does. May be repeated.",
      valueName: "file[:strength]"))
  var apply: [AppliedFile] = []

  @Option(
    name: .shortAndLong, help: ArgumentHelp("The file to make.", valueName: "out.safetensors"))
  var output: String

  @Flag(help: "Replace an existing file.")
  var force = false

  @OptionGroup var printing: OutputOptions

  func validate() throws {
    guard [prompt != nil, tokens != nil, prompts != nil].count(where: { $0 }) == 1 else {
      throw ValidationError("Give one of --prompt, --tokens and --prompts.")
    }
    if tokens != nil { try beginning.checkUnused("--tokens") }
  }

  var fileUse: CommandFiles {
    CommandFiles(
      inputs: model.inputs + (prompt?.inputs ?? []) + [prompts].compactMap { $0 }
        + apply.flatMap(\.inputs),
      outputs: [output], replaces: force)
  }

  func run() throws {
    let clock = Stopwatch()
    let open = try model.open(beginning)
    let sites = try open.model.description.sites(named: sites.words, layers: layers)
    let sequences = try sequences(open)
    let edits = try AppliedArtifacts(apply, for: open).interventions
    try edits.check(.edits, of: "capture")
    let progress = Progress("capture", .items("prompts"))
    let artifact = try CaptureReader(open.model, sites: sites).capture(
      sequences, tokenizer: tokens == nil ? open.tokenizer?.digest : nil,
      beginOfText: tokens == nil ? open.tokenizer?.beginOfTextIDs ?? [] : [],
      isEdited: edits.hasEdits,
      editing: { prompt throws(FormatError) in
        try edits.bind(
          to: BoundRun(
            open.model, tokenizer: open.tokenizer?.digest, prompts: [prompt],
            from: open.model.initialState())
        ).tap
      }, progress: { progress.update($0, $1) })
    progress.clear()
    try artifact.write(to: output, replacing: force)
    let rowCount = sequences.reduce(0) { $0 + $1.count }
    Report(
      title: "\(printable(output)): \(counted(sites.count, "site")), "
        + "\(counted(rowCount, "token")) of "
        + "\(counted(sequences.count, "prompt")) in "
        + "\(Format.fixed(clock.seconds, 2)) s",
      json: JSONObject([
        ("output", .string(output)), ("prompts", JSONValue(sequences.count)),
        ("tokens", JSONValue(rowCount)),
        ("sites", .array(sites.map { .string($0.site.name) })),
        ("tensors", JSONValue(artifact.tensors.count)),
        ("seconds", JSONValue(finite: clock.seconds)),
      ])
    ).print(asJSON: printing.json)
  }

  /// The prompts as token ids.
  private func sequences(_ open: OpenModel) throws(FormatError) -> [[Int]] {
    if let tokens { return [tokens.tokens] }
    let tokenizer = try open.textTokenizer()
    if let prompts { return try PromptFile.read(prompts).map { tokenizer.encodeText($0) } }
    return [tokenizer.encodeText(try prompt?.text() ?? "")]
  }
}
