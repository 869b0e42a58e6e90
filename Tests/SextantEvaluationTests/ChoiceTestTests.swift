import SextantArtifacts
import SextantBytes
import SextantEvaluation
import SextantGeneration
import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import SextantTokenizers
import Testing

/// Tests with answers of one token and of several, on the demo model.
@Suite struct ChoiceTestTests {
  private let folder = TemporaryFolder()
  private let converted: ConvertedModel
  private let model: any LanguageModel
  private let tokenizer: any Tokenizer

  init() throws {
    converted = try ConvertedModel("demo-model/model.safetensors")
    model = converted.model
    tokenizer = try #require(converted.tokenizer)
  }

  private func items(_ lines: String...) throws -> [ChoiceTest.Tokens] {
    let file = folder.write(lines.joined(separator: "\n"), to: "test.jsonl")
    return try ChoiceTest(reading: file, template: nil).tokenized(by: tokenizer)
  }

  private static let film =
    #"{"prompt": "I think the film is", "matching": " good", "other": " bad"}"#
  private static let wonder = """
    {"prompt": "In the end, the film is", "matching": [" a wonderful piece of work.", " good fun."], \
    "other": " a complete waste of time."}
    """

  @Test func theTokensOfAnAnswerFollowThoseOfThePrompt() throws {
    let items = try items(Self.film, Self.wonder)
    #expect(items[0].matching.map(\.count) == [1] && items[0].other.map(\.count) == [1])
    #expect(items[1].matching.allSatisfy { $0.count > 1 })
    #expect(
      try items[1].prompt + items[1].other[0]
        == tokenizer.encodeText("In the end, the film is a complete waste of time."))
  }

  /// An answer's log-probability, by one run over the whole text without interventions.
  private func logProbability(_ prompt: [Int], _ answer: [Int]) throws -> Double {
    var state = model.initialState()
    let rows = LogProbabilities.rows(
      try model.run(TokenBatch(prompt + answer), from: &state, logits: .all))
    return zip(rows.dropFirst(prompt.count - 1), answer).reduce(0) { $0 + $1.0.values[$1.1] }
  }

  @Test func matchingComparesSummedLogProbabilities() throws {
    let items = try items(Self.film, Self.wonder)
    var random = SextantTestSupport.SplitMix64(seed: 3)
    let site = try #require(try model.description.sites(named: ["blocks.3.output"]).first)
    let vector = SteeringVector(
      model: model.description.reference(tokenizer: tokenizer.digest),
      vectors: [
        (site.reference, Tensor(random.floats(site.elementCount), shape: site.shape))
      ],
      training: .init(method: "random", positions: .last, data: JSONObject()),
      statistics: JSONObject())
    let sweep = try SteeringSweep(
      model, tokenizer: tokenizer.digest, vector: vector, multipliers: [4], sites: [.residual])
    let result = try sweep.run(on: items)
    for (item, outcome) in zip(items, result.baseline) {
      let sum = { (answers: [[Int]]) in
        try answers.reduce(0) { $0 + exponential(try logProbability(item.prompt, $1)) }
      }
      let (matching, other) = (try sum(item.matching), try sum(item.other))
      let outcome = try #require(outcome)
      #expect(abs(outcome.matching - matching / (matching + other)) <= 1e-5)
      #expect(abs(outcome.nonsense - (1 - matching - other)) <= 1e-5)
    }
    let steered = try #require(result.cell(layer: 3, sites: .residual, multiplier: 4))
    #expect(zip(steered, result.baseline).allSatisfy { $0.matching != $1?.matching })
    let accuracy = try SideEffects.accuracy(of: sweep, on: items)
    #expect(accuracy.plain == result.baseline.map { ($0?.matching ?? 0) > 0.5 ? 1 : 0 })
    #expect(accuracy.steered == steered.map { $0.matching > 0.5 ? 1 : 0 })
  }

  /// Records with one prompt whose answers do not continue it or cannot be compared.
  @Test(arguments: [
    (#""""#, #"" bad""#, Refusal.Code.dataTokenization),
    (#""tastic""#, #"" bad""#, .dataTokenization),
    (#"" good fun""#, #"" good fun""#, .dataRecord),
    (#"" good""#, #"" good fun""#, .dataRecord),
    (#"" good fun, really""#, #"[" bad", " good fun"]"#, .dataRecord),
    (#"[" good fun", " good"]"#, #"" bad""#, .dataRecord),
  ])
  func answersThatCannotBeComparedAreRefused(
    matching: String, other: String, code: Refusal.Code
  ) throws {
    expectRefusal(code, "\(matching), \(other)") {
      try items(
        Self.film, #"{"prompt": "The film is fan", "matching": \#(matching), "other": \#(other)}"#)
    }
  }
}
