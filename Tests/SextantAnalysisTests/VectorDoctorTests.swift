import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import SextantTokenizers
import Testing

/// Vectors with one mistake, and the reports of the doctor.
@Suite struct VectorDoctorTests {
  let converted: ConvertedModel
  let model: any LanguageModel
  let tokenizer: any Tokenizer
  let pairs: ContrastPairs
  private let folder = TemporaryFolder()

  init() throws {
    converted = try ConvertedModel("demo-model/model.safetensors")
    model = converted.model
    tokenizer = try #require(converted.tokenizer)
    let all = try InputFile(PackageFiles.fixture("demo-model/sentiment_pairs.jsonl"))
      .readAll(limit: 1 << 20)
    let lines = all.split(separator: UInt8(ascii: "\n"))[..<40]
    pairs = try ContrastPairs(
      reading: folder.write(Array(lines.joined(separator: [0x0A])), to: "pairs.jsonl"),
      template: nil)
  }

  /// The right vector of blocks 1 to 4, with other names of its tensors or another sign.
  private func vector(
    sign: Float = 1, operation: SteeringVector.Operation = .add,
    _ rename: (Int) -> String = { "blocks.\($0).output" }
  ) throws -> SteeringVector {
    let trained = try SteeringTrainer(
      model, tokenizer,
      sites: model.description.sites(named: ["residual"], layers: LayerSelection(1...4))
    ).train(pairs).vector
    return SteeringVector(
      model: trained.model,
      vectors: trained.vectors.enumerated().map { index, vector in
        (
          SiteReference(
            name: rename(index + 1), shape: vector.site.shape, axes: vector.site.axes),
          Tensor(vector.value.values.map { sign * $0 }, shape: vector.value.shape)
        )
      },
      operation: operation, training: trained.training, statistics: JSONObject())
  }

  private func examine(_ vector: SteeringVector) throws -> VectorDoctor {
    try VectorDoctor(vector, model: model, tokenizer: tokenizer, pairs: pairs)
  }

  @Test func aVectorThatIsRightFits() throws {
    let found = try examine(vector())
    #expect(found.verdict == .fits && !found.isFlipped && found.operationDoubt == nil)
    #expect(found.own.cosine > 0.999 && found.own.layerCount == 4)
    #expect(try examine(vector(sign: -1)).isFlipped)
  }

  @Test(arguments: [1, -1])
  func shiftedLayersAreFound(shift: Int) throws {
    let found = try examine(vector { "blocks.\($0 + shift).output" })
    let best = try #require(found.readings.max { $0.cosine < $1.cosine })
    #expect(best.cosine > 0.999 && found.verdict == .other && !found.isFlipped)
    // The input of a block is the output of the block before it.
    let right: [(VectorDoctor.Place, Int)] = [(.output, -shift), (.input, 1 - shift)]
    #expect(right.contains { $0 == (best.place, best.shift) })
    #expect(found.own.cosine < best.cosine / 1.02)
  }

  @Test func aVectorOfTheInputsIsTheOneOfTheOutputsBefore() throws {
    let found = try examine(vector { "blocks.\($0 + 1).input" })
    #expect(found.verdict == .fits && found.own.place == .input)
    let twin = try #require(found.readings.first { $0.place == .output && $0.shift == -1 })
    #expect(abs(twin.separation - found.own.separation) < 1e-3)
  }

  @Test func noiseIsUnrelated() throws {
    var random = SplitMix64(seed: 4)
    let right = try vector()
    let noise = SteeringVector(
      model: right.model,
      vectors: right.vectors.map { ($0.site, Tensor(random.floats(192), shape: [192])) },
      training: right.training, statistics: JSONObject())
    let found = try examine(noise)
    #expect(found.verdict == .unrelated && abs(found.own.cosine) < 0.2)
  }
}
