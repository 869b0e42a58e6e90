import SextantBytes
import SextantModels
import SextantTestSupport
import Testing

/// Published configurations that are read, with the result, and those that are refused.
@Suite struct ConfigurationTests {
  private static let shapes = CheckpointShapes([])

  private static let llama = """
    "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 100,
    "intermediate_size": 128, "num_attention_heads": 4
    """
  private static let neox = """
    "model_type": "gpt_neox", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 100,
    "intermediate_size": 128, "num_attention_heads": 4
    """
  private static let mamba2 = """
    "model_type": "mamba2", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 100,
    "num_heads": 8, "head_dim": 16, "n_groups": 2
    """
  private static let stateSpaces = #""d_model": 64, "n_layer": 2, "vocab_size": 100"#
  private static let btlm = """
    "model_type": "btlm", "n_embd": 64, "n_layer": 2, "vocab_size": 100, "n_head": 4,
    "activation_function": "swiglu", "position_embedding_type": "alibi"
    """

  /// The canonical configuration of a published one with some more members.
  private func read(_ base: String, _ members: String = "") throws -> JSONObject {
    let text = "{\(base)\(members.isEmpty ? "" : ", ")\(members)}"
    let node = try JSONNode(
      parsing: Array(text.utf8), code: .modelConfiguration, file: "config.json",
      acceptsInfinity: true)
    let architecture = try Architectures.recognise(node, checkpoint: Self.shapes, path: "m")
    let result = try architecture.configuration(from: node, checkpoint: Self.shapes).json
    // Opening accepts the result of conversion.
    #expect(try !architecture.weights(result).isEmpty)
    return result
  }

  // MARK: Spellings

  @Test(arguments: [
    (#""rope_theta": 5e5"#, #""rope_parameters": {"rope_type": "default", "rope_theta": 5e5}"#),
    (
      #""rope_scaling": {"type": "linear", "factor": 2.0}"#,
      #""rope_parameters": {"rope_type": "linear", "factor": 2, "rope_theta": 10000}"#
    ),
    (
      """
      "rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", "factor": 8.0,
      "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
      """,
      """
      "rope_parameters": {"rope_type": "llama3", "rope_theta": 500000, "factor": 8.0,
      "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
      """
    ),
  ])
  func bothSpellingsOfARotationAreOne(older: String, newer: String) throws {
    let expected = try read(Self.llama, older)
    #expect(try read(Self.llama, newer) == expected)
    #expect(try expected != read(Self.llama))
  }

  @Test(arguments: [
    (#""rotary_pct": 0.5, "rotary_emb_base": 500"#, 8, 500.0),
    (#""rotary_pct": 1.0"#, 16, 10_000),
    ("", 4, 10_000), (#""rotary_pct": 0.2"#, 3, 10_000), (#""rotary_pct": 0"#, 0, 10_000),
    (#""rope_theta": 7.0, "partial_rotary_factor": 0.5"#, 4, 10_000),
    (#""rope_parameters": {"rope_theta": 7.0, "partial_rotary_factor": 0.5}"#, 8, 7),
    (#""rope_parameters": {"rope_type": "default", "rope_theta": 7.0}, "rotary_pct": 0.5"#, 8, 7),
  ])
  func thePartOfAHeadThatTurns(members: String, width: Int64, base: Double) throws {
    let configuration = try read(Self.neox, members)
    #expect(configuration["rotary_dim"] == .integer(width))
    #expect(configuration["rope_theta"] == .number(base))
  }

  @Test(arguments: [
    ("", JSONValue.integer(4096)), (#""sliding_window": null"#, .null),
    (#""sliding_window": 12"#, .integer(12)),
  ])
  func aMistralsWindow(members: String, window: JSONValue) throws {
    let mistral = Self.llama.replacing("llama", with: "mistral")
    let keys = #""num_key_value_heads": 2"#
    let configuration = try read(mistral, members.isEmpty ? keys : "\(keys), \(members)")
    #expect(configuration["sliding_window"] == window)
    // A Llama has none, even if its file has other settings.
    #expect(try read(Self.llama, members)["sliding_window"] == .null)
  }

  @Test(arguments: [
    ("[0.0, Infinity]", JSONValue.null), (#"[0.0, {"__float__": "Infinity"}]"#, .null),
    ("[0, 0.25]", 0.25),
  ])
  func theLimitOfAStepSize(limits: String, largest: JSONValue) throws {
    let huggingFace = try read(Self.mamba2, "\"time_step_limit\": \(limits)")
    #expect(huggingFace["time_step_max"] == largest)
    let stateSpaces = try read(
      Self.stateSpaces, #""ssm_cfg": {"layer": "Mamba2", "headdim": 16, "dt_limit": \#(limits)}"#)
    #expect(stateSpaces["time_step_max"] == largest)
  }

  @Test func theScalesOfTheMaximalUpdateParametrisation() throws {
    let plain = try read(Self.btlm)
    #expect(plain["logit_scale"] == 1.0 && plain["embedding_scale"] == 1.0)
    #expect(plain["scale_qk_dot_by_d"] == false && plain["d_ff"] == 256)
    let scaled = try read(
      Self.btlm,
      """
      "mup_width_scale": 0.5, "mup_output_alpha": 3, "mup_embeddings_scale": 14.6,
      "mup_scale_qk_dot_by_d": true, "n_inner": 170
      """)
    #expect(scaled["logit_scale"] == 1.5 && scaled["embedding_scale"] == 14.6)
    #expect(scaled["scale_qk_dot_by_d"] == true && scaled["d_ff"] == 170)
  }

  // MARK: Refusals

  @Test(arguments: [
    (llama, #""num_key_value_heads": 3"#), (llama, #""head_dim": 13"#),
    (llama, #""rms_norm_eps": 0.0"#), (llama, #""rope_scaling": {"type": "linear"}"#),
    (llama, #""rope_scaling": {"type": "linear", "factor": 0}"#),
    (llama, #""rope_scaling": {"type": "dynamic"}"#),
    (llama, #""rope_scaling": {"type": "yarn", "original_max_position_embeddings": 16}"#),
    (llama, #""rope_scaling": {"type": "yarn", "factor": 2, "attention_factor": 0}"#),
    (llama, #""rope_scaling": {"type": "yarn", "factor": 2, "beta_fast": -1}"#),
    (llama, #""rope_scaling": {"type": "yarn", "factor": 2}, "rope_theta": 1"#),
    (llama, #""rope_scaling": {"type": "longrope", "short_factor": [1], "long_factor": [1]}"#),
    (llama, #""rope_scaling": {"type": "longrope", "short_factor": [1, 1, 1, 1, 1, 1, 1, 1]}"#),
    (llama, #""rope_scaling": "linear""#), (llama, #""rope_theta": -1"#),
    (neox, #""rotary_pct": 1.5"#), (neox, #""rotary_pct": -0.5"#),
    (neox, #""layer_norm_eps": 1.0"#),
    (neox, #""rope_scaling": {"type": "dynamic", "factor": 2.0}, "rotary_pct": 0.125"#),
    (mamba2, #""expand": 4"#), (mamba2, #""conv_kernel": 0"#),
    (mamba2, #""time_step_limit": [0.0]"#), (mamba2, #""time_step_limit": [0.5, 0.1]"#),
    (mamba2, #""time_step_limit": [-1, 0.1]"#), (mamba2, #""time_step_limit": [0, "Infinity"]"#),
    (mamba2, #""layer_norm_epsilon": 0"#),
    (stateSpaces, #""ssm_cfg": {"layer": "Mamba2", "headdim": 48}"#),
    (stateSpaces, #""ssm_cfg": {"layer": "Mamba2", "ngroups": 3}"#),
    (btlm, #""mup_embeddings_scale": 0"#), (btlm, #""layer_norm_epsilon": 2.0"#),
  ])
  func numbersThatContradictEachOtherAreRefused(base: String, members: String) {
    expectRefusal(.modelConfiguration) { try read(base, members) }
  }

  /// Nothing is wrong with these configurations: the remedy must not be to change them.
  @Test(arguments: [
    (llama, #""hidden_act": "mish""#), (llama, #""head_dim": 1024"#),
    (llama, #""rope_scaling": {"type": "su", "factor": 2.0}"#),
    (llama, #""rope_parameters": {"full_attention": {"rope_theta": 10000.0}}"#),
    (llama, #""rope_scaling": {"type": "linear", "factor": 2}, "partial_rotary_factor": 0.5"#),
    (llama, #""per_layer_config": {"1": {"intermediate_size": 64}}"#),
    (neox, #""hidden_act": "hardswish""#),
    (neox, #""rope_scaling": {"type": "yarn", "factor": 2}, "rotary_pct": 0.2"#),
    (mamba2, #""hidden_act": "gelu""#), (mamba2, #""conv_kernel": 9"#),
    (stateSpaces, #""ssm_cfg": {"layer": "Mamba2", "D_has_hdim": true}"#),
    (stateSpaces, #""ssm_cfg": {"layer": "Mamba2", "d_ssm": 64}"#),
    (stateSpaces, #""ssm_cfg": {"layer": "Mamba2", "norm_before_gate": true}"#),
    (stateSpaces, #""ssm_cfg": {"layer": "Mamba2"}, "attn_layer_idx": [1]"#),
    (stateSpaces, #""ssm_cfg": {"layer": "Mamba2"}, "d_intermediate": 128"#),
    (btlm, #""scale_attn_weights": false"#), (btlm, #""scale_attn_by_inverse_layer_idx": true"#),
    (btlm, #""alibi_scaling": {"type": "linear", "train_seq_len": 8192}"#),
    (llama, #""use_bidirectional_attention": true"#), (neox, #""is_causal": false"#),
    (llama, #""pruned_heads": {"0": [1]}"#), (mamba2, #""pruned_heads": [3]"#),
  ])
  func optionsThatAreNotSupportedAreRefusedAsSuch(base: String, members: String) {
    let refusal = expectRefusal(.modelUnsupported) { try read(base, members) }
    #expect(refusal?.remedy.contains("Repair") == false)
  }

  // MARK: Members that nothing reads

  /// The names of members that a conversion would report.
  private func unread(_ base: String, _ members: String) throws -> [String] {
    let node = try JSONNode(
      parsing: Array("{\(base), \(members)}".utf8), code: .modelConfiguration, file: "config.json",
      acceptsInfinity: true, reads: JSONReads())
    let architecture = try Architectures.recognise(node, checkpoint: Self.shapes, path: "m")
    _ = try architecture.configuration(from: node, checkpoint: Self.shapes)
    return node.unreadMembers(
      except: ConfigurationKeys.inert(in: node).union(architecture.inertKeys))
  }

  @Test(
    arguments: [
      (llama, #""use_cache": true, "torch_dtype": "bfloat16", "eos_token_id": [1, 2]"#, []),
      (
        llama, #""sliding_window": 4096, "quantization_config": {"bits": 4}"#,
        ["sliding_window", "quantization_config"]
      ),
      (llama, #""sliding_window": null, "layer_types": [], "extras": {}"#, []),
      (
        llama,
        """
        "use_bidirectional_attention": false, "is_causal": true, "pruned_heads": {},
        "is_encoder_decoder": false, "add_cross_attention": false, "is_decoder": true,
        "cross_attention_hidden_size": null, "tie_encoder_decoder": false
        """, []
      ),
      (
        llama,
        """
        "is_encoder_decoder": true, "add_cross_attention": true, "cross_attention_hidden_size": 4
        """, ["is_encoder_decoder", "add_cross_attention", "cross_attention_hidden_size"]
      ),
      (llama, #""partial_rotary_factor": 0.5"#, ["partial_rotary_factor"]),
      (
        llama, #""rope_scaling": {"type": "linear", "factor": 2, "finetuned": true}"#,
        ["rope_scaling.finetuned"]
      ),
      (llama, #""rope_scaling": {"factor": 2}"#, ["rope_scaling.factor"]),
      (
        llama, #""rope_scaling": {"type": "linear", "rope_type": "default"}"#, ["rope_scaling.type"]
      ),
      (
        llama,
        """
        "rope_scaling": {"type": "linear", "factor": 2}, "rope_parameters": {"rope_theta": 5.0}
        """, ["rope_parameters"]
      ),
      // Members that files for old and new readers have twice.
      (
        llama,
        """
        "rope_theta": 5.0, "rope_scaling": {"rope_type": "linear", "factor": 2},
        "rope_parameters": {"rope_type": "linear", "factor": 2, "rope_theta": 5.0}
        """, []
      ),
      (llama, #""rope_theta": 5.0, "rope_parameters": {"rope_theta": 7.0}"#, ["rope_theta"]),
      (
        neox, #""rope_theta": 5.0, "partial_rotary_factor": 1.0"#,
        ["rope_theta", "partial_rotary_factor"]
      ),
      (mamba2, #""chunk_size": 8, "time_step_min": 0.1, "moe": 3"#, ["moe"]),
      (
        stateSpaces, #""ssm_cfg": {"layer": "Mamba2", "chunk_size": 8, "gate": 1}"#,
        ["ssm_cfg.gate"]
      ),
      (btlm, #""n_positions": 8192, "qk_norm": true"#, ["qk_norm"]),
    ] as [(String, String, [String])])
  func membersThatNothingReadsAreNamed(base: String, members: String, names: [String]) throws {
    #expect(try unread(base, members) == names)
  }

  // MARK: Recognition

  @Test(arguments: [false, true])
  func tensorsThatFitSeveralArchitecturesNameNone(hasConfiguration: Bool) throws {
    let names = ["model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight"]
    let shapes = CheckpointShapes(names.map { ($0, [4, 4]) })
    let config =
      hasConfiguration
      ? JSONNode(.object(JSONObject([("hidden_size", 4)])), code: .modelConfiguration, file: nil)
      : nil
    let refusal = expectRefusal(.modelArchitecture) {
      try Architectures.recognise(config, checkpoint: shapes, path: "m")
    }
    #expect(refusal?.found.hasPrefix("no name of an architecture") == true)
    #expect(refusal?.found.contains("llama, ") == true, "\(String(describing: refusal))")
    #expect(refusal?.remedy.contains("`architecture`") == true)
    #expect(refusal?.remedy.contains("`configuration`") == !hasConfiguration)
  }

  @Test(arguments: [
    ("LlamaForCausalLM", "llama"), ("MistralForCausalLM", "llama"),
    ("GPTNeoXForCausalLM", "gpt-neox"), ("MambaForCausalLM", "mamba"),
    ("Mamba2ForCausalLM", "mamba2"), ("RwkvForCausalLM", "rwkv4"), ("Rwkv5ForCausalLM", "rwkv5"),
    ("Rwkv6ForCausalLM", "rwkv6"), ("RWKV7ForCausalLM", "rwkv7"), ("BTLMLMHeadModel", "btlm"),
  ])
  func aClassNamesTheArchitectureWhereNoTypeDoes(named: String, architecture: String) throws {
    func recognise(_ type: String) throws -> String {
      let node = try JSONNode(
        parsing: Array(#"{"architectures": ["\#(named)"]\#(type)}"#.utf8),
        code: .modelConfiguration, file: nil)
      return try Architectures.recognise(node, checkpoint: Self.shapes, path: "m").name
    }
    #expect(try recognise("") == architecture)
    #expect(try recognise(#", "model_type": null"#) == architecture)
    // A type counts more.
    expectRefusal(.modelArchitecture) { try recognise(#", "model_type": "gemma""#) }
  }

  @Test(arguments: [
    (llama, #""num_attention_heads": 4"#, #""num_attention_heads": 5"#),
    (neox, #""num_attention_heads": 4"#, #""num_attention_heads": 5"#),
    (btlm, #""n_head": 4"#, #""n_head": 5"#),
    (mamba2, #""n_groups": 2"#, #""n_groups": 3"#),
    (llama, #""num_hidden_layers": 2, "#, ""), (neox, #""intermediate_size": 128"#, #""x": 1"#),
  ])
  func aChangeThatDoesNotFitIsRefused(base: String, old: String, new: String) {
    #expect(base.contains(old))
    expectRefusal(.modelConfiguration) { try read(base.replacing(old, with: new)) }
  }
}
