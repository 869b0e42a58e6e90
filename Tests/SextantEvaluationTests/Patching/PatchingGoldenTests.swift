import SextantBytes
import SextantEvaluation
import SextantModelTestSupport
import SextantStore
import SextantTestSupport
import Testing

/// Every cell is that of transformers with hooks and hand-edited caches (`fixtures/generate/make_patching.py`).
@Suite struct PatchingGoldenTests {
  @Test func cellsAreThoseOfTransformers() throws {
    let bytes = try InputFile(PackageFiles.fixture("patching/cells.json")).readAll(limit: 1 << 24)
    let root = try JSONNode(
      parsing: bytes, limits: JSONLimits(byteCount: 1 << 24), code: .dataRecord, file: nil)
    let cases = try root.member("cases").elements()
    #expect(cases.count == 3)
    for node in cases {
      let checkpoint = try node.member("checkpoint").string()
      let model = try ConvertedModel(checkpoint).model
      let pair = PatchingTokens(
        clean: try node.member("clean").elements().map { try $0.integer() },
        corrupted: try node.member("corrupted").elements().map { try $0.integer() },
        answer: try node.member("answer").integer(), against: try node.member("against").integer())
      for direction in ["denoising", "noising"] {
        var patching = ActivationPatching(model)
        (patching.sites, patching.reverse) = (["all"], direction == "noising")
        patching.heads = checkpoint != "demo-model"
        let result = try patching.run(on: [pair])
        try expect(result, node.member(direction).elements(), "\(checkpoint), \(direction)")
        let runs = try node.member("runs")
        try expect(result.clean, runs.member("clean"), "\(checkpoint), clean")
        try expect(result.corrupted, runs.member("corrupted"), "\(checkpoint), corrupted")
      }
    }
  }

  private func expect(
    _ result: PatchingResult, _ cells: [JSONNode], _ what: String
  ) throws {
    var compared = 0
    for cell in cells {
      let site = try #require(Site(name: try cell.member("site").string()))
      let head = try cell.optionalMember("head")?.integer()
      let token = try cell.member("token").integer()
      let found = try #require(
        result.cell(PatchedPlace(site, head: head), column: token), "\(what): \(site)")
      try expect(found.patched, cell.member("value"), "\(what): \(site) \(token)")
      compared += 1
    }
    // Before the first token the reference has no state to edit.
    let states = result.places.count { $0.site.isState }
    #expect(compared == result.cells.count - states, "\(what)")
  }

  private func expect(
    _ found: PatchingResult.Prediction, _ golden: JSONNode, _ what: String
  ) throws {
    let numbers = try golden.elements().map { try $0.number() }
    #expect(abs(found.difference - numbers[0]) < 1e-4, "\(what)")
    #expect(abs(found.probability - numbers[1]) < 1e-4, "\(what)")
  }
}
