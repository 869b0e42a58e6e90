import ArgumentParser
import Sextant
import SextantBytes
import SextantEvaluation
import SextantTerminal

/// `sextant lens state`: the predictions of the recurrent state.
struct LensState: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "state",
    abstract: "Show what the recurrent state predicts.",
    discussion: """
      The first table is a grid of blocks by tokens: each token reads the state with its own \
      query, and the cell shows the prediction from this value alone. The second table shows the \
      strongest singular directions of each head after the last token, with the share of the head's \
      squared norm and the tokens that the two ends of the direction make more probable. They are \
      decoded by the block's output projection, the final norm and the unembedding. Works for \
      Mamba, Mamba-2, RWKV-5 to 7 and the recurrent blocks of hybrids. The mathematics is in formats/sites.md.
      """)

  @OptionGroup var model: TextModelOptions
  @OptionGroup var text: TextArguments

  @Option(
    help: ArgumentHelp("Only these blocks, such as 3 or 1,3,10-12.", valueName: "list"),
    transform: Written.layers)
  var layers: LayerSelection?

  @Option(help: ArgumentHelp("The number of directions for each head.", valueName: "n"))
  var directions = 1

  @Option(
    help: ArgumentHelp(
      "The number of most probable tokens for each end of a direction.", valueName: "k"))
  var topK = 5

  @Option(help: ArgumentHelp("The number of columns of the terminal.", valueName: "n"))
  var width: Int?

  @OptionGroup var printing: OutputOptions

  func validate() throws {
    try Numbers.check(atLeast: 0, [("--directions", directions)])
    try Numbers.check(atLeast: 1, [("--width", width)])
    if !(1...1000).contains(topK) { throw ValidationError("--top-k must be from 1 to 1000.") }
    if printing.json { try refuseGiven([("--width", width != nil)], "has no effect with --json") }
  }

  func run() throws {
    let open = try model.open()
    let tokenizer = try open.textTokenizer()
    try layers?.check(blockCount: open.model.description.layerCount)
    let ids = try tokenizer.encodeText(text.prompt.text())
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
    StandardStreams.print("the prediction from the state alone, at each token")
    let terminal = LensTerminal(
      found.grid, tokenizer, colouredBy: .probability, isColoured: StandardStreams.outputIsTerminal,
      width: width ?? StandardStreams.outputWidth)
    StandardStreams.print(terminal.text(layerStride: 1, tokens: found.grid.tokens.indices))
    guard let table = found.table else { return }
    StandardStreams.print("")
    StandardStreams.print("the strongest directions of the state after the last token")
    for line in table.lines { StandardStreams.print("  " + line) }
  }
}
