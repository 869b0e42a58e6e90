import SextantBytes
import SextantEvaluation
import SextantModelTestSupport
import SextantModels
import SextantReport
import SextantStore
import SextantTestSupport
import SextantTokenizers
import Testing

/// Reports that compare models, states and speeds.
@Suite struct ComparisonTests {
  private let demo: DemoModel

  init() throws { demo = try DemoModel() }

  @Test func aModelHasNoDriftFromItself() throws {
    var comparison = DriftComparison(
      with: demo.model, in: demo.store, demo.tokenizer, on: "The film was good.")
    try comparison.add(["again.sxt"], open: { _ in (demo.model, demo.store) })
    let report = comparison.report(reference: "model.sxt")
    let json = JSONNode(.object(report.json), code: .dataRecord, file: nil)
    let row = try #require(json.member("rows").elements().first)
    #expect(try row.member("kl").number() == 0 && row.member("same_best").number() == 1)
    #expect(
      try row.member("bits_per_byte").number()
        == json.member("reference").member("bits_per_byte").number())
    #expect(report.notes.isEmpty && report.tables[0].table.rows.count == 2)
  }

  @Test func aStateIsReadBlockByBlock() throws {
    let tokens = try demo.tokenizer.encodeText("The film was")
    let found = try StateReading(
      of: demo.model, demo.tokenizer, on: tokens, layers: LayerSelection(1...2), count: 2)
    #expect(found.grid.sites.compactMap(\.block) == [1, 2])
    #expect(Set(found.directions.directions.map(\.block)) == [1, 2])
    #expect(found.table?.rows.count == found.directions.directions.count)
    let llama = try ConvertedModel("llama-tiny/huggingface").model
    expectRefusal(.artifactSite) { try StateReading(of: llama, demo.tokenizer, on: [1, 2]) }
  }

  @Test func ratesCountTheTokensOfAllSequences() throws {
    let found = try SpeedMeasurement(
      of: demo.model, promptCount: 4, decodedCount: 2, batch: 2, rounds: 1)
    #expect(found.prefill > 0 && found.decode > 0 && found.prefill.isFinite)
    expectRefusal(.systemMemory) {
      try SpeedMeasurement(of: demo.model, promptCount: 1 << 20, batch: 1 << 20)
    }
  }
}
