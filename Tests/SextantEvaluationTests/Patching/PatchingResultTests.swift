import Glibc
import SextantBytes
import SextantEvaluation
import SextantModelTestSupport
import SextantModels
import SextantReport
import SextantStore
import SextantTensor
import SextantTestSupport
import SextantTokenizers
import Testing

/// Averages over pairs and noises, their intervals, and what is written of them.
@Suite struct PatchingResultTests {
  private let demo: DemoModel

  init() throws { demo = try DemoModel() }

  private func pair(_ sum: String) -> PatchingPair {
    PatchingPair(
      clean: "\(sum). Alice:", corrupted: "\(sum). Bob:", answer: " False", against: " True")
  }

  private func run(
    _ pairs: [PatchingPair], sites: [String] = ["stream"],
    _ change: (inout ActivationPatching) -> Void = { _ in }
  ) throws -> PatchingResult {
    var patching = ActivationPatching(demo.model, demo.tokenizer)
    patching.sites = sites
    change(&patching)
    return try patching.run(on: pairs)
  }

  @Test func theNameReachesTheAnswerInBlockFour() throws {
    let result = try run([pair("20 + 62 = 92")], sites: ["stream", "state"])
    #expect(result.clean.difference > 10 && result.corrupted.difference < -5)
    let (name, end) = (result.columns.count - 2, result.columns.count - 1)
    func share(_ site: Site, _ column: Int) -> Double {
      result.cell(PatchedPlace(site), column: column)?.share.value ?? .nan
    }
    #expect(result.columns[name] == "·Alice/·Bob" && result.columns[end] == ":")
    #expect(share(.output(block: 3), name) > 0.9 && share(.output(block: 3), end) < 0.2)
    #expect(share(.output(block: 4), name) < 0.1 && share(.output(block: 4), end) > 0.9)
    #expect(share(.state(block: 4, component: "conv"), end) > 0.9)
    #expect(result.largest(1)[0].share.value == result.cells.map(\.share.value).max())
    #expect(result.maps(.difference).allSatisfy { $0.columns == ["·Alice/·Bob", ":"] })
  }

  @Test func sharesOfSeveralPairsAreRatiosOfSums() throws {
    let pairs = ["20 + 62 = 92", "37 + 25 = 72", "11 + 26 = 47"].map(pair)
    let all = try run(pairs)
    let single = try pairs.map { try run([$0]) }
    for cell in all.cells {
      let own = single.map { $0.cells[cell.place * all.columns.count + cell.column] }
      let part = zip(own, single).reduce(0) {
        $0 + $1.0.patched.difference - $1.1.corrupted.difference
      }
      let whole = single.reduce(0) { $0 + $1.clean.difference - $1.corrupted.difference }
      #expect(abs(cell.share.value - part / whole) < 1e-9)
      #expect(cell.pairCount == 3 && cell.share.interval.isKnown)
      #expect(cell.share.interval.low <= cell.share.value + 1e-9)
      #expect(cell.share.interval.high >= cell.share.value - 1e-9)
    }
    #expect(all.columns.last == ":" && all.columns[0] == "token 0")
    #expect(all.notes.contains { $0.contains("only 3 pairs") })
    #expect(single[0].cells.allSatisfy { !$0.share.interval.isKnown })
  }

  @Test func pairsOfOtherLengthsAreAveragedByThePartsOfTheirSpans() throws {
    func spanned(_ sum: String) -> PatchingPair {
      var pair = pair(sum)
      pair.spans = [
        .init("sum", clean: sum, corrupted: sum), .init("name", clean: "Alice", corrupted: "Bob"),
      ]
      return pair
    }
    let pairs = [spanned("20 + 62 = 92"), spanned("7 + 5 = 22")]
    let result = try run(pairs)
    #expect(
      result.columns == [
        "sum, first", "sum, middle", "sum, last", "after sum, last", "name, last",
        "after name, last",
      ])
    let name = result.cells.filter { result.columns[$0.column] == "name, last" }
    #expect(name.first { result.places[$0.place].site == .embedding }?.share.value ?? 0 > 0.999)
    let cell = try #require(result.cell(PatchedPlace(.output(block: 3)), column: 4))
    let single = try pairs.map { try run([$0]) }
    let means = single.map { found in
      found.cell(PatchedPlace(.output(block: 3)), column: found.columns.count - 2)?
        .patched.difference ?? .nan
    }
    #expect(abs(cell.patched.difference - (means[0] + means[1]) / 2) < 1e-9)
    expectRefusal(.dataTokenization) { try run([pair("20 + 62 = 92"), pair("7 + 5 = 22")]) }
  }

  @Test func promptsOfOtherLengthsArePatchedWhereTheyStandForEachOther() throws {
    let text = { (name: String) in "20 + 62 = 92. \(name):" }
    let result = try run(
      [
        PatchingPair(
          clean: text("Alice"), corrupted: text("Bob and Bob"), answer: " False", against: " True",
          spans: [.init("who", clean: "Alice", corrupted: "Bob and Bob")])
      ], sites: ["all"])
    // The last block's stream at the last token is all that is read.
    let cell = try #require(
      result.cell(PatchedPlace(.output(block: 5)), column: result.columns.count - 1))
    #expect(cell.share.value == 1 && cell.patched == result.clean)
    #expect(result.pairs[0].corrupted.count == result.pairs[0].clean.count + 2)

    let model = try ConvertedModel("hybrids/checkpoints/granite_h").model
    var patching = ActivationPatching(model)
    patching.sites = ["all"]
    let even = try patching.run(on: [
      PatchingTokens(clean: [1, 2, 3], corrupted: [1, 4, 3], answer: 5, against: 6)
    ])
    #expect(even.cells.contains { even.places[$0.place].site.place == "state.key" })
  }

  /// An independent run, with a tap that adds the same noise to the embedding.
  @Test func noiseCorruptsTheSubject() throws {
    let pair = PatchingPair(
      clean: "20 + 62 = 92. Alice:", answer: " False", against: " True", subject: "Alice")
    func noised(_ sample: Int, seed: UInt64, _ deviation: Double, _ tokens: PatchingTokens) throws
      -> Double
    {
      let noise = ActivationPatching.noise(
        deviation, seed: seed, pair: 0, sample: sample, at: tokens.subject,
        [tokens.clean.count, demo.model.description.width])
      let tap = ClosureTap([.embedding]) { _, value, _ in
        value = Tensor(zip(value.values, noise.values).map { $0 + $1 }, shape: value.shape)
      }
      var state = demo.model.initialState()
      let logits = try demo.model.run(TokenBatch(tokens.clean), from: &state, tap: tap).values
      return Double(logits[tokens.answer]) - Double(logits[tokens.against ?? 0])
    }
    let tokens = try PatchingTokens(pair, demo.tokenizer, isNoised: true)
    let result = try run([pair], sites: ["stream"]) {
      ($0.noise, $0.seeds, $0.seed) = (3, 4, 7)
    }
    let noise = try #require(result.noise)
    #expect(noise.count == 4 && noise.deviation > 0)
    let values = try (0..<4).map { try noised($0, seed: 7, noise.deviation, tokens) }
    #expect(Set(values).count == 4)
    #expect(abs(result.corrupted.difference - values.reduce(0, +) / 4) < 1e-9)
    let name = result.columns.count - 2
    let restored = try #require(result.cell(PatchedPlace(.embedding), column: name))
    #expect(restored.share.value == 1 && restored.share.interval.isKnown)
    #expect(result.cells.filter { $0.column < name }.allSatisfy { $0.share.value == 0 })
    // The same seed gives the same figures, and another seed gives others.
    let again = try run([pair]) { ($0.noise, $0.seeds, $0.seed) = (3, 4, 7) }
    #expect(again.corrupted == result.corrupted)
    let other = try run([pair]) { ($0.noise, $0.seeds, $0.seed) = (3, 4, 8) }
    #expect(other.corrupted != result.corrupted)
    // The deviation is a multiple of that of the embedding at the subject.
    let half = try run([pair]) { ($0.noise, $0.seeds) = (1.5, 1) }
    #expect(abs((half.noise?.deviation ?? 0) * 2 - noise.deviation) < 1e-9)
    for bad in [0, -1, Double.nan, .infinity] {
      expectRefusal(.usageOption) { _ = try run([pair]) { $0.noise = bad } }
    }
  }

  @Test func anAnswerAloneIsMeasuredByItsLogProbability() throws {
    var alone = pair("20 + 62 = 92")
    alone.against = nil
    expectRefusal(.dataRecord) { try run([alone, pair("20 + 62 = 92")]) }
    let result = try run([alone])
    #expect(abs(result.clean.difference - log(result.clean.probability)) < 1e-9)
    #expect(
      try JSONNode(.object(result.json), code: .dataRecord, file: nil)
        .member("measure").string() == "log_probability")
  }

  @Test func resultsAreWrittenForProgramsAndForPeople() throws {
    let result = try run(["20 + 62 = 92", "37 + 25 = 72"].map(pair), sites: ["all"])
    let json = JSONNode(.object(result.json), code: .dataRecord, file: nil)
    #expect(try json.member("cells").elements().count == result.cells.count)
    let cell = try json.member("cells").elements()[20]
    #expect(try cell.member("share").number() == result.cells[20].share.value)
    #expect(try cell.member("site").string() == result.places[result.cells[20].place].site.name)
    #expect(try json.member("direction").string() == "denoising")
    let tokens = try json.member("pairs").elements()[0].member("corrupted_tokens").elements()
    #expect(try tokens.map { try $0.member("text").string() }.joined() == "20 + 62 = 92. Bob:")

    let lines = result.cellTable.csv.split(separator: "\r\n")
    #expect(lines.count == result.cells.count + 1)
    #expect(lines[0].hasPrefix("block,site,head,column,token,share,low,high,"))

    let maps = result.maps(.difference)
    #expect(maps.map(\.title) == ["residual stream", "mixer", "state.conv", "state.ssm"])
    #expect(maps[0].rows == ["embedding"] + (0..<6).map { "block \($0)" })
    #expect(maps[0].columns.suffix(2) == ["·Alice/·Bob", ":"])
    let terminal = maps[0].terminal(width: 60, isColoured: false)
    #expect(terminal.hasPrefix("residual stream: share of the logit difference that returns\n"))
    #expect(terminal.split(separator: "\n").allSatisfy { $0.count <= 70 })
    #expect(maps[0].terminal(width: 60, isColoured: true).contains("\u{1B}[48;2;"))
    #expect(result.picture.contains(">·Alice/·Bob</text>"))
    #expect(result.picture.components(of: "<g transform=\"translate(0 ") == 4)
    let page = result.page.html
    #expect(page.contains("Share of the probability") && page.contains("Every cell"))
    #expect(result.text(width: 80, isColoured: false).contains("largest shares"))
  }
}

extension String {
  /// How often a text occurs.
  fileprivate func components(of text: String) -> Int { ranges(of: text).count }
}
