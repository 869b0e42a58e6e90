import Sextant
import SextantTestSupport
import Testing

/// Generated texts, and interventions.
@Suite struct GenerationTests {
  private let prompt = "I watched this film last night and"

  @Test func tokensOfTheSequenceAreTheText() async throws {
    let model = try Demo.model()
    let run = try model.generate(prompt, count: 24, seed: 3)
    #expect(run.prompt.isEmpty && run.ending == nil)
    var (ids, text): ([Int], String) = ([], "")
    for try await token in run {
      ids.append(token.token)
      text += token.text
      #expect(text == run.textSoFar || run.textSoFar.hasPrefix(text))
    }
    #expect(ids.count == 24 && ids == run.tokens)
    #expect(text == run.textSoFar)
    #expect(run.ending == .count)
    #expect(run.prompt.map(\.text).joined() == prompt)
    #expect(run.state.position == run.prompt.count + 24)
    #expect(try model.generate(prompt, count: 24, seed: 3).text() == text)
    #expect(try model.generate(prompt, count: 24, seed: 4).text() != text)
    let command = CommandRun.sextant([
      "generate", "-m", Demo.path, "-p", prompt, "-n", "24", "--seed", "3",
    ])
    #expect(command.output == text + "\n")
  }

  @Test func defaultsAreThoseOfTheCommand() throws {
    let text = try Demo.model().generate(prompt).text()
    #expect(
      CommandRun.sextant(["generate", "-m", Demo.path, "-p", prompt]).output == text + "\n")
  }

  @Test func joinedTextsOfTokensEndBeforeAStopText() throws {
    let model = try Demo.model()
    let whole = try model.generate(prompt, count: 40, temperature: 0).text()
    let stop = String(whole.dropFirst(9).prefix(4))
    let place = try #require(whole.firstRange(of: stop))
    let expected = String(whole[..<place.lowerBound])
    let run = try model.generate(prompt, count: 40, temperature: 0, stoppingAt: [stop])
    var text = ""
    while let token = try run.next() { text += token.text }
    #expect(text == expected && run.textSoFar == expected)
    #expect(run.ending == .stopText)
    #expect(try run.next() == nil)
  }

  @Test func aCancelledTaskEndsTheRun() async throws {
    let model = try Demo.model()
    let (prompt, whole) = (prompt, try model.generate(prompt, count: 40, temperature: 0).finish())
    let task = Task {
      let run = try model.generate(prompt, count: 40, temperature: 0)
      var count = 0
      for try await _ in run {
        count += 1
        if count == 3 { withUnsafeCurrentTask { $0?.cancel() } }
      }
      return (run.tokens, run.ending, count, run.state.position, run.prompt.count)
    }
    let (tokens, ending, count, position, read) = try await task.value
    #expect(ending == .cancelled && count == 3)
    #expect(tokens.starts(with: whole.tokens[..<3]))
    #expect(position == read + 3)
  }

  @Test func aRefusalOfATapEndsTheRun() throws {
    let model = try Demo.model()
    var visits = 0
    let run = try model.generate(
      prompt, count: 8,
      with: [
        .tap(.output(block: 1)) { site, value, _ throws(Refusal) in
          visits += 1
          if visits == 3 { value = value.reshaped([value.count]) }
        }
      ])
    #expect(try run.next() != nil)
    let refusals = (0..<2).map { _ in
      #expect(throws: Refusal.self) { try run.next() }
    }
    #expect(refusals[0]?.code == .modelState && refusals[0] == refusals[1])
    #expect(visits == 3)
  }

  @Test func aStateGoesOnAsTheTextWould() throws {
    let model = try Demo.model()
    let tokenizer = try model.textTokenizer()
    let (first, second) = ("I watched this film", " last night and")
    let parts = tokenizer.encode(first) + tokenizer.encode(second)
    try #require(parts == tokenizer.encode(prompt))
    let opening = try model.state(after: first)
    let fork = opening
    let text = try model.generate(prompt, count: 16, temperature: 0).text()
    #expect(try model.generate(second, count: 16, temperature: 0, from: opening).text() == text)
    #expect(try model.generate(second, count: 16, temperature: 0, from: fork).text() == text)
    #expect(
      try model.state(after: second, from: opening).position == tokenizer.encode(prompt).count)
    let path = Demo.file("opening.state.safetensors")
    try model.save(opening, to: path)
    #expect(try model.loadState(path) == opening)
    #expect(throws: Refusal.self) { try model.save(opening, to: path) }
    #expect(throws: Refusal.self) { try opening["blocks.3.output"] }
    #expect(throws: Refusal.self) { try opening["blocks.99.state.ssm"] }
    #expect(throws: Refusal.self) { try model.generate("", from: opening) }
    var other = opening
    let ssm = try other["blocks.3.state.ssm"]
    try other.setComponent(
      .state(block: 3, component: "ssm"), to: Tensor(zeros: [1] + ssm.shape))
    #expect(try opening["blocks.3.state.ssm"] == ssm)
    #expect(try other["blocks.3.state.ssm"] != ssm)
    // The state of the run has read the whole text.
    let generation = try model.generate(prompt, count: 5, temperature: 0).finish()
    let read = try model.state(after: tokenizer.encodeText(prompt) + generation.tokens)
    #expect(generation.state.position == read.position)
    let (own, expected) = (
      try generation.state["blocks.5.state.ssm"].values, try read["blocks.5.state.ssm"].values
    )
    #expect(zip(own, expected).allSatisfy { abs($0 - $1) <= 1e-3 * max(1, abs($1)) })
  }

  @Test func aDirectionDoesWhatAVectorOfTheSameNumbersDoes() throws {
    let model = try Demo.model()
    let vector = try SteeringVector.train(
      on: ContrastPairs(Demo.pairs), for: model, at: ["residual", "state"])
    for site in [Site.output(block: 2), .state(block: 2, component: "ssm")] {
      let values = try #require(vector.vectors.first { $0.site.name == site.name }).value.values
      let path = Demo.file("one.steer.safetensors")
      try SteeringVector.train(on: ContrastPairs(Demo.pairs), for: model, at: [site.name])
        .write(to: path, replacing: true)
      let runs = [
        try model.generate(
          prompt, count: 12, temperature: 0,
          with: [.steer(SteeringVector(reading: path), strength: 3)]),
        try model.generate(
          prompt, count: 12, temperature: 0, with: [.add(values, at: site, strength: 3)]),
      ]
      let records = try runs.map { run in
        var records: [TokenRecord] = []
        while let token = try run.next() { records.append(token) }
        return run.prompt + records
      }
      #expect(records[0].map(\.edits) == records[1].map(\.edits))
      #expect(records[0].contains { !$0.edits.isEmpty })
      #expect(runs[0].tokens == runs[1].tokens)
      #expect(runs[0].edits == runs[1].edits)
      #expect(runs[0].edits[0].tokens == 13)
    }
  }

  @Test func editsActInTheirOrder() throws {
    let model = try Demo.model()
    let site = Site.output(block: 2)
    let ones = [Float](repeating: 1, count: model.description.width)
    func values(_ interventions: Interventions) throws -> Tensor {
      try model.record([site.name], reading: prompt, with: interventions)[site]
    }
    let plain = try values([])
    #expect(try values([.add(ones, at: site), .add(ones, at: site, strength: -1)]) == plain)
    let all = PositionSelection([.all])
    let added = Intervention.add(ones, at: site, strength: 5, positions: all)
    let taken = Intervention.project(out: ones, at: site)
    let mean = { (tensor: Tensor) in tensor.values.reduce(0, +) / Float(tensor.count) }
    #expect(abs(mean(try values([added, taken]))) < 1e-4)
    #expect(abs(mean(try values([taken, added])) - 5) < 1e-4)
  }

  @Test func aTapEditsAsADirectionDoes() throws {
    let model = try Demo.model()
    var positions: [Int] = []
    let tapped = try model.generate(
      prompt, count: 10, temperature: 0,
      with: [
        .tap(.output(block: 2)) { _, value, context in
          positions += context.positions
          value.withMutableFloats { for index in $0.indices { $0[index] += 1 } }
        }
      ]
    ).finish()
    #expect(positions == Array(0..<tapped.state.position))
    let added = try model.generate(
      prompt, count: 10, temperature: 0,
      with: [
        .add(
          [Float](repeating: 1, count: model.description.width), at: .output(block: 2),
          positions: PositionSelection([.all]))
      ]
    ).finish()
    #expect(tapped.tokens == added.tokens && tapped.state == added.state)
    #expect(tapped.edits[0].positions == positions)
    // Of the state, before every token.
    var states = 0
    _ = try model.generate(
      prompt, count: 4, with: [.tap(.state(block: 1, component: "ssm")) { _, _, _ in states += 1 }]
    ).finish()
    #expect(states == (try model.textTokenizer().encodeText(prompt).count) + 4)
  }

  @Test func probesAndLensesReportOfEachToken() async throws {
    let model = try Demo.model()
    let probe = try Probe.train(
      on: SelectedRecords(Demo.examples), for: model, at: ["blocks.2.output"],
      methods: [.meanDifference])
    let run = try model.generate(
      prompt, count: 3, with: [.report(probe), .report(lens: nil, guesses: 1)])
    for try await token in run {
      #expect(token.reports.map(\.item) == [0, 1])
      guard case .object(let scores)? = token.reports[0].report["scores"] else {
        Issue.record("no scores")
        return
      }
      #expect(scores.members.map(\.key) == probe.entries.map(\.name))
    }
    #expect(run.prompt.allSatisfy { $0.reports.count == 2 })
    let open = try model.generate(
      prompt, count: 6, temperature: 0,
      with: [
        .add(
          [Float](repeating: 1, count: model.description.width), at: .output(block: 3)),
        .stop(.above(-1e9, by: probe)),
      ]
    ).finish()
    #expect(open.ending == .intervention && open.tokens.isEmpty)
    let joy = try SteeringVector.train(on: ContrastPairs(Demo.pairs), for: model)
    let shut = try model.generate(
      prompt, count: 6, temperature: 0,
      with: [.steer(joy, strength: 4, when: .above(1e9, by: probe))])
    #expect(try shut.text() == model.generate(prompt, count: 6, temperature: 0).text())
    #expect(shut.edits[0].tokens == 0)
  }

  @Test func artifactsAreAppliedByTheirKind() throws {
    let model = try Demo.model()
    let joy = try SteeringVector.train(on: ContrastPairs(Demo.pairs), for: model)
    let probe = try Probe.train(
      on: SelectedRecords(Demo.examples), for: model, methods: [.meanDifference])
    let eraser = try ConceptEraser.train(
      on: SelectedRecords(Demo.examples), for: model, layers: 3...3
    ).eraser
    let applied = [
      try AppliedArtifact(joy.artifact, strength: 3), try AppliedArtifact(probe.artifact),
      try AppliedArtifact(eraser.artifact, strength: 0.5),
    ]
    var options = ApplyingOptions()
    options.layers = LayerSelection(3...3)
    let first = try model.generate(
      prompt, count: 8, temperature: 0, with: Interventions(applying: applied, options))
    let second = try model.generate(
      prompt, count: 8, temperature: 0,
      with: [
        .steer(joy, strength: 3, layers: 3...3), .report(probe, layers: 3...3),
        .erase(eraser, share: 0.5, layers: 3...3),
      ])
    while let token = try first.next() {
      let other = try #require(try second.next())
      #expect(token.edits == other.edits && token.token == other.token)
      #expect(token.reports.map(\.report) == other.reports.map(\.report))
    }
    #expect(first.edits == second.edits && first.edits.map(\.item) == [0, 2])
    // An option that concerns none of the artifacts, and artifacts that cannot be applied.
    options.operation = .project
    #expect(throws: Refusal.self) { try Interventions(applying: [applied[1]], options) }
    #expect(throws: Refusal.self) { try AppliedArtifact(probe.artifact, strength: 2) }
    #expect(throws: Refusal.self) { try AppliedArtifact(joy.artifact, probe: "a") }
    let path = Demo.file("a.state.safetensors")
    try model.save(model.state(after: prompt), to: path)
    #expect(throws: Refusal.self) { try AppliedArtifact(Artifact(reading: path)) }
  }

  @Test func tasksShareAModel() async throws {
    let model = try Demo.model()
    let prompt = prompt
    let expected = try (0..<4).map {
      try model.generate(prompt, count: 8, seed: UInt64($0)).text()
    }
    let texts = try await withThrowingTaskGroup(of: (Int, String).self) { group in
      for seed in 0..<4 {
        group.addTask {
          var text = ""
          for try await token in try model.generate(prompt, count: 8, seed: UInt64(seed)) {
            text += token.text
          }
          return (seed, text)
        }
      }
      var texts = [String](repeating: "", count: 4)
      for try await (seed, text) in group { texts[seed] = text }
      return texts
    }
    #expect(texts == expected)
  }

  @Test func refusesWhatCannotBeDone() throws {
    let model = try Demo.model()
    let width = model.description.width
    let ones = [Float](repeating: 1, count: width)
    func code(_ intervention: Intervention) -> Refusal.Code? {
      #expect(throws: Refusal.self) {
        try model.generate(prompt, count: 2, with: [intervention])
      }?.code
    }
    #expect(code(.add([1, 2], at: .output(block: 3))) == .artifactWidth)
    #expect(code(.add(ones, at: .output(block: 99))) == .artifactSite)
    #expect(code(.add(ones, at: .part(block: 0, name: "attention"))) == .artifactSite)
    #expect(code(.add(ones.map { _ in .nan }, at: .output(block: 3))) == .artifactNonfinite)
    #expect(code(.add(ones, at: .output(block: 3), strength: .infinity)) == .artifactScale)
    #expect(code(.add(ones, at: .output(block: 3), strength: .nan)) == .artifactScale)
    #expect(code(.add(ones, at: .output(block: 3), unit: .nats)) == .artifactScale)
    let zeros = ones.map { _ in Float(0) }
    #expect(code(.project(out: zeros, at: .output(block: 3))) == .artifactZero)
    #expect(code(.add(zeros, at: .output(block: 3), unit: .share)) == .artifactZero)
    #expect(
      code(.direct(AppliedDirection(ones, at: .output(block: 3), operation: .clamp)))
        == .usageOption)
    let nowhere = try #require(PositionSelection("99999"))
    #expect(
      code(.add(ones, at: .output(block: 3), positions: nowhere)) == .usageNothingSteered)
    #expect(throws: Refusal.self) { try model.generate("") }
    #expect(throws: Refusal.self) { try model.generate(prompt, temperature: -1) }
    #expect(throws: Refusal.self) { try model.generate(prompt, stoppingAt: [""]) }
    #expect(throws: Refusal.self) { try model.state(after: "") }
    #expect(throws: Refusal.self) {
      try model.record(["residual"], reading: prompt, with: [.report(lens: nil)])
    }
    #expect(throws: Refusal.self) { try LoadedModel(Demo.file("nothing.sxt")) }
  }

  @Test func anArtifactInPlaceOfAModelIsToldItsPlace() throws {
    let model = try Demo.model()
    let path = Demo.file("no-model.steer.safetensors")
    try SteeringVector.train(on: ContrastPairs(Demo.pairs), for: model, at: ["blocks.2.output"])
      .write(to: path, replacing: true)
    let refusal = #expect(throws: Refusal.self) { try LoadedModel(path) }
    #expect(refusal?.code == .storeMagic && refusal?.found == "an artifact of kind steering")
    #expect(refusal?.remedy.contains("apply the artifact with `apply`") == true)
  }
}
