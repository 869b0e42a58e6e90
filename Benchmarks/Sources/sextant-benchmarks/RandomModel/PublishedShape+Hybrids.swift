import SextantBytes

// Models in which some blocks have a recurrent state and others attention.
extension PublishedShape {
  /// 28 blocks with Mamba-2 and 4 with attention.
  static var granite4H: Members {
    let attention: Set = [10, 13, 17, 27]
    let members: Members = [
      ("model_type", "granitemoehybrid"),
      (
        "layer_types",
        .array((0..<32).map { .string(attention.contains($0) ? "attention" : "mamba") })
      ),
      ("position_embedding_type", "nope"), ("rms_norm_eps", 1e-5), ("tie_word_embeddings", true),
      ("attention_multiplier", 0.015625), ("residual_multiplier", 0.246),
      ("mamba_conv_bias", true), ("mamba_proj_bias", false),
    ]
    return members
      + integers([
        ("vocab_size", 100352), ("hidden_size", 768), ("num_hidden_layers", 32),
        ("num_attention_heads", 12), ("num_key_value_heads", 4), ("num_local_experts", 0),
        ("shared_intermediate_size", 2048), ("mamba_n_heads", 48), ("mamba_d_head", 32),
        ("mamba_d_state", 128), ("mamba_n_groups", 1), ("mamba_d_conv", 4), ("mamba_expand", 2),
        ("embedding_multiplier", 12), ("logits_scaling", 3), ("max_position_embeddings", 32768),
      ])
  }

  /// Attention and Mamba-2 side by side in each block.
  static var falconH1: Members {
    let members: Members = [
      ("model_type", "falcon_h1"), ("rms_norm_eps", 1e-5), ("rope_theta", 100_000_000_000.0),
      ("tie_word_embeddings", false), ("mamba_rms_norm", false), ("mamba_norm_before_gate", false),
      ("mamba_conv_bias", true), ("embedding_multiplier", 5.656854249492381),
      ("lm_head_multiplier", 0.0390625), ("key_multiplier", 0.390625),
      ("ssm_in_multiplier", 1.25), ("ssm_out_multiplier", 0.23570226039551584),
      ("attention_in_multiplier", 1), ("attention_out_multiplier", 0.9375),
      ("mlp_multipliers", [0.8838834764831844, 0.5859375]),
      (
        "ssm_multipliers",
        [0.3535533905932738, 0.25, 0.3535533905932738, 0.5, 0.3535533905932738]
      ),
    ]
    return members
      + integers([
        ("vocab_size", 32784), ("hidden_size", 1024), ("intermediate_size", 2048),
        ("num_hidden_layers", 36), ("num_attention_heads", 8), ("num_key_value_heads", 2),
        ("head_dim", 64), ("mamba_d_ssm", 1536), ("mamba_n_heads", 24), ("mamba_d_head", 64),
        ("mamba_d_state", 128), ("mamba_n_groups", 1), ("mamba_d_conv", 4), ("mamba_expand", 2),
        ("max_position_embeddings", 16384),
      ])
  }

  /// 18 blocks with the gated delta rule and 6 with attention.
  static var qwen35: Members {
    let rotation: JSONValue = [
      "rope_type": "default", "rope_theta": 10_000_000, "partial_rotary_factor": 0.25,
      "mrope_interleaved": true, "mrope_section": [11, 11, 10],
    ]
    let members: Members = [
      ("model_type", "qwen3_5_text"), ("architectures", ["Qwen3_5ForCausalLM"]),
      ("rms_norm_eps", 1e-6), ("tie_word_embeddings", true), ("rope_parameters", rotation),
    ]
    return members
      + integers([
        ("vocab_size", 248320), ("hidden_size", 1024), ("intermediate_size", 3584),
        ("num_hidden_layers", 24), ("full_attention_interval", 4), ("num_attention_heads", 8),
        ("num_key_value_heads", 2), ("head_dim", 256), ("linear_num_key_heads", 16),
        ("linear_num_value_heads", 16), ("linear_key_head_dim", 128),
        ("linear_value_head_dim", 128), ("linear_conv_kernel_dim", 4),
        ("max_position_embeddings", 262144),
      ])
  }

  /// 10 blocks with short convolutions and 6 with attention.
  static var lfm2: Members {
    let members: Members = [
      ("model_type", "lfm2"), ("norm_eps", 1e-5), ("rope_theta", 1_000_000.0),
      ("conv_bias", false), ("tie_embedding", true), ("block_auto_adjust_ff_dim", true),
      ("block_ffn_dim_multiplier", 1.0), ("full_attn_idxs", [2, 5, 8, 10, 12, 14]),
    ]
    return members
      + integers([
        ("vocab_size", 65536), ("hidden_size", 1024), ("block_ff_dim", 6656),
        ("block_multiple_of", 256), ("num_hidden_layers", 16), ("num_attention_heads", 16),
        ("num_key_value_heads", 8), ("conv_L_cache", 3), ("max_position_embeddings", 128000),
      ])
  }
}
