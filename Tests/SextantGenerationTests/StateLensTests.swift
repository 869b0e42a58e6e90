import SextantGeneration
import SextantModelTestSupport
import SextantModels
import SextantTensor
import SextantTestSupport
import Testing

/// Predictions of states, compared with float64 references in which every path around the state is
/// zero.
@Suite struct StateLensTests {
  static let models = [
    "mamba": "mamba-tiny/huggingface", "mamba2": "mamba2-tiny/huggingface",
    "rwkv5": "rwkv-tiny/rwkv5/blinkdl/model.safetensors",
    "rwkv6": "rwkv-tiny/rwkv6/blinkdl/model.safetensors",
    "rwkv7": "rwkv-tiny/rwkv7/blinkdl/model.safetensors",
  ]

  @Test(arguments: models.keys.sorted())
  func memoriesAreWhatTheStateAloneSays(name: String) throws {
    let model = try ConvertedModel(try #require(Self.models[name])).model
    let goldens = try Goldens("lens/memory.safetensors")
    let tokens = try goldens.integers("\(name).tokens")
    // In one piece and token by token. The state continues in both cases.
    for chunk in [tokens.count, 1] {
      let sites = model.description.memorySites.map(\.site)
      let recorder = Recorder(sites)
      var state = model.initialState()
      _ = try model.run(
        TokenBatch(tokens), from: &state, logits: .none, tap: recorder, chunk: chunk)
      for (block, memory) in recorder.take(sites).enumerated() {
        expectClose(
          memory, try goldens.floats("\(name).memory.\(block)"), .residual, "\(name) \(block)")
      }
    }
  }

  @Test(arguments: models.keys.sorted())
  func showingMemoriesChangesNothing(name: String) throws {
    let model = try ConvertedModel(try #require(Self.models[name])).model
    let tokens = TokenBatch(Array(1..<20))
    var (plain, shown) = (model.initialState(), model.initialState())
    let sites = Set(model.description.memorySites.map(\.site))
    let reading = ClosureTap(sites) { _, _, _ in }
    let before = try model.run(tokens, from: &plain, logits: .all)
    #expect(try model.run(tokens, from: &shown, logits: .all, tap: reading) == before)
    #expect(plain == shown)
    let editing = ClosureTap(sites) { _, value, _ in Kernels.scale(&value, by: 100) }
    var edited = model.initialState()
    expectRefusal(.artifactSite) {
      try model.run(tokens, from: &edited, logits: .none, tap: editing)
    }
  }

  @Test(arguments: models.keys.sorted())
  func directionsAreTheSingularVectorsOfTheHeads(name: String) throws {
    let model = try ConvertedModel(try #require(Self.models[name])).model
    let goldens = try Goldens("lens/memory.safetensors")
    var state = model.initialState()
    let tokens = try goldens.integers("\(name).tokens")
    _ = try model.run(TokenBatch(tokens), from: &state, logits: .none)
    let found = StateDirections(of: state, model, count: 2)
    for block in 0..<model.description.layerCount {
      let sigmas = try goldens.floats("\(name).sigma.\(block)").values
      let told = try goldens.floats("\(name).told.\(block)")
      for (head, sigma) in sigmas.enumerated() {
        let own = found.directions.filter { $0.block == block && $0.head == head }
        #expect(own.count == 2 && own[0].strength >= own[1].strength)
        #expect(abs(own[0].strength - Double(sigma)) <= 1e-4 * Double(sigma), "\(name) \(block)")
        #expect(own.allSatisfy { $0.share > 0 && $0.share <= 1 })
        let row = Tensor(copying: told.slice(rows: head..<head + 1))
        let output = try #require(model.output(ofRead: row, block: block))
        // Directions are compared only if the next singular value is sufficiently different.
        if own[1].strength < 0.98 * own[0].strength {
          expectClose(
            own[0].output, output, Bound(absolute: 2e-3, relative: 2e-3), "\(name) \(block)")
        }
        let best = Kernels.argmax(model.readout.logits(residual: output))
        #expect(own[0].ends.up.first?.token == best[0])
      }
    }
  }

  @Test func modelsWithoutSuchStatesSayNothing() throws {
    for fixture in ["rwkv-tiny/rwkv4/blinkdl/model.safetensors", "llama-tiny/huggingface"] {
      let model = try ConvertedModel(fixture).model
      #expect(model.description.memorySites.isEmpty)
      var state = model.initialState()
      _ = try model.run(TokenBatch([1, 2, 3]), from: &state, logits: .none)
      #expect(StateDirections(of: state, model).directions.isEmpty)
    }
  }
}
