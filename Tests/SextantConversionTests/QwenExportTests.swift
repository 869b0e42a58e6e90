import SextantBytes
import SextantCheckpoints
import SextantConversion
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

/// Qwen3.5 in GGUF files, which have attention in every n-th block, and under the names of
/// Qwen3-Next.
@Suite struct QwenExportTests {
  private let files = ConversionFolder()
  private var folder: TemporaryFolder { files.folder }

  /// The first four blocks of the fixture: attention is in the third.
  private func fourBlocks() throws -> String {
    let fixture = PackageFiles.fixture("hybrids/checkpoints/qwen3_5-multimodal")
    let path = folder.makeFolder("four")
    var writer = SafetensorsWriter()
    for shard in TemporaryFolder.entries(of: fixture).sorted() where shard.hasSuffix("tensors") {
      let file = try SafetensorsFile("\(fixture)/\(shard)")
      for entry in file.tensors
      where entry.name.contains("language_model.") && !entry.name.contains(".layers.4.") {
        let tensor = try file.bytes(of: entry).withUnsafeBytes {
          Tensor(copying: $0, dataType: entry.dataType, shape: entry.shape)
        }
        writer.add(entry.name, try #require(tensor))
      }
    }
    try writer.publish(to: "\(path)/model.safetensors")
    let bytes = try InputFile("\(fixture)/config.json").readAll(limit: 1 << 20)
    let text = String(decoding: bytes, as: UTF8.self)
      .replacing("\"num_hidden_layers\": 5", with: "\"num_hidden_layers\": 4")
      .replacing(/("linear_attention"),\s*"full_attention"\s*\]/) { "\($0.1)]" }
    folder.write(Array(text.utf8), to: "four/config.json")
    return path
  }

  @Test func aModelFromGGUFDiffersInRoundingOnly() throws {
    let store = try files.convertToF32(fourBlocks(), as: "a.sxt")
    try files.export(store, to: "m.gguf")
    let path = folder.path("m.gguf")
    let file = try GGUFFile(path)
    #expect(file.values["general.architecture"] == .string("qwen35"))
    #expect(file.values["qwen35.full_attention_interval"] == .integer(3))
    // llama.cpp's converter adds 1 to the factors of the norms.
    let norm = try #require(file.tensor(named: "blk.0.attn_norm.weight"))
    let stored = try file.bytes(of: norm).withUnsafeBytes {
      Tensor(copying: $0, dataType: .f32, shape: norm.shape)
    }
    let factors = try store.tensor("blocks.0.input_layernorm.weight").converted(to: .f32)
    let pairs = zip(try #require(stored).values, try #require(factors).values)
    #expect(pairs.allSatisfy { abs($0 - 1 - $1) < 1e-6 })

    let back = try files.convertToF32(path, as: "b.sxt")
    #expect(back.configuration == store.configuration)
    for entry in store.tensors {
      let found = try #require(try back.tensor(entry.name).converted(to: .f32))
      let expected = try #require(try store.tensor(entry.name).converted(to: .f32))
      #expect(found.shape == expected.shape)
      // -exp(A_log) and 1 + w do not determine the last bits.
      let isRounded = entry.name.hasSuffix("A_log") || entry.name.contains("norm")
      let bound: Float = isRounded ? 2e-7 : 0
      #expect(
        zip(found.values, expected.values).allSatisfy { abs($0 - $1) <= bound * max(1, abs($1)) },
        "\(entry.name)")
    }
  }

  @Test func theNamingOfQwen3NextGivesTheSameModel() throws {
    let fixture = PackageFiles.fixture("hybrids/checkpoints/qwen3_5-multimodal")
    let store = try files.convertToF32(fixture, as: "a.sxt")
    var options = ModelExportOptions()
    options.naming = "qwen3-next"
    try files.export(store, to: "next", options)
    let path = folder.path("next")
    // Queries, keys, values and gates of the delta rule are one matrix there, by key heads.
    let file = try SafetensorsFile("\(path)/model.safetensors")
    let joint = file.tensor(named: "model.layers.0.linear_attn.in_proj_qkvz.weight")
    #expect(joint?.shape == [160, 48])
    let back = try files.convertToF32(path, as: "b.sxt")
    #expect(back.configuration == store.configuration)
    for entry in store.tensors {
      #expect(try back.tensor(entry.name) == store.tensor(entry.name), "\(entry.name)")
    }
  }

  /// Attention in the third and in the last of five blocks.
  @Test func anOrderWithoutARuleIsAnArray() throws {
    let fixture = PackageFiles.fixture("hybrids/checkpoints/qwen3_5-multimodal")
    let store = try files.convertToF32(fixture, as: "a.sxt")
    try files.export(store, to: "m.gguf")
    let path = folder.path("m.gguf")
    let file = try GGUFFile(path)
    #expect(file.values["qwen35.full_attention_interval"] == nil)
    guard case .array(let array)? = file.values["qwen35.attention.recurrent_layers"] else {
      Issue.record("no array")
      return
    }
    #expect(try file.booleans(of: array) == [true, true, false, true, false])
    let back = try files.convertToF32(path, as: "b.sxt")
    #expect(back.configuration == store.configuration)
  }

  /// llama.cpp has one width for keys and values.
  @Test func unequalWidthsOfKeysAndValuesAreReported() throws {
    let fixture = PackageFiles.fixture("hybrids/checkpoints/qwen3_5-multimodal")
    let store = try files.convertToF32(fixture, as: "a.sxt")
    let warnings = try files.export(store, to: "m.gguf").warnings
    #expect(
      warnings.contains { $0.contains("does not load") && $0.contains("linear_value_head_dim") })
  }
}
