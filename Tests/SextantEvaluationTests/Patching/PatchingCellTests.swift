import Glibc
import SextantBytes
import SextantEvaluation
import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

/// Every cell is what a whole run of its own gives, with a tap that replaces the one value.
@Suite struct PatchingCellTests {
  private static let fixtures = [
    "mamba-tiny/huggingface", "mamba2-tiny/grouped", "rwkv-tiny/rwkv4/blinkdl",
    "rwkv-tiny/rwkv5/blinkdl", "rwkv-tiny/rwkv5/v5.0", "rwkv-tiny/rwkv6/blinkdl",
    "rwkv-tiny/rwkv7/blinkdl", "llama-tiny/llama3", "llama-tiny/mistral",
    "gpt-neox-tiny/huggingface", "gpt-neox-tiny/serial", "btlm-tiny/huggingface",
    "hybrids/checkpoints/lfm2", "hybrids/checkpoints/nemotron_h",
    "hybrids/checkpoints/nemotron_h_latent", "hybrids/checkpoints/granite_h",
    "hybrids/checkpoints/granite_h_moe-bf16", "hybrids/checkpoints/falcon_h1-bf16",
    "hybrids/checkpoints/falcon_mamba", "hybrids/checkpoints/qwen3_5-multimodal",
    "hybrids/checkpoints/qwen2_small", "hybrids/checkpoints/qwen3_small",
    "hybrids/checkpoints/gemma3_small", "hybrids/checkpoints/olmo3_small",
    "hybrids/checkpoints/olmo_hybrid_small", "hybrids/checkpoints/jamba",
  ]

  private let clean = [5, 17, 3, 40, 8]
  private let corrupted = [5, 31, 3, 41, 8]

  /// A run of a whole prompt from the empty state: the values at every site, and the state before each token.
  private func record(
    _ tokens: [Int], _ model: any LanguageModel
  ) throws -> (values: [Site: Tensor], states: [[Site: Tensor]]) {
    var values: [Site: Tensor] = [:]
    var states: [[Site: Tensor]] = tokens.map { _ in [:] }
    let sites = model.description.sites.filter { !$0.isReadOnly }.map(\.site)
    let tap = ClosureTap(Set(sites), stateVisits: { StateVisits(before: Set($0)) }) {
      site, value, context in
      if context.stateMoment != nil {
        states[context.positions.lowerBound][site] = value
      } else {
        values[site] = values[site].map { Tensor.concatenated([$0, value]) } ?? value
      }
    }
    var state = model.initialState()
    _ = try model.run(TokenBatch(tokens), from: &state, tap: tap)
    return (values, states)
  }

  /// A run of a whole prompt in which a tap replaces one value.
  private func outcome(
    _ base: [Int], _ place: PatchedPlace, at token: Int,
    by source: (values: [Site: Tensor], states: [[Site: Tensor]]), _ model: any LanguageModel,
    _ answers: (Int, Int)
  ) throws -> (difference: Double, probability: Double) {
    let site = model.description.sites.first { $0.site == place.site }
    let (heads, grows) = (site?.shape.first ?? 1, site?.grows ?? false)
    let tap = ClosureTap(
      [place.site],
      stateVisits: { StateVisits(before: place.site.isState ? Set($0).intersection([token]) : []) }
    ) { site, value, context in
      if context.stateMoment != nil {
        guard let other = source.states[token][site] else { return }
        guard let head = place.head else { return value = other }
        // [1, positions if it grows, heads, …]
        let outer = grows ? value.shape[1] : 1
        let inner = value.count / max(outer * heads, 1)
        var values = value.values
        for index in values.indices where index / inner % heads == head {
          values[index] = other.values[index]
        }
        value = Tensor(values, shape: value.shape)
      } else if context.positions.contains(token), let other = source.values[site] {
        value.replace(
          token - context.positions.lowerBound, by: other.rows(token..<token + 1))
      }
    }
    var state = model.initialState()
    let logits = try model.run(TokenBatch(base), from: &state, tap: tap).values
    let sum = logits.reduce(0) { $0 + exp(Double($1)) }
    return (
      Double(logits[answers.0]) - Double(logits[answers.1]), exp(Double(logits[answers.0])) / sum
    )
  }

  @Test(arguments: fixtures)
  func isWhatARunOfItsOwnGives(fixture: String) throws {
    let model = try ConvertedModel(fixture).model
    let hasHeads = model.description.sites.contains { $0.site.isState && $0.axes.first == "head" }
    for isReverse in [false, true] {
      var patching = ActivationPatching(model)
      (patching.sites, patching.heads, patching.reverse) = (["all"], hasHeads, isReverse)
      let result = try patching.run(on: [
        PatchingTokens(clean: clean, corrupted: corrupted, answer: 11, against: 47)
      ])
      let patched = Set(result.places.map(\.site))
      let expected = model.description.sites.filter { description in
        switch description.site {
        case .embedding, .output, .part, .state: !description.isReadOnly
        default: false
        }
      }
      #expect(patched == Set(expected.map(\.site)))
      #expect(result.cells.count == result.places.count * clean.count)
      let (base, source) = isReverse ? (clean, corrupted) : (corrupted, clean)
      let recorded = try record(source, model)
      var changed = 0
      for cell in result.cells {
        let place = result.places[cell.place]
        let own = try outcome(base, place, at: cell.column, by: recorded, model, (11, 47))
        #expect(cell.patched.difference == own.difference, "\(place) at \(cell.column)")
        #expect(abs(cell.patched.probability - own.probability) < 1e-9)
        changed += cell.share.value == 0 ? 0 : 1
      }
      #expect(changed > result.cells.count / 4)
    }
  }

  @Test(arguments: ["mamba-tiny/huggingface", "hybrids/checkpoints/granite_h"])
  func cellsOfWholePromptsAreTheOtherRun(fixture: String) throws {
    let model = try ConvertedModel(fixture).model
    var patching = ActivationPatching(model)
    patching.sites = ["stream", "state"]
    let tokens = PatchingTokens(
      clean: [5, 17, 3], corrupted: [5, 31, 3], answer: 11, against: 47)
    let result = try patching.run(on: [tokens])
    // The embedding of the only other token is all that differs.
    let cell = try #require(result.cell(PatchedPlace(.embedding), column: 1))
    #expect(cell.share.value == 1 && cell.patched == result.clean)
    let last = PatchedPlace(.output(block: model.description.layerCount - 1))
    #expect(result.cell(last, column: 2)?.share.value == 1)
    #expect(result.cell(last, column: 1)?.share.value == 0)
    for cell in result.cells where cell.column == 0 {
      #expect(cell.share.value == 0 && cell.patched == result.corrupted)
    }
    #expect(
      result.cells.filter { result.places[$0.place].site.isState && $0.column < 2 }
        .allSatisfy { $0.share.value == 0 })
  }

  /// More cells at a token than run together, and prompts that make pieces.
  @Test func cellsOfALongPromptAreRunInParts() throws {
    let model = try ConvertedModel("hybrids/checkpoints/granite_h").model
    var random = SextantTestSupport.SplitMix64(seed: 4)
    let clean = (0..<700).map { _ in random.int(below: 100) }
    var corrupted = clean
    corrupted[690] = (clean[690] + 1) % 100
    var patching = ActivationPatching(model)
    (patching.sites, patching.heads) = (["all"], true)
    let result = try patching.run(on: [
      PatchingTokens(clean: clean, corrupted: corrupted, answer: 1, against: 2)
    ])
    #expect(result.cells.filter { $0.column < 690 }.allSatisfy { $0.share.value == 0 })
    let recorded = try record(clean, model)
    for cell in result.cells where [690, 695, 699].contains(cell.column) && cell.place % 7 == 0 {
      let place = result.places[cell.place]
      let own = try outcome(corrupted, place, at: cell.column, by: recorded, model, (1, 2))
      #expect(cell.patched.difference == own.difference, "\(place) at \(cell.column)")
    }
  }

  /// The rotation of all tokens depends on the length of the text.
  @Test func cellsOfALongTextHaveItsRotation() throws {
    let model = try ConvertedModel("configurations/llama-dynamic-in-long-text").model
    let limit = try #require(model.description.rotationLength)
    var random = SextantTestSupport.SplitMix64(seed: 6)
    let clean = (0..<limit + 5).map { _ in random.int(below: model.description.vocabularySize) }
    var corrupted = clean
    corrupted[limit - 2] = (clean[limit - 2] + 1) % model.description.vocabularySize
    var patching = ActivationPatching(model)
    patching.sites = ["all"]
    let result = try patching.run(on: [
      PatchingTokens(clean: clean, corrupted: corrupted, answer: 1, against: 2)
    ])
    let recorded = try record(clean, model)
    for cell in result.cells where cell.column >= limit - 2 {
      let place = result.places[cell.place]
      let own = try outcome(corrupted, place, at: cell.column, by: recorded, model, (1, 2))
      #expect(cell.patched.difference == own.difference, "\(place) at \(cell.column)")
    }
  }

  @Test func whatNoPatchCanChangeIsRefused() throws {
    let model = try ConvertedModel("mamba-tiny/huggingface").model
    let tokens = PatchingTokens(clean: [1, 2], corrupted: [1, 3], answer: 4, against: 5)
    func run(_ sites: [String], heads: Bool = false, on pairs: [PatchingTokens]) throws {
      var patching = ActivationPatching(model)
      (patching.sites, patching.heads) = (sites, heads)
      _ = try patching.run(on: pairs)
    }
    for sites in [
      ["logits"], ["final_norm"], ["blocks.0.memory"], ["nothing"], ["blocks.99.output"],
    ] {
      expectRefusal(.artifactSite, "\(sites)") { try run(sites, on: [tokens]) }
    }
    let unknown = expectRefusal(.artifactSite) { try run(["streams"], on: [tokens]) }
    #expect(unknown?.expected.hasPrefix("stream, parts, state, all") == true)
    expectRefusal(.usageOption) { try run(["state"], heads: true, on: [tokens]) }
    expectRefusal(.dataEmpty) { try run(["stream"], on: []) }
    for (corrupted, answer) in [([1, 99999], 4), ([1, -1], 4), ([1, 3], 99999)] {
      expectRefusal(.modelToken) {
        try run(
          ["stream"],
          on: [
            PatchingTokens(clean: [1, 2], corrupted: corrupted, answer: answer, against: 5)
          ])
      }
    }
    expectRefusal(.dataRecord) {
      try run(
        ["stream"], on: [PatchingTokens(clean: [1, 2], corrupted: [1, 2], answer: 4, against: 5)])
    }
  }
}
