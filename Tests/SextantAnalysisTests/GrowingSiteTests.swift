import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

/// Components of the state that grow with the position, as attention has them.
@Suite struct GrowingSiteTests {
  private let model: any LanguageModel
  private let tokens: [Int]
  private let folder = TemporaryFolder()

  init() throws {
    model = try ConvertedModel("llama-tiny/huggingface").model
    tokens = try Goldens("llama-tiny/goldens/f32.safetensors").integers("tokens")
  }

  private let site = Site.state(block: 1, component: "key")

  @Test func aCaptureHasARowForEachTokenOfEachPrompt() throws {
    let prompts = [Array(tokens[..<5]), Array(tokens[5..<16])]
    let sites = try model.description.sites(named: [site.name])
    let reader = CaptureReader(model, sites: sites)
    let path = folder.path("c.capture.safetensors")
    try reader.capture(prompts, tokenizer: nil).write(to: path)
    let both = try Artifact(reading: path)
    try Capture.check(both)
    let rows = try #require(both.tensor(site.name))
    #expect(rows.shape == [16, 2, 12])
    #expect(both.manifest.sites[0].shape == [16, 2, 12])
    var start = 0
    for prompt in prompts {
      var state = model.initialState()
      _ = try model.run(TokenBatch(prompt), from: &state, logits: .none, tap: nil)
      let own = try #require(state.component(site))
      #expect(rows.rows(start..<start + prompt.count).values == own.values)
      let alone = try reader.capture([prompt], tokenizer: nil)
      try Capture.check(alone)
      #expect(alone.tensor(site.name)?.values == own.values)
      start += prompt.count
    }
  }

  @Test func examplesOfACaptureLeaveGrowingComponentsOut() throws {
    let texts = [Array(tokens[..<4]), Array(tokens[4..<9])]
    let sites = try model.description.sites(named: ["all"])
    let capture = try CaptureReader(model, sites: sites).capture(texts, tokenizer: nil)
    func read(_ words: [String]?) throws(Refusal) -> Activations {
      try Activations(
        capture: capture, of: texts, model: model.description, sites: words, positions: .last,
        pooling: .each)
    }
    for words in [nil, ["all"]] as [[String]?] {
      let found = try read(words)
      #expect(found.sites.count == model.description.layerCount)
      #expect(found.leftOut == sites.filter(\.grows))
    }
    for words in [["state"], [site.name]] { expectRefusal(.artifactSite) { try read(words) } }
  }

  @Test func momentsOfOneShapeForAllTextsAreRefused() throws {
    let sites = try model.description.sites(named: [site.name])
    let reader = MomentReader(model, positions: .last, order: .mean)
    expectRefusal(.artifactSite) { try reader.read([("all", [tokens])], sites: sites) }
  }
}
