import ArgumentParser
import SextantBytes
import SextantModels
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
    var (prefill, decode): ([Double], [Double]) = ([], [])
    for round in 0...rounds {
      let (read, written) = try measure(open.model)
      guard round > 0 else { continue }
      prefill.append(Double(promptCount * batch) / read)
      decode.append(Double(decodedCount * batch) / written)
    }
    report(open, openSeconds, prefill: prefill.median, decode: decode.median)
      .print(asJSON: printing.json)
  }

  /// Seconds of one round.
  private func measure(
    _ model: any LanguageModel
  ) throws(FormatError) -> (prefill: Double, decode: Double) {
    // Which tokens they are does not matter for speed; a fixed spread over the vocabulary.
    let elements = model.description.stateLayout.joined().filter { !$0.grows }.reduce(0) {
      $0 + $1.shape.reduce(1, *)
    }
    try MemoryBudget.check(
      MemoryBudget.sum([
        MemoryBudget.product(batch, elements, 4), MemoryBudget.product(batch, promptCount, 8),
        MemoryBudget.product(batch, model.description.vocabularySize, 4),
      ]),
      for: "\(batch) sequences of \(promptCount) tokens", remedy: "Choose a smaller --batch or -p.")
    let token = { (place: Int) in place &* 7919 % model.description.vocabularySize }
    let prompts = (0..<batch).map { row in (0..<promptCount).map { token(row * promptCount + $0) } }
    var state = model.initialState(batch: batch)
    let reading = Stopwatch()
    _ = try model.run(TokenBatch(prompts), from: &state)
    let prefill = reading.seconds
    let writing = Stopwatch()
    for step in 0..<decodedCount {
      _ = try model.run(TokenBatch((0..<batch).map { [token(step + $0)] }), from: &state)
    }
    return (prefill, writing.seconds)
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

extension [Double] {
  /// The middle value; the mean of the two middle ones of an even count.
  fileprivate var median: Double {
    let ordered = sorted()
    return (ordered[(count - 1) / 2] + ordered[count / 2]) / 2
  }
}
