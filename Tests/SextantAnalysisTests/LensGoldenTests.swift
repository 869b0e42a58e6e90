import SextantArtifacts
import SextantBytes
import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import SextantTokenizers
import Testing

@testable import SextantAnalysis

/// Losses, gradients and training of lenses are compared with autograd and the tuned-lens package,
/// for an RMS norm and a tied head (mamba), and for a layer norm and a separate head (gpt-neox).
@Suite struct LensGoldenTests {
  static let models = ["mamba", "gpt-neox"]

  private struct Case {
    let converted: ConvertedModel
    let goldens: Goldens
    let corpus: TextCorpus
    let sites: [SiteDescription]

    init(_ name: String) throws {
      converted = try ConvertedModel("\(name)-tiny/huggingface")
      goldens = try Goldens("lens/\(name).safetensors")
      let tokens = try goldens.integers("tokens")
      let length = 12
      corpus = TextCorpus(
        chunks: stride(from: 0, to: tokens.count, by: length).map {
          Array(tokens[$0..<$0 + length])
        })
      sites = converted.model.description.lensSites
    }

    func translators(_ prefix: String) throws -> [Translator] {
      try sites.map {
        Translator(
          weight: try goldens.floats("\(prefix).\($0.site).weight"),
          bias: try goldens.floats("\(prefix).\($0.site).bias"))
      }
    }

    func trainer(_ change: (inout TunedLensOptions) -> Void) throws -> TunedLensTrainer {
      var options = TunedLensOptions()
      options.steps = 10
      options.tokensPerStep = corpus.tokenCount
      change(&options)
      return try TunedLensTrainer(
        converted.model, tokenizer: SHA256.digest([]), corpus: corpus, options: options)
    }
  }

  /// The largest difference over the largest value.
  private func error(_ found: Tensor, _ expected: Tensor) -> Float {
    let size = expected.values.reduce(0) { max($0, abs($1)) }
    return zip(found.values, expected.values).reduce(0) { max($0, abs($1.0 - $1.1)) } / size
  }

  @Test(arguments: models, LensLoss.allCases)
  func lossesAndGradientsAreThoseOfAutograd(name: String, loss: LensLoss) throws {
    let lens = try Case(name)
    let start = try lens.translators("start")
    var parameters = LensParameters(start, TunedLensOptions.Optimizer(), isBiasOnly: false)
    let losses = try lens.trainer { $0.loss = loss }
      .accumulate(
        lens.corpus.chunks, &parameters,
        TrainingReadout(lens.converted.model.readout, precision: .exact), trainsLast: true)
    for (index, site) in lens.sites.enumerated() {
      let prefix = "\(loss.rawValue).\(site.site)"
      let golden = try #require(lens.goldens.floats("\(prefix).loss").values.first)
      #expect(abs(losses[index] - Double(golden)) <= 1e-5 * Double(golden), "\(prefix)")
      for (part, found) in [
        ("weight", parameters.gradients[index].weight), ("bias", parameters.gradients[index].bias),
      ] {
        let golden = try lens.goldens.floats("\(prefix).\(part)")
        #expect(error(found, golden) <= 1e-5, "\(prefix).\(part)")
      }
    }
  }

  @Test(arguments: models, ["sgd", "adam", "cross", "bias"])
  func tenStepsAreThoseOfTheTunedLensPackage(name: String, run: String) throws {
    let lens = try Case(name)
    let trained = try lens.trainer { options in
      options.optimizer.kind = run == "adam" ? .adam : .sgd
      options.loss = run == "cross" ? .ce : .kl
      options.isBiasOnly = run == "bias"
    }.train()
    let golden = try lens.translators(run)
    // Adam divides gradients by their size, so that rounding of the smallest has an effect.
    let bound: Float = run == "adam" ? 2e-4 : 1e-4
    for (index, site) in lens.sites.enumerated() {
      let found = trained.translators[index].translator
      guard site.site != lens.converted.model.description.lastSite || run == "cross" else {
        #expect(found == Translator(identity: site.elementCount))
        continue
      }
      if run == "bias" {
        #expect(found.weight == Translator(identity: site.elementCount).weight)
      } else {
        #expect(error(found.weight, golden[index].weight) <= bound, "\(run) \(site.site)")
      }
      #expect(error(found.bias, golden[index].bias) <= bound, "\(run) \(site.site)")
    }
  }

  @Test func trainingGoesOnFromACheckpointAsIfItHadNotStopped() throws {
    let lens = try Case("mamba")
    for kind in TunedLensOptions.Optimizer.Kind.allCases {
      let trainer = try lens.trainer {
        $0.optimizer.kind = kind
        $0.tokensPerStep = 24
      }
      var saved: [LensCheckpoint] = []
      let whole = try trainer.train(saveEvery: 4) { saved.append($0) }
      #expect(saved.map(\.step) == [4, 8])
      let folder = lens.converted.folder
      for (index, checkpoint) in saved.enumerated() {
        let path = folder.path("\(kind)-\(index).safetensors")
        try checkpoint.artifact.write(to: path)
        let resumed = try trainer.train(resuming: LensCheckpoint(reading: path))
        #expect(try resumed.artifact.bytes() == whole.artifact.bytes())
      }
      let other = try lens.trainer {
        $0.tokensPerStep = 36; $0.optimizer.kind = kind
      }
      #expect(throws: Refusal.self) { try other.train(resuming: saved[0]) }
      // The seed decides on the order of the texts, and the stored type on every value.
      let seeded = try lens.trainer {
        $0.optimizer.kind = kind
        ($0.tokensPerStep, $0.seed) = (24, 43)
      }
      let refusal = expectRefusal(.artifactRetrain) { try seeded.train(resuming: saved[0]) }
      #expect(refusal?.place == .pointer("/seed"))
      var reference = saved[0].model
      reference.weights = "f16"
      func checkpoint(_ model: ModelReference, seed: Int?) -> LensCheckpoint {
        LensCheckpoint(
          model: model, sites: saved[0].sites, step: saved[0].step, options: saved[0].options,
          data: saved[0].data, seed: seed, memories: saved[0].memories,
          firstLosses: saved[0].firstLosses, values: saved[0].values)
      }
      expectRefusal(.artifactModelDigest) {
        try trainer.train(resuming: checkpoint(reference, seed: 42))
      }
      // Older versions did not keep the seed.
      _ = try trainer.train(resuming: checkpoint(saved[0].model, seed: nil))
    }
  }

  @Test func anIntervalAtWhichNoCheckpointIsWrittenIsRefused() throws {
    let trainer = try Case("mamba").trainer { $0.tokensPerStep = 24 }
    for interval in [10, 25, Int.max] {
      let refusal = expectRefusal(.usageOption) { try trainer.train(saveEvery: interval) }
      #expect(refusal?.place == .parameter("checkpointEvery"))
    }
  }

  @Test(arguments: models)
  func roundedProductsMoveGradientsLittle(name: String) throws {
    let lens = try Case(name)
    let start = try lens.translators("start")
    var (exact, fast) = (
      LensParameters(start, TunedLensOptions.Optimizer(), isBiasOnly: false),
      LensParameters(start, TunedLensOptions.Optimizer(), isBiasOnly: false)
    )
    let trainer = try lens.trainer { _ in }
    let readout = lens.converted.model.readout
    let losses = [
      try trainer.accumulate(
        lens.corpus.chunks, &exact, TrainingReadout(readout, precision: .exact), trainsLast: true),
      try trainer.accumulate(
        lens.corpus.chunks, &fast, TrainingReadout(readout, precision: .fast), trainsLast: true),
    ]
    for index in start.indices {
      #expect(abs(losses[0][index] - losses[1][index]) <= 0.02 * losses[0][index] + 1e-3)
      #expect(error(fast.gradients[index].weight, exact.gradients[index].weight) < 0.05)
    }
  }
}
