import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModelTestSupport
import SextantModels
import SextantReport
import SextantStore
import SextantTensor
import SextantTestSupport
import SextantTokenizers
import Testing

@testable import SextantEvaluation

/// Three texts with the same seed, and warnings of vectors that are too long.
@Suite struct SteeringComparisonTests {
  private let demo: DemoModel
  private let folder = TemporaryFolder()
  private let path: String

  init() throws {
    demo = try DemoModel()
    let sites = try demo.model.description.sites(named: ["blocks.3.output", "blocks.3.state.ssm"])
    var random = SextantTestSupport.SplitMix64(seed: 4)
    let vector = SteeringVector(
      model: demo.model.description.reference(tokenizer: demo.tokenizer.digest),
      vectors: sites.map { site in
        (site.reference, Tensor(random.floats(site.elementCount), shape: site.shape))
      }, training: .init(method: "random", positions: .last, data: JSONObject()),
      statistics: JSONObject())
    path = folder.path("v.steer.safetensors")
    try vector.artifact.write(to: path)
  }

  private func applied(_ strength: String) throws -> AppliedArtifacts {
    try AppliedArtifacts([#require(AppliedFile(argument: path + strength))])
  }

  private func options() throws -> GenerationOptions {
    GenerationOptions(tokenCount: 8, sampling: try SamplingOptions(temperature: 0.8, seed: 3))
  }

  private func comparison(_ applied: AppliedArtifacts) throws -> SteeringComparison {
    try SteeringComparison(
      demo.model, demo.tokenizer, applied, demo.tokenizer.encodeText("The film"), from: nil,
      options())
  }

  private func text(_ strength: String) throws -> GeneratedText {
    try Generator(
      demo.model, demo.tokenizer, applying: try applied(strength).interventions
    ).generate(demo.tokenizer.encodeText("The film"), options()).generated
  }

  @Test(arguments: [
    ["-0.5", "0.5"], ["-20%", "20%"], ["3=-0.5", "3=0.5"], ["-0.1nats", "0.1nats"],
  ])
  func theTextsAreThoseOfThreeRuns(strengths: [String]) throws {
    let found = try comparison(try applied(":\(strengths[1])"))
    let expected = [try text(":\(strengths[0])"), try text(":0"), try text(":\(strengths[1])")]
    #expect(found.texts.map(\.generated.text) == expected.map(\.text))
    #expect(found.texts.map(\.generated.edits.first?.strength)[1] ?? 0 == 0)
    #expect(found.texts[1].title == "unsteered")
    #expect(found.texts[0].generated.text != found.texts[2].generated.text)
    let documents = try JSONNode(.object(found.json), code: .dataRecord, file: nil)
      .member("texts").elements()
    #expect(try documents.map { try $0.member("text").string() } == expected.map(\.text))
    #expect(try documents.map { try $0.member("factor").integer(in: -1...1) } == [-1, 0, 1])
  }

  @Test func columnsFitTheTerminal() throws {
    let found = try comparison(try applied(":0.5"))
    for width in [60, 61, 100, 200] {
      let lines = found.lines(width: width)
      #expect(lines.allSatisfy { TextColumn.width(of: $0) <= width })
      #expect(lines[0].split(separator: "│").count == 3)
      #expect(lines[0].contains("strength -0.5") && lines[0].contains("unsteered"))
    }
    for width in [nil, 59] {
      let lines = found.lines(width: width)
      #expect(lines.count == 6 && lines[0] == "=== strength -0.5" && lines[2] == "=== unsteered")
      #expect(lines[5] == found.texts[2].generated.text)
    }
  }

  @Test func linesBreakBetweenWordsAndInsideLongOnes() {
    #expect(TextColumn.lines("a bc def", 4) == ["a bc", "def"])
    #expect(TextColumn.lines("abcdefgh i", 3) == ["abc", "def", "gh", "i"])
    #expect(TextColumn.lines("a\n\nb", 9) == ["a", "", "b"])
    #expect(TextColumn.lines("日本語", 4) == ["日本", "語"])
    #expect(TextColumn.lines("", 4) == [""])
    #expect(TextColumn.filled("日", 4) == "日  ")
  }

  @Test func onlySteeringVectorsCanBeCompared() throws {
    let none = try AppliedArtifacts([])
    let off = try applied(":0")
    for applied in [none, off] {
      let refusal = expectRefusal(.usageNothingSteered) { try comparison(applied) }
      #expect(refusal?.place == .parameter("compare"))
    }
    let description = demo.model.description
    let own = try #require(description.sites.first { $0.site.name == "blocks.3.output" }).reference
    let probe = Probe(
      model: description.reference(tokenizer: demo.tokenizer.digest), sites: [own],
      entries: [
        ProbeEntry(
          site: own, method: "lr", input: .single,
          direction: Array(repeating: 0.5, count: own.shape[0]))
      ],
      training: .init(
        label: "truth", positions: .last, pooling: .each, data: JSONObject(), seed: 0),
      statistics: JSONObject())
    let file = folder.path("p.probe.safetensors")
    try probe.artifact.write(to: file)
    let mixed = try AppliedArtifacts([
      #require(AppliedFile(argument: "\(path):1")), #require(AppliedFile(argument: file)),
    ])
    expectRefusal(.usageOption) { try comparison(mixed) }
  }

  // MARK: Warnings

  /// The share is the norm of the addition over the norm of the first value before the edit.
  @Test func aVectorThatIsLongerThanTheValuesIsWarnedOf() throws {
    for (strength, isWarned) in [(":40", true), (":0.01", false), (":250%", true), (":99%", false)]
    {
      let applied = try applied(strength)
      var norms: [Site: [Double]] = [:]
      let generator = Generator(
        demo.model, demo.tokenizer, applying: applied.interventions)
      let result = try generator.generate(
        demo.tokenizer.encodeText("The film"), options(),
        telling: { record in
          for edit in record.edits { norms[edit.site, default: []].append(edit.norms.before) }
        })
      let addition = try #require(result.edits.first?.largestAddition)
      #expect(applied.warnings(result.edits).isEmpty == !isWarned, "\(strength)")
      #expect((addition.share > 1) == isWarned)
      guard !strength.hasSuffix("%") else {
        #expect(addition.share == Double(strength == ":250%" ? Float(2.5) : 0.99))
        continue
      }
      let vector = try SteeringVector(reading: path)
      let shares = try vector.vectors.map { reference, value -> Double in
        let site = try #require(reference.site)
        let own = try #require(norms[site])
        let norm = value.values.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
        let factor = Double(strength == ":40" ? Float(40) : 0.01)
        return factor * norm / own[0]
      }
      #expect(abs(addition.share - (shares.max() ?? 0)) <= 1e-9 * addition.share)
      #expect(!isWarned || applied.warnings(result.edits)[0].contains(addition.site))
      // Without records, the same.
      let plain = try generator.generate(demo.tokenizer.encodeText("The film"), options())
      #expect(plain.edits == result.edits)
    }
  }

  @Test func whatSetsAValueIsNotComparedWithIt() throws {
    var options = ApplyingOptions()
    options.operation = .project
    let applied = try AppliedArtifacts(
      [#require(AppliedFile(argument: "\(path):50"))], options)
    let result = try Generator(
      demo.model, demo.tokenizer, applying: applied.interventions
    ).generate(demo.tokenizer.encodeText("The film"), self.options())
    #expect(result.edits.count == 1 && result.edits[0].largestAddition == nil)
    #expect(applied.warnings(result.edits) == [])
  }
}
