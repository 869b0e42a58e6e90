import SextantLocks
import SextantModelTestSupport
import SextantModels
import SextantTensor
import SextantTestSupport
import Testing

/// The reports of a model on texts that are longer than its context.
@Suite struct ContextLimitTests {
  @Test(
    arguments: [
      ("llama-tiny/huggingface", 128), ("llama-tiny/mistral", 128),
      ("gpt-neox-tiny/huggingface", 128),
      ("mamba-tiny/huggingface", nil), ("mamba2-tiny/huggingface", nil),
      ("rwkv-tiny/rwkv4/huggingface", nil), ("rwkv-tiny/rwkv7/fla", nil),
      ("btlm-tiny/huggingface", nil),
    ] as [(String, Int?)])
  func modelsWithPositionsHaveALimit(fixture: String, length: Int?) throws {
    #expect(try ConvertedModel(fixture).model.description.context?.length == length)
  }

  @Test func theFirstTokenBeyondTheLimitIsTold() throws {
    let model = try ConvertedModel("llama-tiny/huggingface").model
    let context = try #require(model.description.context)
    let calls = Lock(0)
    context.whenExceeded { calls.withLock { $0 += 1 } }
    var state = model.initialState(batch: 2)
    let text = [Int](repeating: 3, count: 128)
    _ = try model.run(TokenBatch([text, text]), from: &state, logits: .none, chunk: 64)
    #expect(calls.withLock { $0 } == 0)
    // Each later one is not.
    for _ in 0..<2 {
      _ = try model.run(TokenBatch([[3], [4]]), from: &state, logits: .none)
      #expect(calls.withLock { $0 } == 1)
    }
  }

  @Test func aLongTextIsToldBeforeItsTokensAreComputed() throws {
    let model = try ConvertedModel("gpt-neox-tiny/huggingface").model
    let calls = Lock(0)
    model.description.context?.whenExceeded { calls.withLock { $0 += 1 } }
    let stream = try model.begin(TokenBatch([Int](repeating: 3, count: 129)), at: 0)
    #expect(stream.positions() == 0..<129 && calls.withLock { $0 } == 1)
  }
}
