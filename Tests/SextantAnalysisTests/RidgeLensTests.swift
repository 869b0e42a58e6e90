import SextantArtifacts
import SextantModelTestSupport
import SextantModels
import SextantTensor
import SextantTestSupport
import SextantTokenizers
import Testing

@testable import SextantAnalysis

@Suite struct RidgeLensTests {
  /// Random rows, and rows that follow from them except for some noise.
  private func streams(_ count: Int, _ width: Int, seed: UInt64) -> (x: Tensor, y: Tensor) {
    var random = SplitMix64(seed: seed)
    let (x, noise) = (random.floats(count * width), random.floats(count * width))
    let y = (0..<count * width).map { index in
      2 * x[index] - x[index / width * width + (index + 1) % width] + 3 + 0.1 * noise[index]
    }
    return (Tensor(x, shape: [count, width]), Tensor(y, shape: [count, width]))
  }

  @Test func momentsOfPartsMergeToThoseOfTheWhole() {
    let (x, y) = streams(700, 6, seed: 1)
    var whole = JointMoments(width: 6)
    whole.add(x, y)
    var merged = JointMoments(width: 6)
    for range in [0..<1, 1..<300, 300..<300, 300..<700] {
      var part = JointMoments(width: 6)
      part.add(x.slice(rows: range), y.slice(rows: range))
      merged.merge(part)
    }
    #expect(merged.count == 700)
    for (a, b) in [
      (merged.mean, whole.mean), (merged.targetMean, whole.targetMean),
      (merged.scatter, whole.scatter), (merged.crossScatter, whole.crossScatter),
      ([merged.targetScatter], [whole.targetScatter]),
    ] {
      #expect(zip(a, b).allSatisfy { abs($0 - $1) <= 1e-12 * max(1, abs($1)) * 700 })
    }
  }

  /// The solution fulfils the normal equations W (S + λ) - C = 0, row by row.
  @Test(arguments: [1e-6, 0.1, 10])
  func theSolutionFulfilsTheNormalEquations(strength: Double) throws {
    let width = 6
    let (x, y) = streams(500, width, seed: 2)
    var moments = JointMoments(width: width)
    moments.add(x, y)
    let solution = try #require(RidgeSolution(moments))
    let lambda = strength * solution.unit
    let weight = solution.matrix(lambda)
    let (s, c) = (moments.covariance, moments.remainderCovariance)
    for row in 0..<width {
      for column in 0..<width {
        let left = (0..<width).reduce(lambda * weight[row * width + column]) {
          $0 + weight[row * width + $1] * s[$1 * width + column]
        }
        #expect(abs(left - c[row * width + column]) < 1e-9)
      }
    }
    // The error from moments is the error of the rows themselves.
    let translated = solution.translator(lambda: lambda)(x)
    let squares = zip(translated.values, y.values).reduce(0.0) {
      $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1))
    }
    let error = solution.error(lambda: lambda, on: moments)
    #expect(abs(error - squares / 500) <= 1e-5 * max(error, 1))
  }

  @Test func theRidgeLensReadsTheDemoModelBetterThanTheLogitLens() throws {
    let converted = try ConvertedModel("demo-model/model.safetensors")
    let tokenizer = try #require(converted.tokenizer)
    let train = try TextCorpus(
      reading: [PackageFiles.fixture("demo-model/samples_train.jsonl")], tokenizer: tokenizer,
      chunkLength: 128, limit: 12_800)
    let test = try TextCorpus(
      reading: [PackageFiles.fixture("demo-model/samples_test.jsonl")], tokenizer: tokenizer,
      chunkLength: 128, limit: 1280)
    var options = RidgeLensOptions()
    (options.calibrationTokens, options.calibrationSteps, options.refinementSteps) = (512, 6, 3)
    let trainer = try RidgeLensTrainer(
      converted.model, tokenizer: tokenizer.digest, corpus: train, options: options)
    let lens = try trainer.train()
    #expect(try trainer.train().artifact.bytes() == lens.artifact.bytes())

    let sites = converted.model.description.lensSites.map(\.site)
    var losses = [(logit: Double, ridge: Double)](repeating: (0, 0), count: sites.count)
    let readout = converted.model.readout
    try ResidualReader(converted.model, sites: sites).read(test.chunks) { tile in
      let target = ReadoutTarget(readout, residual: tile.last)
      for (index, site) in sites.enumerated() {
        guard let translator = lens.translator(site.name) else { continue }
        let sum = { (rows: Tensor) in
          readout.comparison(of: rows, with: target, next: tile.next).divergence
            .reduce(0) { $0 + Double($1) }
        }
        losses[index].logit += sum(Tensor(copying: tile.values[index]))
        losses[index].ridge += sum(translator(tile.values[index]))
      }
    }
    for (index, loss) in losses.dropLast(2).enumerated() {
      #expect(loss.ridge < 0.85 * loss.logit, "\(sites[index])")
    }
    #expect(losses.last?.ridge == losses.last?.logit)
    #expect(lens.translators.last?.translator == Translator(identity: 192))
  }
}
