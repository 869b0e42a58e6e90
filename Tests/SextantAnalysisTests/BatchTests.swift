import SextantAnalysis
import SextantArtifacts
import SextantModelTestSupport
import SextantModels
import SextantTensor
import SextantTestSupport
import Testing

/// The result of training has the same bits for any batches of texts.
@Suite struct BatchTests {
  static let fixtures = [
    "mamba-tiny/huggingface", "mamba2-tiny/huggingface", "mamba2-tiny/bf16",
    "rwkv-tiny/rwkv4/huggingface", "rwkv-tiny/rwkv5/huggingface", "rwkv-tiny/rwkv6/huggingface",
    "rwkv-tiny/rwkv7/fla", "gpt-neox-tiny/huggingface", "llama-tiny/huggingface",
    "btlm-tiny/huggingface",
  ]

  /// Texts of few lengths. The longest does not fit into one run.
  private func texts(_ count: Int, seed: UInt64) -> [[Int]] {
    var random = SplitMix64(seed: seed)
    return (0..<count).map { index in
      (0..<[5, 70, 5, 9, 5, 1][index % 6]).map { _ in random.int(below: 90) }
    }
  }

  /// Pairs with a common beginning. The texts of every third pair have different lengths.
  private var pairs: TokenPairs {
    let (starts, ends, others) = (texts(12, seed: 1), texts(12, seed: 2), texts(13, seed: 3))
    var (positive, negative): ([[Int]], [[Int]]) = ([], [])
    for index in 0..<12 {
      positive.append(starts[index] + [91] + ends[index])
      negative.append(starts[index] + [92] + (index % 3 == 0 ? others[index + 1] : ends[index]))
    }
    return TokenPairs(positive: positive, negative: negative)
  }

  /// The stream and the states of one block.
  private func sites(_ model: any LanguageModel) -> [SiteDescription] {
    model.description.sites.filter {
      !$0.grows && $0.site.block == 1 && ($0.site.isState || $0.site.name.hasSuffix("output"))
    }
  }

  @Test(arguments: fixtures)
  func momentsDoNotDependOnTheBatch(fixture: String) throws {
    let model = try ConvertedModel(fixture).model
    let (sites, texts) = (sites(model), texts(9, seed: 4))
    let outputs = sites.filter { !$0.site.isState }
    for (positions, order, read) in [
      (.last, .covariance, outputs),
      (try #require(PositionSelection("last-3,0")), .variance, sites),
      (try #require(PositionSelection("all")), .variance, sites),
    ] as [(PositionSelection, MomentOrder, [SiteDescription])] {
      let moments = { (batch: Int) throws -> [MomentSet] in
        let reader = MomentReader(model, positions: positions, order: order, batch: batch)
        return [
          try reader.read(
            pairs, sites: read, differences: positions == .last ? .covariance : nil),
          try reader.read([("a", texts), ("b", Array(texts[..<4]))], sites: read),
        ]
      }
      let one = try moments(1)
      for batch in [3, 16] {
        #expect(try moments(batch) == one, "\(positions), batches of \(batch)")
      }
    }
  }

  @Test(arguments: fixtures)
  func activationsDoNotDependOnTheBatch(fixture: String) throws {
    let model = try ConvertedModel(fixture).model
    let sites = sites(model)
    let prompts = ChoicePrompts(
      prompts: texts(15, seed: 4), choices: (0..<15).map { [$0, 40 + $0] })
    let all = try #require(PositionSelection("all"))
    for (positions, pooling) in [(.last, .each), (all, .mean)]
      as [(PositionSelection, Probe.Pooling)]
    {
      let read = { (batch: Int) throws in
        try ActivationReader(model, positions: positions, pooling: pooling, batch: batch)
          .read(prompts, sites: sites, readsPairs: true)
      }
      let one = try read(1)
      for batch in [4, 32] {
        let other = try read(batch)
        #expect(other.values == one.values && other.pairs == one.pairs, "batches of \(batch)")
        #expect(other.outputs == one.outputs, "batches of \(batch)")
      }
      // A capture reads one prompt at a time.
      guard positions == .last else { continue }
      let capture = try CaptureReader(model, sites: sites).capture(prompts.prompts, tokenizer: nil)
      let captured = try Activations(
        capture: capture, of: prompts.prompts, model: model.description, positions: positions,
        pooling: pooling)
      #expect(captured.values == one.values)
    }
  }
}
