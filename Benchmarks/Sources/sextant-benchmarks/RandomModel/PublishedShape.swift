import ArgumentParser
import SextantBytes
import SextantModels

typealias Members = [(String, JSONValue)]

/// The shapes of published models, for which random weights serve as well as trained ones: the time
/// that a product takes does not depend on the numbers in it.
enum PublishedShape: String, CaseIterable, ExpressibleByArgument {
  case mamba130m = "mamba-130m"
  case mamba370m = "mamba-370m"
  case mamba790m = "mamba-790m"
  case mamba1400m = "mamba-1.4b"
  case mamba2800m = "mamba-2.8b"
  case mamba2Of130m = "mamba2-130m"
  case rwkv6Of200m = "rwkv6-0.2b"
  case rwkv7Of200m = "rwkv7-0.2b"
  case pythia160m = "pythia-160m"
  case smolLM135m = "smollm-135m"
  case smolLM2Of135m = "smollm2-135m"
  case granite4H350m = "granite-4.0-h-350m"
  case falconH1Of500m = "falcon-h1-0.5b"
  case qwen35Of800m = "qwen3.5-0.8b"
  case lfm2Of350m = "lfm2-350m"

  /// The architecture and its canonical configuration.
  func model() throws -> (architecture: any Architecture.Type, configuration: JSONObject) {
    let (name, members): (String, Members) =
      switch self {
      case .mamba130m: Self.mamba(width: 768, layers: 24)
      case .mamba370m: Self.mamba(width: 1024, layers: 48)
      case .mamba790m: Self.mamba(width: 1536, layers: 48)
      case .mamba1400m: Self.mamba(width: 2048, layers: 48)
      case .mamba2800m: Self.mamba(width: 2560, layers: 64)
      case .mamba2Of130m: Self.mamba2(width: 768, layers: 24)
      case .rwkv6Of200m:
        Self.rwkv("rwkv6", [("time_mix_extra_dim", 32), ("time_decay_extra_dim", 64)])
      case .rwkv7Of200m:
        Self.rwkv(
          "rwkv7",
          [
            ("decay_low_rank_dim", 64), ("a_low_rank_dim", 64), ("v_low_rank_dim", 32),
            ("gate_low_rank_dim", 128),
          ])
      case .pythia160m: ("gpt-neox", Self.pythia)
      case .smolLM135m: ("llama", Self.smolLM(theta: 10_000.0, contextLength: 2048))
      case .smolLM2Of135m: ("llama", Self.smolLM(theta: 100_000.0, contextLength: 8192))
      case .granite4H350m: ("granite", Self.granite4H)
      case .falconH1Of500m: ("falcon-h1", Self.falconH1)
      case .qwen35Of800m: ("qwen3.5", Self.qwen35)
      case .lfm2Of350m: ("lfm2", Self.lfm2)
      }
    guard let architecture = Architectures.named(name) else {
      throw MeasurementFailure("no architecture \(name)")
    }
    let object = JSONObject(members)
    if name.hasPrefix("rwkv") { return (architecture, object) }
    // The others are given as transformers publishes them.
    let published = JSONNode(.object(object), code: .modelConfiguration, file: nil)
    return (
      architecture,
      try architecture.configuration(from: published, checkpoint: CheckpointShapes([])).json
    )
  }

  private static func mamba(width: Int, layers: Int) -> (String, Members) {
    var members: Members = [
      ("model_type", "mamba"), ("vocab_size", 50280), ("state_size", 16), ("conv_kernel", 4),
      ("expand", 2), ("layer_norm_epsilon", 1e-5), ("use_bias", false), ("use_conv_bias", true),
      ("hidden_act", "silu"), ("tie_word_embeddings", true),
    ]
    members += integers([
      ("hidden_size", width), ("num_hidden_layers", layers), ("intermediate_size", 2 * width),
      ("time_step_rank", (width + 15) / 16),
    ])
    return ("mamba", members)
  }

  private static func mamba2(width: Int, layers: Int) -> (String, Members) {
    var members: Members = [
      ("model_type", "mamba2"), ("layer_norm_epsilon", 1e-5), ("rms_norm", true),
      ("use_bias", false), ("use_conv_bias", true), ("hidden_act", "silu"),
      ("tie_word_embeddings", true),
    ]
    members += integers([
      ("vocab_size", 50288), ("hidden_size", width), ("num_hidden_layers", layers),
      ("state_size", 128), ("conv_kernel", 4), ("expand", 2), ("num_heads", 2 * width / 64),
      ("head_dim", 64), ("n_groups", 1), ("chunk_size", 256),
    ])
    return ("mamba2", members)
  }

  /// The sizes of the World models of 0.2 billion parameters, in the canonical form.
  private static func rwkv(_ name: String, _ ranks: [(String, Int)]) -> (String, Members) {
    var members: Members = [("layer_norm_epsilon", 1e-5), ("group_norm_epsilon", 64e-5)]
    members += integers([
      ("hidden_size", 768), ("num_hidden_layers", 12), ("vocab_size", 65536),
      ("intermediate_size", name == "rwkv7" ? 3072 : 2688), ("head_size", 64),
    ])
    return (name, members + integers(ranks))
  }

  /// A transformer, as the baseline.
  private static var pythia: Members {
    let members: Members = [
      ("model_type", "gpt_neox"), ("layer_norm_eps", 1e-5), ("rotary_pct", 0.25),
      ("hidden_act", "gelu"), ("use_parallel_residual", true), ("tie_word_embeddings", false),
    ]
    return members
      + integers([
        ("vocab_size", 50304), ("hidden_size", 768), ("intermediate_size", 3072),
        ("num_hidden_layers", 12), ("num_attention_heads", 12), ("max_position_embeddings", 2048),
        ("rotary_emb_base", 10000),
      ])
  }

  /// Another, newer one; the second version has the same sizes and longer texts.
  private static func smolLM(theta: JSONValue, contextLength: Int) -> Members {
    let members: Members = [
      ("model_type", "llama"), ("rms_norm_eps", 1e-5), ("rope_theta", theta),
      ("hidden_act", "silu"), ("attention_bias", false), ("mlp_bias", false),
      ("tie_word_embeddings", true),
    ]
    return members
      + integers([
        ("vocab_size", 49152), ("hidden_size", 576), ("intermediate_size", 1536),
        ("num_hidden_layers", 30), ("num_attention_heads", 9), ("num_key_value_heads", 3),
        ("max_position_embeddings", contextLength),
      ])
  }

  static func integers(_ members: [(String, Int)]) -> Members {
    members.map { ($0.0, .integer(Int64($0.1))) }
  }
}
