import SextantBytes
import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

/// Runs that would not fit into memory are refused before the first block.
@Suite struct MemoryTests {
  /// Fails if a run reaches a site.
  private final class Tripwire: Tap {
    func wants(_ site: Site) -> Bool { true }

    func visit(_ site: Site, _ value: inout Tensor, _ context: TapContext) {
      Issue.record("\(site) was reached")
    }
  }

  @Test(arguments: [
    ("mamba-tiny/huggingface", LogitSelection.all, "the logits of 6 tokens"),
    ("llama-tiny/huggingface", .all, "the logits of 6 tokens"),
    ("llama-tiny/huggingface", .none, "the keys and values of 6 tokens"),
    ("btlm-tiny/huggingface", .last, "the keys and values of 6 tokens"),
  ])
  func logitsAndKeysAndValues(fixture: String, logits: LogitSelection, what: String) throws {
    let model = try ConvertedModel(fixture).model
    expectMemoryRefusal(what) {
      var state = model.initialState(batch: 2)
      _ = try model.run(
        TokenBatch([[1, 2, 3], [4, 5, 6]]), from: &state, logits: logits, tap: Tripwire())
    }
  }
}
