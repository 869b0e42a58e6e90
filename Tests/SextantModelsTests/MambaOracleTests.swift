import SextantConversion
import SextantModelTestSupport
import SextantModels
import SextantTensor
import SextantTestSupport
import Testing

/// Mamba against a float64 reference with exact arithmetic on the stored weights.
@Suite struct MambaOracleTests {
  static let forms = [
    ("huggingface", "f32"), ("sharded", "f32"), ("state-spaces", "f32"), ("bf16", "bf16"),
    ("f16", "f16"), ("untied", "untied"),
  ]

  @Test(arguments: forms)
  func everySiteAgreesWithTheReference(form: String, golden: String) throws {
    let converted = try ConvertedModel("mamba-tiny/\(form)")
    let goldens = try Goldens("mamba-tiny/goldens/\(golden).safetensors")
    let model = converted.model
    let recorder = Recorder()
    var state = model.initialState()
    let logits = try model.run(
      TokenBatch(goldens.integers("tokens")), from: &state, logits: .all, tap: recorder)

    try expectClose(logits, goldens.floats("logits"), .logits, "logits")
    let residual = try goldens.floats("resid")
    let layers = model.description.layerCount
    for layer in 0..<layers {
      let input = try #require(recorder.values[.input(block: layer)])
      let output = try #require(recorder.values[.output(block: layer)])
      let mixed = try #require(recorder.values[.part(block: layer, name: "mixer")])
      expectClose(input, residual.rows(layer..<layer + 1), .residual, "input of block \(layer)")
      expectClose(
        output, residual.rows(layer + 1..<layer + 2), .residual, "output of block \(layer)")
      try expectClose(
        mixed, goldens.floats("act.blocks.\(layer).mixer_out"), .residual, "mixer of \(layer)")
    }
    expectClose(
      try #require(recorder.values[.embedding]), residual.rows(0..<1), .residual, "embedding")
    try expectClose(
      #require(recorder.values[.finalNorm]), goldens.floats("final_norm"),
      Bound(absolute: 1e-4, relative: 1e-5), "final norm")
    try expectStates(state, goldens, "state", model)
    // What the tap saw of the state is what the run left behind.
    for site in state.sites { #expect(recorder.values[site] == state.component(site)) }
  }

  @Test(arguments: forms)
  func aContinuationFromTheStateAgreesWithTheReference(form: String, golden: String) throws {
    let model = try ConvertedModel("mamba-tiny/\(form)").model
    let goldens = try Goldens("mamba-tiny/goldens/\(golden).safetensors")
    var state = model.initialState()
    _ = try model.run(TokenBatch(goldens.integers("tokens")), from: &state, logits: .none)
    let logits = try model.run(
      TokenBatch(goldens.integers("cont_tokens")), from: &state, logits: .all)
    try expectClose(logits, goldens.floats("cont_logits"), .logits, "continued logits")
    try expectStates(state, goldens, "cont_state", model)
  }

  @Test(arguments: forms)
  func anAblatedMixerAgreesWithTheReference(form: String, golden: String) throws {
    let model = try ConvertedModel("mamba-tiny/\(form)").model
    let goldens = try Goldens("mamba-tiny/goldens/\(golden).safetensors")
    var state = model.initialState()
    let ablation = ClosureTap([.part(block: 1, name: "mixer")]) { _, value, _ in
      value = Tensor(zeros: value.shape)
    }
    let logits = try model.run(
      TokenBatch(goldens.integers("tokens")), from: &state, logits: .all, tap: ablation)
    try expectClose(logits, goldens.floats("ablate_logits"), .logits, "ablated logits")
  }

  @Test(arguments: forms)
  func aPatchedPositionAgreesWithTheReference(form: String, golden: String) throws {
    let model = try ConvertedModel("mamba-tiny/\(form)").model
    let goldens = try Goldens("mamba-tiny/goldens/\(golden).safetensors")
    let site = Site.input(block: 1)
    let donor = Recorder()
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

  private func expectStates(
    _ state: State, _ goldens: Goldens, _ prefix: String, _ model: any LanguageModel
  ) throws {
    for component in ["conv", "ssm"] {
      let golden = try goldens.floats("\(prefix).\(component)")
      for layer in 0..<model.description.layerCount {
        let computed = try #require(state.component(.state(block: layer, component: component)))
        expectClose(
          computed, golden.rows(layer..<layer + 1), .state, "\(component) of block \(layer)")
      }
    }
  }
}
