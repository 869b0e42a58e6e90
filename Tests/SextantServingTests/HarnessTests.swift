import SextantBytes
import SextantTestSupport
import SextantTokenizers
import Testing

@testable import SextantServing

/// The figures of an evaluation harness, which an independent program computed in float64.
///
/// The files are in `../shared`; without them these tests do not run.
@Suite struct HarnessTests {
  private func lines(_ name: String) throws -> [JSONNode] {
    try InputFile("\(SharedHarness.folder)/\(name)").readAll(limit: 1 << 20)
      .split(separator: UInt8(ascii: "\n"))
      .map { try JSONNode(parsing: Array($0), code: .dataRecord, file: name) }
  }

  private func expected() throws -> JSONNode {
    try JSONNode(
      parsing: InputFile("\(SharedHarness.folder)/expected.json").readAll(limit: 1 << 20),
      code: .dataRecord, file: "expected.json")
  }

  /// The sum of the log-probabilities of the tokens of `continuation`, as a harness asks for it.
  private func score(
    _ context: [Int], _ continuations: [[Int]], _ served: Served
  ) async throws -> [Double] {
    let prompts = continuations.map { "\(context + $0)" }.joined(separator: ", ")
    let choices = try await served.complete(
      #"{"model": "demo", "prompt": [\#(prompts)], "temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": true}"#
    )
    return try zip(choices, continuations).map { choice, _ -> Double in
      let values = try choice.member("logprobs").member("token_logprobs").numbers()
      return values.dropFirst(context.count).dropLast().reduce(0, +)
    }
  }

  @Test(.enabled(if: SharedHarness.isThere, "the harness's tasks are not here"))
  func logLikelihoodsAndGreedyAnswersAreTheExpectedOnes() async throws {
    let served = try Served()
    let tokenizer = try Served.model.textTokenizer()
    let rows = try expected().member("sums").elements()
    let records = try lines("sums.jsonl")
    #expect(rows.count == records.count && rows.count == 80)
    var right = 0
    for (row, record) in zip(rows, records) {
      let context = tokenizer.encode(try record.member("statement").string())
      let choices = try record.member("choices").elements().map { try $0.string() }
      let own = try await score(context, choices.map { tokenizer.encode($0) }, served)
      for (value, other) in zip(own, try row.member("loglikelihood").numbers()) {
        #expect(abs(value - other) < 1e-4)
      }
      let label = try record.member("label").integer()
      right += own[label] == own.max() ? 1 : 0
      let text = try await served.text(
        #"{"prompt": [\#(context)], "temperature": 0, "max_tokens": 4, "stop": ["\n", ".", "<|endoftext|>"], "seed": 1234}"#
      )
      #expect(text == (try row.member("greedy").string()))
    }
    #expect(right == 80)
    // The two choices of a sum share its reading.
    #expect(served.service.engine.metrics.current.cacheHits > 0)
  }

  @Test(.enabled(if: SharedHarness.isThere, "the harness's tasks are not here"))
  func textsAreScoredFromTheTokenThatEndsOne() async throws {
    let served = try Served()
    let tokenizer = try Served.model.textTokenizer()
    let end = try #require(tokenizer.endOfTextIDs.first)
    let values = try expected().member("loglikelihood_of_texts").numbers()
    for (value, record) in zip(values, try lines("texts.jsonl")) {
      let ids = tokenizer.encode(try record.member("text").string())
      let own = try await score([end], [ids], served)[0]
      #expect(abs(own - value) < 1e-3)
    }
  }
}

/// The files of a harness's tasks.
private enum SharedHarness {
  static let folder = "\(PackageFiles.root)/../shared/cases/serve"
  static let isThere = TemporaryFolder.entries(of: folder).contains("expected.json")
}
