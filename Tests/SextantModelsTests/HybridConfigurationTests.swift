import SextantBytes
import SextantModels
import Testing

/// Published configurations of LFM2, Nemotron-H, FalconMamba and Qwen3.5: spellings, defaults and
/// refusals.
@Suite struct HybridConfigurationTests {
  private static let lfm2 = """
    "model_type": "lfm2", "hidden_size": 64, "num_hidden_layers": 3, "vocab_size": 100,
    "num_attention_heads": 4, "num_key_value_heads": 2
    """
  private static let nemotron = """
    "model_type": "nemotron_h", "hidden_size": 64, "vocab_size": 100, "intermediate_size": 96,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 20, "mamba_num_heads": 6,
    "mamba_head_dim": 12, "ssm_state_size": 10, "n_groups": 2
    """
  private static let falcon = """
    "model_type": "falcon_mamba", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 100
    """
  private static let qwen = """
    "model_type": "qwen3_5_text", "hidden_size": 64, "num_hidden_layers": 4, "vocab_size": 100,
    "intermediate_size": 96
    """
  private static let qwenNext = qwen.replacing("qwen3_5_text", with: "qwen3_next")
  private static let shapes = CheckpointShapes([])

  /// The canonical configuration of a published one with some more members.
  private func read(_ base: String, _ members: String) throws -> JSONObject {
    let node = try JSONNode(
      parsing: Array("{\(base), \(members)}".utf8), code: .modelConfiguration,
      file: "config.json", acceptsInfinity: true)
    let architecture = try Architectures.recognise(node, checkpoint: Self.shapes, path: "m")
    let result = try architecture.configuration(from: node, checkpoint: Self.shapes).json
    // Opening accepts the result of conversion, and so does writing and reading again.
    #expect(try !architecture.weights(result).isEmpty)
    let published = try architecture.published(result, dialect: "huggingface")
    let again = JSONNode(.object(published), code: .modelConfiguration, file: nil)
    #expect(try architecture.configuration(from: again, checkpoint: Self.shapes).json == result)
    return result
  }

  private func expectRefusal(
    _ code: Refusal.Code, _ place: String, of base: String, _ members: String
  ) {
    let refusal = #expect(throws: Refusal.self) { try read(base, members) }
    #expect(refusal?.code == code)
    #expect(refusal.map { "\($0)".contains(place) } == true, "\(refusal.map { "\($0)" } ?? "")")
  }

  // MARK: Qwen3.5

  @Test(arguments: [
    #""head_dim": 16"#, #""full_attention_interval": 4"#,
    #""layer_types": ["linear_attention", "linear_attention", "linear_attention", "full_attention"]"#,
  ])
  func attentionIsInEveryFourthBlockOrWhereTheListHasIt(members: String) throws {
    let canonical = try read(Self.qwen, members)
    #expect(canonical["layers"] == ["delta", "delta", "delta", "attention"])
  }

  @Test func unsupportedMembersOfQwenAreRefusedByName() {
    let window = #""layer_types": ["sliding_attention", "full_attention"]"#
    expectRefusal(.modelUnsupported, "/layer_types/0", of: Self.qwen, window)
    let short = #""layer_types": ["full_attention"]"#
    expectRefusal(.modelConfiguration, "/layer_types", of: Self.qwen, short)
    expectRefusal(
      .modelUnsupported, "/output_gate_type", of: Self.qwen, #""output_gate_type": "relu""#)
    expectRefusal(
      .modelConfiguration, "a norm epsilon of 2.0", of: Self.qwen, #""rms_norm_eps": 2.0"#)
  }

  @Test(arguments: [#""num_experts": 0"#, #""mlp_only_layers": [0, 1, 2, 3]"#])
  func aQwen3NextWithoutExpertsIsRead(members: String) throws {
    let canonical = try read(Self.qwenNext, members)
    #expect(canonical["layers"] == ["delta", "delta", "delta", "attention"])
  }

  // MARK: LFM2

  @Test(arguments: [
    #""full_attn_idxs": [2]"#, #""layer_types": ["conv", "conv", "full_attention"]"#,
    #""full_attn_idxs": [2], "layer_types": ["conv", "conv", "full_attention"]"#,
  ])
  func kindsOfBlocksAreNamesOrPlaces(members: String) throws {
    let canonical = try read(Self.lfm2, members + #", "intermediate_size": 96"#)
    #expect(canonical["layers"] == ["convolution", "convolution", "attention"])
    #expect(canonical["rope_theta"] == .number(1_000_000))
    #expect(canonical["tie_embeddings"] == true && canonical["context_length"] == 128_000)
  }

  @Test func withoutKindsAllBlocksHaveAttention() throws {
    let canonical = try read(Self.lfm2, #""intermediate_size": 96"#)
    #expect(canonical["layers"] == ["attention", "attention", "attention"])
  }

  /// The published sizes of LFM2-350M, 700M, 1.2B and 2.6B, and the widths of their tensors.
  @Test(arguments: [
    (#""block_ff_dim": 6656"#, 4608), (#""block_ff_dim": 10240"#, 6912),
    (#""block_ff_dim": 12288"#, 8192), (#""intermediate_size": 10752"#, 7168),
    (#""intermediate_size": 100, "block_multiple_of": 16"#, 80),
    (#""intermediate_size": 100, "block_multiple_of": 7, "block_ffn_dim_multiplier": 1.3"#, 91),
    (#""intermediate_size": 100, "block_auto_adjust_ff_dim": false"#, 100),
    (#""block_ff_dim": 90, "intermediate_size": 100, "block_multiple_of": 1"#, 60),
  ])
  func theWidthOfThePerceptronIsTheChangedOne(members: String, width: Int64) throws {
    #expect(try read(Self.lfm2, members)["d_ff"] == .integer(width))
  }

  @Test func theOlderKeyOfTiedEmbeddingsCounts() throws {
    let members = #""intermediate_size": 9, "tie_embedding": false, "tie_word_embeddings": true"#
    #expect(try read(Self.lfm2, members)["tie_embeddings"] == false)
  }

  @Test(arguments: [
    (Refusal.Code.modelUnsupported, "layer_types/0", #""layer_types": ["x", "conv", "conv"]"#),
    (.modelConfiguration, "layer_types", #""layer_types": ["conv", "conv"]"#),
    (
      .modelConfiguration, "layer_types",
      #""full_attn_idxs": [1], "layer_types": ["conv", "conv", "conv"]"#
    ),
    (.modelConfiguration, "full_attn_idxs/0", #""full_attn_idxs": [3]"#),
    (.modelUnsupported, "head_dim", #""head_dim": 32"#),
    (.modelUnsupported, "conv_dim", #""conv_dim": 128"#),
    (.modelUnsupported, "block_use_swiglu", #""block_use_swiglu": false"#),
    (.modelUnsupported, "use_pos_enc", #""use_pos_enc": false"#),
    (.modelUnsupported, "block_norm_eps", #""block_norm_eps": 1e-6"#),
    (.modelUnsupported, "conv_L_cache", #""conv_L_cache": 9"#),
    (.modelConfiguration, "block_ffn_dim_multiplier", #""block_ffn_dim_multiplier": 1e300"#),
  ])
  func whatAnLFM2LacksIsRefused(code: Refusal.Code, place: String, members: String) {
    expectRefusal(code, place, of: Self.lfm2, #""intermediate_size": 96, "# + members)
  }

  // MARK: Nemotron-H

  @Test(arguments: [
    #""hybrid_override_pattern": "M-*""#,
    #""layers_block_type": ["mamba", "mlp", "attention"]"#,
    #""layers_block_type": ["linear_attention", "mlp", "full_attention"], "num_hidden_layers": 3"#,
    #""layer_types": ["linear_attention", "mlp", "full_attention"]"#,
  ])
  func kindsOfBlocksAreNamesOrLetters(members: String) throws {
    let canonical = try read(Self.nemotron, members)
    #expect(canonical["layers"] == ["mamba", "mlp", "attention"])
  }

  /// These members describe the random weights before training.
  @Test func theStepsOfTheFirstWeightsLimitNothing() throws {
    let members = #""hybrid_override_pattern": "M", "time_step_min": 0.5, "time_step_max": 0.6"#
    let canonical = try read(Self.nemotron, members)
    #expect(canonical["time_step_min"] == 0.0 && canonical["time_step_max"] == .null)
  }

  @Test func theLimitOfStepsIsRead() throws {
    for key in ["time_step_limit", "mamba_dt_limit"] {
      let canonical = try read(
        Self.nemotron, #""hybrid_override_pattern": "M", "\#(key)": [0.001, 0.25]"#)
      #expect(canonical["time_step_min"] == 0.001 && canonical["time_step_max"] == 0.25)
    }
  }

  @Test func otherSpellingsOfSizesAreRead() throws {
    let canonical = try read(
      Self.nemotron,
      """
      "hybrid_override_pattern": "M*", "mamba_n_groups": 3, "mamba_d_conv": 5,
      "mamba_conv_bias": false, "attention_head_dim": 24
      """)
    #expect(canonical["n_groups"] == 3 && canonical["d_conv"] == 5)
    #expect(canonical["use_conv_bias"] == false && canonical["head_dim"] == 24)
  }

  @Test(arguments: [
    (Refusal.Code.modelUnsupported, "\"X\"", #""hybrid_override_pattern": "MX""#),
    (.modelUnsupported, "layers_block_type/1", #""layers_block_type": ["mamba", "moa"]"#),
    (.modelConfiguration, "layers_block_type", #""num_hidden_layers": 2"#),
    (
      .modelConfiguration, "hybrid_override_pattern",
      #""hybrid_override_pattern": "MM", "layers_block_type": ["mamba", "mlp"]"#
    ),
    (
      .modelConfiguration, "num_hidden_layers",
      #""hybrid_override_pattern": "MM", "num_hidden_layers": 3"#
    ),
    (.modelUnsupported, "blocks", #""hybrid_override_pattern": """#),
    (
      .modelUnsupported, "attention_bias",
      #""hybrid_override_pattern": "M", "attention_bias": true"#
    ),
    (
      .modelUnsupported, "mamba_proj_bias",
      #""hybrid_override_pattern": "M", "mamba_proj_bias": true"#
    ),
    (
      .modelUnsupported, "mamba_hidden_act",
      #""hybrid_override_pattern": "M", "mamba_hidden_act": "gelu""#
    ),
    (
      .modelUnsupported, "mlp_hidden_act",
      #""hybrid_override_pattern": "-", "mlp_hidden_act": "softplus""#
    ),
    (.modelConfiguration, "group", #""hybrid_override_pattern": "M", "mamba_n_groups": 5"#),
  ])
  func whatANemotronLacksIsRefused(code: Refusal.Code, place: String, members: String) {
    expectRefusal(code, place, of: Self.nemotron, members)
  }

  // MARK: FalconMamba

  @Test func theNormsInTheMixerHaveAnEpsilon() throws {
    let usual = try read(Self.falcon, #""use_bias": false"#)
    #expect(usual["selection_norm_eps"] == .number(1e-6))
    let other = try read(Self.falcon, #""mixer_rms_eps": 1e-5"#)
    #expect(other["selection_norm_eps"] == .number(1e-5))
    expectRefusal(.modelConfiguration, "mixer_rms_eps", of: Self.falcon, #""mixer_rms_eps": 0"#)
    let mamba = Self.falcon.replacing("falcon_mamba", with: "mamba")
    #expect(try read(mamba, #""use_bias": false"#)["selection_norm_eps"] == nil)
  }
}
