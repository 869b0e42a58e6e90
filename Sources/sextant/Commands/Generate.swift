import ArgumentParser
import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModels
import SextantReport
import SextantTokenizers

/// Text from a model, steered or not.
struct Generate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Continue a prompt, with steering vectors applied.",
    discussion: """
      The text goes to standard output as it is made; what was steered and how fast goes to \
      standard error. The same command on the same machine writes the same text: choices follow \
      from the seed. A strength of 0 changes nothing, bit for bit.
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var beginning: TextOptions

  @Option(
    name: .shortAndLong, parsing: .unconditional,
    help: ArgumentHelp(
      "The prompt; @FILE reads it from a file, - from standard input.", valueName: "text"))
  var prompt: PromptArgument

  @Option(name: .customShort("n"), help: ArgumentHelp("Tokens to generate.", valueName: "count"))
  var count = 64

  @OptionGroup(title: "Sampling") var sampling: SamplingArguments
  @OptionGroup(title: "Steering") var steering: SteeringArguments

  @Option(
    help: ArgumentHelp(
      "Continue from a saved state instead of an empty one.", valueName: "file"))
  var loadState: String?

  @Option(
    help: ArgumentHelp(
      "Save the state that has read prompt and text.", valueName: "out.state.safetensors"))
  var saveState: String?

  @Option(
    help: ArgumentHelp(
      "Write a JSON line for each token that was read: what the applied artifacts say of it.",
      valueName: "out.jsonl"))
  var trace: String?

  @Flag(help: "Replace existing files with --save-state and --trace.")
  var force = false

  @Flag(help: "Go on after the token that ends a text.")
  var ignoreEos = false

  @OptionGroup var printing: OutputOptions

  func validate() throws {
    if loadState != nil { try beginning.checkUnused("--load-state") }
    if count < 1 { throw ValidationError("-n is \(count); it must be 1 or more.") }
  }

  func run() throws {
    try checkDestinations([saveState, trace], replacing: force)
    let open = try model.open(beginning)
    let tokenizer = try open.textTokenizer()
    let options = GenerationOptions(
      tokenCount: count, sampling: try sampling.options(), stopsAtEnd: !ignoreEos,
      completesState: saveState != nil)
    let applied = try steering.load(for: open)
    let state = try loadState.map { path throws(FormatError) in
      try State(
        SavedState(Artifact(reading: path)), for: open.model.description,
        tokenizer: tokenizer.digest, allowsModelMismatch: steering.allowModelMismatch)
    }
    // A text that goes on from a state has no beginning of its own.
    let text = try prompt.text()
    let tokens = state == nil ? tokenizer.encodeText(text) : tokenizer.encode(text)
    let paints =
      !applied.reporters.isEmpty && !printing.json && StandardStreams.outputIsTerminal
    let notes = TokenTrace(applied.reporters, tokenizer, paints: paints)
    let clock = Stopwatch()
    var firstAt: Double?
    let generator = Generator(
      open.model, tokenizer, applying: applied.vectors.map(\.vector),
      erasing: applied.erasers,
      observing: applied.watchers + applied.reporters.map(\.reporter)
        + (applied.reporters.isEmpty && trace == nil ? [] : [notes]))
    let result = try generator.generate(tokens, from: state, options) { text in
      if firstAt == nil { firstAt = clock.seconds }
      if !printing.json, !paints { StandardStreams.writeGenerated(text) }
    }
    let decoding = clock.seconds - (firstAt ?? 0)
    if let saveState {
      try result.state.saved(by: open.reference).artifact.write(to: saveState, replacing: force)
    }
    if let trace { try FilePublisher.publish(notes.bytes, to: trace, replacing: force) }
    finish(
      result, applied, notes, prompt: tokens,
      tokensPerSecond: Double(result.tokens.count - 1) / decoding)
  }

  /// Says what was done, after the text.
  private func finish(
    _ result: Generation, _ applied: AppliedArtifacts, _ notes: TokenTrace, prompt: [Int],
    tokensPerSecond: Double
  ) {
    let steered = zip(applied.vectors.map(\.file), result.steered)
    if printing.json {
      let document = JSONObject([
        ("prompt_tokens", .array(prompt.map { JSONValue($0) })),
        ("tokens", .array(result.tokens.map { JSONValue($0) })), ("text", .string(result.text)),
        (
          "steered",
          .array(
            steered.map { file, summary in
              [
                "file": .string(file.path), "asked": .string(file.strengthText),
                "strength": JSONValue(finite: Double(summary.strength)),
                "unit": .string(file.unit == .share ? "share" : "raw"),
                "positions": .array(summary.positions.map { JSONValue($0) }),
                "site_names": .array(summary.siteNames.map { .string($0) }),
                "tokens": JSONValue(summary.tokens), "sites": JSONValue(summary.sites),
              ]
            })
        ),
        ("reports", .array(applied.reporters.isEmpty ? [] : notes.lines.map { .object($0) })),
        ("stopped", .boolean(result.wasStopped)),
        ("tokens_per_second", JSONValue(finite: tokensPerSecond)),
      ])
      StandardStreams.print(JSONValue.object(document).prettyText)
      return
    }
    StandardStreams.write("\n")
    if result.wasStopped { StandardStreams.printError("stopped by an applied artifact") }
    for (file, summary) in steered {
      StandardStreams.printError(
        "steered \(summary.tokens) tokens x \(summary.sites) sites "
          + "(\(printable(file.path)), strength \(file.strengthText)"
          + (file.unit == .nats ? ", found at \(summary.strength))" : ")"))
    }
    if !applied.reporters.isEmpty, trace == nil {
      StandardStreams.printError("what lenses and probes say of each token: --trace FILE, --json")
    }
    StandardStreams.printError(
      "\(result.promptCount) prompt tokens, \(result.tokens.count) generated, "
        + "\(Format.fixed(tokensPerSecond, 1)) tokens/s")
  }
}
