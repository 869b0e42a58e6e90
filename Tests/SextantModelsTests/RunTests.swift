import SextantBytes
import SextantModelTestSupport
import SextantModels
import SextantTensor
import SextantTestSupport
import Testing

/// What holds of every run, however its tokens are cut into chunks, batches and steps.
@Suite struct RunTests {
  let model: any LanguageModel
  let tokens: [Int]
  private let converted: ConvertedModel

  init() throws {
    converted = try ConvertedModel("mamba-tiny/huggingface")
    model = converted.model
    tokens = try Goldens("mamba-tiny/goldens/f32.safetensors").integers("tokens")
  }

  private let rounding = Bound(absolute: 2e-5, relative: 1e-5)

  @Test(arguments: [1, 2, 3, 7, 8, 9, 36, 37, 64])
  func chunksDoNotChangeTheNumbers(chunk: Int) throws {
    var (whole, cut) = (model.initialState(), model.initialState())
    let expected = try model.run(TokenBatch(tokens), from: &whole, logits: .all)
    let computed = try model.run(TokenBatch(tokens), from: &cut, logits: .all, chunk: chunk)
    expectClose(computed, expected, rounding, "logits in chunks of \(chunk)")
    for site in whole.sites {
      expectClose(
        try #require(cut.component(site)), try #require(whole.component(site)), rounding, site.name)
    }
  }

  @Test func stepByStepDecodingEqualsOneLongRun() throws {
    var (whole, stepped) = (model.initialState(), model.initialState())
    let expected = try model.run(TokenBatch(tokens), from: &whole, logits: .all)  // [1, T, V]
    for (position, token) in tokens.enumerated() {
      let logits = try model.run(TokenBatch([token]), from: &stepped)  // [1, 1, V]
      let row = expected.reshaped([tokens.count, model.description.vocabularySize])
        .rows(position..<position + 1)
      expectClose(logits, row, rounding, "logits at \(position)")
    }
    #expect(stepped.position == whole.position)
  }

  @Test(arguments: [1, 3, 8])
  func aBatchEqualsItsSequencesAlone(batch: Int) throws {
    let sequences = (0..<batch).map { shift in tokens.map { ($0 + 7 * shift) % 101 } }
    var state = model.initialState(batch: batch)
    let together = try model.run(TokenBatch(sequences), from: &state, logits: .all, chunk: 40)
    for (index, sequence) in sequences.enumerated() {
      var alone = model.initialState()
      let expected = try model.run(TokenBatch(sequence), from: &alone, logits: .all)
      expectClose(together.rows(index..<index + 1), expected, rounding, "sequence \(index)")
      let selected = state.selecting([index])
      for site in alone.sites {
        expectClose(
          try #require(selected.component(site)), try #require(alone.component(site)), rounding,
          site.name)
      }
    }
  }

  @Test func theSameRunTwiceGivesTheSameBits() throws {
    var (first, second) = (model.initialState(), model.initialState())
    let a = try model.run(TokenBatch(tokens), from: &first, logits: .all)
    let b = try model.run(TokenBatch(tokens), from: &second, logits: .all)
    #expect(a == b)
    #expect(first == second)
  }

  @Test func aForkedStateContinuesOnItsOwn() throws {
    var state = model.initialState()
    _ = try model.run(TokenBatch(tokens), from: &state, logits: .none)
    let kept = state
    var fork = state
    _ = try model.run(TokenBatch([1, 2, 3]), from: &fork, logits: .none)
    #expect(state == kept)
    #expect(fork != state)
    let pair = state.selecting([0, 0])
    var both = pair
    let logits = try model.run(TokenBatch([[5], [9]]), from: &both)
    for (row, token) in [5, 9].enumerated() {
      var alone = state
      let expected = try model.run(TokenBatch([token]), from: &alone)
      expectClose(logits.rows(row..<row + 1), expected, rounding, "fork \(row)")
    }
  }

  @Test func aTapThatReadsChangesNothing() throws {
    var (plain, tapped) = (model.initialState(), model.initialState())
    let expected = try model.run(TokenBatch(tokens), from: &plain, logits: .all)
    let computed = try model.run(
      TokenBatch(tokens), from: &tapped, logits: .all, tap: Recorder())
    #expect(computed == expected)
    #expect(tapped == plain)
  }

  /// Notes each visit of the state as `<position` before a token and `>position` after it.
  private func visits(_ pieces: [Range<Int>], _ wanted: StateVisits) throws -> [String] {
    var seen: [String] = []
    let tap = ClosureTap(
      [.state(block: 0, component: "ssm")],
      stateVisits: { positions in
        StateVisits(
          before: wanted.before.filter(positions.contains),
          after: wanted.after.filter(positions.contains))
      }
    ) { _, _, context in
      seen.append("\(context.stateMoment == .before ? "<" : ">")\(context.positions.lowerBound)")
    }
    var state = model.initialState()
    for piece in pieces {
      _ = try model.run(TokenBatch(Array(tokens[piece])), from: &state, logits: .none, tap: tap)
    }
    return seen
  }

  @Test func theStateIsVisitedBeforeAndAfterTheSameTokensHoweverATextIsCut() throws {
    let all = StateVisits(before: Set(0..<37), after: Set(0..<37))
    let some = StateVisits(before: [0, 5, 20], after: [4, 19, 36])
    for wanted in [all, some] {
      let expected = (0..<37).flatMap { position in
        (wanted.before.contains(position) ? ["<\(position)"] : [])
          + (wanted.after.contains(position) ? [">\(position)"] : [])
      }
      #expect(try visits([0..<37], wanted) == expected)
      #expect(try visits([0..<1, 1..<5, 5..<20, 20..<37], wanted) == expected)
    }
  }

  @Test func aChainShowsTheStateOnlyToTheTapsThatAskedForIt() throws {
    let site = Site.state(block: 0, component: "ssm")
    var (first, second): ([Int], [Int]) = ([], [])
    let chain = TapChain([
      ClosureTap([site], stateVisits: { _ in StateVisits(before: [3, 7]) }) { _, _, context in
        first.append(context.positions.lowerBound)
      },
      ClosureTap([site], stateVisits: { _ in StateVisits(before: [5], after: [6, 7]) }) {
        _, _, context in
        second.append(context.positions.lowerBound)
      },
    ])
    var state = model.initialState()
    _ = try model.run(TokenBatch(tokens), from: &state, logits: .none, tap: chain)
    #expect(first == [3, 7])
    #expect(second == [5, 6, 7])
  }

  @Test func anEditedStateIsWhatTheNextTokenReads() throws {
    let site = Site.state(block: 1, component: "ssm")
    let edit = ClosureTap([site], stateVisits: { _ in StateVisits(before: [36]) }) { _, value, _ in
      Kernels.scale(&value, by: 0.5)
    }
    var edited = model.initialState()
    let byTap = try model.run(TokenBatch(tokens), from: &edited, tap: edit)
    var byHand = model.initialState()
    _ = try model.run(TokenBatch(Array(tokens.dropLast())), from: &byHand, logits: .none)
    var value = try #require(byHand.component(site))
    Kernels.scale(&value, by: 0.5)
    try byHand.setComponent(site, to: value)
    let expected = try model.run(TokenBatch(Array(tokens.suffix(1))), from: &byHand)
    expectClose(byTap, expected, rounding, "logits")
    var plain = model.initialState()
    let unedited = try model.run(TokenBatch(tokens), from: &plain)
    #expect(unedited != byTap)
  }

  @Test func tokensAndStatesThatDoNotFitAreRefused() throws {
    var state = model.initialState()
    expectRefusal(.modelToken) { try model.run(TokenBatch([101]), from: &state) }
    expectRefusal(.modelToken) { try model.run(TokenBatch([-1]), from: &state) }
    expectRefusal(.modelState) { try model.run(TokenBatch([[1], [2]]), from: &state) }
    expectRefusal(.modelState) {
      try state.setComponent(.state(block: 0, component: "ssm"), to: Tensor(zeros: [1, 2, 3]))
    }
    expectRefusal(.modelState) {
      try state.setComponent(.state(block: 9, component: "ssm"), to: Tensor(zeros: [1]))
    }
    let grows = ClosureTap([.embedding]) { _, value, _ in value = Tensor(zeros: [1, 1]) }
    expectRefusal(.modelState) { try model.run(TokenBatch([1]), from: &state, tap: grows) }
  }
}
