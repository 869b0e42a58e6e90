import SextantBytes
import SextantCheckpoints
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

@testable import SextantConversion

/// Models with windows of attention in GGUF files: Gemma 3 and OLMo 3. Jamba, whose file tells by
/// tensors which blocks have experts.
@Suite struct DecoderGGUFTests {
  private let files = ConversionFolder()

  private func checkpoint(_ name: String) -> String {
    PackageFiles.fixture("hybrids/checkpoints/\(name)")
  }

  /// A store of a fixture whose configuration is changed.
  private func convert(
    _ name: String, as store: String, _ replacements: (old: String, new: String)...
  ) throws -> ModelStore {
    let bytes = try InputFile(checkpoint("\(name)/config.json")).readAll(limit: 1 << 20)
    var text = String(decoding: bytes, as: UTF8.self)
    for (old, new) in replacements {
      try #require(text.contains(old))
      text = text.replacing(old, with: new)
    }
    var options = ConversionOptions()
    options.configuration = files.folder.write(Array(text.utf8), to: "\(store).json")
    return try files.convert(checkpoint(name), as: store, options)
  }

  private func booleans(_ key: String, _ file: GGUFFile) throws -> [Bool]? {
    guard case .array(let array)? = file.values[key] else { return nil }
    return try file.booleans(of: array)
  }

  private func expectEqual(
    _ found: ModelStore, _ expected: ModelStore, exceptRoundingOf isRounded: (String) -> Bool
  ) throws {
    #expect(found.configuration == expected.configuration)
    for entry in expected.tensors {
      let (a, b) = (try found.tensor(entry.name), try expected.tensor(entry.name))
      guard isRounded(entry.name) else {
        #expect(a == b, "\(entry.name)")
        continue
      }
      #expect(
        zip(a.values, b.values).allSatisfy { abs($0 - $1) <= 2e-7 * max(1, abs($1)) },
        "\(entry.name)")
    }
  }

  /// llama.cpp divides scores by the root of the width of a head.
  @Test func aGemmaHasWindowsAndTwoRotations() throws {
    let store = try convert(
      "gemma3_small", as: "a.sxt", ("\"query_pre_attn_scalar\": 20", "\"query_pre_attn_scalar\": 8")
    )
    try files.export(store, to: "m.gguf")
    let file = try GGUFFile(files.path("m.gguf"))
    #expect(file.values["general.architecture"] == .string("gemma3"))
    #expect(file.values["gemma3.attention.sliding_window"] == .integer(8))
    #expect(
      try booleans("gemma3.attention.sliding_window_pattern", file)
        == [true, true, true, true, true, false])
    #expect(file.values["gemma3.rope.freq_base"] == .number(1e6))
    #expect(file.values["gemma3.rope.freq_base_swa"] == .number(1e4))
    #expect(file.values["gemma3.rope.scaling.factor"] == .number(8))
    #expect(file.tensor(named: "output.weight") == nil)
    // All norms are stored as 1 + w.
    for (stored, own) in [
      ("output_norm", "final_norm"), ("blk.5.attn_norm", "blocks.5.input_layernorm"),
      ("blk.5.post_attention_norm", "blocks.5.post_attention_layernorm"),
      ("blk.5.ffn_norm", "blocks.5.pre_feedforward_layernorm"),
      ("blk.5.post_ffw_norm", "blocks.5.post_feedforward_layernorm"),
      ("blk.5.attn_k_norm", "blocks.5.self_attn.k_norm"),
    ] {
      let norm = try #require(file.tensor(named: "\(stored).weight"), "\(stored)")
      let values = try file.bytes(of: norm).withUnsafeBytes {
        Array($0.bindMemory(to: Float.self))
      }
      let expected = try store.tensor("\(own).weight").values
      #expect(zip(values, expected).allSatisfy { abs($0 - 1 - $1) < 1e-6 }, "\(stored)")
    }
    let back = try files.convert(files.path("m.gguf"), as: "b.sxt")
    try expectEqual(back, store) { $0.contains("norm") }
  }

  @Test func anOLMo3HasWindowsAndAScaledRotation() throws {
    let store = try files.convert(checkpoint("olmo3_small"), as: "a.sxt")
    try files.export(store, to: "m.gguf")
    let file = try GGUFFile(files.path("m.gguf"))
    #expect(file.values["general.architecture"] == .string("olmo2"))
    #expect(file.values["olmo2.rope.scaling.type"] == .string("yarn"))
    #expect(file.values["olmo2.rope.scaling.attn_factor"] == nil)  // the usual one
    #expect(
      try booleans("olmo2.attention.sliding_window_pattern", file) == [true, true, true, false])
    // The norms after the parts, and those of all queries and keys.
    #expect(file.tensor(named: "blk.0.post_ffw_norm.weight")?.shape == [24])
    #expect(file.tensor(named: "blk.0.attn_k_norm.weight")?.shape == [12])
    #expect(file.tensor(named: "blk.0.attn_norm.weight") == nil)
    let back = try files.convert(files.path("m.gguf"), as: "b.sxt")
    try expectEqual(back, store) { _ in false }
  }

  /// An OLMo 2 is an OLMo 3 without windows.
  @Test func anOLMo2ComesBackWithoutWindows() throws {
    let store = try convert(
      "olmo3_small", as: "a.sxt", ("\"model_type\": \"olmo3\"", "\"model_type\": \"olmo2\""))
    #expect(store.configuration["layers"] == ["attention", "attention", "attention", "attention"])
    try files.export(store, to: "m.gguf")
    let file = try GGUFFile(files.path("m.gguf"))
    #expect(file.values["olmo2.attention.sliding_window"] == nil)
    let back = try files.convert(files.path("m.gguf"), as: "b.sxt")
    try expectEqual(back, store) { _ in false }
  }

  @Test func biasesOfQwen2AreTensors() throws {
    let store = try convert(
      "qwen2_small", as: "a.sxt",
      ("\"use_sliding_window\": true", "\"use_sliding_window\": false"),
      (
        "\"full_attention\",\n    \"sliding_attention\",\n    \"sliding_attention\"",
        "\"full_attention\", \"full_attention\", \"full_attention\""
      ))
    try files.export(store, to: "m.gguf")
    let file = try GGUFFile(files.path("m.gguf"))
    #expect(file.values["general.architecture"] == .string("qwen2"))
    #expect(file.tensor(named: "blk.1.attn_k.bias")?.shape == [8])
    #expect(file.tensor(named: "blk.1.attn_output.bias") == nil)
    // Rows are not permuted, as they are for Llama.
    let keys = try #require(file.tensor(named: "blk.1.attn_k.weight"))
    #expect(
      try file.bytes(of: keys)
        == store.tensor("blocks.1.self_attn.k_proj.weight").withUnsafeBytes { Array($0) })
    let back = try files.convert(files.path("m.gguf"), as: "b.sxt")
    try expectEqual(back, store) { _ in false }
  }

  @Test func tensorsTellWhichBlocksOfAJambaHaveExperts() throws {
    let store = try files.convert(checkpoint("jamba"), as: "a.sxt")
    try files.export(store, to: "m.gguf")
    let file = try GGUFFile(files.path("m.gguf"))
    #expect(file.values["jamba.expert_count"] == .integer(5))
    #expect(file.values["jamba.expert_used_count"] == .integer(2))
    #expect(file.tensor(named: "blk.1.ffn_gate_exps.weight")?.shape == [5, 24, 16])
    #expect(file.tensor(named: "blk.1.ffn_gate_inp.weight")?.shape == [5, 16])
    #expect(file.tensor(named: "blk.0.ffn_gate.weight")?.shape == [24, 16])
    #expect(file.tensor(named: "blk.0.ssm_dt_norm.weight")?.shape == [3])
    #expect(file.tensor(named: "blk.0.ssm_a")?.shape == [32, 6])
    let back = try files.convert(files.path("m.gguf"), as: "b.sxt")
    try expectEqual(back, store) { $0.hasSuffix("A_log") }
  }

  // MARK: Windows in tables

  private static let table = GGUFTable(
    name: "gemma3", fixed: [],
    rows: GGUFTable.Row.sizes(inner: false) + [
      .windows(.init(interval: 3, base: "rope_local_base_freq"))
    ])

  private func read(_ entries: [UInt8]..., blocks: UInt32 = 4) throws -> JSONObject {
    let values =
      [
        RawGGUF.entry("general.architecture", "gemma3"),
        RawGGUF.entry("gemma3.block_count", blocks),
        RawGGUF.entry("gemma3.embedding_length", 8),
      ] + entries
    let file = RawGGUF.file(
      values: values,
      f32: [("token_embd.weight", [7, 8], [UInt8](repeating: 0, count: 7 * 8 * 4))])
    let description = try #require(
      GGUFDescription(GGUFFile(files.folder.write(file, to: "m.gguf"))))
    guard case .object(let object) = try description.configuration(by: Self.table).value else {
      return JSONObject()
    }
    return object
  }

  private let size = RawGGUF.entry("gemma3.attention.sliding_window", 5)

  private func kinds(_ letters: String) -> JSONValue {
    .array(letters.map { $0 == "w" ? "sliding_attention" : "full_attention" })
  }

  /// llama.cpp's converter writes neither the rule nor the base of a Gemma 3.
  @Test func theUsualRuleAndBaseNeedNoKeys() throws {
    let object = try read(size)
    #expect(object["sliding_window"] == 5 && object["layer_types"] == kinds("wwfw"))
    #expect(object["rope_local_base_freq"] == 10_000.0)
    let without = try read()
    #expect(without["sliding_window"] == nil && without["layer_types"] == kinds("ffff"))
    #expect(
      try read(RawGGUF.entry("gemma3.attention.sliding_window", 0))["layer_types"] == kinds("ffff"))
  }

  @Test func aRuleOrAListTellsWhichBlocksHaveWindows() throws {
    let key = "gemma3.attention.sliding_window_pattern"
    #expect(try read(size, RawGGUF.entry(key, 2))["layer_types"] == kinds("wfwf"))
    func list(_ flags: [UInt8]) -> [UInt8] {
      RawGGUF.entry(key, 9, RawGGUF.array(7, count: flags.count, flags))
    }
    #expect(try read(size, list([0, 1, 1, 0]))["layer_types"] == kinds("fwwf"))
    expectRefusal(.modelConfiguration) { try read(size, list([0, 1, 1])) }
    expectRefusal(.modelConfiguration) { try read(size, RawGGUF.entry(key, 0)) }
    let many = expectRefusal(.modelUnsupported) { try read(size, blocks: 4000) }
    #expect(many?.place == .key("gemma3.block_count"))
  }
}
