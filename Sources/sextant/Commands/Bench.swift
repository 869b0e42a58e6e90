import ArgumentParser
import SextantBytes
import SextantEvaluation
import SextantReport

/// How fast a model runs here.
struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure the speed of prefill and decoding, and the memory that a model uses.",
    discussion: """
      Reads a prompt of random tokens (prefill), then one token after the other (decode). The \
      first round is not counted. Rates are medians over the other rounds, and count the tokens of \
      all sequences. Decoding reads all weights at every step. If this is near the speed of the \
      machine's memory, only smaller weights make it faster.
      """)

  @OptionGroup var model: ModelOptions

  @Option(
    name: [.customShort("p"), .customLong("prompt-tokens")],
    help: ArgumentHelp("The number of tokens in the prompt.", valueName: "count"))
  var promptCount = 512

  @Option(
    name: .customShort("n"),
    help: ArgumentHelp("The number of tokens to decode.", valueName: "count"))
  var decodedCount = 64

  @Option(help: ArgumentHelp("The number of sequences in a batch.", valueName: "count"))
  var batch = 1

  @Option(
    name: .customLong("repeat"),
    help: ArgumentHelp("The number of rounds to measure.", valueName: "count"))
  var rounds = 3

  @OptionGroup var printing: OutputOptions

  func validate() throws {
    for (name, value) in [
      ("-p", promptCount), ("-n", decodedCount), ("--batch", batch), ("--repeat", rounds),
    ] where !(1...(1 << 20)).contains(value) {
      throw ValidationError("\(name) is \(value); it must be between 1 and \(1 << 20).")
    }
  }

  func run() throws {
    let clock = Stopwatch()
    let open = try model.open()
    let openSeconds = clock.seconds
    let found = try SpeedMeasurement(
      of: open.model, promptCount: promptCount, decodedCount: decodedCount, batch: batch,
      rounds: rounds)
    found.report(
      of: open.store, named: model.model, rounds: rounds, openSeconds: openSeconds,
      peakMemory: PeakMemory.byteCount
    ).print(asJSON: printing.json)
  }
}
