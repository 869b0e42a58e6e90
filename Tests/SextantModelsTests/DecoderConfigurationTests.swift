import SextantBytes
import SextantModels
import SextantTestSupport
import Testing

/// Published configurations of Qwen2 and 3, Gemma 3, OLMo and Jamba that are read, with the result,
/// and those that are refused.
@Suite struct DecoderConfigurationTests {
  private static let shapes = CheckpointShapes([])

  private static let sizes = """
    "hidden_size": 64, "num_hidden_layers": 4, "vocab_size": 100, "num_attention_heads": 4,
    "intermediate_size": 128
    """
  private static let qwen2 = "\"model_type\": \"qwen2\", \(sizes), \"num_key_value_heads\": 2"
  private static let qwen3 = "\"model_type\": \"qwen3\", \(sizes), \"num_key_value_heads\": 2"
  private static let gemma = "\"model_type\": \"gemma3_text\", \(sizes)"
  private static let olmo2 = "\"model_type\": \"olmo2\", \(sizes)"
  private static let olmo3 = "\"model_type\": \"olmo3\", \(sizes)"
  private static let hybrid = "\"model_type\": \"olmo_hybrid\", \(sizes)"
  private static let jamba = "\"model_type\": \"jamba\", \(sizes), \"num_key_value_heads\": 2"

  /// The canonical configuration of a published one with some more members.
  private func read(_ base: String, _ members: String = "") throws -> JSONObject {
    let text = "{\(base)\(members.isEmpty ? "" : ", ")\(members)}"
    let node = try JSONNode(
      parsing: Array(text.utf8), code: .modelConfiguration, file: "config.json")
    let architecture = try Architectures.recognise(node, checkpoint: Self.shapes, path: "m")
    let result = try architecture.configuration(from: node, checkpoint: Self.shapes).json
    // Opening accepts the result of conversion.
    #expect(try !architecture.weights(result).isEmpty)
    return result
  }

  private func names(_ base: String, _ members: String = "") throws -> Set<String> {
    let canonical = try read(base, members)
    let node = try JSONNode(
      parsing: Array("{\(base)}".utf8), code: .modelConfiguration, file: "config.json")
    let architecture = try Architectures.recognise(node, checkpoint: Self.shapes, path: "m")
    return Set(try architecture.weights(canonical).map(\.name))
  }

  // MARK: Qwen2 and 3

  @Test func absentMembersOfQwenHaveTransformersDefaults() throws {
    let two = try read(Self.qwen2)
    #expect(two["head_dim"] == 16 && two["context_length"] == 32_768)
    #expect(two["attention_bias"] == true && two["head_norms"] == false)
    let three = try read(Self.qwen3)
    #expect(three["head_dim"] == 128 && three["rotary_dim"] == 128)
    #expect(three["attention_bias"] == false && three["head_norms"] == true)
    #expect(three["layers"] == ["attention", "attention", "attention", "attention"])
  }

  @Test func onlyQwen3HasABiasOfTheOutput() throws {
    let two = try names(Self.qwen2)
    #expect(two.contains("blocks.0.self_attn.q_proj.bias"))
    #expect(!two.contains("blocks.0.self_attn.o_proj.bias"))
    let three = try names(Self.qwen3, #""attention_bias": true"#)
    #expect(three.contains("blocks.0.self_attn.o_proj.bias"))
    #expect(three.contains("blocks.0.self_attn.k_norm.weight"))
    #expect(try !names(Self.qwen3).contains("blocks.0.self_attn.q_proj.bias"))
  }

  /// A window counts only if it is turned on, and only in the last blocks.
  @Test func windowsOfQwenAreTurnedOn() throws {
    let off = #""use_sliding_window": false, "sliding_window": 32, "max_window_layers": 2"#
    #expect(try read(Self.qwen2, off)["sliding_window"] == .null)
    let on = try read(Self.qwen2, off.replacing("false", with: "true"))
    #expect(on["layers"] == ["attention", "attention", "window", "window"])
    #expect(on["sliding_window"] == 32)
    let late = #""use_sliding_window": true, "sliding_window": 32, "max_window_layers": 4"#
    #expect(try read(Self.qwen2, late) == read(Self.qwen2))
  }

  // MARK: Gemma 3

  /// The text part of a model that also reads images declares little.
  @Test func absentMembersOfGemmaHaveTransformersDefaults() throws {
    let text = """
      "model_type": "gemma3_text", "hidden_size": 64, "num_hidden_layers": 7,
      "intermediate_size": 128
      """
    let gemma = try read(text)
    #expect(gemma["n_head"] == 8 && gemma["n_kv_head"] == 4 && gemma["head_dim"] == 256)
    #expect(gemma["vocab_size"] == 262_208 && gemma["score_dim"] == 256.0)
    #expect(gemma["sliding_window"] == 4096 && gemma["tie_embeddings"] == true)
    #expect(
      gemma["layers"]
        == ["window", "window", "window", "window", "window", "attention", "window"])
    #expect(gemma["rope_theta"] == 1e6)
    guard case .object(let rotation)? = gemma["window_rotation"] else {
      Issue.record("no rotation of windows")
      return
    }
    #expect(rotation["rope_theta"] == 10_000.0)
  }

  @Test func bothSpellingsOfTwoRotationsAreTheSame() throws {
    let old = """
      "rope_theta": 500000.0, "rope_local_base_freq": 2000.0,
      "rope_scaling": {"rope_type": "linear", "factor": 8.0}
      """
    let new = """
      "rope_parameters": {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 500000.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 2000.0}}
      """
    let expected = try read(Self.gemma, old)
    #expect(expected["rope_scaling"] == ["rope_type": "linear", "factor": 8.0])
    #expect(try read(Self.gemma, new) == expected)
    #expect(try read(Self.gemma, "\(old), \(new)") == expected)
    #expect(
      expected["window_rotation"]
        == ["rope_theta": 2000.0, "rotary_dim": 256, "rope_scaling": .null])
  }

  /// transformers rounds the root of the width to the type of the weights.
  @Test(arguments: [
    ("", 33.94112549695428), (#""torch_dtype": "bfloat16""#, 34.0), (#""dtype": "bfloat16""#, 34.0),
    (#""dtype": "float16""#, 33.9375), (#""dtype": "float32""#, 33.94112549695428),
  ])
  func theEmbeddingIsScaledByARoundedRoot(members: String, scale: Double) throws {
    let base = Self.gemma.replacing("\"hidden_size\": 64", with: "\"hidden_size\": 1152")
    #expect(try read(base, members)["embedding_scale"] == .number(scale))
  }

  /// The type that the whole declares is that of its text part.
  @Test func theTextPartHasTheTypeOfTheWhole() throws {
    let text = """
      {"model_type": "gemma3", "torch_dtype": "bfloat16", "text_config": {
        "model_type": "gemma3_text", "hidden_size": 1152, "num_hidden_layers": 1,
        "intermediate_size": 128}}
      """
    let node = try JSONNode(
      parsing: Array(text.utf8), code: .modelConfiguration, file: "config.json")
    let part = try #require(try Architectures.languageModel(in: node))
    let architecture = try #require(Architectures.named("gemma3"))
    let canonical = try architecture.configuration(from: part, checkpoint: Self.shapes).json
    #expect(canonical["embedding_scale"] == 34.0)
  }

  // MARK: OLMo

  @Test func everyFourthBlockOfOLMo3AttendsToAllPositions() throws {
    let olmo = try read(Self.olmo3)
    #expect(olmo["layers"] == ["window", "window", "window", "attention"])
    #expect(olmo["sliding_window"] == 4096 && olmo["rope_theta"] == 500_000.0)
    let two = try read(Self.olmo2)
    #expect(two["sliding_window"] == nil && two["rope_theta"] == 10_000.0)
  }

  @Test func anOLMo3WithoutWindowsIsAnOLMo2() throws {
    let full =
      #""layer_types": ["full_attention", "full_attention", "full_attention", "full_attention"]"#
    let base = #""rope_theta": 500000.0, "rms_norm_eps": 1e-6"#
    #expect(try read(Self.olmo3, "\(full), \(base)") == read(Self.olmo2, base))
  }

  /// The published OLMo Hybrid does not rotate heads.
  @Test(arguments: [
    "", #""rope_parameters": null"#, #""rope_parameters": {"rope_theta": null}"#,
    #""rope_parameters": {"rope_theta": null, "rope_type": "default"}"#, #""rope_theta": null"#,
  ])
  func anOLMoHybridWithoutABaseDoesNotRotate(members: String) throws {
    let hybrid = try read(Self.hybrid, members)
    #expect(hybrid["rotary_dim"] == 0)
    #expect(hybrid["layers"] == ["delta", "delta", "delta", "attention"])
    #expect(hybrid["n_delta_key_head"] == 4 && hybrid["delta_key_dim"] == 12)
    #expect(hybrid["delta_value_dim"] == 24 && hybrid["negative_eigenvalues"] == true)
  }

  @Test func anOLMoHybridWithABaseRotates() throws {
    #expect(try read(Self.hybrid, #""rope_theta": 10000.0"#)["rotary_dim"] == 16)
    let parameters = #""rope_parameters": {"rope_theta": 5000.0, "rope_type": "default"}"#
    #expect(try read(Self.hybrid, parameters)["rope_theta"] == 5000.0)
  }

  // MARK: Jamba

  @Test func rulesTellTheBlocksOfAJamba() throws {
    let usual = try read(Self.jamba)
    #expect(usual["layers"] == ["mamba", "mamba", "mamba", "mamba"])
    #expect(usual["feed_forward"] == ["mlp", "experts", "mlp", "experts"])
    #expect(usual["n_expert"] == 16 && usual["n_expert_used"] == 2 && usual["d_expert"] == 128)
    #expect(usual["d_inner"] == 128 && usual["dt_rank"] == 4 && usual["d_state"] == 16)
    let other = try read(
      Self.jamba,
      """
      "attn_layer_period": 2, "attn_layer_offset": 0, "expert_layer_period": 3,
      "expert_layer_offset": 2, "num_local_experts": 4, "mamba_dt_rank": "auto"
      """)
    #expect(other["layers"] == ["attention", "mamba", "attention", "mamba"])
    #expect(other["feed_forward"] == ["mlp", "mlp", "experts", "mlp"] && other["n_expert"] == 4)
    let dense = try read(Self.jamba, #""num_experts": 1"#)
    #expect(dense["feed_forward"] == nil && dense["n_expert"] == nil)
  }

  /// The members of a mixer that no block has are not written, and are not needed.
  @Test func aJambaOfAttentionAloneComesBack() throws {
    let architecture = try #require(Architectures.named("jamba"))
    let canonical = try read(Self.jamba, #""attn_layer_period": 1, "attn_layer_offset": 0"#)
    #expect(canonical["d_inner"] == nil)
    let published = try architecture.published(canonical, dialect: "huggingface")
    #expect(published["mamba_expand"] == nil)
    let node = JSONNode(.object(published), code: .modelConfiguration, file: nil)
    #expect(try architecture.configuration(from: node, checkpoint: Self.shapes).json == canonical)
  }

  @Test func blocksThatNoRuleGivesHaveNoPublishedForm() throws {
    let architecture = try #require(Architectures.named("jamba"))
    var canonical = try read(Self.jamba)
    _ = try architecture.published(canonical, dialect: "huggingface")
    canonical["layers"] = ["attention", "attention", "mamba", "attention"]
    let refusal = expectRefusal(.exportInexpressible) {
      try architecture.published(canonical, dialect: "huggingface")
    }
    #expect(refusal?.found == "attention in blocks [0, 1, 3]")
  }

  // MARK: Refusals

  @Test(arguments: [
    (qwen3, #""hidden_act": "gelu""#, "gelu"),
    (qwen2, #""layer_types": ["full_attention", "linear_attention"]"#, "linear_attention"),
    (gemma, #""hidden_activation": "silu""#, "silu"),
    (gemma, #""final_logit_softcapping": 30.0"#, "30"),
    (gemma, #""attn_logit_softcapping": 50.0"#, "50"), (gemma, #""attention_bias": true"#, "true"),
    (gemma, #""use_bidirectional_attention": true"#, "true"),
    (olmo2, #""attention_bias": true"#, "true"),
    (olmo2, #""layer_types": ["sliding_attention", "full_attention"]"#, "sliding_attention"),
    (jamba, #""hidden_act": "gelu""#, "gelu"),
    (jamba, #""mamba_inner_layernorms": false"#, "false"),
  ])
  func whatIsNotSupportedIsRefused(base: String, members: String, found: String) {
    let refusal = expectRefusal(.modelUnsupported) { try read(base, members) }
    #expect(refusal?.found.contains(found) == true, "\(refusal?.found ?? "")")
  }

  @Test(arguments: [
    (qwen3, #""layer_types": ["full_attention"]"#),
    (
      qwen2,
      #""layer_types": ["sliding_attention", "full_attention", "full_attention", "full_attention"]"#
    ),
    (gemma, #""query_pre_attn_scalar": 0"#), (olmo3, #""sliding_window": null"#),
    (olmo2, #""num_key_value_heads": 3"#), (olmo2, #""rms_norm_eps": 0"#),
    (hybrid, #""linear_num_value_heads": 6"#),
    (hybrid, #""rope_parameters": {"rope_type": "linear", "factor": 2.0}"#),
    (jamba, #""attn_layer_offset": 8"#), (jamba, #""expert_layer_period": 0"#),
    (jamba, #""num_experts_per_tok": 17"#), (jamba, #""layers_block_type": ["mamba"]"#),
    (jamba, #""layers_with_experts": [true]"#),
  ])
  func whatContradictsItselfIsRefused(base: String, members: String) {
    expectRefusal(.modelConfiguration) { try read(base, members) }
  }

  /// The stored form is checked, too.
  @Test(
    arguments: [
      (hybrid, "layers", ["window", "delta", "delta", "delta"]), (olmo3, "rotary_dim", 3),
      (gemma, "embedding_scale", 0.0), (gemma, "layers", ["delta"]), (qwen3, "rotary_dim", 64),
      (olmo3, "sliding_window", nil), (qwen3, "sliding_window", 16),
      (gemma, "score_dim", 1e-40),
      (jamba, "feed_forward", ["mlp"]), (jamba, "n_expert_used", 17),
    ] as [(String, String, JSONValue)])
  func aDamagedCanonicalConfigurationIsRefused(
    base: String, key: String, value: JSONValue
  ) throws {
    var object = try read(base)
    let node = try JSONNode(
      parsing: Array("{\(base)}".utf8), code: .modelConfiguration, file: "config.json")
    let architecture = try Architectures.recognise(node, checkpoint: Self.shapes, path: "m")
    object[key] = value
    #expect(throws: Refusal.self) { try architecture.weights(object) }
  }
}
