import ArgumentParser
import Glibc
import SextantBytes
import SextantConversion
import SextantModels
import SextantStore
import SextantTensor

/// The process in which Sextant is measured, with its own memory and start-up.
struct WorkerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "worker", abstract: "Answers measuring requests, one line of JSON each.",
    shouldDisplay: false)

  @Option var convert: String?
  @Option var model: String?
  @Option var output: String?
  @Option var dtype: String?

  func run() throws {
    if let source = convert, let output {
      try answer(converting(source, to: output))
    } else if let model {
      try serve(model)
    }
  }

  private func answer(_ value: JSONValue) throws {
    print(value.canonicalText)
    fflush(nil)
  }

  /// Converts once.
  private func converting(_ source: String, to destination: String) throws -> JSONValue {
    var options = ConversionOptions()
    options.replacing = true
    options.dataType = DataType.allCases.first { $0.word == dtype }
    let begin = now()
    var written = begin
    let report = try Conversion(source, options: options).write(to: destination) { _, _ in
      written = now()
    }
    return [
      "seconds": .number(now() - begin), "written_seconds": .number(written - begin),
      "bytes": .integer(Int64(report.byteCount)),
      "peak": .integer(Int64(Machine.peakMemory)),
    ]
  }

  /// Runs a model, as the peers' script does.
  private func serve(_ path: String) throws {
    let begin = now()
    let store = try ModelStore(opening: path)
    let opened = now()
    let model = try Architectures.open(store)
    let runner = ModelRunner(model)
    try answer([
      "ready": true, "store_seconds": .number(opened - begin),
      "load_seconds": .number(now() - begin),
    ])
    while let line = readLine() {
      let request = try JSONNode(parsing: Array(line.utf8), code: .jsonInvalid, file: nil)
      func number(_ key: String, otherwise: Int) throws -> Int {
        try request.optionalMember(key)?.integer(in: 1...1_000_000) ?? otherwise
      }
      switch try request.member("task").string() {
      case "prefill":
        try answer(runner.prefill(try number("tokens", otherwise: 512)))
      case "decode":
        try answer(
          runner.decode(
            try number("tokens", otherwise: 64), batch: try number("batch", otherwise: 1),
            prompt: try number("prompt", otherwise: 16)))
      case "memory":
        try answer([
          "peak": .integer(Int64(Machine.peakMemory)),
          "anonymous": .integer(Int64(Machine.anonymousMemory)),
        ])
      case let task: throw ValidationError("no task \(task)")
      }
    }
  }
}

/// The timed tasks, the same that the peers run.
struct ModelRunner {
  private let model: any LanguageModel

  init(_ model: any LanguageModel) { self.model = model }

  private func prompt(_ count: Int, batch: Int = 1) -> TokenBatch {
    let vocabulary = model.description.vocabularySize
    return TokenBatch(
      (0..<batch).map { sequence in
        (0..<count).map { (7 * $0 + 13 * sequence + 1) % vocabulary }
      })
  }

  /// Reads a prompt and returns the id of the most probable next token.
  func prefill(_ count: Int) throws -> JSONValue {
    let tokens = prompt(count)
    let begin = Moment()
    var state = model.initialState()
    let logits = try model.run(tokens, from: &state)  // [1, 1, V]
    return answer(since: begin, Kernels.argmax(logits))
  }

  /// Generates the most probable tokens after a prompt. The prompt is not timed.
  func decode(_ count: Int, batch: Int, prompt length: Int) throws -> JSONValue {
    var state = model.initialState(batch: batch)
    var ids = Kernels.argmax(try model.run(prompt(length, batch: batch), from: &state))
    let begin = Moment()
    for _ in 0..<count {
      let logits = try model.run(TokenBatch(ids.map { [$0] }), from: &state)  // [B, 1, V]
      ids = Kernels.argmax(logits)
    }
    return answer(since: begin, ids)
  }

  private func answer(since begin: Moment, _ ids: [Int]) -> JSONValue {
    let elapsed = begin.elapsed
    return [
      "seconds": .number(elapsed.seconds), "processor_seconds": .number(elapsed.processorSeconds),
      "last": .array(ids.map { .integer(Int64($0)) }),
    ]
  }
}
