import Glibc
import SextantArtifacts
import SextantBytes
import SextantEvaluation
import SextantGeneration
import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import SextantTokenizers
import Testing

@Suite struct LensEvaluationTests {
  let converted: ConvertedModel
  let model: any LanguageModel
  let tokenizer: any Tokenizer
  let corpus: TextCorpus

  init() throws {
    converted = try ConvertedModel("demo-model/model.safetensors")
    model = converted.model
    tokenizer = try #require(converted.tokenizer)
    corpus = try TextCorpus(
      reading: [PackageFiles.fixture("demo-model/reviews.txt")], tokenizer: tokenizer,
      chunkLength: 40, limit: 120)
  }

  /// -log softmax and softmax of a row, in f64.
  private func logSoftmax(_ row: ArraySlice<Float>) -> [Double] {
    let largest = Double(row.max() ?? 0)
    let sum = row.reduce(0.0) { $0 + exp(Double($1) - largest) }
    return row.map { Double($0) - largest - log(sum) }
  }

  @Test func measuresEqualTheNaiveOnes() throws {
    let evaluation = try LensEvaluation(of: [], model, tokenizer: nil, on: corpus)
    #expect(evaluation.results.map(\.name) == ["logit"])
    let sites = model.description.lensSites.map(\.site)
    var sums = sites.map { _ in [0.0, 0.0, 0.0, 0.0] }
    for chunk in corpus.chunks {
      let recorder = FullRecorder()
      var state = model.initialState()
      _ = try model.run(TokenBatch(chunk), from: &state, logits: .none, tap: recorder)
      let width = model.description.vocabularySize
      let rows = try sites.map { site in
        model.readout.logits(residual: try #require(recorder.values[site])).values
      }
      for position in chunk.indices {
        let slice = { (values: [Float]) in values[position * width..<(position + 1) * width] }
        let p = logSoftmax(slice(try #require(rows.last)))
        for index in sites.indices {
          let q = logSoftmax(slice(rows[index]))
          if position + 1 < chunk.count { sums[index][0] -= q[chunk[position + 1]] }
          sums[index][1] += zip(p, q).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) }
          sums[index][2] -= q.reduce(0) { $0 + exp($1) * $1 }
          let best = { (row: [Double]) in row.firstIndex(of: row.max() ?? 0) }
          sums[index][3] += best(p) == best(q) ? 1 : 0
        }
      }
    }
    let (count, next) = (Double(corpus.tokenCount), Double(corpus.tokenCount - corpus.chunks.count))
    for (layer, sum) in zip(evaluation.results[0].layers, sums) {
      #expect(abs(layer.crossEntropy.mean - sum[0] / next) < 2e-5, "\(layer.site)")
      #expect(abs(layer.divergence.mean - sum[1] / count) < 2e-5, "\(layer.site)")
      #expect(abs(layer.entropy.mean - sum[2] / count) < 2e-5, "\(layer.site)")
      #expect(abs(layer.agreement.mean - sum[3] / count) < 1e-9)
      #expect(layer.crossEntropy.interval.contains(layer.crossEntropy.mean))
    }
    #expect(evaluation.results[0].layers.last?.divergence.mean == 0)
    #expect(evaluation.results[0].layers.last?.crossEntropy == evaluation.crossEntropy)
  }

  @Test func transferReadsEverySiteWithEveryTranslator() throws {
    let sites = model.description.lensSites
    var random = SextantTestSupport.SplitMix64(seed: 9)
    let lens = Lens(
      model: model.description.reference(tokenizer: tokenizer.digest),
      translators: sites.map { site in
        var translator = Translator(identity: 192)
        translator.bias = Tensor(random.floats(192), shape: [192])
        return (site.reference, translator)
      }, training: .init(method: "imported", options: JSONObject(), data: JSONObject()))
    let evaluation = try LensEvaluation(
      of: [NamedLens(name: "own", lens: lens)], model, tokenizer: tokenizer.digest, on: corpus,
      measuresTransfer: true)
    let result = evaluation.results[1]
    for (index, layer) in result.layers.enumerated() {
      #expect(result.transfer.divergence[index][index] == layer.divergence.mean)
      #expect(result.transfer.crossEntropy[index][index] == layer.crossEntropy.mean)
    }
    // The layout of tuned-lens: bits per byte, the model's own output left out.
    let metrics = JSONNode(
      .object(evaluation.aggregateMetrics(of: result)), code: .dataRecord, file: nil)
    let factor = corpus.bitsPerByteFactor
    let tuned = try metrics.member("tuned").member("ce").member("layer_3").number()
    #expect(abs(tuned - result.layers[3].crossEntropy.mean * factor) < 1e-12)
    #expect(try metrics.member("logit").member("kl").object().members.count == sites.count - 1)
    let cross = try metrics.member("tuned").member("layer_transfer").member("kl")
      .member("layer_1").member("layer_4").number()
    #expect(abs(cross - result.transfer.divergence[1][4] * factor) < 1e-12)
    #expect(try metrics.member("baseline").member("ce").member("final").number() > 0)
  }

  @Test func lensesOfOtherModelsAreRefused() throws {
    var other = model.description.reference(tokenizer: nil)
    other = ModelReference(
      architecture: other.architecture, identity: SHA256.digest([1]), weights: other.weights,
      width: other.width, layerCount: other.layerCount, tokenizer: nil)
    let lens = Lens(
      model: other, translators: [],
      training: .init(method: "imported", options: JSONObject(), data: JSONObject()))
    let error = #expect(throws: Refusal.self) {
      try LensEvaluation(
        of: [NamedLens(name: "x", lens: lens)], model, tokenizer: nil, on: corpus)
    }
    #expect(error?.code == .artifactModelDigest)
  }
}
