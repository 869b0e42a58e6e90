import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantModelTestSupport
import SextantModels
import SextantTestSupport
import SextantTokenizers
import Testing

/// Training that would not fit into memory is refused before a text is read.
@Suite struct MemoryTests {
  private let converted: ConvertedModel
  private let model: any LanguageModel
  private let tokenizer: any Tokenizer
  private let texts = [[1, 2, 3], [4, 5, 6, 7]]

  init() throws {
    converted = try ConvertedModel("demo-model/model.safetensors")
    model = converted.model
    tokenizer = try #require(converted.tokenizer)
  }

  private func sites(_ words: String...) throws -> [SiteDescription] {
    try model.description.sites(named: words)
  }

  private func progress(_ done: Int, _ total: Int) { Issue.record("\(done) of \(total) were read") }

  @Test func captures() throws {
    let reader = CaptureReader(model, sites: try sites("blocks.1.output", "blocks.1.state.ssm"))
    expectMemoryRefusal("2 sites of 7 tokens") {
      _ = try reader.capture(texts, tokenizer: nil, progress: progress)
    }
  }

  @Test func activations() throws {
    let sites = try sites("blocks.1.output")
    let prompts = ChoicePrompts(prompts: texts, choices: [[1, 2], [1, 2]])
    for readsPairs in [false, true] {
      expectMemoryRefusal("the activations of 2 examples at 1 site") {
        _ = try ActivationReader(model).read(
          prompts, sites: sites, readsPairs: readsPairs, progress: progress)
      }
    }
  }

  @Test func moments() throws {
    let sites = try sites("blocks.1.output", "blocks.2.output")
    for order in [MomentOrder.variance, .covariance] {
      let reader = MomentReader(model, positions: .last, order: order)
      expectMemoryRefusal("the moments of 2 sites") {
        _ = try reader.read([("a", texts), ("b", texts)], sites: sites, progress: progress)
      }
      let pairs = TokenPairs(positive: texts, negative: texts)
      for differences in [nil, MomentOrder.covariance] {
        expectMemoryRefusal("the moments of 2 sites") {
          _ = try reader.read(pairs, sites: sites, differences: differences, progress: progress)
        }
      }
    }
  }

  @Test func lenses() throws {
    let corpus = TextCorpus(chunks: [[1, 2, 3, 4], [5, 6, 7, 8]], byteCount: 8)
    let width = model.description.width
    let count = model.description.lensSites.count
    let ridge = try RidgeLensTrainer(model, tokenizer: tokenizer.digest, corpus: corpus)
    expectMemoryRefusal("the moments of \(count) sites of \(width) elements") {
      _ = try ridge.train { progress($1, $2) }
    }
    let tuned = try TunedLensTrainer(
      model, tokenizer: tokenizer.digest, corpus: corpus, options: TunedLensOptions())
    expectMemoryRefusal("the translators of \(count) sites in training") {
      _ = try tuned.train()
    }
  }
}
