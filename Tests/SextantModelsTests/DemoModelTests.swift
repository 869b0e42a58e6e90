import SextantBytes
import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import SextantTokenizers
import Testing

/// The trained demo model against transformers in f32: text in, logits and states out.
@Suite struct DemoModelTests {
  private struct Prompt {
    var text: String
    var ids: [Int]
    var argmax: [Int]
  }

  private func prompts() throws -> [Prompt] {
    let path = PackageFiles.fixture("demo-model/goldens.json")
    let root = try JSONNode(
      parsing: InputFile(path).readAll(limit: 1 << 20), code: .dataRecord, file: path)
    return try root.member("prompts").elements().map { node in
      Prompt(
        text: try node.member("prompt").string(),
        ids: try node.member("ids").elements().map { try $0.integer() },
        argmax: try node.member("argmax_last4").elements().map { try $0.integer() })
    }
  }

  @Test func tokensLogitsResidualsAndStatesAgree() throws {
    let converted = try ConvertedModel("demo-model/model.safetensors")
    let model = converted.model
    let tokenizer = try #require(converted.tokenizer)
    let goldens = try Goldens("demo-model/goldens.safetensors")
    let prompts = try prompts()
    #expect(prompts.count == 4)
    for (index, prompt) in prompts.enumerated() {
      #expect(tokenizer.encode(prompt.text) == prompt.ids)
      #expect(tokenizer.decode(prompt.ids) == prompt.text)
      let recorder = FullRecorder()
      var state = model.initialState()
      let all = try model.run(
        TokenBatch(prompt.ids), from: &state, logits: .all, tap: recorder)
      let count = prompt.ids.count
      let logits = all.reshaped([count, model.description.vocabularySize]).rows(count - 4..<count)
      try expectClose(logits, goldens.floats("p\(index).logits"), .logits, "logits of \(index)")
      #expect(Kernels.argmax(logits) == prompt.argmax)

      let residual = try goldens.floats("p\(index).resid")  // [L+1, D]
      let sites = [Site.embedding] + (0..<model.description.layerCount).map { .output(block: $0) }
      for (row, site) in sites.enumerated() {
        let value = try #require(recorder.values[site]).rows(count - 1..<count)
        expectClose(value, residual.rows(row..<row + 1), .residual, "\(site) of \(index)")
      }
      for block in 0..<model.description.layerCount {
        let conv = try goldens.floats("p\(index).conv_state.\(block)")  // [E, K]
        expectClose(
          try #require(state.component(.state(block: block, component: "conv"))),
          Tensor(copying: conv.columns(1..<4)), .state, "conv of block \(block), \(index)")
        try expectClose(
          #require(state.component(.state(block: block, component: "ssm"))),
          goldens.floats("p\(index).ssm_state.\(block)"), .state, "ssm of block \(block), \(index)")
      }
    }
  }
}
