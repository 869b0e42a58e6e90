import SextantBytes
import SextantCheckpoints
import SextantConversion
import SextantEvaluation
import SextantGeneration
import SextantModelTestSupport
import SextantTensor
import SextantTestSupport
import Testing

/// A small model with random weights and the tokenizer of the demo model.
struct SmallModel {
  /// The checkpoint and its folder.
  let converted: ConvertedModel
  private let folder = TemporaryFolder()

  /// A Llama of two blocks.
  static func llama() throws -> SmallModel {
    try SmallModel(
      """
      {"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":2048,"hidden_size":16,
       "intermediate_size":24,"num_hidden_layers":2,"num_attention_heads":2,"num_key_value_heads":2,
       "head_dim":8,"max_position_embeddings":512,"rope_theta":10000,"rms_norm_eps":1e-5,
       "hidden_act":"silu","tie_word_embeddings":true}
      """, embedding: "model.embed_tokens.weight", norm: "model.norm.weight",
      block: [
        ("model.layers.N.input_layernorm.weight", [16]),
        ("model.layers.N.self_attn.q_proj.weight", [16, 16]),
        ("model.layers.N.self_attn.k_proj.weight", [16, 16]),
        ("model.layers.N.self_attn.v_proj.weight", [16, 16]),
        ("model.layers.N.self_attn.o_proj.weight", [16, 16]),
        ("model.layers.N.post_attention_layernorm.weight", [16]),
        ("model.layers.N.mlp.gate_proj.weight", [24, 16]),
        ("model.layers.N.mlp.up_proj.weight", [24, 16]),
        ("model.layers.N.mlp.down_proj.weight", [16, 24]),
      ])
  }

  /// A Mamba of two blocks.
  static func mamba() throws -> SmallModel {
    try SmallModel(
      """
      {"architectures":["MambaForCausalLM"],"model_type":"mamba","vocab_size":2048,"hidden_size":16,
       "intermediate_size":32,"state_size":4,"num_hidden_layers":2,"conv_kernel":4,"expand":2,
       "time_step_rank":2,"layer_norm_epsilon":1e-5,"hidden_act":"silu","use_bias":false,
       "use_conv_bias":true,"tie_word_embeddings":true}
      """, embedding: "backbone.embeddings.weight", norm: "backbone.norm_f.weight",
      block: [
        ("backbone.layers.N.norm.weight", [16]),
        ("backbone.layers.N.mixer.in_proj.weight", [64, 16]),
        ("backbone.layers.N.mixer.conv1d.weight", [32, 1, 4]),
        ("backbone.layers.N.mixer.conv1d.bias", [32]),
        ("backbone.layers.N.mixer.x_proj.weight", [10, 32]),
        ("backbone.layers.N.mixer.dt_proj.weight", [32, 2]),
        ("backbone.layers.N.mixer.dt_proj.bias", [32]), ("backbone.layers.N.mixer.A_log", [32, 4]),
        ("backbone.layers.N.mixer.D", [32]), ("backbone.layers.N.mixer.out_proj.weight", [16, 32]),
      ])
  }

  private init(
    _ config: String, embedding: String, norm: String, block: [(name: String, shape: [Int])]
  ) throws {
    var random = SeededRandom(seed: 7)
    var writer = SafetensorsWriter()
    let blocks = (0..<2).flatMap { index in
      block.map { ($0.name.split(separator: ".N.").joined(separator: ".\(index)."), $0.shape) }
    }
    for (name, shape) in [(embedding, [2048, 16]), (norm, [16])] + blocks {
      let isNorm = name.hasSuffix("norm.weight") || name.hasSuffix("norm_f.weight")
      let values = (0..<shape.reduce(1, *)).map { _ in
        isNorm ? 1 : Float(0.3 * random.gaussian())
      }
      writer.add(name, Tensor(values, shape: shape))
    }
    try writer.publish(to: folder.path("model.safetensors"))
    folder.write(config, to: "config.json")
    for name in ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"] {
      folder.write(try PackageFiles.bytes("fixtures/demo-model/\(name)"), to: name)
    }
    converted = try ConvertedModel(path: folder.path)
  }

  /// The model for a comparison.
  func compared(_ name: String) throws -> ComparedModel {
    ComparedModel(
      name: name, converted.model, try #require(converted.tokenizer),
      parameterCount: converted.report.parameterCount)
  }
}
