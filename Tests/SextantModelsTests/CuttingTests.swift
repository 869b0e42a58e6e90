import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTensor
import Testing

/// The numbers of a run do not depend on how its tokens are cut into chunks, batches and steps.
@Suite struct CuttingTests {
  private let exact = Bound(absolute: 0, relative: 0)

  /// The model of a fixture and a text for it.
  private func open(
    _ fixture: ModelFixture
  ) throws -> (model: any LanguageModel, tokens: [Int]) {
    (try fixture.convert().model, try fixture.goldens().integers("tokens"))
  }

  @Test(arguments: ModelFixture.kinds, [1, 2, 3, 7, 8, 9, 36, 37, 64])
  func chunksDoNotChangeTheNumbers(fixture: ModelFixture, chunk: Int) throws {
    let (model, tokens) = try open(fixture)
    var (whole, cut) = (model.initialState(), model.initialState())
    let expected = try model.run(TokenBatch(tokens), from: &whole, logits: .all)
    let computed = try model.run(TokenBatch(tokens), from: &cut, logits: .all, chunk: chunk)
    expectClose(computed, expected, exact, "logits in chunks of \(chunk)")
    for site in whole.sites {
      expectClose(
        try #require(cut.component(site)), try #require(whole.component(site)), exact, site.name)
    }
  }

  @Test(arguments: ModelFixture.kinds)
  func stepByStepDecodingEqualsOneLongRun(fixture: ModelFixture) throws {
    let (model, tokens) = try open(fixture)
    var (whole, stepped) = (model.initialState(), model.initialState())
    let expected = try model.run(TokenBatch(tokens), from: &whole, logits: .all)  // [1, T, V]
    for (position, token) in tokens.enumerated() {
      let logits = try model.run(TokenBatch([token]), from: &stepped)  // [1, 1, V]
      let row = expected.reshaped([tokens.count, model.description.vocabularySize])
        .rows(position..<position + 1)
      expectClose(logits, row, exact, "logits at \(position)")
    }
    #expect(stepped.position == whole.position)
  }

  @Test(arguments: ModelFixture.kinds, [1, 3, 8])
  func aBatchEqualsItsSequencesAlone(fixture: ModelFixture, batch: Int) throws {
    let (model, tokens) = try open(fixture)
    let sequences = (0..<batch).map { shift in tokens.map { ($0 + 7 * shift) % 101 } }
    var state = model.initialState(batch: batch)
    let together = try model.run(TokenBatch(sequences), from: &state, logits: .all, chunk: 40)
    for (index, sequence) in sequences.enumerated() {
      var alone = model.initialState()
      let expected = try model.run(TokenBatch(sequence), from: &alone, logits: .all)
      expectClose(together.rows(index..<index + 1), expected, exact, "sequence \(index)")
      let selected = state.selecting([index])
      for site in alone.sites {
        expectClose(
          try #require(selected.component(site)), try #require(alone.component(site)), exact,
          site.name)
      }
    }
  }

  @Test(arguments: ModelFixture.kinds)
  func theSameRunTwiceGivesTheSameBits(fixture: ModelFixture) throws {
    let (model, tokens) = try open(fixture)
    var (first, second) = (model.initialState(), model.initialState())
    let a = try model.run(TokenBatch(tokens), from: &first, logits: .all)
    let b = try model.run(TokenBatch(tokens), from: &second, logits: .all)
    #expect(a == b)
    #expect(first == second)
  }

  @Test(arguments: ModelFixture.kinds)
  func aForkedStateContinuesOnItsOwn(fixture: ModelFixture) throws {
    let (model, tokens) = try open(fixture)
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
      expectClose(logits.rows(row..<row + 1), expected, exact, "fork \(row)")
    }
  }

  @Test(arguments: ModelFixture.kinds)
  func aTapThatReadsChangesNothing(fixture: ModelFixture) throws {
    let (model, tokens) = try open(fixture)
    var (plain, tapped) = (model.initialState(), model.initialState())
    let expected = try model.run(TokenBatch(tokens), from: &plain, logits: .all)
    let computed = try model.run(
      TokenBatch(tokens), from: &tapped, logits: .all, tap: FullRecorder())
    #expect(computed == expected)
    #expect(tapped == plain)
  }

  @Test(arguments: ModelFixture.kinds)
  func anEditedStateIsWhatTheNextTokenReads(fixture: ModelFixture) throws {
    let (model, tokens) = try open(fixture)
    let component = try #require(model.description.stateLayout[1].last)
    let site = Site.state(block: 1, component: component.name)
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
    expectClose(byTap, expected, exact, "logits")
    var plain = model.initialState()
    let unedited = try model.run(TokenBatch(tokens), from: &plain)
    #expect(unedited != byTap)
  }

  /// Products sum up in one order for any number of rows, and recurrences and attention go token by token.
  @Test(arguments: ModelFixture.kinds)
  func aCutChangesNoBit(fixture: ModelFixture) throws {
    let model = try fixture.convert().model
    let all = try fixture.goldens().integers("tokens")
    let tokens = (0..<90).map { all[$0 % all.count] }
    var whole = model.initialState()
    let expected = try model.run(TokenBatch(tokens), from: &whole, logits: .all)
    for pieces in [[1, 2, 3, 60, 24], [7, 8, 9, 66], [64, 26], Array(repeating: 1, count: 90)] {
      var state = model.initialState()
      var rows: [Float] = []
      var start = 0
      for count in pieces {
        let piece = TokenBatch(Array(tokens[start..<start + count]))
        rows += try model.run(piece, from: &state, logits: .all).values
        start += count
      }
      let same = zip(rows, expected.values).allSatisfy { $0.bitPattern == $1.bitPattern }
      #expect(same, "\(pieces.count) pieces")
      for site in whole.sites {
        #expect(
          state.component(site) == whole.component(site), "\(site.name), \(pieces.count) pieces")
      }
    }
  }
}
