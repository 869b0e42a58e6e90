import ArgumentParser
import SextantBytes
import SextantEvaluation
import SextantGeneration
import SextantModels
import SextantReport
import SextantTerminal
import SextantTexts

/// Text from a model, steered or not.
struct Generate: WritingCommand {
  static let configuration = CommandConfiguration(
    abstract: "Continue a prompt, with steering vectors applied.",
    discussion: """
      The text is written to standard output while it is generated. A report on steering and speed \
      is written to standard error. The same command on the same machine writes the same text, \
      because the seed determines all random choices. A strength of 0 changes nothing, bit for \
      bit.

      With --prompts or --samples, each text follows a heading with the numbers of its prompt and \
      its sample, from 0. Sample k uses the seed plus k. The texts do not depend on --batch. If \
      two tokens are equally probable within rounding, a text may differ from that of a run with \
      one prompt.
      """)

  @OptionGroup var model: TextModelOptions

  @Option(
    name: .shortAndLong, parsing: .unconditional,
    help: ArgumentHelp(
      "The prompt; @FILE reads it from a file, - from standard input.", valueName: "text"))
  var prompt: PromptArgument?

  @OptionGroup(title: "Many texts") var many: ManyTextsArguments
  @OptionGroup(title: "Conversations") var chat: ChatPromptArguments

  @Option(
    name: .customShort("n"),
    help: ArgumentHelp("The number of tokens to generate.", valueName: "count"))
  var count = 64

  @OptionGroup(title: "Sampling") var sampling: SamplingArguments
  @OptionGroup(title: "Steering") var steering: SteeringArguments
  @OptionGroup var probeStop: ProbeStopArguments

  @Option(
    help: ArgumentHelp(
      "Continue from a saved state instead of an empty one.", valueName: "file"))
  var loadState: String?

  @Option(
    help: ArgumentHelp(
      "Save the state after the prompt and the generated text.", valueName: "out.state.safetensors")
  )
  var saveState: String?

  @Option(
    help: ArgumentHelp(
      """
      Write a JSON line for each token that was read: the reports of probes and lenses, and the \
      effect of each edit (site, gate, norm before and after).
      """,
      valueName: "out.jsonl"))
  var trace: String?

  @Flag(help: "List the tokens that were read, and the artifacts that edited each of them.")
  var explain = false

  @Flag(
    help: """
      Continue the prompt three times with the same seed: with the strengths turned around, without \
      steering, and as given. On a terminal the texts are side by side.
      """)
  var compare = false

  @Flag(help: "Replace existing files with --save-state and --trace.")
  var force = false

  @OptionGroup var ending: EndingArguments
  @OptionGroup var printing: OutputOptions

  func validate() throws {
    guard (prompt == nil) != (many.prompts == nil) else {
      throw ValidationError(
        "Give one of --prompt and --prompts."
          + (loadState == nil
            ? ""
            : " A saved state contains no prediction: the text continues after one token at least.")
      )
    }
    try many.checkEffects()
    if many.areGiven {
      try refuseGiven(
        [("--save-state", saveState != nil), ("--trace", trace != nil), ("--explain", explain)],
        "needs one text: give --prompt without --samples")
    }
    if compare {
      try refuseGiven(
        [
          ("--prompts", many.prompts != nil), ("--samples", many.samples != nil),
          ("--save-state", saveState != nil), ("--trace", trace != nil), ("--explain", explain),
        ], "has no effect with --compare")
    }
    if loadState != nil { try model.beginning.checkUnused("--load-state") }
    try chat.checkAlone([
      ("--load-state", loadState != nil), ("--no-bos", model.beginning.noBos),
    ])
    try Numbers.check(atLeast: 1, [("-n", count)])
  }

  var fileUse: CommandFiles {
    CommandFiles(
      inputs: model.inputs + (prompt?.inputs ?? []) + many.inputs + steering.inputs
        + probeStop.inputs + chat.inputs + [loadState].compactMap { $0 },
      outputs: [saveState, trace].compactMap { $0 }, replaces: force)
  }

  func run() throws {
    let open = try chat.apply(to: model.open())
    let tokenizer = try open.textTokenizer()
    var options = try GenerationOptions(count, sampling, ending, stops: open.answerStops)
    options.completesState = saveState != nil
    let applied = try steering.load(
      for: open, stop: probeStop.stopWhen, others: loadState != nil)
    let state = try loadState.map { path throws(Refusal) in
      try open.loadState(path, allowsModelMismatch: steering.allowModelMismatch)
    }
    let sequences =
      if let file = many.prompts {
        try open.readPrompts(file, continues: state != nil)
      } else {
        [try open.ids(of: prompt?.text() ?? "", continuing: state)]
      }
    if compare {
      let found = try SteeringComparison(
        open.model, tokenizer, applied, sequences[0], from: state, options)
      return show(found)
    }
    let generator = Generator(open.model, tokenizer, applying: applied.interventions)
    if many.areGiven {
      return try ManyTexts(generator, applied, asJSON: printing.json).generate(
        sequences, many.options, from: state, options)
    }
    let tokens = sequences[0]
    // Coloured tokens are shown whole, and would show a part of a text to stop at.
    let paints =
      applied.hasReports && !printing.json && StandardStreams.outputIsTerminal
      && ending.stopTexts.isEmpty
    var notes = TokenTrace(applied.sources)
    let isTold = applied.hasReports || trace != nil || explain
    let result = try generator.generate(
      tokens, from: state, options,
      emit: { if !printing.json, !paints { StandardStreams.writeGenerated($0) } },
      telling: isTold
        ? { record in
          notes.add(record)
          guard paints, !record.isPrompt else { return }
          StandardStreams.writeGenerated(record.text, tint: record.tint)
        } : nil)
    if let saveState {
      try result.state.saved(by: open.reference).artifact.write(to: saveState, replacing: force)
    }
    if let trace { try FilePublisher.publish(notes.bytes, to: trace, replacing: force) }
    let read = result.state.position - (state?.position ?? 0) - tokens.count
    let unread = result.tokens.dropFirst(read).map { ($0, tokenizer.decode([$0])) }
    if printing.json {
      printJSON(result, applied, notes, prompt: tokens, unread: unread)
    } else {
      report(result, applied, notes, unread: unread)
    }
  }

  private func printJSON(
    _ result: Generation, _ applied: AppliedArtifacts, _ notes: TokenTrace,
    prompt: [Int],
    unread: [(token: Int, text: String)]
  ) {
    var document = applied.json(result.generated, prompt: prompt, notes)
    if explain { document["explain"] = notes.explanationJSON(unread: unread) }
    StandardStreams.print(JSONValue.object(document).prettyText)
  }

  /// Prints three texts, and their edits.
  private func show(_ comparison: SteeringComparison) {
    guard !printing.json else {
      return StandardStreams.print(JSONValue.object(comparison.json).prettyText)
    }
    let width = StandardStreams.outputIsTerminal ? StandardStreams.outputWidth : nil
    for line in comparison.lines(width: width) { StandardStreams.writeGenerated(line + "\n") }
    for text in comparison.texts {
      for line in text.applied.lines(text.generated.edits) { StandardStreams.printError(line) }
      StandardStreams.printWarnings(text.applied.warnings(text.generated.edits))
    }
  }

  /// Prints the report, after the text.
  private func report(
    _ result: Generation, _ applied: AppliedArtifacts, _ notes: TokenTrace,
    unread: [(token: Int, text: String)]
  ) {
    StandardStreams.write("\n")
    if explain {
      for line in notes.explanation(unread: unread).lines { StandardStreams.printError(line) }
    }
    if result.wasStopped { StandardStreams.printError("stopped by an applied artifact") }
    for line in applied.lines(result.edits) { StandardStreams.printError(line) }
    StandardStreams.printWarnings(applied.warnings(result.edits))
    if applied.hasReports, trace == nil {
      StandardStreams.printError(
        "the reports of lenses and probes at each token: --trace FILE, --json")
    }
    StandardStreams.printError(
      "\(counted(result.promptCount, "prompt token")), \(result.tokens.count) generated, "
        + "\(result.tokensPerSecond.map { Format.fixed($0, 1) } ?? "-") tokens/s")
  }
}
