import ArgumentParser
import SextantBytes
import SextantEvaluation
import SextantReport
import SextantTensor

/// How fast a model runs here.
struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure how fast a model reads and writes, and the memory that it takes.",
    discussion: """
      Reads a prompt of random tokens (prefill), then runs one token after the other (decode). \
      After one round that is not counted, rates are medians of the rounds; tokens of all \
      sequences count. Decoding reads all weights at every step: where that comes near the speed \
      of the machine's memory, nothing but smaller weights makes it faster.
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
    report(open, openSeconds, prefill: found.prefill, decode: found.decode)
      .print(asJSON: printing.json)
  }

  private func report(
    _ open: OpenModel, _ openSeconds: Double, prefill: Double, decode: Double
  ) -> Report {
    let threads = WorkerPool.shared.threadCount
    let memory = PeakMemory.byteCount
    let stepByteCount = open.store.decodingByteCount
    let bytesPerSecond = decode / Double(batch) * Double(stepByteCount)
    return Report(
      title: "\(printable(model.model)): \(open.store.architecture), weights "
        + "\(open.store.variant), \(threads) threads, batch \(batch)",
      facts: [
        ("prefill", "\(Format.figure(prefill)) tokens/s (\(promptCount) tokens)"),
        (
          "decode",
          "\(Format.figure(decode)) tokens/s (\(decodedCount) tokens; weights at "
            + "\(Format.figure(bytesPerSecond / 1e9)) GB/s)"
        ),
        ("open", "\(Format.figure(openSeconds * 1e3)) ms"),
        ("peak memory", memory.map { Format.bytes($0) } ?? "unknown"),
      ],
      json: JSONObject([
        ("model", .string(model.model)), ("identity", .string(open.store.identity.description)),
        ("architecture", .string(open.store.architecture)),
        ("weights", .string(open.store.variant)),
        ("threads", JSONValue(threads)), ("batch", JSONValue(batch)),
        ("prompt_tokens", JSONValue(promptCount)), ("decoded_tokens", JSONValue(decodedCount)),
        ("repeat", JSONValue(rounds)), ("open_seconds", JSONValue(finite: openSeconds)),
        ("prefill_tokens_per_second", JSONValue(finite: prefill)),
        ("decode_tokens_per_second", JSONValue(finite: decode)),
        ("decode_weight_bytes", JSONValue(stepByteCount)),
        ("decode_weight_bytes_per_second", JSONValue(finite: bytesPerSecond)),
        ("peak_memory_bytes", memory.map { JSONValue($0) } ?? .null),
      ]))
  }
}
