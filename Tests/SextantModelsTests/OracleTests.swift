import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTensor
import Testing

/// Every architecture against a float64 reference with exact arithmetic on the stored weights.
@Suite struct OracleTests {
  @Test(arguments: ModelFixture.all)
  func everySiteAgreesWithTheReference(fixture: ModelFixture) throws {
    let (model, goldens) = (try fixture.convert().model, try fixture.goldens())
    let recorder = FullRecorder()
    var state = model.initialState()
    let logits = try model.run(
      TokenBatch(goldens.integers("tokens")), from: &state, logits: .all, tap: recorder)

    try expectClose(logits, goldens.floats("logits"), .logits, "logits")
    let residual = try goldens.floats("resid")
    for block in 0..<model.description.layerCount {
      let input = try #require(recorder.values[.input(block: block)])
      let output = try #require(recorder.values[.output(block: block)])
      expectClose(input, residual.rows(block..<block + 1), .residual, "input of block \(block)")
      expectClose(
        output, residual.rows(block + 1..<block + 2), .residual, "output of block \(block)")
      for part in model.description.blocks[block].parts.map(\.name) {
        let value = try #require(recorder.values[.part(block: block, name: part)])
        let golden = try goldens.floats("act.blocks.\(block).\(part)_out")
        expectClose(value, golden, .residual, "\(part) of block \(block)")
      }
    }
    expectClose(
      try #require(recorder.values[.embedding]), residual.rows(0..<1), .residual, "embedding")
    try expectClose(
      #require(recorder.values[.finalNorm]), goldens.floats("final_norm"), .logits, "final norm")
    try expectStates(state, goldens, "state")
    // The tap saw the same state as the run returned.
    for site in state.sites { #expect(recorder.values[site] == state.component(site)) }
  }

  @Test(arguments: ModelFixture.all)
  func aContinuationFromTheStateAgreesWithTheReference(fixture: ModelFixture) throws {
    let (model, goldens) = (try fixture.convert().model, try fixture.goldens())
    var state = model.initialState()
    _ = try model.run(TokenBatch(goldens.integers("tokens")), from: &state, logits: .none)
    let logits = try model.run(
      TokenBatch(goldens.integers("cont_tokens")), from: &state, logits: .all)
    try expectClose(logits, goldens.floats("cont_logits"), .logits, "continued logits")
    try expectStates(state, goldens, "cont_state")
  }

  @Test(arguments: ModelFixture.all)
  func anAblatedPartAgreesWithTheReference(fixture: ModelFixture) throws {
    let (model, goldens) = (try fixture.convert().model, try fixture.goldens())
    var state = model.initialState()
    let part = try #require(model.description.blocks[1].parts.first).name
    let ablation = ClosureTap([.part(block: 1, name: part)]) { _, value, _ in
      value = Tensor(zeros: value.shape)
    }
    let logits = try model.run(
      TokenBatch(goldens.integers("tokens")), from: &state, logits: .all, tap: ablation)
    try expectClose(logits, goldens.floats("ablate_logits"), .logits, "ablated logits")
  }

  @Test(arguments: ModelFixture.all)
  func aPatchedPositionAgreesWithTheReference(fixture: ModelFixture) throws {
    let (model, goldens) = (try fixture.convert().model, try fixture.goldens())
    let site = Site.input(block: 1)
    let donor = FullRecorder()
    var state = model.initialState()
    _ = try model.run(
      TokenBatch(goldens.integers("patch_tokens")), from: &state, logits: .none, tap: donor)
    let source = try #require(donor.values[site]).rows(20..<21)  // [1, D]
    let patch = ClosureTap([site]) { _, value, context in
      guard context.positions.contains(20) else { return }
      let row = context.row(sequence: 0, position: 20)
      value = Tensor.concatenated(
        [value.rows(0..<row), source, value.rows(row + 1..<value.shape[0])])
    }
    state = model.initialState()
    let logits = try model.run(
      TokenBatch(goldens.integers("tokens")), from: &state, logits: .all, tap: patch)
    try expectClose(logits, goldens.floats("patch_logits"), .logits, "patched logits")
  }

  private func expectStates(_ state: State, _ goldens: Goldens, _ prefix: String) throws {
    #expect(!state.sites.isEmpty)
    for site in state.sites {
      guard case .state(let block, let name) = site else { continue }
      let golden = try goldens.floats("\(prefix).\(name)")  // [L, …]
      expectClose(
        try #require(state.component(site)), golden.rows(block..<block + 1), .state,
        "\(prefix) \(site)")
    }
  }
}
