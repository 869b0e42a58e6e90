import ArgumentParser
import SextantBytes
import SextantEvaluation
import SextantStore
import SextantTokenizers

/// What the recurrent state would say.
struct LensState: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "state",
    abstract: "Show what the recurrent state would say.",
    discussion: """
      First what each token hears that reads the state with its own query: a grid of blocks by \
      tokens, as if the memory of the block were all that the model goes by. Then what the state \
      holds most of after the last token: the strongest singular directions of each head, decoded \
      through the block's output projection, the final norm and the unembedding. For Mamba, \
      Mamba-2 and RWKV-5 to 7. The mathematics is in formats/sites.md.
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var beginning: TextOptions

  @Option(
    name: .shortAndLong, parsing: .unconditional,
    help: ArgumentHelp(
      "The text; @FILE reads it from a file, - from standard input.", valueName: "text"))
  var prompt: PromptArgument

  @Option(help: ArgumentHelp("Only these blocks, such as 3 or 1,3,10-12.", valueName: "list"))
  var layers: LayerSelection?

  @Option(help: ArgumentHelp("Directions of each head.", valueName: "n"))
  var directions = 1

  @Option(help: ArgumentHelp("Likeliest tokens of each end of a direction.", valueName: "k"))
  var topK = 5

  @Option(help: ArgumentHelp("Columns of the terminal.", valueName: "n"))
  var width: Int?

  @OptionGroup var printing: OutputOptions

  func validate() throws {
    try Numbers.check(atLeast: 0, [("--directions", directions)])
    try Numbers.check(atLeast: 1, [("--width", width)])
    if !(1...1000).contains(topK) { throw ValidationError("--top-k must be from 1 to 1000.") }
  }

  func run() throws {
    let open = try model.open(beginning)
    let tokenizer = try open.textTokenizer()
    try layers?.check(blockCount: open.model.description.layerCount)
    let ids = tokenizer.encodeText(try prompt.text())
    let found = try StateReading(
      of: open.model, tokenizer, on: ids, layers: layers, count: directions, guesses: topK,
      file: open.store.path)
    if printing.json {
      StandardStreams.print(JSONValue.object(found.json).prettyText)
    } else {
      show(found, tokenizer)
    }
  }

  private func show(_ found: StateReading, _ tokenizer: any Tokenizer) {
    StandardStreams.print("what each token hears from the state")
    let terminal = LensTerminal(
      found.grid, tokenizer, colouredBy: .probability, isColoured: StandardStreams.outputIsTerminal,
      width: width ?? StandardStreams.outputWidth)
    StandardStreams.print(terminal.text(layerStride: 1, tokens: found.grid.tokens.indices))
    guard let table = found.table else { return }
    StandardStreams.print("")
    StandardStreams.print("what the state holds most of after the last token")
    for line in table.lines { StandardStreams.print("  " + line) }
  }
}
