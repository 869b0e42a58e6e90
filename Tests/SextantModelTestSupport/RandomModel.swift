import SextantBytes
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

/// Native models with random weights, for checks that need no golden values.
package enum RandomModel {
  /// A store of the model that a published configuration describes.
  ///
  /// - Parameters:
  ///   - text: of `config.json`.
  ///   - path: of the store.
  ///   - change: changes a tensor's random values.
  package static func store(
    _ text: String, at path: String, seed: UInt64 = 1,
    changing change: (_ name: String, _ values: inout [Float]) -> Void = { _, _ in }
  ) throws -> ModelStore {
    let node = try JSONNode(
      parsing: Array(text.utf8), code: .modelConfiguration, file: "config.json",
      acceptsInfinity: true)
    let shapes = CheckpointShapes([])
    let architecture = try Architectures.recognise(node, checkpoint: shapes, path: "model")
    let configuration = try architecture.configuration(from: node, checkpoint: shapes).json
    var random = SplitMix64(seed: seed)
    var tensors: [(name: String, tensor: Tensor)] = []
    for spec in try architecture.weights(configuration) {
      // Inputs of a product: the sums have a size of about 1.
      let scale = spec.kind == .vector ? 0.5 : 1.5 / Float(spec.shape.last ?? 1).squareRoot()
      var values = random.floats(spec.shape.reduce(1, *)).map { $0 * scale }
      change(spec.name, &values)
      tensors.append((spec.name, Tensor(values, shape: spec.shape)))
    }
    _ = try StoreWriter.publish(
      tensors, to: path, architecture: architecture.name, configuration: configuration)
    return try ModelStore(opening: path)
  }

  /// Published configurations of small models with experts, all of whose rows are whole blocks of 8 bits.
  package static let withExperts: [(name: String, configuration: String)] = [
    ("qwen3_5_moe", qwen), ("qwen3_next", next), ("granitemoehybrid", granite),
    ("granitemoe", graniteTransformer), ("nemotron_h", nemotron), ("latent", latent),
    ("lfm2_moe", lfm2),
  ]

  private static let qwenSizes = """
    "hidden_size": 64, "vocab_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 32, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
    "linear_key_head_dim": 16, "linear_value_head_dim": 16, "num_experts": 8,
    "num_experts_per_tok": 3, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 64
    """
  private static let qwen = """
    {"model_type": "qwen3_5_moe_text", "num_hidden_layers": 4, \(qwenSizes)}
    """
  private static let next = """
    {"model_type": "qwen3_next", "num_hidden_layers": 5, "mlp_only_layers": [1],
    "intermediate_size": 96, "norm_topk_prob": false, \(qwenSizes)}
    """
  private static let graniteSizes = """
    "hidden_size": 64, "vocab_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2,
    "num_local_experts": 8, "num_experts_per_tok": 2, "intermediate_size": 32,
    "attention_multiplier": 0.1, "residual_multiplier": 0.6, "embedding_multiplier": 2,
    "logits_scaling": 3
    """
  private static let granite = """
    {"model_type": "granitemoehybrid", "num_hidden_layers": 3, "shared_intermediate_size": 96,
    "layer_types": ["mamba", "attention", "mamba"], "mamba_n_heads": 8, "mamba_d_head": 16,
    "mamba_d_state": 16, "mamba_n_groups": 2, "position_embedding_type": "nope", \(graniteSizes)}
    """
  private static let graniteTransformer = """
    {"model_type": "granitemoe", "num_hidden_layers": 2, \(graniteSizes)}
    """
  private static let nemotronSizes = """
    "model_type": "nemotron_h", "hidden_size": 64, "vocab_size": 96, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 32, "mamba_num_heads": 8, "mamba_head_dim": 16,
    "ssm_state_size": 16, "n_groups": 2, "n_routed_experts": 8, "num_experts_per_tok": 3,
    "moe_intermediate_size": 32, "moe_shared_expert_intermediate_size": 64,
    "routed_scaling_factor": 2.5
    """
  private static let nemotron = #"{"hybrid_override_pattern": "ME*E", \#(nemotronSizes)}"#
  private static let latent = """
    {"layers_block_type": ["mamba", "moe", "attention", "moe"], "moe_latent_size": 32,
    "n_group": 4, "topk_group": 2, \(nemotronSizes)}
    """
  private static let lfm2 = """
    {"model_type": "lfm2_moe", "hidden_size": 64, "vocab_size": 96, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "num_dense_layers": 1,
    "intermediate_size": 96, "num_experts": 8, "num_experts_per_tok": 3,
    "moe_intermediate_size": 32, "layer_types": ["conv", "full_attention", "conv"]}
    """
}
