import SextantBytes
import SextantModels
import SextantTestSupport
import Testing

/// Published configurations of Granite and Falcon-H1 that are read, with the result, and those that
/// are refused.
@Suite struct GraniteAndFalconConfigurationTests {
  private static let shapes = CheckpointShapes([])

  private static let hybrid = """
    "model_type": "granitemoehybrid", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 100,
    "num_attention_heads": 4, "num_local_experts": 0, "mamba_n_heads": 8
    """
  private static let transformer = """
    "model_type": "granite", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 100,
    "num_attention_heads": 4, "intermediate_size": 128
    """
  private static let falcon = """
    "model_type": "falcon_h1", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 100,
    "num_attention_heads": 8, "intermediate_size": 128, "mamba_n_heads": 8
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

  @Test func absentMembersHaveTransformersDefaults() throws {
    let granite = try read(Self.hybrid)
    #expect(granite["layers"] == ["mamba", "mamba"] && granite["rotary_dim"] == 0)
    #expect(granite["mamba_head_dim"] == 16 && granite["mamba_d_state"] == 256)
    #expect(granite["attention_multiplier"] == 1.0 && granite["d_ff"] == 1024)
    let three = try read(Self.transformer)
    #expect(three["layers"] == ["attention", "attention"] && three["rotary_dim"] == 16)
    #expect(three["mamba_n_head"] == nil)
    let falcon = try read(Self.falcon)
    #expect(falcon["n_kv_head"] == 8 && falcon["mamba_head_dim"] == 128)
    #expect(
      falcon["ssm_multipliers"] == [1.0, 1.0, 1.0, 1.0, 1.0] && falcon["mamba_norm"] == false)
  }

  @Test(arguments: [
    #""layer_types": ["linear_attention", "full_attention"]"#,
    #""layers_block_type": ["mamba", "attention"], "position_embedding_type": "nope""#,
  ])
  func theKindsOfBlocksHaveSeveralSpellings(members: String) throws {
    let expected = try read(Self.hybrid, #""layer_types": ["mamba", "attention"]"#)
    #expect(try read(Self.hybrid, members) == expected)
    #expect(expected["layers"] == ["mamba", "attention"])
  }

  @Test func aGranite3IsAGranite4WithoutMambaBlocks() throws {
    let members = #""layer_types": ["attention", "attention"], "position_embedding_type": "rope""#
    let other = try read(Self.hybrid, "\(members), \"shared_intermediate_size\": 128")
    #expect(try read(Self.transformer) == other)
  }

  @Test func theWidthOfAFalconsMixerHasThreeSpellings() throws {
    #expect(try read(Self.falcon, #""mamba_d_ssm": null"#)["mamba_head_dim"] == 16)
    #expect(
      try read(Self.falcon, #""mamba_d_ssm": null, "mamba_expand": 3"#)["mamba_head_dim"] == 24)
    #expect(
      try read(Self.falcon, #""mamba_d_ssm": 96, "mamba_d_head": 12"#)["mamba_head_dim"] == 12)
  }

  @Test(arguments: [
    (hybrid, #""layer_types": ["mamba", "moe"]"#, "moe"),
    (hybrid, #""attention_bias": true"#, "true"), (hybrid, #""mamba_proj_bias": true"#, "true"),
    (hybrid, #""hidden_act": "gelu""#, "gelu"),
    (hybrid, #""time_step_limit": [0.01, 0.1]"#, ""),
    (hybrid, #""position_embedding_type": "alibi""#, "alibi"),
    (hybrid, #""normalization_function": "layernorm""#, "layernorm"),
    (transformer, #""mlp_bias": true"#, "true"),
    (falcon, #""projectors_bias": true"#, "true"), (falcon, #""mlp_bias": true"#, "true"),
    (falcon, #""mamba_rms_norm": true"#, "no mamba_norm_before_gate"),
    (falcon, #""mamba_rms_norm": true, "mamba_norm_before_gate": true"#, "true"),
    (falcon, #""mamba_use_mlp": false"#, "false"),
  ])
  func whatIsNotSupportedIsRefused(base: String, members: String, found: String) {
    let refusal = expectRefusal(.modelUnsupported) { try read(base, members) }
    #expect(refusal?.found.contains(found) == true, "\(refusal?.found ?? "")")
  }

  @Test(arguments: [
    (hybrid, #""layer_types": ["mamba"]"#), (hybrid, #""mamba_d_head": 5"#),
    (hybrid, #""mamba_n_groups": 3"#), (hybrid, #""residual_multiplier": 0"#),
    (hybrid, #""logits_scaling": 0"#), (hybrid, #""num_key_value_heads": 3"#),
    (hybrid, #""layer_types": "mamba""#), (hybrid, #""rms_norm_eps": 0"#),
    (falcon, #""ssm_multipliers": [1, 1, 1, 1]"#), (falcon, #""mlp_multipliers": [1, 0]"#),
    (falcon, #""mamba_d_head": 5"#), (falcon, #""mlp_multipliers": 2"#),
  ])
  func whatContradictsItselfIsRefused(base: String, members: String) {
    expectRefusal(.modelConfiguration) { try read(base, members) }
  }

  /// The stored form is checked, too.
  @Test(
    arguments: [
      ("layers", .array([])), ("layers", ["mamba", "attention", "mlp"]), ("rotary_dim", 3),
      ("mamba_n_groups", 3), ("residual_multiplier", 0.0),
    ] as [(String, JSONValue)])
  func aDamagedCanonicalConfigurationIsRefused(key: String, value: JSONValue) throws {
    var object = try read(Self.hybrid, #""layer_types": ["mamba", "attention"]"#)
    object[key] = value
    let architecture = try #require(Architectures.named("granite"))
    #expect(throws: Refusal.self) { try architecture.weights(object) }
  }
}
