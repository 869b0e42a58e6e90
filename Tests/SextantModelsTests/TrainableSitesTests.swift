import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTestSupport
import Testing

/// The sites that a list of words gives to training.
@Suite struct TrainableSitesTests {
  private func description(_ name: String) throws -> ModelDescription {
    try ConvertedModel(name).model.description
  }

  @Test func allLeavesOutComponentsThatGrow() throws {
    let model = try description("llama-tiny/huggingface")
    let (sites, leftOut) = try model.trainableSites(named: ["all"])
    #expect(sites == (try model.sites(named: ["residual"])))
    #expect(leftOut == (try model.sites(named: ["state"])))
  }

  @Test func aModelOfConstantStateKeepsAll() throws {
    let model = try description("mamba-tiny/huggingface")
    let (sites, leftOut) = try model.trainableSites(named: ["all"])
    #expect(sites == (try model.sites(named: ["all"])))
    #expect(leftOut.isEmpty)
  }

  @Test func aStateThatOnlyGrowsIsRefusedWithTheSitesThatWork() throws {
    let model = try description("llama-tiny/huggingface")
    let refusal = expectRefusal(.artifactSite) { try model.trainableSites(named: ["state"]) }
    #expect(refusal?.remedy == "Use `sites` residual.")
  }

  @Test func aNamedComponentIsNotLeftOut() throws {
    let model = try description("llama-tiny/huggingface")
    let (sites, leftOut) = try model.trainableSites(named: ["blocks.1.state.key", "residual"])
    #expect(sites.contains { $0.site == .state(block: 1, component: "key") })
    #expect(leftOut.isEmpty)
  }
}
