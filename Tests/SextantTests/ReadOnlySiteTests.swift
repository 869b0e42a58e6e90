import Sextant
import SextantModelTestSupport
import SextantTestSupport
import Testing

/// The scores of a router, which programs can read and nothing can edit.
@Suite struct ReadOnlySiteTests {
  private let folder = TemporaryFolder()

  private func model() throws -> LoadedModel {
    let model = try #require(RandomModel.withExperts.first { $0.name == "lfm2_moe" })
    let path = folder.path("model.sxt")
    _ = try RandomModel.store(model.configuration, at: path)
    return try LoadedModel(path)
  }

  @Test func aRouterIsRecordedAndCaptured() throws {
    let model = try model()
    let sites = ["blocks.*.router", "blocks.2.mlp"]
    let seen = try model.record(sites, reading: [5, 6, 7])
    #expect(seen.sites.map(\.name) == ["blocks.1.router", "blocks.2.router", "blocks.2.mlp"])
    #expect(try seen["blocks.2.router"].shape == [3, 8])
    // An edit of the stream before it changes the scores.
    let ones = [Float](repeating: 1, count: 64)
    let direction = AppliedDirection(ones, at: .output(block: 1))
    let steered = try model.record(sites, reading: [5, 6, 7], with: [.direct(direction)])
    #expect(try steered["blocks.1.router"] == seen["blocks.1.router"])
    #expect(try steered["blocks.2.router"] != seen["blocks.2.router"])

    let capture = try CaptureReader(
      model.model, sites: model.description.sites(named: sites)
    ).capture([[5, 6, 7]], tokenizer: nil)
    let path = folder.path("c.capture.safetensors")
    try capture.write(to: path)
    #expect(try Artifact(reading: path).manifest.sites.map(\.shape) == [[8], [8], [64]])
  }

  @Test func anEditOfARouterIsRefused() throws {
    let model = try model()
    let router = Site.router(block: 1)
    let direction = AppliedDirection([Float](repeating: 1, count: 8), at: router)
    let tap = ClosureTap([router]) { _, value, _ in value.withMutableFloats { $0[0] = 9 } }
    for item in [Intervention.direct(direction), .edit(tap)] {
      let refusal = expectRefusal(.artifactSite) {
        _ = try model.record(["residual"], reading: [5, 6], with: [item])
      }
      #expect(refusal?.found == "an edit of blocks.1.router")
    }
  }
}
