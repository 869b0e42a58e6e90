import SextantBytes
import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import SextantTokenizers
import Testing

/// The trained demo models: text in, logits and states out. The Mamba and the Llama are compared with
/// transformers in f32, the RWKV-7 with a reference in float64.
@Suite struct DemoModelTests {
  private struct Prompt {
    var text: String
    var ids: [Int]
    var argmax: [Int]
  }

  /// The folders, with the file of the weights, and the components of a state that have goldens.
  private static let models = [
    (folder: "demo-model", weights: "/model.safetensors", states: ["conv", "ssm"]),
    (folder: "demo-llama", weights: "", states: []),
    (folder: "demo-rwkv7", weights: "", states: ["time_shift", "wkv", "channel_shift"]),
  ]

  private func prompts(_ folder: String) throws -> [Prompt] {
    let path = PackageFiles.fixture("\(folder)/goldens.json")
    let root = try JSONNode(
      parsing: InputFile(path).readAll(limit: 1 << 20), code: .dataRecord, file: path)
    return try root.member("prompts").elements().map { node in
      Prompt(
        text: try node.member("prompt").string(),
        ids: try node.member("ids").elements().map { try $0.integer() },
        argmax: try node.member("argmax_last4").elements().map { try $0.integer() })
    }
  }

  @Test(arguments: models)
  func tokensLogitsResidualsAndStatesAgree(
    folder: String, weights: String, states: [String]
  ) throws {
    let converted = try ConvertedModel(folder + weights)
    let model = converted.model
    let tokenizer = try #require(converted.tokenizer)
    let goldens = try Goldens("\(folder)/goldens.safetensors")
    let prompts = try prompts(folder)
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
        for name in states {
          var golden = try goldens.floats("p\(index).\(name)_state.\(block)")
          // The oldest of four inputs of the convolution, [E, 4], is not read again.
          if name == "conv" { golden = Tensor(copying: golden.columns(1..<4)) }
          try expectClose(
            #require(state.component(.state(block: block, component: name))), golden, .state,
            "\(name) of block \(block), \(index)")
        }
      }
    }
  }
}
