import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTensor
import Testing

/// Hybrid models, and others that transformers made, against transformers in float64.
@Suite struct HybridTests {
  @Test(arguments: HybridFixture.all)
  func everySiteAgreesWithTransformers(fixture: HybridFixture) throws {
    let (model, goldens) = (try fixture.convert().model, try fixture.goldens())
    let recorder = FullRecorder()
    var state = model.initialState()
    let logits = try model.run(
      TokenBatch(goldens.integers("tokens")), from: &state, logits: .all, tap: recorder)

    try expectClose(logits, goldens.floats("logits"), fixture.bound, "logits")
    let residual = try goldens.floats("resid")  // [L + 1, T, D]
    for (index, block) in model.description.blocks.enumerated() {
      let (input, output) = (Site.input(block: index), Site.output(block: index))
      expectClose(
        try #require(recorder.values[input]), residual.rows(index..<index + 1), fixture.bound,
        "\(input)")
      expectClose(
        try #require(recorder.values[output]), residual.rows(index + 1..<index + 2), fixture.bound,
        "\(output)")
      for part in block.parts {
        let site = Site.part(block: index, name: part.name)
        let golden = try goldens.floats("act.\(site)")
        expectClose(try #require(recorder.values[site]), golden, fixture.bound, "\(site)")
      }
    }
    try expectClose(
      #require(recorder.values[.finalNorm]), goldens.floats("final_norm"), fixture.bound,
      "final norm")
    try expectStates(state, goldens, "state", fixture.bound)
  }

  @Test(arguments: HybridFixture.all)
  func aContinuationFromTheStateAgreesWithTransformers(fixture: HybridFixture) throws {
    let (model, goldens) = (try fixture.convert().model, try fixture.goldens())
    var state = model.initialState()
    _ = try model.run(TokenBatch(goldens.integers("tokens")), from: &state, logits: .none)
    let logits = try model.run(
      TokenBatch(goldens.integers("cont_tokens")), from: &state, logits: .all)
    try expectClose(logits, goldens.floats("cont_logits"), fixture.bound, "continued logits")
    try expectStates(state, goldens, "cont_state", fixture.bound)
  }

  @Test(arguments: HybridFixture.all)
  func aBlockThatMixesNoTokensAgreesWithTransformers(fixture: HybridFixture) throws {
    let (model, goldens) = (try fixture.convert().model, try fixture.goldens())
    let block = try goldens.integers("ablate_block")[0]
    // Of the parts that mix tokens, and not of the perceptron.
    let parts = model.description.blocks[block].parts.filter { $0.name != "mlp" }.map {
      Site.part(block: block, name: $0.name)
    }
    let ablation = ClosureTap(Set(parts)) { _, value, _ in value = Tensor(zeros: value.shape) }
    var state = model.initialState()
    let logits = try model.run(
      TokenBatch(goldens.integers("tokens")), from: &state, logits: .all, tap: ablation)
    try expectClose(logits, goldens.floats("ablate_logits"), fixture.bound, "ablated logits")
  }

  @Test(arguments: HybridFixture.all)
  func aSteeredStreamAgreesWithTransformers(fixture: HybridFixture) throws {
    let (model, goldens) = (try fixture.convert().model, try fixture.goldens())
    let vector = try goldens.floats("steer_vector")  // [D]
    let steering = ClosureTap([.output(block: 2)]) { _, value, context in
      for position in context.positions where position >= 10 {
        let row = context.row(sequence: 0, position: position)
        value.withMutableFloats { values in
          for channel in 0..<vector.count {
            values[row * vector.count + channel] += vector.values[channel]
          }
        }
      }
    }
    var state = model.initialState()
    let logits = try model.run(
      TokenBatch(goldens.integers("tokens")), from: &state, logits: .all, tap: steering)
    try expectClose(logits, goldens.floats("steer_logits"), fixture.bound, "steered logits")
  }

  @Test(arguments: HybridFixture.all)
  func aSteeredStateAgreesWithTransformers(fixture: HybridFixture) throws {
    let (model, goldens) = (try fixture.convert().model, try fixture.goldens())
    guard let component = goldens.metadata["state_steer_component"] else {
      // A model without a state of constant size.
      #expect(!model.description.stateLayout.joined().contains { !$0.grows })
      return
    }
    let site = Site.state(
      block: try goldens.integers("state_steer_block")[0], component: component)
    var state = model.initialState()
    _ = try model.run(TokenBatch(goldens.integers("tokens")), from: &state, logits: .none)
    var value = try #require(state.component(site))  // [1, …]
    let change = try goldens.floats("state_steer_value")  // […]
    Kernels.add(change.reshaped(value.shape), to: &value)
    try state.setComponent(site, to: value)
    let logits = try model.run(
      TokenBatch(goldens.integers("cont_tokens")), from: &state, logits: .all)
    try expectClose(
      logits, goldens.floats("state_steer_logits"), fixture.bound, "logits of a steered state")
  }

  /// transformers 5 spells some members in another way than the published files.
  @Test(arguments: HybridFixture.all)
  func theNewerSpellingOfTheConfigurationIsTheSameModel(fixture: HybridFixture) throws {
    guard let newer = try fixture.convertNewerSpelling() else { return }
    let usual = try fixture.convert()
    #expect(newer.store.configuration == usual.store.configuration)
    #expect(newer.store.identity == usual.store.identity)
    // All members are read, or known to be inert.
    for notes in [usual.report.notes, newer.report.notes] {
      #expect(!notes.contains { $0.contains("not used") }, "\(notes)")
    }
  }

  /// A prompt that is cut gives the result of the whole prompt.
  @Test(arguments: HybridFixture.all)
  func aCutPromptAgreesWithTransformers(fixture: HybridFixture) throws {
    let (model, goldens) = (try fixture.convert().model, try fixture.goldens())
    let tokens = try goldens.integers("tokens")
    for cut in [1, 2, 5, tokens.count - 1] {
      var state = model.initialState()
      _ = try model.run(TokenBatch(Array(tokens[..<cut])), from: &state, logits: .none)
      let logits = try model.run(TokenBatch(Array(tokens[cut...])), from: &state, logits: .all)
      let golden = try goldens.floats("logits")  // [T, V]
      expectClose(logits, golden.rows(cut..<tokens.count), fixture.bound, "logits after \(cut)")
      try expectStates(state, goldens, "state", fixture.bound)
    }
  }

  @Test func reportsNameWhatEditsOfTheStateDoNotReach() throws {
    func sentence(_ fixture: String) throws -> String? {
      try ConvertedModel(fixture).model.description.untouchedByStateEdits
    }
    #expect(try sentence("llama-tiny/huggingface") == nil)
    #expect(try sentence("mamba-tiny/huggingface") == nil)
    let hybrid = try #require(try sentence("hybrids/checkpoints/granite_h"))
    #expect(hybrid.contains("keys and values of 1 block"))
  }

  private func expectStates(
    _ state: State, _ goldens: Goldens, _ prefix: String, _ bound: Bound
  ) throws {
    #expect(!state.sites.isEmpty)
    for site in state.sites {
      guard case .state(let block, let name) = site else { continue }
      let golden = try goldens.floats("\(prefix).\(block).\(name)")
      try expectClose(#require(state.component(site)), golden, bound, "\(prefix) \(site)")
    }
  }
}
