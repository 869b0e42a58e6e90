import SextantArtifacts
import SextantBytes
import SextantEvaluation
import SextantModelTestSupport
import SextantModels
import SextantTensor
import SextantTestSupport
import Testing

/// Measured half-lives are compared with those that follow from the decays.
@Suite struct HalfLifeTests {
  private func vector(_ model: ModelDescription, _ words: [String]) throws -> SteeringVector {
    var random = SextantTestSupport.SplitMix64(seed: 8)
    return SteeringVector(
      model: model.reference(tokenizer: nil),
      vectors: try model.sites(named: words).map { site in
        (site.reference, Tensor(random.floats(site.elementCount), shape: site.shape))
      },
      training: .init(method: "random", positions: .last, data: JSONObject()),
      statistics: JSONObject())
  }

  private func tokens(_ count: Int) -> [Int] {
    var random = SextantTestSupport.SplitMix64(seed: 9)
    return (0..<count).map { _ in random.int(below: 100) }
  }

  @Test(arguments: [
    ("mamba-tiny/huggingface", ["conv", "ssm"]), ("mamba-tiny/state-spaces", ["conv", "ssm"]),
    ("mamba-tiny/untied", ["conv", "ssm"]), ("mamba2-tiny/huggingface", ["conv", "ssm"]),
    ("rwkv-tiny/rwkv5/huggingface", ["time_shift", "wkv", "channel_shift"]),
  ])
  func decaysPredictWhatIsMeasured(fixture: String, components: [String]) throws {
    let model = try ConvertedModel(fixture).model
    let found = try HalfLife(
      of: model, tokenizer: nil, vector: vector(model.description, ["state"]), strength: 0.1,
      on: tokens(160), horizon: 60, edits: 3)
    #expect(found.entries.count == components.count * model.description.layerCount)
    for entry in found.entries {
      let predicted = try #require(entry.predicted, "\(entry.component)")
      for (a, b) in zip(entry.measured.shares, predicted.shares) { #expect(abs(a - b) < 1e-3) }
      guard let measured = entry.measured.halfLife, let half = predicted.halfLife else {
        #expect(entry.measured.halfLife == nil && predicted.halfLife == nil)
        continue
      }
      #expect(abs(half - measured) <= 0.1 * measured, "\(entry.layer) \(entry.component)")
      #expect(entry.divergence.count == 60 && entry.divergence[0] > 0)
    }
    #expect(found.entries.contains { ($0.measured.halfLife ?? 99) > 1.5 })
  }

  /// An RWKV's shifts contain one token. Mamba's convolution contains three.
  @Test func shiftsForgetAfterTheirLength() throws {
    for (fixture, component, length) in [
      ("rwkv-tiny/rwkv7/blinkdl", "time_shift", 1), ("mamba-tiny/huggingface", "conv", 3),
    ] {
      let model = try ConvertedModel(fixture).model
      let found = try HalfLife(
        of: model, tokenizer: nil,
        vector: vector(model.description, ["blocks.*.state.\(component)"]), on: tokens(40),
        horizon: 6, edits: 2)
      for entry in found.entries {
        #expect(entry.measured.shares[length] == 0)
        #expect(length == 1 || entry.measured.shares[length - 1] > 0)
        #expect((entry.measured.reinjectionInterval ?? 99) <= 2)
      }
    }
  }

  /// Each edit is made before a token of its own, after which as many tokens as the horizon follow.
  @Test func moreEditsThanTheTextHasPlacesForAreRefused() throws {
    let model = try ConvertedModel("mamba-tiny/huggingface").model
    let vector = try vector(model.description, ["state"])
    func measure(_ edits: Int) throws -> HalfLife {
      try HalfLife(
        of: model, tokenizer: nil, vector: vector, on: tokens(20), horizon: 15, edits: edits)
    }
    #expect(try measure(4).editCount == 4)
    for edits in [0, 5, 1 << 40] {
      let refusal = expectRefusal(.usageOption) { try measure(edits) }
      #expect(
        refusal?.place == .parameter("edits") && refusal?.expected.hasPrefix("1 to 4") == true)
    }
  }

  @Test func curvesThatAreNoNumbersHaveAnInterval() {
    for shares in [[1, .infinity, 0.1], [1, .nan, 0.1], [.nan, .nan], [], [1, .infinity, 0]] {
      let curve = HalfLife.Curve(shares)
      #expect((curve.reinjectionInterval ?? 1) >= 1)
    }
  }

  @Test(
    arguments: [
      ([1, 0.5, 0.25], 1.0), ([1, 0.25], 0.5), ([1, 0], 0.5), ([1, 0.8, 0.4, 0.1], 1.678),
      ([1, 1, 1], nil),
    ] as [([Double], Double?)])
  func halfLivesAreInterpolated(shares: [Double], halfLife: Double?) {
    let found = HalfLife.Curve(shares).halfLife
    #expect((found == nil) == (halfLife == nil))
    if let found, let halfLife { #expect(abs(found - halfLife) < 1e-3) }
  }

  @Test func whatHasNoHalfLifeIsRefused() throws {
    let model = try ConvertedModel("mamba-tiny/huggingface").model
    let state = try vector(model.description, ["state"])
    for (vector, strength) in [(state, Float(0)), (try vector(model.description, ["residual"]), 1)]
    {
      expectRefusal(.artifactEmpty) {
        try HalfLife(
          of: model, tokenizer: nil, vector: vector, strength: strength, on: tokens(80), horizon: 4)
      }
    }
    for horizon in [4, Int.max] {
      expectRefusal(.dataEmpty) {
        try HalfLife(of: model, tokenizer: nil, vector: state, on: tokens(5), horizon: horizon)
      }
    }
  }

  /// In the blocks of hybrids, the mixers of Mamba-2 keep an edit as the measurement shows.
  @Test(arguments: ["granite_h", "falcon_h1-bf16", "nemotron_h"])
  func decaysOfHybridsPredictWhatIsMeasured(name: String) throws {
    let model = try ConvertedModel("hybrids/checkpoints/\(name)").model
    let constant = model.description.sites.filter { $0.site.isState && !$0.grows }.map(\.site.name)
    let found = try HalfLife(
      of: model, tokenizer: nil, vector: vector(model.description, constant), strength: 0.1,
      on: tokens(60), horizon: 20, edits: 2)
    #expect(found.entries.count == constant.count)
    for entry in found.entries {
      let predicted = try #require(entry.predicted, "\(entry.site)")
      for (a, b) in zip(entry.measured.shares, predicted.shares) { #expect(abs(a - b) < 1e-3) }
    }
  }

  @Test func strengthsThatOverflowOrChangeNothingGiveNoFigures() throws {
    for fixture in ["mamba-tiny/huggingface", "rwkv-tiny/rwkv5/huggingface"] {
      let model = try ConvertedModel(fixture).model
      let vector = try vector(model.description, ["state"])
      for (strength, code) in [
        (Float(3e38), Refusal.Code.modelNonfinite), (-3e38, .modelNonfinite),
        (Float.leastNonzeroMagnitude, .artifactScale),
      ] where strength > 1e-30 || strength < 0 || fixture.hasPrefix("mamba") {
        expectRefusal(code, "\(fixture) \(strength)") {
          try HalfLife(
            of: model, tokenizer: nil, vector: vector, strength: strength, on: tokens(40),
            horizon: 4, edits: 1)
        }
      }
    }
  }
}
