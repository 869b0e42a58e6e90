import SextantBytes
import SextantCheckpoints
import SextantModels
import SextantTestSupport
import Testing

@testable import SextantConversion

/// The metadata of hybrid models in GGUF files, read and written by tables as architectures
/// declare them. The keys and their meaning are those of llama.cpp's converter for Granite 4.0,
/// Nemotron-H and Qwen3.5.
@Suite struct GGUFTableTests {
  private let folder = TemporaryFolder()

  private static let multipliers: [GGUFTable.Row] = [
    .number("embedding_scale", "embedding_multiplier"),
    .number("residual_scale", "residual_multiplier"),
    .number("attention.scale", "attention_multiplier"),
    .number("logit_scale", "logits_scaling"),
  ]
  private static let position: GGUFTable.Row = .choice(
    "rope.scaling.finetuned", "position_embedding_type",
    [(stored: true, published: "rope"), (stored: false, published: "nope")])

  private static let attention: [GGUFTable.Row] =
    [.length] + GGUFTable.Row.sizes() + [.integer("attention.head_count", "num_attention_heads")]

  private static let granite = GGUFTable(
    name: "granite", fixed: [("model_type", "granitemoehybrid"), ("num_local_experts", 0)],
    rows: attention + [
      .integer("attention.head_count_kv", "num_key_value_heads"),
      .kinds(.init("layer_types", rest: "attention")), position, .rotation(.init()),
    ] + multipliers)

  private static let graniteHybrid = GGUFTable(
    name: "granitehybrid", fixed: [("model_type", "granitemoehybrid"), ("num_local_experts", 0)],
    rows: attention + [
      .kinds(
        .init(
          "layer_types",
          marks: [("attention.head_count_kv", "num_key_value_heads", kind: "attention")],
          rest: "mamba")),
      .integer("ssm.time_step_rank", "mamba_n_heads"),
      .product("ssm.inner_size", "mamba_d_head", times: "mamba_n_heads"), position,
      .rotation(.init()),
    ] + multipliers)

  private static let nemotron = GGUFTable(
    name: "nemotron_h", fixed: [("model_type", "nemotron_h")],
    rows: [
      .integer("block_count", "num_hidden_layers"),
      .kinds(
        .init(
          "layers_block_type",
          marks: [
            ("attention.head_count_kv", "num_key_value_heads", kind: "attention"),
            ("feed_forward_length", "intermediate_size", kind: "mlp"),
          ], rest: "mamba")),
    ])

  private static let qwen = GGUFTable(
    name: "qwen35", fixed: [("model_type", "qwen3_5_text")],
    rows: GGUFTable.Row.sizes(inner: false) + [
      .recurrentBlocks(interval: 4),
      .integer("attention.head_count", "num_attention_heads"),
      .rotation(.init(headWidth: "head_dim", part: "partial_rotary_factor")),
      .integers("rope.dimension_sections", "mrope_section"),
      .tensor("blk.*.nextn.eh_proj.weight", "has_predictor"),
    ])

  private static let published = JSONObject([
    ("model_type", "granitemoehybrid"), ("num_local_experts", 0), ("vocab_size", 7),
    ("max_position_embeddings", 128), ("hidden_size", 8), ("num_hidden_layers", 3),
    ("intermediate_size", 16), ("num_attention_heads", 4), ("num_key_value_heads", 2),
    ("layer_types", ["mamba", "attention", "mamba"]), ("mamba_n_heads", 4), ("mamba_d_head", 8),
    ("position_embedding_type", "nope"), ("rope_theta", 10000.0), ("rope_scaling", nil),
    ("embedding_multiplier", 12.0), ("residual_multiplier", 0.22),
    ("attention_multiplier", 0.0625), ("logits_scaling", 8.0),
  ])

  private func description(
    _ values: [[UInt8]], tensors: [String] = []
  ) throws -> GGUFDescription {
    let all = ["token_embd.weight"] + tensors
    let file = RawGGUF.file(
      values: values,
      f32: all.map { ($0, [7, 8], [UInt8](repeating: 0, count: 7 * 8 * 4)) })
    return try #require(GGUFDescription(GGUFFile(folder.write(file, to: "m.gguf"))))
  }

  /// The metadata as a file would have them.
  private func entries(_ metadata: GGUFModelMetadata) -> [[UInt8]] {
    metadata.values.map { key, value in
      switch value {
      case .uint32(let number): RawGGUF.entry(key, number)
      case .float32(let number): RawGGUF.entry(key, f32: number)
      case .boolean(let flag): RawGGUF.entry(key, flag)
      case .string(let text): RawGGUF.entry(key, text)
      case .int32s(let numbers): RawGGUF.entry(key, 9, RawGGUF.array(numbers))
      default: []
      }
    }
  }

  private func metadata(_ tables: [GGUFTable], _ object: JSONObject) throws -> GGUFModelMetadata {
    try GGUFModelMetadata(tables, object, published: object)
  }

  private func int32s(_ key: String, _ metadata: GGUFModelMetadata) -> [Int32]? {
    for case (key, .int32s(let numbers)) in metadata.values { return numbers }
    return nil
  }

  // MARK: Granite

  @Test func aHybridIsWrittenAndReadBack() throws {
    let tables = [Self.granite, Self.graniteHybrid]
    let written = try metadata(tables, Self.published)
    #expect(written.table.name == "granitehybrid")
    #expect(int32s("granitehybrid.attention.head_count_kv", written) == [0, 2, 0])
    let values = Dictionary(uniqueKeysWithValues: written.values.map { ($0.key, $0.value) })
    #expect(values["granitehybrid.rope.scaling.finetuned"] == .boolean(false))
    #expect(values["granitehybrid.logit_scale"] == .float32(8))
    #expect(values["granitehybrid.ssm.inner_size"] == .uint32(32))
    let read = try description(entries(written)).configuration(by: written.table)
    #expect(read.value == .object(Self.published))
  }

  /// A model without Mamba blocks has another name there.
  @Test func theFirstTableThatFitsIsWritten() throws {
    var object = Self.published
    object["layer_types"] = ["attention", "attention", "attention"]
    let written = try metadata([Self.granite, Self.graniteHybrid], object)
    #expect(written.table.name == "granite")
    object["mamba_n_heads"] = nil
    object["mamba_d_head"] = nil
    let read = try description(entries(written)).configuration(by: written.table)
    #expect(read.value == .object(object))
    object["num_local_experts"] = 4
    let refusal = expectRefusal(.exportInexpressible) { try metadata([Self.granite], object) }
    #expect(refusal?.found == "num_local_experts 4")
  }

  @Test func aKindOfBlockThatTheFormatLacksIsRefused() throws {
    var object = Self.published
    object["layer_types"] = ["mamba", "attention", "moe"]
    let refusal = expectRefusal(.exportInexpressible) {
      try metadata([Self.granite, Self.graniteHybrid], object)
    }
    #expect(refusal?.found == "blocks of kind moe" && refusal?.expected == "attention, mamba")
  }

  @Test func blocksThatDifferInOtherWaysAreRefused() throws {
    let written = try metadata([Self.graniteHybrid], Self.published)
    func read(_ numbers: [Int32]) throws -> JSONNode {
      let key = "granitehybrid.attention.head_count_kv"
      let others = entries(written).filter { !$0.starts(with: RawGGUF.string(key)) }
      return try description(others + [RawGGUF.entry(key, 9, RawGGUF.array(numbers))])
        .configuration(by: written.table)
    }
    let different = expectRefusal(.modelUnsupported) { try read([0, 2, 4]) }
    #expect(different?.found == "[0, 2, 4]")
    expectRefusal(.modelConfiguration) { try read([0, 2]) }
    expectRefusal(.modelConfiguration) { try read([0, -2, 0]) }
    guard case .object(let object) = try read([2, 2, 2]).value else { return }
    #expect(object["layer_types"] == ["attention", "attention", "attention"])
  }

  // MARK: Nemotron-H

  @Test func severalArraysMarkTheKinds() throws {
    let object = JSONObject([
      ("model_type", "nemotron_h"), ("num_hidden_layers", 4), ("num_key_value_heads", 2),
      ("intermediate_size", 48), ("layers_block_type", ["mamba", "mlp", "attention", "mlp"]),
      ("vocab_size", 7),
    ])
    let written = try metadata([Self.nemotron], object)
    #expect(int32s("nemotron_h.feed_forward_length", written) == [0, 48, 0, 48])
    #expect(int32s("nemotron_h.attention.head_count_kv", written) == [0, 0, 2, 0])
    let read = try description(entries(written)).configuration(by: Self.nemotron)
    #expect(read.value == .object(object))
  }

  @Test func aBlockOfTwoKindsIsRefused() throws {
    let refusal = expectRefusal(.modelUnsupported) {
      try description([
        RawGGUF.entry("general.architecture", "nemotron_h"),
        RawGGUF.entry("nemotron_h.block_count", 2),
        RawGGUF.entry("nemotron_h.attention.head_count_kv", 9, RawGGUF.array([2, 0])),
        RawGGUF.entry("nemotron_h.feed_forward_length", 9, RawGGUF.array([48, 48])),
      ]).configuration(by: Self.nemotron)
    }
    #expect(refusal?.found == "block 0 marked as attention and as mlp")
  }

  // MARK: Qwen3.5

  @Test func aPartOfEachWideHeadTurns() throws {
    let object = JSONObject([
      ("model_type", "qwen3_5_text"), ("hidden_size", 8), ("num_hidden_layers", 4),
      ("layer_types", .array(Self.types([true, true, true, false]))),
      ("num_attention_heads", 2), ("head_dim", 16),
      ("partial_rotary_factor", 0.25), ("rope_theta", 1e7), ("rope_scaling", nil),
      ("mrope_section", [1, 1, 0, 0]), ("has_predictor", false), ("vocab_size", 7),
      ("rotary_dim", 4),
    ])
    let written = try metadata([Self.qwen], object)
    let values = Dictionary(uniqueKeysWithValues: written.values.map { ($0.key, $0.value) })
    #expect(values["qwen35.rope.dimension_count"] == .uint32(4))
    #expect(values["qwen35.attention.value_length"] == .uint32(16))
    #expect(int32s("qwen35.rope.dimension_sections", written) == [1, 1, 0, 0])
    var expected = object
    expected["rotary_dim"] = nil  // the canonical name for the part
    let read = try description(entries(written)).configuration(by: Self.qwen)
    #expect(read.value == .object(expected))
    expected["has_predictor"] = true
    let other = try description(entries(written), tensors: ["blk.4.nextn.eh_proj.weight"])
    #expect(try other.configuration(by: Self.qwen).value == .object(expected))
  }

  private static func types(_ isRecurrent: [Bool]) -> [JSONValue] {
    isRecurrent.map { $0 ? "linear_attention" : "full_attention" }
  }

  /// llama.cpp's converter writes an array of truth values, and llama.cpp itself one of numbers. An array
  /// wins over a rule.
  @Test func recurrentBlocksAreAnArrayOrARule() throws {
    let table = GGUFTable(
      name: "qwen35", fixed: [],
      rows: [.integer("block_count", "num_hidden_layers"), .recurrentBlocks(interval: 4)])
    func types(_ entries: [[UInt8]]) throws -> JSONValue? {
      let first = [
        RawGGUF.entry("general.architecture", "qwen35"), RawGGUF.entry("qwen35.block_count", 4),
      ]
      let read = try description(first + entries).configuration(by: table)
      guard case .object(let object) = read.value else { return nil }
      return object["layer_types"]
    }
    let rule = RawGGUF.entry("qwen35.full_attention_interval", 2)
    let array = RawGGUF.entry("qwen35.attention.recurrent_layers", 9, RawGGUF.array([0, 1, 1, 0]))
    #expect(try types([]) == .array(Self.types([true, true, true, false])))
    #expect(try types([rule]) == .array(Self.types([true, false, true, false])))
    #expect(try types([rule, array]) == .array(Self.types([false, true, true, false])))
    let short = RawGGUF.entry("qwen35.attention.recurrent_layers", 9, RawGGUF.array([0, 1]))
    expectRefusal(.modelConfiguration) { _ = try types([short]) }
    let zero = RawGGUF.entry("qwen35.full_attention_interval", 0)
    expectRefusal(.modelConfiguration) { _ = try types([zero]) }
  }
}
