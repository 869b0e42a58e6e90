import ArgumentParser
import SextantBytes

/// The shapes of published models, for which random weights serve as well as trained ones: the time
/// that a product takes does not depend on the numbers in it.
enum PublishedShape: String, CaseIterable, ExpressibleByArgument {
  case mamba130m = "mamba-130m"
  case mamba370m = "mamba-370m"
  case mamba790m = "mamba-790m"
  case mamba1400m = "mamba-1.4b"
  case mamba2800m = "mamba-2.8b"
  case mamba2Of130m = "mamba2-130m"
  case smolLM135m = "smollm-135m"

  /// What the model's `config.json` says, as Hugging Face transformers writes it.
  func configuration(dataType: String) -> JSONObject {
    switch self {
    case .mamba130m: Self.mamba(width: 768, layers: 24, dataType)
    case .mamba370m: Self.mamba(width: 1024, layers: 48, dataType)
    case .mamba790m: Self.mamba(width: 1536, layers: 48, dataType)
    case .mamba1400m: Self.mamba(width: 2048, layers: 48, dataType)
    case .mamba2800m: Self.mamba(width: 2560, layers: 64, dataType)
    case .mamba2Of130m: Self.mamba2(width: 768, layers: 24, dataType)
    case .smolLM135m: Self.smolLM135m(dataType)
    }
  }

  private static func mamba(width: Int, layers: Int, _ dataType: String) -> JSONObject {
    JSONObject([
      ("architectures", ["MambaForCausalLM"]), ("model_type", "mamba"),
      ("dtype", .string(dataType)), ("vocab_size", 50280), ("hidden_size", .integer(Int64(width))),
      ("num_hidden_layers", .integer(Int64(layers))), ("state_size", 16), ("conv_kernel", 4),
      ("expand", 2), ("intermediate_size", .integer(Int64(2 * width))),
      ("time_step_rank", .integer(Int64((width + 15) / 16))), ("layer_norm_epsilon", 1e-5),
      ("use_bias", false), ("use_conv_bias", true), ("hidden_act", "silu"),
      ("residual_in_fp32", true), ("tie_word_embeddings", true), ("use_cache", true),
    ])
  }

  private static func mamba2(width: Int, layers: Int, _ dataType: String) -> JSONObject {
    JSONObject([
      ("architectures", ["Mamba2ForCausalLM"]), ("model_type", "mamba2"),
      ("dtype", .string(dataType)), ("vocab_size", 50288), ("hidden_size", .integer(Int64(width))),
      ("num_hidden_layers", .integer(Int64(layers))), ("state_size", 128), ("conv_kernel", 4),
      ("expand", 2), ("num_heads", .integer(Int64(2 * width / 64))), ("head_dim", 64),
      ("n_groups", 1), ("chunk_size", 256), ("layer_norm_epsilon", 1e-5), ("rms_norm", true),
      ("use_bias", false), ("use_conv_bias", true), ("hidden_act", "silu"),
      ("residual_in_fp32", true), ("tie_word_embeddings", true), ("use_cache", true),
    ])
  }

  /// A transformer of the same size, as the baseline.
  private static func smolLM135m(_ dataType: String) -> JSONObject {
    JSONObject([
      ("architectures", ["LlamaForCausalLM"]), ("model_type", "llama"),
      ("dtype", .string(dataType)), ("vocab_size", 49152), ("hidden_size", 576),
      ("intermediate_size", 1536), ("num_hidden_layers", 30), ("num_attention_heads", 9),
      ("num_key_value_heads", 3), ("max_position_embeddings", 2048), ("rms_norm_eps", 1e-5),
      ("rope_theta", 10_000.0), ("hidden_act", "silu"), ("attention_bias", false),
      ("mlp_bias", false), ("tie_word_embeddings", true), ("use_cache", true),
    ])
  }
}
