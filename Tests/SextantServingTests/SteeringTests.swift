import Glibc
import Sextant
import SextantBytes
import SextantEvaluation
import SextantGeneration
import SextantModels
import SextantStore
import SextantTensor
import Testing

@testable import SextantServing

/// Steering by field, by the model's name and by default.
@Suite struct SteeringTests {
  let served: Served

  init() throws { served = try Served { $0.presets = ["joy:2"] } }

  private static let prompt = #""prompt": "The film was", "temperature": 0, "max_tokens": 12"#

  /// The text of the library, under the vector of a file.
  private func expected(
    _ name: String, strength: Float, layers: ClosedRange<Int>? = nil,
    unit: SteeringOptions.Unit = .raw, positions: PositionSelection? = nil
  ) throws -> String {
    let vector = try SteeringVector(reading: "\(Served.artifacts)/\(name).steer.safetensors")
    return try Served.model.generate(
      "The film was", count: 12, temperature: 0,
      with: [
        .steer(vector, strength: strength, unit: unit, layers: layers, positions: positions)
      ]
    ).text()
  }

  @Test func allFormsOfOneSteeringGiveTheSameText() async throws {
    let text = try expected("joy", strength: 2)
    #expect(text != (try await served.text("{\(Self.prompt)}")))
    let forms = [
      #""steering": "joy:2""#, #""steering": ["joy:2"]"#, #""steering": "joy.steer.safetensors:2""#,
      #""steering": ["joy:1", "joy:1"]"#, #""steering": "joy:1+joy:1""#,
      #""steering": {"vectors": [{"source": "joy", "scale": 2.0}]}"#,
      #""steering": {"vectors": [{"source": "joy", "algorithm": "direct", "scale": 2, "normalize": false, "params": {}, "apply": {"prompt": "last", "generation": "all"}}], "conflict": "sum"}"#,
      #""model": "demo+joy:2""#, #""model": "demo", "steering": "joy:2""#,
      #""model": "demo+joy:-1", "steering": "joy:2""#,
    ]
    for form in forms {
      #expect(try await served.text("{\(Self.prompt), \(form)}") == text, "\(form)")
    }
    let steered = try Served { $0.steering = ["joy:2"] }
    #expect(try await steered.text("{\(Self.prompt)}") == text)
    #expect(try await steered.text(#"{\#(Self.prompt), "model": "demo+joy:2"}"#) == text)
    let plain = try await served.text("{\(Self.prompt)}")
    #expect(try await steered.text(#"{\#(Self.prompt), "steering": []}"#) == plain)
  }

  @Test func optionsOfAVectorActAsInTheLibrary() async throws {
    let cases: [(String, String)] = [
      (
        #"{"source": "joy", "scale": 3, "layers": [2, 3]}"#,
        try expected("joy", strength: 3, layers: 2...3)
      ),
      (
        #"{"source": "joy", "scale": 3, "layers": "2-3"}"#,
        try expected("joy", strength: 3, layers: 2...3)
      ),
      (
        #"{"source": "joy", "scale": 0.4, "unit": "share"}"#,
        try expected("joy", strength: 0.4, unit: .share)
      ),
      (
        #"{"source": "joy", "scale": 0.5, "unit": "nats"}"#,
        try expected("joy", strength: 0.5, unit: .nats)
      ),
      (
        #"{"source": "joy", "scale": 1, "positions": "all"}"#,
        try expected("joy", strength: 1, positions: PositionSelection("all"))
      ),
      (
        #"{"source": "joy", "scale": 1, "apply": {"prompt": "all", "generation": "all"}}"#,
        try expected("joy", strength: 1, positions: PositionSelection("all"))
      ),
      (
        #"{"source": "joy", "scale": 1, "apply": {"generation": "all"}}"#,
        try expected("joy", strength: 1, positions: PositionSelection("generated"))
      ),
    ]
    for (vector, text) in cases {
      let own = try await served.text(#"{\#(Self.prompt), "steering": {"vectors": [\#(vector)]}}"#)
      #expect(own == text, "\(vector)")
    }
    #expect(Set(cases.map(\.1)).count >= 5)
    #expect(try await served.text(#"{\#(Self.prompt), "steering": "joy:40%"}"#) == cases[2].1)
    #expect(try await served.text(#"{\#(Self.prompt), "steering": "joy:0.5nats"}"#) == cases[3].1)
    // The strength that a search found is told.
    let answer = await served.post(
      "/v1/completions", #"{\#(Self.prompt), "steering": "joy:0.5nats"}"#)
    #expect(try answer.json.at("sextant", "steering", "0", "name") == "joy:0.5nats")
    guard case .number(let strength) = try answer.json.at("sextant", "steering", "0", "strength")
    else {
      Issue.record("no strength")
      return
    }
    #expect(strength > 0 && strength != 0.5)
  }

  @Test func aSteeredModelsNameScoresPromptsUnderThatSteering() async throws {
    let model = Served.model
    let ids = try model.textTokenizer().encode("The film was wonderful")
    let vector = try SteeringVector(reading: "\(Served.artifacts)/all.steer.safetensors")
    var state = model.model.initialState()
    let bound = try Interventions([.steer(vector, strength: 0.5)]).bind(
      to: BoundRun(
        model.model, tokenizer: model.tokenizer?.digest, prompts: [ids], from: state,
        readingAfter: 1))
    let logits = try model.model.run(TokenBatch(ids), from: &state, logits: .all, tap: bound.tap)
    let rows = LogProbabilities.rows(logits.reshaped([ids.count, logits.shape[2]]))
    let body =
      #"{"prompt": [\#(ids)], "max_tokens": 1, "echo": true, "logprobs": 1, "temperature": 0, "model": "demo+all:0.5"}"#
    // The second time, from the cache.
    for _ in 0..<2 {
      let choice = try await served.complete(body)[0]
      let values = try choice.member("logprobs").member("token_logprobs").numbers()
      for index in ids.indices.dropFirst() {
        #expect(abs(values[index] - rows[index - 1].values[ids[index]]) < 1e-5)
      }
    }
    let plain = try await served.complete(body.replacing("+all:0.5", with: ""))[0]
    let values = try plain.member("logprobs").member("token_logprobs").numbers()
    #expect(abs(values[2] - rows[1].values[ids[2]]) > 1e-3)
  }

  // MARK: Scored texts

  /// The sum of the log-probabilities of the tokens after a context, as a harness asks for it.
  private func score(
    _ context: [Int], _ answer: [Int], _ fields: String, _ served: Served? = nil
  ) async throws -> Double {
    let body =
      #"{"prompt": [\#(context + answer)], "max_tokens": 1, "temperature": 0, "echo": true, "logprobs": 1, \#(fields)}"#
    let choice = try await (served ?? self.served).complete(body)[0]
    let values = try choice.member("logprobs").member("token_logprobs").numbers()
    return values[context.count..<context.count + answer.count].reduce(0, +)
  }

  @Test(arguments: ["last,generated", "last", "generated", "generated-2", "all"])
  func answersOfSeveralTokensAreScoredAsTheSweepOfTheCommandLineScoresThem(
    positions: String
  ) async throws {
    let (model, tokenizer) = (Served.model, try Served.model.textTokenizer())
    let context = tokenizer.encode("The film was")
    let answers = [" wonderful and full of life", " dull and far too long"].map(tokenizer.encode)
    #expect(answers.allSatisfy { $0.count >= 4 })
    let selection = try #require(PositionSelection(positions))
    let sweep = try SteeringSweep(
      model.model, tokenizer: tokenizer.digest,
      vector: SteeringVector(reading: "\(Served.artifacts)/joy.steer.safetensors"),
      options: SteeringOptions(positions: selection), layers: LayerSelection(3...3),
      multipliers: [0.7], sites: [.residual])
    let found = try sweep.run(
      on: [.init(prompt: context, matching: [answers[0]], other: [answers[1]])])
    let expected = try #require(
      found.cell(layer: 3, sites: .residual, multiplier: 0.7)?.first
    ).matching
    let plain = try #require(found.baseline[0]).matching
    let vector =
      #"{"vectors": [{"source": "joy", "scale": 0.7, "layers": [3], "positions": "\#(positions)"}]}"#
    // The second time, from the cache.
    for _ in 0..<2 {
      var sums: [Double] = []
      for answer in answers {
        sums.append(
          try await score(
            context, answer, #""steering": \#(vector), "context_tokens": \#(context.count)"#))
      }
      #expect(abs(1 / (1 + exp(sums[1] - sums[0])) - expected) < 1e-4)
    }
    #expect(abs(expected - plain) > 1e-3)
  }

  @Test func aTextIsScoredAsOneThatTheModelWroteFromItsSecondTokenOn() async throws {
    let tokenizer = try Served.model.textTokenizer()
    let (context, answer) = (tokenizer.encode("The film was"), tokenizer.encode(" wonderful"))
    // The vector declares `last,generated`, which is then every token.
    let named = try await score(context, answer, #""model": "demo+joy:0.7""#)
    let whole = #"{"vectors": [{"source": "joy", "scale": 0.7, "positions": "all"}]}"#
    #expect(try await score(context, answer, #""steering": \#(whole)"#) == named)
    #expect(
      try await score(context, answer, #""model": "demo+joy:0.7", "context_tokens": 1"#) == named)
    #expect(abs(try await score(context, answer, #""model": "demo""#) - named) > 0.01)
    // Where the context ends makes a difference, and a text that continues is steered as before.
    #expect(
      try await score(context, answer, #""model": "demo+joy:0.7", "context_tokens": 3"#) != named)
    let echoed =
      #"{\#(Self.prompt), "model": "demo+joy:2", "echo": true, "logprobs": 0}"#
    #expect(try await served.text(echoed) == "The film was" + expected("joy", strength: 2))
    // Without the cache, the same bits.
    let alone = try Served { $0.cacheBytes = 0 }
    #expect(try await score(context, answer, #""model": "demo+joy:0.7""#, alone) == named)
  }

  @Test func theContextsOfSeveralPromptsAreGivenTogetherOrEach() async throws {
    let (one, other) = ([20, 30, 40, 50, 60], [20, 30, 41, 51])
    let ask = { (prompts: String, contexts: String) in
      try await served.complete(
        #"{"prompt": [\#(prompts)], "max_tokens": 0, "echo": true, "logprobs": 0, "steering": "joy:0.6", "context_tokens": \#(contexts)}"#
      ).map { try $0.member("logprobs").member("token_logprobs").numbers().dropFirst() }
    }
    let together = try await ask("\(one), \(other)", "[3, 2]")
    #expect(try await ask("\(one)", "3") == [together[0]])
    #expect(try await ask("\(other)", "[2]") == [together[1]])
    #expect(try await ask("\(one), \(other)", "2") == ask("\(one), \(other)", "[2, 2]"))
    #expect(try await ask("\(one)", "2") != [together[0]])
  }

  @Test(
    arguments: [
      (#""context_tokens": 0"#, "context_tokens"), (#""context_tokens": 4"#, "context_tokens"),
      (#""context_tokens": [1, 1]"#, "context_tokens"),
      (#""context_tokens": [9]"#, "context_tokens[0]"),
      (#""context_tokens": "1""#, "context_tokens"), (#""context_tokens": []"#, "context_tokens"),
      (#""steering": "joy:0.1nats""#, "steering"),
    ])
  func contextsThatAreNoneAreRefused(fields: String, parameter: String) async throws {
    let answer = await served.post(
      "/v1/completions",
      #"{"prompt": [20, 30, 40], "max_tokens": 1, "echo": true, "logprobs": 1, \#(fields)}"#)
    #expect(answer.status == 400, "\(answer.text)")
    #expect(try answer.error.parameter == parameter)
  }

  @Test func aStrengthInNatsIsMeasuredAtTheEndOfTheContext() async throws {
    let tokenizer = try Served.model.textTokenizer()
    let (context, answer) = (tokenizer.encode("The film was"), tokenizer.encode(" wonderful"))
    let body =
      #"{"prompt": [\#(context + answer)], "max_tokens": 0, "echo": true, "logprobs": 0, "steering": "joy:0.5nats", "context_tokens": \#(context.count)}"#
    let scored = try await served.post("/v1/completions", body).json
    let written = try await served.post(
      "/v1/completions", #"{"prompt": [\#(context)], "max_tokens": 1, "steering": "joy:0.5nats"}"#
    ).json
    let strength = try scored.at("sextant", "steering", "0", "strength")
    #expect(try written.at("sextant", "steering", "0", "strength") == strength)
    #expect(strength != .null)
  }

  @Test func aWrongDefaultOrPresetIsRefusedAtTheStart() {
    for change in [
      { $0.presets = ["nobody:2"] }, { $0.presets = ["joy:two"] }, { $0.steering = ["nobody"] },
      { $0.steering = ["/etc/passwd:1"] }, { $0.steering = ["truth"] },
    ] as [(inout ServiceOptions) -> Void] {
      let refusal = #expect(throws: Refusal.self) { try Served(change) }
      var options = ServiceOptions(modelName: "demo")
      change(&options)
      #expect(refusal?.place == .parameter(options.presets.isEmpty ? "apply" : "preset"))
      // What could be named instead.
      #expect(refusal?.remedy.contains("joy") == true)
    }
  }

  @Test func aFolderThatCannotBeListedIsRefusedAtTheStart() {
    for (folder, code) in [
      ("/nowhere/artifacts", Refusal.Code.fileMissing),
      ("\(Served.artifacts)/joy.steer.safetensors", .fileRead),
    ] {
      let refusal = #expect(throws: Refusal.self) { try Served { $0.artifactsFolder = folder } }
      #expect(refusal?.code == code && refusal?.place == .parameter("artifacts"))
    }
  }

  @Test func aConditionGatesTheEdits() async throws {
    let gated = { (sign: String) in
      #"{\#(Self.prompt), "steering": {"vectors": [{"source": "joy", "scale": 2, "when": "truth\#(sign)"}]}}"#
    }
    let plain = try await served.text("{\(Self.prompt)}")
    #expect(try await served.text(gated(">1e9")) == plain)
    #expect(try await served.text(gated("<1e9")) != plain)
  }

  @Test func reportsTellEachToken() async throws {
    let body =
      #"{\#(Self.prompt), "steering": "joy:2", "sextant": {"lens": {"artifact": "logit", "top": 2}, "probes": ["truth"], "edits": true}"#
    let whole = try await served.post("/v1/completions", body + "}").json
    let rows = try whole.member("sextant").member("choices").elements()[0].member("tokens")
      .elements()
    let prompt = rows.filter { (try? $0.at("token", "prompt")) == true }
    #expect(prompt.count == (try Served.model.textTokenizer().encode("The film was").count))
    #expect(rows.count == prompt.count + 12)
    for (position, row) in rows.enumerated() {
      #expect(try row.at("token", "position") == .integer(Int64(position)))
      let lens = try row.member("lens").elements()
      #expect(try lens.count == 7 && lens[1].member("top").elements().count == 2)
      #expect(try row.at("probes", "0", "name") != .null)
      // From the last token of the prompt on, every block is edited.
      let edits = try row.member("edits").elements()
      #expect(edits.isEmpty == (position < prompt.count - 1))
    }
    // The same scores as in the library.
    let probe = try Probe(reading: "\(Served.artifacts)/truth.probe.safetensors")
    let vector = try SteeringVector(reading: "\(Served.artifacts)/joy.steer.safetensors")
    let run = try Served.model.generate(
      "The film was", count: 12, temperature: 0,
      with: [.steer(vector, strength: 2), .report(probe)])
    var expected: [Double] = []
    while let record = try run.next() {
      guard case .object(let scores)? = record.reports.first?.report["scores"],
        case .number(let score)? = scores.members.first?.value
      else { continue }
      expected.append(score)
    }
    let scores = try rows.suffix(12).map { row -> Double in
      try row.member("probes").elements()[0].member("score").number()
    }
    #expect(scores.count == expected.count)
    for (own, right) in zip(scores, expected) {
      #expect(abs(own - right) < 1e-3 * (1 + abs(right)))
    }
    // In a stream, each token's report is in its chunk.
    let chunks = try await served.post("/v1/completions", body + #", "stream": true}"#).chunks
    let tokens = try chunks.filter { try $0.at("sextant", "token") != .null }
    #expect(tokens.count == 12)
    #expect(
      try tokens.map { try $0.at("sextant", "probes", "0", "score") }
        == rows.suffix(12).map { try $0.at("probes", "0", "score") })
    #expect(try chunks[0].member("sextant").member("prompt").elements().count == prompt.count)
  }
}
