import SextantBytes
import SextantCheckpoints
import SextantModels
import SextantTestSupport
import Testing

/// Configurations of the RWKV family are derived from the tensors, and must agree where they are given.
@Suite struct RWKVConfigurationTests {
  /// A published form: the source of a configuration.
  struct Form: Sendable, CustomTestStringConvertible {
    let name: String

    init(_ name: String) { self.name = name }

    var testDescription: String { name }

    func architecture() throws -> any Architecture.Type {
      try #require(Architectures.named(String(name.prefix { $0 != "/" })))
    }

    func shapes(changing changes: [String: [Int]?] = [:]) throws -> CheckpointShapes {
      let file = try SafetensorsFile(
        PackageFiles.fixture("rwkv-tiny/\(name)/model.safetensors"))
      var shapes = file.tensors.map { (name: $0.name, shape: $0.shape) }
      for (name, shape) in changes {
        shapes.removeAll { $0.name == name }
        if let shape { shapes.append((name, shape)) }
      }
      return CheckpointShapes(shapes)
    }

    func configuration(
      _ members: [(String, JSONValue)]?, changing changes: [String: [Int]?] = [:]
    ) throws -> JSONObject {
      let config = members.map {
        JSONNode(.object(JSONObject($0)), code: .modelConfiguration, file: "config.json")
      }
      return try architecture().configuration(from: config, checkpoint: shapes(changing: changes))
        .json
    }
  }

  static let originals = ["rwkv4", "rwkv5", "rwkv6", "rwkv7"].map { Form("\($0)/blinkdl") }

  @Test(arguments: originals)
  func theTensorsAloneTellTheArchitectureAndItsSizes(form: Form) throws {
    let found = try Architectures.recognise(nil, checkpoint: form.shapes(), path: form.name)
    #expect(found.name == (try form.architecture().name))
    let configuration = try form.configuration(nil)
    #expect(configuration["hidden_size"] == 24)
    #expect(configuration["num_hidden_layers"] == 3)
    #expect(configuration["vocab_size"] == 101)
    #expect(configuration["layer_norm_epsilon"] == 1e-5)
    let hasHeads = found.name != "rwkv4"
    #expect(configuration["head_size"] == (hasHeads ? 12 : nil))
    #expect(configuration["group_norm_epsilon"] == (hasHeads ? 64e-5 : nil))
  }

  @Test(arguments: originals)
  func anEmbeddingThatWasNormedOnceAndForAllIsRefused(form: Form) throws {
    let changes: [String: [Int]?] = ["blocks.0.ln0.weight": nil, "blocks.0.ln0.bias": nil]
    expectRefusal(.modelTransformed) { try form.configuration(nil, changing: changes) }
  }

  @Test(arguments: originals)
  func aConfigurationThatNamesNoModelLeavesItToTheTensors(form: Form) throws {
    let config = JSONNode(
      .object(JSONObject([("group_norm_epsilon", 1e-5)])), code: .modelConfiguration, file: nil)
    let found = try Architectures.recognise(config, checkpoint: form.shapes(), path: form.name)
    #expect(found.name == (try form.architecture().name))
  }

  @Test(
    arguments: originals,
    [
      ("hidden_size", 25), ("attention_hidden_size", 48), ("num_hidden_layers", 2),
      ("vocab_size", 100), ("intermediate_size", 1), ("tie_word_embeddings", 1),
      ("hidden_size", "24"),
    ] as [(String, JSONValue)])
  func aConfigurationThatContradictsTheTensorsIsRefused(
    form: Form, member: (key: String, value: JSONValue)
  ) throws {
    let refusal = expectRefusal(.modelConfiguration) {
      try form.configuration([(member.key, member.value)])
    }
    #expect(refusal?.place == .pointer("/\(member.key)"))
  }

  @Test(
    arguments: [
      ("head_dim", 24), ("num_heads", 3), ("decay_low_rank_dim", 8), ("a_low_rank_dim", 5),
      ("v_low_rank_dim", 6), ("gate_low_rank_dim", 7), ("norm_eps", 0), ("norm_eps", 1),
      ("group_norm_epsilon", -1),
    ] as [(String, JSONValue)])
  func aConfigurationOfRWKV7ThatContradictsTheTensorsIsRefused(
    member: (key: String, value: JSONValue)
  ) throws {
    expectRefusal(.modelConfiguration) {
      try Self.originals[3].configuration([(member.key, member.value)])
    }
  }

  @Test(
    arguments: [
      ("hidden_act", "relu"), ("norm_first", false), ("norm_bias", false), ("attn", ["layers"]),
    ] as [(String, JSONValue)])
  func anOptionOfRWKV7ThatIsNotSupportedIsRefused(member: (key: String, value: JSONValue)) throws {
    expectRefusal(.modelUnsupported) {
      try Self.originals[3].configuration([(member.key, member.value)])
    }
  }

  /// transformers' code has one epsilon for its last norm, and halves the stream of a model of 3 blocks
  /// once where the interval is 2.
  @Test(
    arguments: [
      ([], nil, nil), ([("layer_norm_epsilon", 0.1)], 1e-5, nil),
      ([("rescale_every", 2)], nil, 2), ([("rescale_every", 3)], nil, 3),
      ([("rescale_every", 4)], nil, nil), ([("rescale_every", 0)], nil, nil),
      ([("rescale_every", -1)], nil, nil),
    ] as [([(String, JSONValue)], Double?, Int64?)])
  func whatTransformersDoesWithAConfigurationOfRWKV4(
    members: [(String, JSONValue)], lastEpsilon: Double?, interval: Int64?
  ) throws {
    let configuration = try Self.originals[0].configuration([("model_type", "rwkv")] + members)
    #expect(configuration["final_norm_epsilon"] == lastEpsilon.map { .number($0) })
    #expect(configuration["rescale_every"] == interval.map { .integer($0) })
    // The original code does neither.
    let original = try Self.originals[0].configuration(members)
    #expect(original["final_norm_epsilon"] == nil && original["rescale_every"] == nil)
  }

  @Test(arguments: originals)
  func aTiedHeadIsNoTensorOfItsOwn(form: Form) throws {
    let configuration = try form.configuration([("tie_word_embeddings", true)])
    #expect(configuration["tie_embeddings"] == true)
    #expect(try form.architecture().weights(configuration).allSatisfy { $0.name != "head.weight" })
  }

  @Test(
    arguments: [
      (1, [], 64e-5), (1, [("layer_norm_epsilon", 1e-5), ("head_size_divisor", 8)], 64e-5),
      (1, [("head_size_divisor", 1)], 1e-5), (2, [("head_size_divisor", 4)], 1e-5 * 16),
      (1, [("head_size_divisor", 4), ("group_norm_epsilon", 1e-5)], 1e-5),
      (3, [], 64e-5), (3, [("norm_eps", 1e-5), ("head_dim", 12)], 1e-5 * 12),
      (3, [("head_dim", 12), ("group_norm_epsilon", 64e-5)], 64e-5),
    ] as [(Int, [(String, JSONValue)], Double)])
  func theEpsilonOfAHeadsNormIsTheConfigurationsOrThePublishedOne(
    form: Int, members: [(String, JSONValue)], epsilon: Double
  ) throws {
    let configuration = try Self.originals[form].configuration(members)
    #expect(configuration["group_norm_epsilon"] == .number(epsilon))
  }

  @Test(
    arguments: [
      (3, "emb.weight", [101]), (3, "emb.weight", [0, 24]), (3, "emb.weight", []),
      (3, "emb.weight", [Int.max, 24]), (3, "blocks.0.att.r_k", [24]),
      (3, "blocks.0.att.r_k", [2, 13]), (3, "blocks.0.att.r_k", [1 << 24, 1 << 24]),
      (3, "blocks.0.att.w1", [24, 0]), (2, "blocks.0.att.time_maa_w2", [5, 24]),
      (1, "blocks.0.att.time_faaaa", [2, 12, 1]), (0, "blocks.0.ffn.key.weight", [96]),
    ] as [(Int, String, [Int])])
  func shapesThatNoModelHasAreRefused(form: Int, name: String, shape: [Int]) throws {
    expectRefusal(.modelShape) {
      try Self.originals[form].configuration(nil, changing: [name: shape])
    }
  }

  @Test(arguments: [
    (3, "blocks.0.att.g1"), (3, "blocks.1.att.v1"), (2, "blocks.0.att.time_decay_w2"),
    (1, "blocks.0.att.time_faaaa"), (0, "blocks.0.ffn.key.weight"),
  ])
  func aTensorThatSizesAreTakenFromMustBeThere(form: Int, name: String) throws {
    let refusal = expectRefusal(.modelTensorMissing) {
      try Self.originals[form].configuration(nil, changing: [name: nil])
    }
    #expect(refusal?.description.contains(name) == true)
  }

  @Test func anotherNamingIsRefused() throws {
    expectRefusal(.modelDialectUnknown) {
      try RWKV7.configuration(from: nil, checkpoint: Self.originals[0].shapes())
    }
  }

  /// Canonical configurations come from stores, which are as untrusted as any file.
  @Test(
    arguments: [
      ("head_size", 5), ("head_size", 0), ("hidden_size", 0), ("hidden_size", 1_000_000_000_000),
      ("num_hidden_layers", 0), ("num_hidden_layers", 1_000_000_000_000), ("gate_low_rank_dim", 0),
      ("v_low_rank_dim", 0), ("layer_norm_epsilon", "1e-5"), ("vocab_size", nil),
    ] as [(String, JSONValue)])
  func aBadCanonicalConfigurationIsRefused(key: String, value: JSONValue) throws {
    var configuration = try Self.originals[3].configuration(nil)
    configuration[key] = value
    expectRefusal(.modelConfiguration) { try RWKV7.weights(configuration) }
  }
}
