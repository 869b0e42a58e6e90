import ArgumentParser
import SextantBytes
import SextantEvaluation
import SextantReport

/// How fast a model runs here.
struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure how fast a model reads and writes, and the memory that it takes.",
    discussion: """
      Reads a prompt of random tokens (prefill), then runs one token after the other (decode). \
      After one round that is not counted, rates are medians of the rounds; tokens of all \
      sequences count. Decoding reads all weights at every step: if this is near the speed of the \
      machine's memory, only smaller weights make it faster.
      """)

  @OptionGroup var model: ModelOptions

  @Option(
    name: [.customShort("p"), .customLong("prompt-tokens")],
    help: ArgumentHelp("Tokens of the prompt.", valueName: "count"))
  var promptCount = 512

  @Option(name: .customShort("n"), help: ArgumentHelp("Tokens to decode.", valueName: "count"))
  var decodedCount = 64

  @Option(help: ArgumentHelp("Sequences that run together.", valueName: "count"))
  var batch = 1

  @Option(name: .customLong("repeat"), help: ArgumentHelp("Rounds to measure.", valueName: "count"))
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
