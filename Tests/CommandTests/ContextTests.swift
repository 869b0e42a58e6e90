import SextantBytes
import SextantCheckpoints
import SextantTensor
import SextantTestSupport
import Testing

/// Texts that are longer than a model's context.
@Suite struct ContextTests {
  private let folder = TemporaryFolder()

  /// A Llama of one block that reads bytes, 16 at most.
  private func model() throws -> String {
    var random = SplitMix64(seed: 1)
    var writer = SafetensorsWriter()
    func add(_ name: String, _ shape: [Int]) {
      writer.add(name, Tensor(random.floats(shape.reduce(1, *)), shape: shape))
    }
    add("model.embed_tokens.weight", [256, 8])
    for (name, shape) in [
      ("self_attn.q_proj", [8, 8]), ("self_attn.k_proj", [4, 8]), ("self_attn.v_proj", [4, 8]),
      ("self_attn.o_proj", [8, 8]), ("mlp.gate_proj", [8, 8]), ("mlp.up_proj", [8, 8]),
      ("mlp.down_proj", [8, 8]), ("input_layernorm", [8]), ("post_attention_layernorm", [8]),
    ] { add("model.layers.0.\(name).weight", shape) }
    add("model.norm.weight", [8])
    try writer.publish(to: folder.path("model.safetensors"))
    folder.write(
      """
      {"model_type": "llama", "vocab_size": 256, "hidden_size": 8, "num_attention_heads": 2,
       "num_key_value_heads": 1, "intermediate_size": 8, "num_hidden_layers": 1,
       "max_position_embeddings": 16, "tie_word_embeddings": true}
      """, to: "config.json")
    sextant("convert", folder.path, "--tokenizer", "bytes", "-o", folder.path("m.sxt"))
    return folder.path("m.sxt")
  }

  @Test func aLongerTextIsWarnedOfAndLongerChunksAreRefused() throws {
    let model = try model()
    let long = sextant("generate", "-m", model, "-p", "A text of 20 bytes.", "-n", "1", "--json")
    #expect(long.errors.contains("more than 16 tokens"))
    _ = try long.json()
    let short = sextant("generate", "-m", model, "-p", "short", "-n", "2")
    #expect(!short.errors.contains("warning"))

    let text = folder.write(String(repeating: "some text ", count: 20), to: "text.txt")
    let output = folder.path("a.lens.safetensors")
    let train = [
      "lens", "train", "-m", model, "--text", text, "--steps", "1", "--tokens-per-step", "32", "-o",
      output,
    ]
    let refused = CommandRun.sextant(train + ["--chunk", "17"])
    #expect(refused.end == .exited(64) && refused.errors.contains("at most 16"))
    let lowered = CommandRun.sextant(train)
    #expect(lowered.end == .exited(0) && lowered.errors.contains("chunks of 16 tokens"))
    #expect(!lowered.errors.contains("warning"))
  }
}
