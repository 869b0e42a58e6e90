import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import SextantTokenizers
import Testing

@Suite struct LensGridTests {
  let converted: ConvertedModel
  let model: any LanguageModel
  let tokenizer: any Tokenizer
  let tokens: [Int]

  init() throws {
    converted = try ConvertedModel("demo-model/model.safetensors")
    model = converted.model
    tokenizer = try #require(converted.tokenizer)
    tokens = tokenizer.encode("I watched this film last night and it was wonderful.")
  }

  /// A lens that adds a different vector at each site.
  private func shiftingLens() -> Lens {
    var random = SextantTestSupport.SplitMix64(seed: 5)
    return Lens(
      model: model.description.reference(tokenizer: tokenizer.digest),
      translators: model.description.lensSites.dropLast().map { site in
        var translator = Translator(identity: site.elementCount)
        translator.bias = Tensor(random.floats(site.elementCount), shape: [site.elementCount])
        return (site.reference, translator)
      }, training: .init(method: "imported", options: JSONObject(), data: JSONObject()))
  }

  @Test func theLastRowOfTheLogitLensIsTheModel() throws {
    let grid = try LensGrid(.logit, model, tokenizer: tokenizer, on: tokens, guesses: 3)
    var state = model.initialState()
    let logits = try model.run(TokenBatch(tokens), from: &state, logits: .all)  // [1, T, V]
    let rows = logits.reshaped([tokens.count, logits.columnCount])
    let probabilities = Kernels.softmax(rows).values
    let cells = try #require(grid.cells.last)
    #expect(grid.sites.last == model.description.lastSite && cells.count == tokens.count)
    for (row, best) in Kernels.argmax(rows).enumerated() {
      let guess = try #require(cells[row].guesses.first)
      #expect(guess.token == best && cells[row].guesses.count == 3)
      let expected = Double(probabilities[row * rows.columnCount + best])
      #expect(abs(guess.probability - expected) < 1e-5)
      #expect(cells[row].divergence == 0)
    }
    #expect(cells.last?.crossEntropy == nil && cells[0].crossEntropy != nil)
  }

  @Test func aLensTranslatesBeforeTheReadout() throws {
    let lens = shiftingLens()
    let named = NamedLens(name: "shift", lens: lens)
    let grid = try LensGrid(named, model, tokenizer: tokenizer, on: tokens, guesses: 2)
    #expect(grid.sites == model.description.lensSites.dropLast().map(\.site))
    let recorder = FullRecorder()
    var state = model.initialState()
    _ = try model.run(TokenBatch(tokens), from: &state, logits: .none, tap: recorder)
    let site = Site.output(block: 2)
    let bias = try #require(lens.translator(site.name)).bias
    var stream = try #require(recorder.values[site])
    Kernels.add(bias, to: &stream)
    let best = Kernels.argmax(model.readout.logits(residual: stream))
    #expect(grid.cells[3].map { $0.guesses[0].token } == best)
  }

  @Test func lensesSeeWhatSteeringLeaves() throws {
    let site = SiteReference(name: "blocks.1.output", shape: [192], axes: ["channel"])
    let vector = SteeringVector(
      model: model.description.reference(tokenizer: tokenizer.digest),
      vectors: [(site, Tensor([Float](repeating: 2, count: 192), shape: [192]))],
      positions: try #require(PositionSelection("all")),
      training: .init(method: "mean", positions: .last, data: JSONObject()),
      statistics: JSONObject())
    let plain = try LensGrid(.logit, model, tokenizer: tokenizer, on: tokens)
    let steered = try LensGrid(
      .logit, model, tokenizer: tokenizer, on: tokens, applying: [.steer(AppliedVector(vector))])
    let none = try LensGrid(
      .logit, model, tokenizer: tokenizer, on: tokens,
      applying: [.steer(AppliedVector(vector, SteeringOptions(strength: 0)))])
    #expect(none.cells == plain.cells)
    for row in 0..<2 {
      #expect(steered.cells[row].map(\.guesses) == plain.cells[row].map(\.guesses))
    }
    for row in 2..<steered.cells.count { #expect(steered.cells[row] != plain.cells[row]) }
  }

  @Test func reportsWhileGeneratingAreThoseOfTheGrid() throws {
    let named = NamedLens(name: "shift", lens: shiftingLens())
    let reporter = try LensReporter(named, model, tokenizer: tokenizer, guesses: 2)
    let options = GenerationOptions(
      tokenCount: 6, sampling: try SamplingOptions(temperature: 0), stopsAtEnd: false)
    var reports: [Int: JSONObject] = [:]
    let observer = Collector(reporter) { reports[$0] = $1 }
    let result = try Generator(model, tokenizer, applying: [.observe(observer)]).generate(
      tokens, options)
    let grid = try LensGrid(
      named, model, tokenizer: tokenizer, on: tokens + result.tokens, guesses: 2)
    #expect(reports.count == tokens.count + 6)
    for (position, report) in reports {
      let node = JSONNode(.object(report), code: .dataRecord, file: nil)
      let layers = try node.member("layers").elements()
      #expect(layers.count == grid.sites.count)
      for (row, layer) in layers.enumerated() {
        let guess = try layer.member("top").elements()[0].member("token").integer(in: 0...4096)
        #expect(guess == grid.cells[row][position].guesses[0].token)
      }
    }
  }

  /// Asks a reporter for every position after each step.
  private final class Collector: GenerationObserver {
    let reporter: LensReporter
    let keep: (Int, JSONObject) -> Void

    init(_ reporter: LensReporter, _ keep: @escaping (Int, JSONObject) -> Void) {
      (self.reporter, self.keep) = (reporter, keep)
    }

    func wants(_ site: Site) -> Bool { reporter.wants(site) }

    func visit(_ site: Site, _ value: inout Tensor, _ context: TapContext) {
      reporter.visit(site, &value, context)
    }

    func didRead(_ step: GenerationStep) throws(Refusal) -> GenerationVerdict {
      let verdict = try reporter.didRead(step)
      for position in step.positions {
        if let report = reporter.report(at: position) { keep(position, report) }
      }
      return verdict
    }
  }
}
