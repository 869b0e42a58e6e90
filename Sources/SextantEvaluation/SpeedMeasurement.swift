import SextantBytes
import SextantModels
import SextantReport
import SextantStore
import SextantTensor

/// How fast a model reads a prompt (prefill) and runs one token after the other (decode).
package struct SpeedMeasurement: Sendable {
  /// Tokens of the prompt.
  package let promptCount: Int
  /// Tokens that are decoded.
  package let decodedCount: Int
  /// Sequences that run together.
  package let batch: Int
  /// The median rate of reading, in tokens of all sequences per second.
  package let prefill: Double
  /// The median rate of decoding, in tokens of all sequences per second.
  package let decode: Double

  /// Measures rounds, after one that is not counted.
  ///
  /// - Throws: `system.memory` for sequences that do not fit; `model.*`.
  package init(
    of model: any LanguageModel, promptCount: Int = 512, decodedCount: Int = 64, batch: Int = 1,
    rounds: Int = 3
  ) throws(Refusal) {
    (self.promptCount, self.decodedCount, self.batch) = (promptCount, decodedCount, batch)
    var (prefill, decode): ([Double], [Double]) = ([], [])
    for round in 0...rounds {
      let (read, written) = try Self.round(model, promptCount, decodedCount, batch)
      guard round > 0 else { continue }
      prefill.append(Double(promptCount * batch) / read)
      decode.append(Double(decodedCount * batch) / written)
    }
    (self.prefill, self.decode) = (Self.median(prefill), Self.median(decode))
  }

  /// Seconds of one round.
  private static func round(
    _ model: any LanguageModel, _ promptCount: Int, _ decodedCount: Int, _ batch: Int
  ) throws(Refusal) -> (prefill: Double, decode: Double) {
    let elements = model.description.stateLayout.joined().filter { !$0.grows }.reduce(0) {
      $0 + $1.shape.reduce(1, *)
    }
    try MemoryBudget.check(
      MemoryBudget.sum([
        MemoryBudget.product(batch, elements, 4), MemoryBudget.product(batch, promptCount, 8),
        MemoryBudget.product(batch, model.description.vocabularySize, 4),
      ]),
      for: "\(counted(batch, "sequence")) of \(counted(promptCount, "token"))",
      remedy: "Choose a smaller `batch` or -p.")
    // Which tokens they are does not matter for speed; a fixed spread over the vocabulary.
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

  /// The middle value; the mean of the two middle ones of an even count.
  private static func median(_ values: [Double]) -> Double {
    let ordered = values.sorted()
    return (ordered[(ordered.count - 1) / 2] + ordered[ordered.count / 2]) / 2
  }

  /// The rates, and the memory traffic of decoding.
  ///
  /// - Parameters:
  ///   - store: the file of the model.
  ///   - name: how the file was named.
  ///   - openSeconds: that opening the model took.
  ///   - peakMemory: bytes; nil for unknown.
  package func report(
    of store: ModelStore, named name: String, rounds: Int, openSeconds: Double, peakMemory: Int?
  ) -> Report {
    let threads = WorkerPool.shared.threadCount
    let stepByteCount = store.decodingByteCount
    let bytesPerSecond = decode / Double(batch) * Double(stepByteCount)
    return Report(
      title:
        "\(printable(name)): \(store.architecture), weights \(store.variant), \(threads) threads, "
        + "batch \(batch)",
      facts: [
        ("prefill", "\(Format.figure(prefill)) tokens/s (\(counted(promptCount, "token")))"),
        (
          "decode",
          "\(Format.figure(decode)) tokens/s (\(counted(decodedCount, "token")); weights at "
            + "\(Format.figure(bytesPerSecond / 1e9)) GB/s)"
        ),
        ("open", "\(Format.figure(openSeconds * 1e3)) ms"),
        ("peak memory", peakMemory.map { Format.bytes($0) } ?? "unknown"),
      ],
      json: JSONObject([
        ("model", .string(name)), ("identity", .string(store.identity.description)),
        ("architecture", .string(store.architecture)), ("weights", .string(store.variant)),
        ("threads", JSONValue(threads)), ("batch", JSONValue(batch)),
        ("prompt_tokens", JSONValue(promptCount)), ("decoded_tokens", JSONValue(decodedCount)),
        ("repeat", JSONValue(rounds)), ("open_seconds", JSONValue(finite: openSeconds)),
        ("prefill_tokens_per_second", JSONValue(finite: prefill)),
        ("decode_tokens_per_second", JSONValue(finite: decode)),
        ("decode_weight_bytes", JSONValue(stepByteCount)),
        ("decode_weight_bytes_per_second", JSONValue(finite: bytesPerSecond)),
        ("peak_memory_bytes", peakMemory.map { JSONValue($0) } ?? .null),
      ]))
  }
}
