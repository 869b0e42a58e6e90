import SextantModelTestSupport
import SextantModels
import SextantTensor
import SextantTestSupport
import Testing

/// Runs that stop between two blocks and continue from there.
@Suite struct BlockStreamTests {
  private let rounding = Bound(absolute: 5e-5, relative: 1e-5)

  @Test(arguments: ModelFixture.kinds)
  func aKeptStreamRunsOnWithTheSameBits(fixture: ModelFixture) throws {
    let model = try fixture.convert().model
    let tokens = TokenBatch(Array(try fixture.goldens().integers("tokens").prefix(6)))
    let layerCount = model.description.layerCount
    var (prefix, whole) = (model.initialState(), model.initialState())
    // The state is not empty, so that a block's memory matters.
    _ = try model.run(tokens, from: &prefix, logits: .none)
    whole = prefix
    let expected = try model.run(tokens, from: &whole, logits: .all)  // [1, T, V]
    for block in 0...layerCount {
      var state = prefix
      var stream = try model.begin(tokens, at: prefix.position)
      try model.run(&stream, through: 0..<block, &state)
      #expect(state.position == (block == layerCount ? whole.position : prefix.position))
      if block < layerCount { try model.run(&stream, through: block..<layerCount, &state) }
      let logits = try model.finish(stream, logits: .all)  // [T, V]
      #expect(logits.values == expected.values, "from block \(block)")
      #expect(state == whole)
    }
  }

  @Test(arguments: ModelFixture.kinds)
  func aStreamFansOutIntoSequences(fixture: ModelFixture) throws {
    let model = try fixture.convert().model
    let tokens = Array(try fixture.goldens().integers("tokens").prefix(8))
    let (first, second) = (Array(tokens.prefix(4)), Array(tokens.suffix(4)))
    let (layerCount, width) = (model.description.layerCount, model.description.vocabularySize)
    var state = model.initialState(batch: 2)
    var stream = try model.begin(TokenBatch([first, second]), at: 0)
    try model.run(&stream, through: 0..<layerCount / 2, &state)
    // The second sequence twice, then the first, as three edits of one place would be run.
    var fanned = stream.selecting([1, 1, 0])
    var fannedState = state.selecting([1, 1, 0])
    try model.run(&fanned, through: layerCount / 2..<layerCount, &fannedState)
    let logits = try model.finish(fanned)  // [3, V]
    for (row, text) in [second, second, first].enumerated() {
      var own = model.initialState()
      let expected = try model.run(TokenBatch(text), from: &own)  // [1, 1, V]
      expectClose(
        logits.rows(row..<row + 1), expected.reshaped([1, width]), rounding, "sequence \(row)")
    }
  }

  /// As many edits of one place are run that start in different blocks.
  @Test(arguments: ModelFixture.kinds)
  func sequencesJoinBetweenBlocks(fixture: ModelFixture) throws {
    let model = try fixture.convert().model
    let tokens = Array(try fixture.goldens().integers("tokens").prefix(7))
    let layerCount = model.description.layerCount
    let place = 3
    var (prefix, whole) = (model.initialState(), model.initialState())
    let expected = try model.run(TokenBatch(tokens), from: &whole)  // [1, 1, V]
    _ = try model.run(TokenBatch(Array(tokens[..<place])), from: &prefix, logits: .none)
    // The whole text once, and its end from each block on.
    var (stream, state) = (try model.begin(TokenBatch(tokens), at: 0), model.initialState())
    var joined: BlockStream?
    for block in 0..<layerCount {
      let own = stream.suffix(from: place)
      #expect(own.starts == [place] && own.length == tokens.count - place)
      var batch = joined.map { BlockStream.joining([$0, own]) } ?? own
      var memory = State.joining(Array(repeating: prefix, count: batch.batch), inBlock: block)
      try model.run(&batch, through: block..<block + 1, &memory)
      joined = batch
      try model.run(&stream, through: block..<block + 1, &state)
    }
    let logits = try model.finish(#require(joined))  // [L, V]
    #expect(logits.shape[0] == layerCount)
    for row in 0..<layerCount {
      #expect(logits.rows(row..<row + 1).values == expected.values, "from block \(row)")
    }
  }

  @Test func aStateOfAnotherPlaceIsRefused() throws {
    let model = try #require(ModelFixture.kinds.first).convert().model
    var stream = try model.begin(TokenBatch([1, 2]), at: 3)
    var state = model.initialState()
    expectRefusal(.modelState) { try model.run(&stream, through: 0..<1, &state) }
    var pair = model.initialState(batch: 2)
    stream = try model.begin(TokenBatch([1, 2]), at: 0)
    expectRefusal(.modelState) { try model.run(&stream, through: 0..<1, &pair) }
  }
}
