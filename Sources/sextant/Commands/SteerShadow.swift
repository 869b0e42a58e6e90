import ArgumentParser
import Sextant
import SextantBytes
import SextantEvaluation
import SextantGeneration
import SextantTerminal

/// Steering that ends without residue.
struct SteerShadow: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "shadow",
    abstract: "Steer only the first tokens, then continue the text from an unsteered twin state.",
    discussion: """
      A recurrent state keeps effects of steering. A second state, the twin, reads the same tokens \
      and is never steered. When steering ends, the text continues from the twin. Contamination is \
      the divergence of the steered state's predictions from the twin's, on the same tokens, after \
      steering ended.
      """)

  @OptionGroup var model: TextModelOptions

  @Option(
    name: .shortAndLong, parsing: .unconditional,
    help: ArgumentHelp(
      "The prompt; @FILE reads it from a file, - from standard input.", valueName: "text"))
  var prompt: PromptArgument

  @Option(
    name: .customShort("n"),
    help: ArgumentHelp("The number of tokens to generate.", valueName: "count"))
  var count = 64

  @Option(
    help: ArgumentHelp(
      "The number of generated tokens that are chosen under steering. Default: 16, or -n if that is less.",
      valueName: "count"))
  var steerTokens: Int?

  @Option(
    help: "The state from which the text continues: twin, or steered (to see the remaining effect)."
  )
  var from = ShadowGeneration.Continuation.twin

  @OptionGroup(title: "Sampling") var sampling: SamplingArguments
  @OptionGroup(title: "Steering") var steering: SteeringArguments
  @OptionGroup var ending: EndingArguments

  @Flag(help: "List the tokens that were read, and the artifacts that edited each of them.")
  var explain = false

  @OptionGroup var printing: OutputOptions

  func validate() throws {
    try Numbers.check(atLeast: 1, [("-n", count)])
    try Numbers.check(atLeast: 0, [("--steer-tokens", steerTokens)])
  }

  func run() throws {
    let open = try model.open()
    let tokenizer = try open.textTokenizer()
    let applied = try steering.load(for: open)
    let options = try GenerationOptions(count, sampling, ending)
    var notes = TokenTrace(applied.sources)
    let result = try ShadowGeneration(
      open.model, tokenizer, applying: applied.interventions,
      to: tokenizer.encodeText(prompt.text()), steeredTokens: steerTokens ?? min(16, count),
      options, goingOnFrom: from,
      emit: { if !printing.json { StandardStreams.writeGenerated($0) } },
      telling: explain ? { notes.add($0) } : nil)
    if printing.json {
      var document = result.json(applied)
      if explain { document["explain"] = notes.explanationJSON(unread: []) }
      StandardStreams.print(JSONValue.object(document).prettyText)
      return
    }
    StandardStreams.write("\n")
    let told = explain ? notes.explanation(unread: []).lines : []
    for line in told + applied.lines(result.edits) + [result.line] {
      StandardStreams.printError(line)
    }
  }
}

extension ShadowGeneration.Continuation: ExpressibleByArgument {}
