import SextantArtifacts
import SextantBytes
import SextantEvaluation
import SextantStore
import SextantTensor
import Testing

@Suite struct SentimentLexiconTests {
  @Test(arguments: [
    ("A superb, gripping film.", 1.0),
    ("dull DULL dull", -1.0),
    ("great but boring", 0.0),
    ("It was not good.", -1.0),
    ("I didn't hate it", 1.0),
    ("not in any way good", 1.0),
    ("great great awful", 1.0 / 3),
  ])
  func textsAreScoredByTheirWords(text: String, expected: Double) {
    #expect(SentimentLexicon().score(text) == expected)
  }

  @Test(arguments: ["", "The film opens on a street.", "goodness"])
  func textsWithoutItsWordsHaveNoScore(text: String) {
    #expect(SentimentLexicon().score(text) == nil)
  }

  @Test func wordsOfTheTrainingTextsAreLeftOut() {
    let lexicon = SentimentLexicon(without: ["A Superb film", "an awful film"])
    #expect(lexicon.count == SentimentLexicon().count - 2)
    #expect(lexicon.score("superb superb dull") == -1)
  }
}

@Suite struct SampleMeanTests {
  @Test func meanAndStandardErrorOfKnownValues() {
    let mean = SampleMean([2, 4, 4, 4, 5, 5, 7, 9])
    #expect(mean.count == 8 && mean.mean == 5)
    #expect(abs(mean.standardError - (32.0 / 7 / 8).squareRoot()) < 1e-12)
    #expect(SampleMean([]).count == 0)
  }
}

@Suite struct RandomControlTests {
  @Test func aControlHasTheNormsOfItsVectorAndAnotherDirection() throws {
    let identity = SHA256.digest(Array("model".utf8))
    let model = ModelReference(
      architecture: "mamba", identity: identity, weights: "source", width: 64, layerCount: 2,
      tokenizer: nil)
    let values = (0..<64).map { Float($0) - 20 }
    let vector = SteeringVector(
      model: model,
      vectors: [
        (
          SiteReference(name: "blocks.0.output", shape: [64], axes: ["channel"]),
          Tensor(values, shape: [64])
        ),
        (
          SiteReference(name: "blocks.1.state.ssm", shape: [32, 2], axes: ["channel", "state"]),
          Tensor(values, shape: [32, 2])
        ),
      ],
      training: .init(method: "mean", positions: .last, data: JSONObject()),
      statistics: JSONObject())
    let control = vector.randomControl(seed: 1)
    for ((site, expected), (controlSite, found)) in zip(vector.vectors, control.vectors) {
      #expect(site == controlSite && expected.shape == found.shape)
      let (a, b) = (expected.values, found.values)
      let norm = { (x: [Float]) in x.reduce(0.0) { $0 + Double($1 * $1) }.squareRoot() }
      #expect(abs(norm(a) - norm(b)) < 1e-3 * norm(a))
      let cosine = zip(a, b).reduce(0.0) { $0 + Double($1.0 * $1.1) } / norm(a) / norm(b)
      #expect(abs(cosine) < 0.6)
    }
    #expect(control.vectors[0].value != control.vectors[1].value)
    #expect(vector.randomControl(seed: 1).vectors[0].value == control.vectors[0].value)
    #expect(vector.randomControl(seed: 2).vectors[0].value != control.vectors[0].value)
  }
}
