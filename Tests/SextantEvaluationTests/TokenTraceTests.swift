import SextantArtifacts
import SextantBytes
import SextantEvaluation
import SextantGeneration
import SextantModelTestSupport
import SextantModels
import SextantTensor
import SextantTokenizers
import Testing

/// Traces of generated tokens, by artifact.
@Suite struct TokenTraceTests {
  private let demo: DemoModel

  init() throws { demo = try DemoModel() }

  @Test func aTraceNamesTheFileOfEachEdit() throws {
    let site = try #require(
      try demo.model.description.sites(named: ["blocks.2.output"]).first)
    let vector = SteeringVector(
      model: demo.model.description.reference(tokenizer: demo.tokenizer.digest),
      vectors: [
        (
          site.reference,
          Tensor([Float](repeating: 0.1, count: site.elementCount), shape: site.shape)
        )
      ],
      training: .init(method: "mean", positions: .last, data: JSONObject()),
      statistics: JSONObject())
    let options = SteeringOptions(strength: 2, positions: PositionSelection([.generated]))
    var trace = TokenTrace([.init(file: "a/joy.safetensors", kind: SteeringVector.name)])
    let prompt = try demo.tokenizer.encodeText("The film")
    let result = try Generator(
      demo.model, demo.tokenizer, applying: [.steer(AppliedVector(vector, options))]
    ).generate(
      prompt, GenerationOptions(tokenCount: 3, sampling: SamplingOptions(temperature: 0)),
      telling: { trace.add($0) })
    // The last token is chosen and not read.
    #expect(trace.lines.count == prompt.count + 2)
    for (index, line) in trace.lines.enumerated() {
      let node = JSONNode(.object(line), code: .dataRecord, file: nil)
      let edits = try node.member("edits").elements()
      #expect(edits.count == (index < prompt.count ? 0 : 1))
      for edit in edits {
        #expect(
          try edit.member("files").elements().map { try $0.string() } == ["a/joy.safetensors"])
        #expect(try edit.member("site").string() == "blocks.2.output")
        #expect(
          try edit.member("norm_before").number() != edit.member("norm_after").number())
      }
    }
    let unread = [(token: result.tokens[2], text: demo.tokenizer.decode([result.tokens[2]]))]
    let table = trace.explanation(unread: unread)
    #expect(table.rows.count == prompt.count + 3)
    #expect(table.rows[prompt.count][3] == "steered by joy.safetensors at 1 site")
    #expect(table.rows[0][3] == "prompt: read" && table.rows.last?[3] == "chosen, not read")
    #expect(
      String(decoding: trace.bytes, as: UTF8.self).split(separator: "\n").count
        == prompt.count + 2)
  }
}
