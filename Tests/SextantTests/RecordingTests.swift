import Sextant
import SextantTestSupport
import Testing

/// What a recording contains.
@Suite struct RecordingTests {
  private let text = "I watched this film last night and"

  @Test func containsWhatATapSees() throws {
    let model = try Demo.model()
    let names = ["embedding", "blocks.3.mixer", "blocks.3.output", "final_norm", "logits"]
    let seen = try model.record(names + ["blocks.2.state.ssm"], reading: text)
    var values: [Site: Tensor] = [:]
    let tap = ClosureTap(
      Set(seen.sites), stateVisits: { StateVisits(after: [$0.upperBound - 1]) }
    ) { site, value, _ in values[site] = value }
    var state = model.model.initialState()
    _ = try model.model.run(TokenBatch(seen.tokens), from: &state, logits: .all, tap: tap)
    let (count, width) = (seen.tokens.count, model.description.width)
    for name in names {
      let value = try #require(Site(name: name).flatMap { values[$0] })
      #expect(try seen[name] == value)
      let columns = name == "logits" ? model.description.vocabularySize : width
      #expect(try seen[name].shape == [count, columns])
    }
    let ssm = try seen[.state(block: 2, component: "ssm")]
    let shown = try #require(values[.state(block: 2, component: "ssm")])
    #expect(ssm.values == shown.values)
    #expect(try ssm == state["blocks.2.state.ssm"])
    #expect(seen.pieces.joined() == text)
    #expect(seen.pieces.count == count)
  }

  @Test func selectsSitesByPatternsAndBlocks() throws {
    let model = try Demo.model()
    let seen = try model.record(["blocks.*.output", "state"], reading: text, layers: 2...3)
    #expect(
      seen.sites.map(\.name) == [
        "blocks.2.output", "blocks.2.state.conv", "blocks.2.state.ssm", "blocks.3.output",
        "blocks.3.state.conv", "blocks.3.state.ssm",
      ])
    #expect(throws: Refusal.self) { try seen["blocks.1.output"] }
    #expect(throws: Refusal.self) { try seen["nothing"] }
    #expect(throws: Refusal.self) { try model.record(["blocks.99.output"], reading: text) }
    #expect(throws: Refusal.self) { try model.record([], reading: text) }
    #expect(throws: Refusal.self) { try model.record(["residual"], reading: [Int]()) }
  }

  @Test func hasTheStateAfterEachTokenWhereAsked() throws {
    let model = try Demo.model()
    let seen = try model.record(["blocks.1.state.ssm"], reading: text, statesAfter: .each)
    let all = try seen["blocks.1.state.ssm"]  // [T, E, N]
    let shape = try #require(
      model.description.sites.first { $0.site.name == "blocks.1.state.ssm" }
    ).shape
    #expect(all.shape == [seen.tokens.count] + shape)
    for count in [1, 4, seen.tokens.count] {
      let prefix = try model.state(after: Array(seen.tokens[..<count]))
      let own = all.rows(count - 1..<count).values
      let expected = try prefix["blocks.1.state.ssm"].values
      #expect(zip(own, expected).allSatisfy { abs($0 - $1) <= 1e-4 * max(1, abs($1)) })
    }
    #expect(all.rows(0..<1) != all.rows(1..<2))
  }

  @Test func showsValuesAfterEdits() throws {
    let model = try Demo.model()
    let site = Site.output(block: 3)
    let direction = (0..<model.description.width).map { Float($0 % 7) - 3 }
    let plain = try model.record([site.name], reading: text)[site]
    let edited = try model.record(
      [site.name], reading: text, with: [.add(direction, at: site, strength: 2)])[site]
    let last = plain.shape[0] - 1
    #expect(edited.rows(0..<last) == plain.rows(0..<last))
    let sums = zip(plain.rows(last..<last + 1).values, direction).map { $0 + 2 * $1 }
    #expect(edited.rows(last..<last + 1).values == sums)
    let erased = try model.record(
      [site.name], reading: text, with: [.project(out: direction, at: site)])[site]
    let norm = direction.reduce(0) { $0 + $1 * $1 }.squareRoot()
    for row in 0...last {
      let along = zip(erased.rows(row..<row + 1).values, direction).reduce(0) { $0 + $1.0 * $1.1 }
      #expect(abs(along / norm) < 1e-4)
    }
  }

  @Test func refusesWhatDoesNotFitIntoMemory() throws {
    let model = try Demo.model()
    let tokens = [Int](repeating: 5, count: 1 << 23)
    #expect {
      try model.record(["state"], reading: tokens, statesAfter: .each)
    } throws: { ($0 as? Refusal)?.code == .systemMemory }
  }

  @Test func hasARowOfKeysForEachToken() throws {
    let path = Demo.file("llama.sxt")
    try LoadedModel.convert(PackageFiles.fixture("llama-tiny/huggingface"), to: path)
    let model = try LoadedModel(path)
    let site = try #require(model.description.sites.first { $0.grows })
    let seen = try model.record([site.site.name], reading: [3, 4, 5])
    #expect(try seen[site.site].shape == [3] + site.shape)
    #expect(throws: Refusal.self) {
      try model.record([site.site.name], reading: [3, 4, 5], statesAfter: .each)
    }
    // This model has no tokenizer.
    #expect(throws: Refusal.self) { try model.record(["residual"], reading: "text") }
    #expect(throws: Refusal.self) { try model.generate("text") }
    #expect(throws: Refusal.self) { try model.record(["residual"], reading: [1 << 40]) }
    #expect(seen.pieces.isEmpty)
    let state = try model.state(after: [3, 4, 5])[site.site]
    let recorded = try seen[site.site]
    #expect(state.shape == recorded.shape)
    #expect(zip(state.values, recorded.values).allSatisfy { abs($0 - $1) < 1e-5 })
  }
}
