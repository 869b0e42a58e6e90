import SextantModels
import SextantStore
import Testing

@Suite struct SiteTests {
  @Test(arguments: [
    "embedding", "final_norm", "logits", "blocks.0.input", "blocks.12.output", "blocks.3.mixer",
    "blocks.3.state.ssm",
  ])
  func namesAreReadBackAsWritten(name: String) {
    #expect(Site(name: name)?.name == name)
  }

  @Test(arguments: [
    "", "blocks", "blocks.0", "blocks.x.output", "blocks.-1.output", "blocks.01.output",
    "blocks.0.state", "blocks.0.output.ssm", "block.0.output", "blocks.0.", "blocks.0.state.",
    "Embedding",
  ])
  func otherNamesAreNoSites(name: String) {
    #expect(Site(name: name) == nil)
  }
}
