import SextantBytes
import SextantCheckpoints

/// The description of one architecture's models in GGUF metadata, in the terms of the `config.json`
/// that transformers publishes: one table for reading and writing.
///
/// So architectures contain only the tensor names of GGUF, which are a dialect like any other.
struct GGUFFamily {
  /// `general.architecture`, which is also the first word of the other keys.
  let name: String
  /// The name of the architecture here.
  let architecture: String
  /// Whole numbers: key without its first word, member of the configuration.
  let integers: [(key: String, member: String)]
  /// Whole numbers that a file need not have: the configuration has a default.
  var optionalIntegers: [(key: String, member: String)] = []
  /// Other numbers.
  let numbers: [(key: String, member: String)]
  /// Truth values.
  var booleans: [(key: String, member: String)] = []
  /// The keys that llama.cpp requires and whose values are known.
  var constants: [(key: String, value: GGUFNewValue)] = []
  /// Values that must be the ones given, if they are there.
  var required: [(key: String, value: GGUFValue)] = []
  /// Members of the configuration that the format has no place for: llama.cpp has one value.
  let fixed: [(member: String, value: JSONValue)]
  /// The member that declares whether output and embedding are one tensor; nil if they never are.
  var tied: String? = "tie_word_embeddings"
  /// A member that llama.cpp computes right only if it is a multiple of this, and wrong without a
  /// warning otherwise.
  var multiple: (member: String, of: Int)?
  /// The conversions that need more than a name.
  var special: Special = .none

  /// The parts of a description that are in no table.
  enum Special {
    case none
    /// For Mamba-2, the file has the inner width, and the configuration has the width of a head.
    case headsOfInnerWidth
    /// A rotation of all of each head.
    case rotation
    /// A rotation of a part of each head.
    case partialRotation

    /// The keys that members of the configuration are made from.
    var members: [(key: String, member: String)] {
      let scaling = [
        (key: "rope.scaling.type", member: "rope_scaling"),
        (key: "rope.scaling.type", member: "rope_parameters"),
      ]
      return switch self {
      case .none: []
      case .headsOfInnerWidth:
        [("ssm.inner_size", "head_dim"), ("ssm.inner_size", "expand")]
      case .rotation:
        [
          ("attention.key_length", "head_dim"), ("attention.head_count_kv", "num_key_value_heads"),
          ("rope.freq_base", "rope_theta"),
        ] + scaling
      case .partialRotation:
        [("rope.dimension_count", "rotary_pct"), ("rope.freq_base", "rotary_emb_base")] + scaling
      }
    }
  }

  /// llama.cpp has no limit of the text's length for recurrent models; its converter writes this.
  private static let unlimited: GGUFNewValue = .uint32(1 << 20)
  /// The length of the texts that a transformer was trained on.
  private static let length = [(key: "context_length", member: "max_position_embeddings")]
  private static let untied: (member: String, value: JSONValue) = ("tie_word_embeddings", false)
  private static let headless: [(key: String, value: GGUFNewValue)] = [
    ("context_length", unlimited), ("attention.head_count", .uint32(0)),
  ]
  private static let sizes: [(key: String, member: String)] = [
    ("embedding_length", "hidden_size"), ("block_count", "num_hidden_layers"),
  ]
  private static let innerSizes = sizes + [("feed_forward_length", "intermediate_size")]
  private static let attentionSizes =
    innerSizes + [
      ("attention.head_count", "num_attention_heads")
    ]

  /// All families.
  static let all = [
    GGUFFamily(
      name: "mamba", architecture: "mamba",
      integers: sizes + [
        ("ssm.inner_size", "intermediate_size"), ("ssm.state_size", "state_size"),
        ("ssm.time_step_rank", "time_step_rank"), ("ssm.conv_kernel", "conv_kernel"),
      ], numbers: [("attention.layer_norm_rms_epsilon", "layer_norm_epsilon")],
      constants: headless + [("feed_forward_length", .uint32(0))],
      required: [("ssm.dt_b_c_rms", .boolean(false))],
      fixed: [("model_type", "mamba"), ("use_bias", false), ("use_conv_bias", true)]),
    GGUFFamily(
      name: "mamba2", architecture: "mamba2",
      integers: sizes + [
        ("ssm.state_size", "state_size"), ("ssm.time_step_rank", "num_heads"),
        ("ssm.group_count", "n_groups"), ("ssm.conv_kernel", "conv_kernel"),
      ], numbers: [("attention.layer_norm_rms_epsilon", "layer_norm_epsilon")],
      constants: headless + [("feed_forward_length", .uint32(0))],
      fixed: [
        ("model_type", "mamba2"), ("use_bias", false), ("use_conv_bias", true),
        ("time_step_limit", [0.0, ["__float__": "Infinity"]]),
      ], special: .headsOfInnerWidth),
    GGUFFamily(
      name: "rwkv6", architecture: "rwkv6",
      integers: innerSizes + [
        ("wkv.head_size", "head_size"), ("time_mix_extra_dim", "time_mix_extra_dim"),
        ("time_decay_extra_dim", "time_decay_extra_dim"),
      ], numbers: [("attention.layer_norm_epsilon", "layer_norm_epsilon")],
      constants: headless + [("rescale_every_n_layers", .uint32(0))],
      fixed: [("model_type", "rwkv6"), ("group_norm_epsilon", 64e-5), untied], tied: nil),
    GGUFFamily(
      name: "rwkv7", architecture: "rwkv7",
      integers: innerSizes + [
        ("wkv.head_size", "head_dim"), ("attention.decay_lora_rank", "decay_low_rank_dim"),
        ("attention.iclr_lora_rank", "a_low_rank_dim"),
        ("attention.value_residual_mix_lora_rank", "v_low_rank_dim"),
        ("attention.gate_lora_rank", "gate_low_rank_dim"),
      ], numbers: [("attention.layer_norm_epsilon", "norm_eps")], constants: headless,
      fixed: [("model_type", "rwkv7"), ("group_norm_epsilon", 64e-5), untied], tied: nil,
      // Its vector loops skip the elements after the last whole step.
      multiple: ("head_dim", of: 64)),
    GGUFFamily(
      name: "llama", architecture: "llama",
      integers: attentionSizes, optionalIntegers: length,
      numbers: [("attention.layer_norm_rms_epsilon", "rms_norm_eps")],
      required: [("attention.sliding_window", .integer(0)), ("expert_count", .integer(0))],
      fixed: [("model_type", "llama"), ("hidden_act", "silu")], special: .rotation),
    GGUFFamily(
      name: "gptneox", architecture: "gpt-neox",
      integers: attentionSizes, optionalIntegers: length,
      numbers: [("attention.layer_norm_epsilon", "layer_norm_eps")],
      booleans: [("use_parallel_residual", "use_parallel_residual")],
      fixed: [
        ("model_type", "gpt_neox"), ("hidden_act", "gelu"), ("attention_bias", true), untied,
      ],
      tied: nil, special: .partialRotation),
  ]

  /// All keys that are read or do not affect values, without their first word.
  var keys: [String] {
    var keys = (integers + optionalIntegers + numbers + booleans).map(\.key)
    keys += constants.map(\.key) + required.map(\.key) + Self.silent
    switch special {
    case .none: break
    case .headsOfInnerWidth: keys.append("ssm.inner_size")
    case .rotation:
      keys +=
        GGUFRotation.keys
        + ["head_count_kv", "key_length", "value_length"].map { "attention." + $0 }
    case .partialRotation: keys += GGUFRotation.keys
    }
    return keys
  }

  /// The source of a configuration's member in a file; nil if the file has no such place.
  func place(of member: String) -> Refusal.Place? {
    if member == "vocab_size" { return .tensor("token_embd.weight") }
    let table = integers + optionalIntegers + numbers + booleans + special.members
    return table.first { $0.member == member }.map { .key("\(name).\($0.key)") }
  }

  /// Keys that do not affect values, or that repeat the tensors.
  private static let silent = [
    "vocab_size", "context_length", "attention.causal", "tensor_data_layout",
    "rescale_every_n_layers", "token_shift_count",
  ]

  /// llama.cpp's name for an architecture; its own name if llama.cpp does not have it.
  static func modelHint(of architecture: String) -> String {
    all.first { $0.architecture == architecture }?.name ?? architecture
  }

  /// The names of all, for messages.
  static var names: String { all.map(\.name).joined(separator: ", ") }
}
