import SextantBytes
import SextantCheckpoints
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

@testable import SextantConversion

/// Checkpoints of hybrid models in their published spellings.
@Suite struct HybridConversionTests {
  private let files = ConversionFolder()
  private var folder: TemporaryFolder { files.folder }

  private static let models = ["lfm2", "nemotron_h", "falcon_mamba"]

  private func checkpoint(_ model: String) -> String {
    PackageFiles.fixture("hybrids/checkpoints/\(model)")
  }

  @Test func aMemberThatIsNotReadGivesANote() throws {
    for model in Self.models {
      let text = try InputFile(checkpoint("\(model)/config.json")).readAll(limit: 1 << 20)
      let changed = Array("{\"unknown_member\": 3,".utf8) + text.dropFirst()
      var options = ConversionOptions()
      options.configuration = folder.write(changed, to: "\(model).json")
      let (report, _) = try files.convertWithReport(checkpoint(model), as: "\(model).sxt", options)
      #expect(report.notes.contains { $0.contains("unknown_member") }, "\(model)")
    }
  }

  /// Tensors of the checkpoint under other names, and with one more.
  private func renamed(
    _ model: String, _ rename: (String) -> String, adding extra: String
  ) throws -> String {
    let file = try SafetensorsFile(checkpoint("\(model)/model.safetensors"))
    var writer = SafetensorsWriter()
    for tensor in file.tensors {
      try writer.add(rename(tensor.name), .f32, shape: tensor.shape, bytes: file.bytes(of: tensor))
    }
    writer.add(extra, Tensor(zeros: [4]))
    let path = folder.path("renamed.safetensors")
    try writer.publish(to: path)
    return path
  }

  @Test func aNemotronUnderTheModulesNamesIsTheSame() throws {
    let (_, store) = try files.convertWithReport(checkpoint("nemotron_h"), as: "a.sxt")
    var options = ConversionOptions()
    options.configuration = checkpoint("nemotron_h/config.json")
    let path = try renamed(
      "nemotron_h", { $0.replacing("backbone.", with: "model.") }, adding: "mtp.layers.0.x.weight")
    let (report, other) = try files.convertWithReport(path, as: "b.sxt", options)
    #expect(other.identity == store.identity)
    #expect(report.notes.contains { $0.contains("mtp.* (1 tensor)") })
  }

  /// Models that also read images have other names and a configuration around that of the text.
  @Test(arguments: [
    ("model.language_model.", "model.vision_tower.x.weight"),
    ("language_model.model.", "vision_tower.x.weight"),
  ])
  func aGemmaBesideAVisionTowerIsTheSame(base: String, other: String) throws {
    let (_, store) = try files.convertWithReport(checkpoint("gemma3_small"), as: "a.sxt")
    let bytes = try InputFile(checkpoint("gemma3_small/config.json")).readAll(limit: 1 << 20)
    let whole = """
      {"model_type": "gemma3", "torch_dtype": "float32", "vision_config": {"depth": 1},
       "text_config": \(String(decoding: bytes, as: UTF8.self))}
      """
    var options = ConversionOptions()
    options.configuration = folder.write(Array(whole.utf8), to: "whole.json")
    let path = try renamed(
      "gemma3_small", { $0.replacing("model.", with: base) }, adding: other)
    let (report, wrapped) = try files.convertWithReport(path, as: "b.sxt", options)
    #expect(wrapped.identity == store.identity)
    #expect(report.notes.contains { $0.contains("vision_tower") })
  }

  /// transformers 5 cuts the convolution of the delta rule into three pieces of equal length, and gives
  /// the norm after attention another name.
  @Test func anOLMoHybridThatTransformersSavedAgainIsTheSame() throws {
    let (_, store) = try files.convertWithReport(checkpoint("olmo_hybrid_small"), as: "a.sxt")
    let file = try SafetensorsFile(checkpoint("olmo_hybrid_small/model.safetensors"))
    var writer = SafetensorsWriter()
    for tensor in file.tensors where !tensor.name.hasSuffix("_conv1d.weight") {
      let isNorm = tensor.name == "model.layers.1.post_attention_layernorm.weight"
      try writer.add(
        isNorm ? "model.layers.1.feedforward_layer_norm.weight" : tensor.name, .f32,
        shape: tensor.shape, bytes: file.bytes(of: tensor))
    }
    for block in [0, 2] {
      let names = ["q", "k", "v"].map { "model.layers.\(block).linear_attn.\($0)_conv1d.weight" }
      let bytes = try names.flatMap { name in
        try file.bytes(of: #require(file.tensor(named: name)))
      }
      let row = 4 * 4  // bytes of four taps
      #expect(bytes.count == 44 * row)
      for (name, rows) in zip(names, [0..<15, 15..<30, 30..<44]) {
        try writer.add(
          name, .f32, shape: [rows.count, 1, 4],
          bytes: Array(bytes[rows.lowerBound * row..<rows.upperBound * row]))
      }
    }
    let path = folder.path("saved.safetensors")
    try writer.publish(to: path)
    var options = ConversionOptions()
    options.configuration = checkpoint("olmo_hybrid_small/config.json")
    let (_, again) = try files.convertWithReport(path, as: "b.sxt", options)
    #expect(again.identity == store.identity)
  }

  /// The kinds of blocks come back from the marks of the metadata.
  @Test func aGGUFHasTheKindsOfBlocks() throws {
    for (model, name, blocks) in [
      ("lfm2", "lfm2", [0, 0, 2, 0, 2]), ("nemotron_h", "nemotron_h", [0, 0, 0, 2, 0, 0, 0]),
    ] {
      let (_, store) = try files.convertWithReport(checkpoint(model), as: "\(model).sxt")
      try files.export(store, to: "\(model).gguf")
      let file = try GGUFFile(folder.path("\(model).gguf"))
      #expect(file.values["general.architecture"] == .string(name))
      guard case .array(let array)? = file.values["\(name).attention.head_count_kv"] else {
        Issue.record("no array of key heads")
        continue
      }
      #expect(try file.integers(of: array) == blocks.map { Int64($0) })
      #expect(file.tensors.allSatisfy { $0.name.hasSuffix(".weight") || name != "lfm2" })
    }
  }

  /// llama.cpp requires one of the keys, and its converter may write this one alone.
  @Test func theEpsilonOfANemotronHasTwoKeys() throws {
    let (_, store) = try files.convertWithReport(checkpoint("nemotron_h"), as: "a.sxt")
    try files.export(store, to: "m.gguf")
    let path = folder.path("m.gguf")
    let (first, second) = (
      "nemotron_h.attention.layer_norm_rms_epsilon", "nemotron_h.attention.layer_norm_epsilon"
    )
    let file = try GGUFFile(path)
    #expect(file.values[first] == file.values[second])
    #expect(file.values[second] == .number(Double(Float(1e-5))))
    // A key of the same length that nothing reads takes the place of the first one.
    let other = "nemotron_h.attention.layer_norm_xyz_epsilon"
    var bytes = try InputFile(path).readAll(limit: 1 << 24)
    let place = try #require(bytes.firstRange(of: Array(first.utf8)))
    bytes.replaceSubrange(place, with: other.utf8)
    let alone = folder.write(bytes, to: "alone.gguf")
    let (report, back) = try files.convertWithReport(alone, as: "b.sxt")
    #expect(back.configuration["norm_eps"] == store.configuration["norm_eps"])
    #expect(report.notes.contains { $0.contains("layer_norm_xyz_epsilon") })
  }

  @Test func aFalconMambaIsMarkedInAGGUF() throws {
    let (_, store) = try files.convertWithReport(checkpoint("falcon_mamba"), as: "a.sxt")
    try files.export(store, to: "m.gguf")
    #expect(try GGUFFile(folder.path("m.gguf")).values["mamba.ssm.dt_b_c_rms"] == .boolean(true))
    let text = try InputFile(checkpoint("falcon_mamba/config.json")).readAll(limit: 1 << 20)
    let changed = String(decoding: text, as: UTF8.self).replacing("1e-06", with: "1e-05")
    var options = ConversionOptions()
    options.configuration = folder.write(Array(changed.utf8), to: "config.json")
    let (_, other) = try files.convertWithReport(checkpoint("falcon_mamba"), as: "b.sxt", options)
    let refusal = expectRefusal(.exportInexpressible) {
      try files.export(other, to: "n.gguf")
    }
    #expect(refusal?.found.contains("mixer_rms_eps") == true)
  }
}
