import SextantBytes
import SextantModels
import SextantTestSupport
import Testing

/// Published configurations of models with experts: defaults, the blocks that have experts, refusals.
@Suite struct ExpertConfigurationTests {
  private static let sizes = """
    "hidden_size": 64, "num_hidden_layers": 4, "vocab_size": 100, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16
    """
  private static let qwen = #""model_type": "qwen3_5_moe_text", "# + sizes
  private static let next = #""model_type": "qwen3_next", "intermediate_size": 96, "# + sizes
  private static let granite = #""model_type": "granitemoe", "# + sizes
  private static let hybrid = """
    "model_type": "granitemoehybrid", "mamba_n_heads": 8, "mamba_d_head": 16, \(sizes)
    """
  private static let lfm2 = #""model_type": "lfm2_moe", "# + sizes
  private static let nemotron = """
    "model_type": "nemotron_h", "layers_block_type": ["mamba", "moe", "attention", "moe"], \(sizes)
    """
  private static let shapes = CheckpointShapes([])

  /// The canonical configuration of a published one with some more members.
  private func read(_ base: String, _ members: String) throws -> JSONObject {
    let text = "{\(base)\(members.isEmpty ? "" : ", ")\(members)}"
    let node = try JSONNode(
      parsing: Array(text.utf8), code: .modelConfiguration, file: "config.json",
      acceptsInfinity: true)
    let architecture = try Architectures.recognise(node, checkpoint: Self.shapes, path: "m")
    let result = try architecture.configuration(from: node, checkpoint: Self.shapes).json
    #expect(try !architecture.weights(result).isEmpty)
    return result
  }

  @Test(
    arguments: [
      (qwen, 256, 8, 512, 512), (next, 512, 10, 512, 512), (granite, 8, 2, 11_008, nil),
      (hybrid, 8, 2, 11_008, 1024), (nemotron, 8, 2, 7688, 7688), (lfm2, 32, 4, 1792, nil),
      (granite.replacing("granitemoe", with: "granitemoeshared"), 8, 2, 11_008, 1024),
    ] as [(String, Int64, Int64, Int64, Int64?)])
  func absentSizesHaveTransformersDefaults(
    base: String, count: Int64, chosen: Int64, inner: Int64, shared: Int64?
  ) throws {
    let canonical = try read(base, "")
    #expect(canonical["n_expert"] == .integer(count))
    #expect(canonical["n_expert_used"] == .integer(chosen))
    #expect(canonical["d_expert"] == .integer(inner))
    #expect(canonical["d_shared_expert"] == shared.map { .integer($0) } ?? .null)
    #expect(canonical["expert_weights_norm"] == true)
    #expect(canonical["expert_bias"] == .boolean(base == Self.nemotron || base == Self.lfm2))
  }

  @Test(arguments: [
    (next, "", ["experts", "experts", "experts", "experts"]),
    (next, #""decoder_sparse_step": 2"#, ["mlp", "experts", "mlp", "experts"]),
    (next, #""mlp_only_layers": [0, 3]"#, ["mlp", "experts", "experts", "mlp"]),
    (next, #""decoder_sparse_step": 2, "mlp_only_layers": [3]"#, ["mlp", "experts", "mlp", "mlp"]),
    (qwen, #""mlp_only_layers": []"#, ["experts", "experts", "experts", "experts"]),
    (lfm2, "", ["mlp", "mlp", "experts", "experts"]),
    (lfm2, #""num_dense_layers": 0"#, ["experts", "experts", "experts", "experts"]),
  ])
  func theBlocksWithExpertsAreListed(base: String, members: String, blocks: [String]) throws {
    let canonical = try read(base, members)
    #expect(canonical["feed_forward"] == .array(blocks.map { .string($0) }))
    #expect((canonical["d_ff"] == nil) == !blocks.contains("mlp"))
  }

  /// Without experts, the model is one of the family without them.
  @Test(arguments: [
    (next, #""num_experts": 0"#), (lfm2, #""num_dense_layers": 4"#),
    (hybrid, #""num_local_experts": 0"#),
  ])
  func aModelWithoutExpertsHasNoMembersOfThem(base: String, members: String) throws {
    let canonical = try read(base, members)
    #expect(canonical["n_expert"] == nil && canonical["feed_forward"] == nil)
    #expect(canonical["d_ff"] != nil)
  }

  @Test(arguments: [
    (qwen, #""num_experts": 4, "num_experts_per_tok": 5"#, "5 chosen experts"),
    (granite, #""num_local_experts": 1"#, "2 chosen experts"),
    (nemotron, #""n_group": 3"#, "3 groups of 8 experts"),
    (nemotron, #""topk_group": 2"#, "2 of 1 group"),
    (nemotron, #""n_group": 4, "topk_group": 1, "num_experts_per_tok": 3"#, "3 chosen experts"),
    (nemotron, #""routed_scaling_factor": 0"#, "a scale of 0"),
    (lfm2, #""num_experts_per_tok": 33"#, "33 chosen experts"),
  ])
  func expertsThatDoNotFitAreRefused(base: String, members: String, found: String) {
    let refusal = expectRefusal(.modelConfiguration) { try read(base, members) }
    #expect(refusal?.found.contains(found) == true, "\(refusal?.found ?? "")")
  }

  @Test(arguments: [
    (qwen, #""mlp_only_layers": [0]"#, "/mlp_only_layers"),
    (qwen, #""norm_topk_prob": false"#, "/norm_topk_prob"),
    (nemotron, #""n_shared_experts": 2"#, "/n_shared_experts"),
    (nemotron, #""mlp_bias": true"#, "biases"),
    (granite, #""num_local_experts": 100000"#, "/num_local_experts"),
    (qwen, #""num_experts": 5000"#, "/num_experts"),
  ])
  func whatExpertsLackIsRefusedByName(base: String, members: String, place: String) {
    let refusal = expectRefusal(.modelUnsupported) { try read(base, members) }
    #expect(refusal.map { "\($0)".contains(place) } == true, "\(refusal.map { "\($0)" } ?? "")")
  }

  @Test func aMixtureWithoutExpertsIsRefused() {
    let refusal = expectRefusal(.modelConfiguration) {
      try read(Self.granite, #""num_local_experts": 0"#)
    }
    #expect(refusal?.found == "0")
  }

  /// The stored form is checked, too.
  @Test(
    arguments: [
      ("feed_forward", ["experts"]), ("feed_forward", ["experts", "experts", "experts", "x"]),
      ("n_expert_used", 9), ("n_expert_group", 3), ("expert_weights_scale", 0), ("n_expert", .null),
    ] as [(String, JSONValue)])
  func aDamagedCanonicalConfigurationIsRefused(key: String, value: JSONValue) throws {
    var object = try read(Self.lfm2, #""num_experts": 8"#)
    object[key] = value
    let architecture = try #require(Architectures.named("lfm2"))
    #expect(throws: Refusal.self) { try architecture.weights(object) }
  }

  /// A bias that softmax would not use is not ignored.
  @Test(arguments: [("granite", granite), ("qwen3.5", qwen)])
  func aBiasOfTheChoiceNeedsSigmoid(name: String, base: String) throws {
    var object = try read(base, #""num_experts": 8"#)
    #expect(object["expert_bias"] == false)
    object["expert_bias"] = true
    let architecture = try #require(Architectures.named(name))
    let refusal = expectRefusal(.modelConfiguration) { try architecture.weights(object) }
    #expect(refusal?.found == "a bias for the choice of experts")
  }
}
