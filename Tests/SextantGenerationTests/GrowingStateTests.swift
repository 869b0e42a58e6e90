import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

/// States whose components grow with the position, as attention has them.
@Suite struct GrowingStateTests {
  private let model: any LanguageModel
  private let tokens: [Int]
  private let folder = TemporaryFolder()

  init() throws {
    model = try ConvertedModel("llama-tiny/huggingface").model
    tokens = try Goldens("llama-tiny/goldens/f32.safetensors").integers("tokens")
  }

  private let site = Site.state(block: 1, component: "key")

  private func state(after tokens: [Int]...) throws -> State {
    var state = model.initialState(batch: tokens.count)
    _ = try model.run(TokenBatch(tokens), from: &state, logits: .none)
    return state
  }

  @Test func aStateThroughAFileContinuesAsIfNothingHadHappened() throws {
    var state = try state(after: tokens, tokens.reversed())
    let reference = model.description.reference(tokenizer: nil)
    let path = folder.path("s.state.safetensors")
    try state.saved(by: reference).artifact.write(to: path)
    let saved = try SavedState(Artifact(reading: path))
    #expect(saved.components[0].site.shape == [tokens.count, 2, 12])
    #expect(saved.components[0].site.axes == ["position", "head", "channel"])
    var loaded = try State(saved, for: model.description, tokenizer: nil)
    #expect(loaded == state)
    let next = TokenBatch([[5], [7]])
    #expect(try model.run(next, from: &loaded) == model.run(next, from: &state))
    #expect(loaded == state)
  }

  @Test func aStateWhosePositionIsNotThatOfItsComponentsIsRefused() throws {
    let saved = try state(after: tokens).saved(by: model.description.reference(tokenizer: nil))
    let other = SavedState(
      model: saved.model, batch: 1, position: tokens.count - 1, components: saved.components)
    expectRefusal(.artifactSite) { try State(other, for: model.description, tokenizer: nil) }
    var moved = try state(after: tokens)
    moved.position += 1
    expectRefusal(.modelState) { try model.run(TokenBatch([1]), from: &moved) }
    let value = try #require(moved.component(site))
    expectRefusal(.modelState) { try moved.setComponent(site, to: value) }
  }

  /// Runs of hybrids with such artifacts note that edits of the state do not reach keys and values.
  @Test func artifactsThatEditTheStateAreKnown() throws {
    let hybrid = try ConvertedModel("hybrids/checkpoints/granite_h").model.description
    let blocks = hybrid.trainableBlocks
    for (words, edits) in [(["residual"], false), (["state"], true), (["all"], true)] {
      let sites = try hybrid.trainableSites(named: words).sites
      let path = folder.path("\(words[0]).steer.safetensors")
      try SteeringVector(
        model: hybrid.reference(tokenizer: nil),
        vectors: sites.map { ($0.reference, Tensor(zeros: $0.shape)) },
        training: .init(method: "none", positions: .last, data: JSONObject()),
        statistics: JSONObject()
      ).artifact.write(to: path)
      let file = try #require(AppliedFile(argument: path))
      #expect(try AppliedArtifacts([file]).editsState == edits)
      guard words == ["all"] else { continue }
      // Only in the blocks that are chosen.
      var options = ApplyingOptions()
      options.layers = LayerSelection(blocks.attention...blocks.attention)
      #expect(try !AppliedArtifacts([file], options).editsState)
      options.layers = LayerSelection(blocks.recurrent...blocks.recurrent)
      #expect(try AppliedArtifacts([file], options).editsState)
    }
  }

  @Test func anEditOfAPositionsKeysIsWhatLaterTokensRead() throws {
    var edited = try state(after: tokens)
    var value = try #require(edited.component(site))  // [1, T, 2, 12]
    value.withMutableFloats { $0[3 * 24 + 5] += 1 }
    try edited.setComponent(site, to: value)
    #expect(edited.component(site) == value)
    var plain = try state(after: tokens)
    let next = TokenBatch([9])
    #expect(try model.run(next, from: &edited) != model.run(next, from: &plain))
    // The same edit by a tap, before the token that reads it.
    var tapped = try state(after: tokens)
    let tap = ClosureTap([site], stateVisits: { StateVisits(before: [$0.lowerBound]) }) {
      _, value, _ in
      value.withMutableFloats { $0[3 * 24 + 5] += 1 }
    }
    _ = try model.run(next, from: &tapped, tap: tap)
    #expect(tapped == edited)
  }

  @Test func aVectorOfOneShapeForAllTextsIsRefused() throws {
    let description = model.description
    let sites = try description.sites(named: [site.name])
    let vector = SteeringVector(
      model: description.reference(tokenizer: nil),
      vectors: [(sites[0].reference, Tensor(zeros: sites[0].shape))],
      training: SteeringVector.Training(method: "mean", positions: .last, data: JSONObject()),
      statistics: JSONObject())
    expectRefusal(.artifactSite) {
      try EditTap(
        AppliedVector(vector), model: description, tokenizer: nil, prompt: 0..<4)
    }
  }
}

extension ModelDescription {
  /// A block of attention and one with a state of constant size, of a hybrid.
  fileprivate var trainableBlocks: (attention: Int, recurrent: Int) {
    func block(_ grows: Bool) -> Int {
      sites.first { $0.site.isState && $0.grows == grows }?.site.block ?? 0
    }
    return (block(true), block(false))
  }
}
