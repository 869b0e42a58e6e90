import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantModelTestSupport
import SextantModels
import SextantTensor
import SextantTestSupport
import Testing

/// Vectors are compared with those that NumPy computed from the float64 references, text by text.
@Suite struct SteeringGoldenTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let fixture: String
    let sites: [String]
    let positions: String
    var testDescription: String { "\(name), \(positions)" }
  }

  static let cases = ["last-1", "last-3"].flatMap { positions in
    [
      Case(
        name: "mamba", fixture: "mamba-tiny/huggingface",
        sites: ["blocks.1.output", "blocks.2.state.conv", "blocks.1.state.ssm"],
        positions: positions),
      Case(
        name: "rwkv5", fixture: "rwkv-tiny/rwkv5/blinkdl",
        sites: ["blocks.2.output"]
          + ["time_shift", "wkv", "channel_shift"].map { "blocks.1.state.\($0)" },
        positions: positions),
    ]
  }

  private func texts(_ goldens: Goldens, _ name: String) throws -> [[Int]] {
    var tokens = try goldens.integers("\(name).tokens")[...]
    return try goldens.integers("\(name).lengths").map { length in
      defer { tokens = tokens.dropFirst(length) }
      return Array(tokens.prefix(length))
    }
  }

  @Test(arguments: cases)
  func vectorsAreThoseOfTheReference(test: Case) throws {
    let goldens = try Goldens("steering/\(test.name).safetensors")
    let model = try ConvertedModel(test.fixture).model
    let pairs = try TokenPairs(
      positive: texts(goldens, "positive"), negative: texts(goldens, "negative"))
    let positions = try #require(PositionSelection(test.positions))
    let reference = model.description.reference(tokenizer: nil)
    for site in try model.description.sites(named: test.sites) {
      let full = site.site.name.hasSuffix("output")
      let moments = try MomentReader(model, positions: positions, order: .covariance).read(
        pairs, sites: [site], differences: .covariance)
      var methods = [("mean", SteeringMethod.mean, 0.0), ("lda-diagonal", .ldaDiagonal, 0)]
      if full {
        methods += [
          ("lda", .lda, 0), ("lda-half", .lda, 0.5), ("lda-total", .ldaTotal, 0), ("pca", .pca, 0),
          ("pca-centered", .pcaCentered, 0),
        ]
      }
      for (name, method, shrinkage) in methods {
        let vector = try SteeringEstimator(method, shrinkage: shrinkage).vector(
          from: moments, at: positions, model: reference, data: JSONObject())
        let golden = try goldens.floats("\(test.positions).\(site.site.name).\(name)")
        let largest = golden.values.map(abs).max() ?? 0
        // An inverse amplifies the rounding of f32 activations.
        let bound: Float = name == "mean" ? 1e-5 : 1e-3 * largest
        expectClose(
          vector.vectors[0].value.reshaped([golden.count]), golden, Bound(absolute: bound),
          "\(site.site) \(name)")
      }
    }
  }

  /// Running the common beginning of a pair once changes only the rounding.
  @Test(arguments: cases)
  func sharedPrefixesChangeNothing(test: Case) throws {
    let goldens = try Goldens("steering/\(test.name).safetensors")
    let model = try ConvertedModel(test.fixture).model
    let sites = try model.description.sites(named: test.sites)
    let (positive, negative) = (try texts(goldens, "positive"), try texts(goldens, "negative"))
    let positions = try #require(PositionSelection(test.positions))
    for batch in [1, 3, 16] {
      let reader = MomentReader(model, positions: positions, order: .variance, batch: batch)
      let shared = try reader.read(TokenPairs(positive: positive, negative: negative), sites: sites)
      let separate = try MomentReader(model, positions: positions, order: .variance, batch: 1).read(
        [("positive", positive), ("negative", negative)], sites: sites)
      for site in sites {
        for name in ["positive", "negative"] {
          let (a, b) = (
            try #require(shared[site.site, name]), try #require(separate[site.site, name])
          )
          #expect(a.count == b.count)
          let worst = zip(a.mean + a.spread, b.mean + b.spread).map { abs($0 - $1) }.max() ?? 0
          #expect(worst <= 1e-5, "\(site.site) \(name)")
        }
      }
    }
  }
}
