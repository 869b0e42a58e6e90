import SextantBytes
import SextantCheckpoints
import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

@testable import SextantConversion

/// Models that keras-hub wrote, with the logits that Keras computes.
@Suite struct KerasHubTests {
  private let files = ConversionFolder()
  private var folder: TemporaryFolder { files.folder }

  private static let families = [
    ("llama", "llama", "keras-hub"), ("llama3", "llama", "keras-hub"),
    ("mistral", "llama", "keras-hub-mistral"), ("gpt_neox", "gpt-neox", "keras-hub"),
    ("qwen2", "qwen3", "keras-hub-qwen2"), ("qwen3", "qwen3", "keras-hub"),
    ("qwen3_5", "qwen3.5", "keras-hub"), ("gemma3", "gemma3", "keras-hub"),
  ]
  private static let names = families.map(\.0)

  private func preset(_ name: String) -> String { PackageFiles.fixture("keras/hub/\(name)") }

  private func bytes(_ path: String) throws -> [UInt8] {
    try InputFile(path).readAll(limit: 1 << 30)
  }

  private func convert(
    _ path: String, config: String? = nil, as name: String = "m.sxt"
  ) throws -> ModelStore {
    var options = ConversionOptions()
    options.configuration = config
    options.replacing = true
    return try files.convert(path, as: name, options)
  }

  // MARK: Reading

  @Test(arguments: families)
  func aPresetGivesTheLogitsOfKeras(name: String, architecture: String, naming: String) throws {
    let converted = try ConvertedModel(path: preset(name))
    #expect(converted.report.architecture == architecture && converted.report.dialect == naming)
    #expect(
      !converted.report.notes.contains { $0.hasPrefix("not used") }, "\(converted.report.notes)")
    let golden = try Goldens("keras/hub/goldens/\(name).safetensors")
    let tokens = try golden.integers("tokens")
    var state = converted.model.initialState()
    let logits = try converted.model.run(TokenBatch(tokens), from: &state, logits: .all)
    expectClose(
      logits.reshaped([tokens.count, converted.model.description.vocabularySize]),
      try golden.floats("logits"), .logits, name)
  }

  /// An archive of a model for a task, shards, a file in the layout of Keras 2, and weights alone.
  @Test(arguments: [
    "llama-forms/task.keras", "llama-forms/shards", "llama-forms/shards/model.weights.json",
    "llama-forms/named.h5", "llama/model.weights.h5",
  ])
  func everyFormGivesTheSameBytes(form: String) throws {
    let reference = try bytes(convert(preset("llama"), as: "a.sxt").path)
    let needsConfiguration = form.hasSuffix("named.h5")
    let store = try convert(
      preset(form), config: needsConfiguration ? preset("llama/config.json") : nil, as: "b.sxt")
    #expect(try bytes(store.path) == reference)
    if form.hasSuffix(".h5") {
      // The description of a model for a task has that of its backbone inside.
      let again = try convert(
        preset(form), config: preset("llama-forms/task.json"), as: "c.sxt")
      #expect(try bytes(again.path) == reference)
    }
  }

  @Test func aPresetWithOnlyTheDescriptionOfATaskIsRead() throws {
    let path = folder.makeFolder("task")
    for (from, to) in [
      ("llama/model.weights.h5", "model.weights.h5"), ("llama-forms/task.json", "task.json"),
    ] { folder.write(try bytes(preset(from)), to: "task/\(to)") }
    let reference = try bytes(convert(preset("llama"), as: "a.sxt").path)
    #expect(try bytes(convert(path, as: "b.sxt").path) == reference)
  }

  @Test(arguments: [("bfloat16", DataType.bf16), ("float16", .f16)])
  func numbersOf16BitsKeepTheirType(form: String, type: DataType) throws {
    let store = try convert(preset("llama-forms/\(form)"), as: "half.sxt")
    let full = try convert(preset("qwen2"), as: "full.sxt")
    #expect(store.tensors.allSatisfy { $0.dataType == type })
    // The same seed made both: Keras rounded these.
    for entry in store.tensors {
      let rounded = try full.tensor(entry.name).converted(to: type)?.converted(to: .f32)
      let found = try store.tensor(entry.name).converted(to: .f32)
      #expect(found == rounded, "\(entry.name)")
    }
  }

  /// The identity is that of the same weights in transformers' folder, whose configuration means the same.
  @Test(arguments: names) func theIdentityIsThatOfTransformersFolder(name: String) throws {
    let store = try convert(preset(name), as: "a.sxt")
    try files.export(store, to: "hf")
    let again = try convert(folder.path("hf"), as: "b.sxt")
    #expect(again.identity == store.identity)
    #expect(try bytes(again.path) == bytes(store.path))
  }

  /// keras-hub 0.32 does not write whether the embedding of a Llama is the head, too.
  @Test func theTensorsOfALlamaShowWhetherItHasAHead() throws {
    #expect(try convert(preset("llama"), as: "a.sxt").configuration["tie_embeddings"] == false)
    #expect(try convert(preset("llama3"), as: "b.sxt").configuration["tie_embeddings"] == true)
    let contradicting = try changed("llama") { $0["tie_word_embeddings"] = true }
    expectRefusal(.modelTied) {
      try convert(preset("llama/model.weights.h5"), config: contradicting)
    }
  }

  // MARK: 8 bits

  @Test func integersOf8BitsAreReadWithTheirScales() throws {
    let (report, store) = try files.convertWithReport(preset("llama-forms/int8"), as: "m.sxt")
    #expect(report.notes.contains { $0.hasPrefix("16 matrices are integers of 8 bits") })
    let expected = try Goldens("keras/hub/goldens/llama-int8.safetensors")
    func check(_ name: String, _ path: String, _ rows: Int, _ columns: Int) throws {
      // Keras' order is [in, out].
      let stored = try expected.floats(path).values
      let found = try store.tensor(name)
      #expect(found.dataType == .f32 && found.shape == [columns, rows])
      let values = found.values
      for row in 0..<rows {
        for column in 0..<columns {
          #expect(values[column * rows + row] == stored[row * columns + column], "\(name)")
        }
      }
    }
    let block = "transformer_layer_1"
    try check("blocks.1.self_attn.q_proj.weight", "\(block)/self_attention/query/kernel", 12, 12)
    try check("blocks.1.self_attn.k_proj.weight", "\(block)/self_attention/key/kernel", 12, 6)
    try check(
      "blocks.1.self_attn.o_proj.weight", "\(block)/self_attention/attention_output/kernel", 12, 12)
    try check("blocks.1.mlp.down_proj.weight", "\(block)/feedforward_output_dense/kernel", 10, 12)
    try check("head.weight", "token_embedding/reverse_embeddings", 12, 23)
    #expect(
      try store.tensor("embedding.weight").values
        == expected.floats("token_embedding/embeddings").values)
    // The norms were not quantised.
    let plain = try convert(preset("llama"), as: "plain.sxt")
    #expect(
      try store.tensor("final_norm.weight").values == plain.tensor("final_norm.weight").values)
  }

  @Test(arguments: ["int4", "float8"]) func otherQuantisationsAreRefusedByName(name: String) throws
  {
    let refusal = expectRefusal(.modelQuantised) {
      try convert(
        preset("llama/model.weights.h5"), config: preset("llama-forms/\(name).json"))
    }
    #expect(refusal?.found.contains(name) == true)
    #expect(refusal?.expected.contains("int8") == true)
  }

  /// Without a description, the shapes show that two numbers share a byte.
  @Test func integersWithoutAScaleForEachOutputAreRefused() throws {
    let source = try HDF5Checkpoint(preset("llama-forms/int8/model.weights.h5"))
    let name = "layers.llama_transformer_decoder._feedforward_gate_dense.vars.1"
    for (shape, count) in [([20], 20), ([1, 5], 5)] {
      var writer = SafetensorsWriter()
      for tensor in source.tensors {
        let isChanged = tensor.name == name
        let bytes =
          isChanged ? [UInt8](repeating: 63, count: 4 * count) : try source.bytes(of: tensor)
        try writer.add(
          tensor.name, tensor.dataType, shape: isChanged ? shape : tensor.shape
        ) { sink throws(Refusal) in try bytes.span.bytes.withUnsafeBytes(sink) }
      }
      let path = folder.path("packed.safetensors")
      try writer.publish(to: path, replacing: true)
      let refusal = expectRefusal(.modelQuantised) {
        try convert(path, config: preset("llama/config.json"))
      }
      #expect(refusal?.found.contains("int4") == true)
    }
  }

  // MARK: Refusals

  /// A description with a changed configuration of the backbone.
  private func changed(
    _ name: String, class className: String? = nil, _ change: (inout JSONObject) -> Void = { _ in }
  ) throws -> String {
    var description = try JSONNode(
      parsing: bytes(preset("\(name)/config.json")), code: .modelConfiguration, file: nil
    ).object()
    guard case .object(var config)? = description["config"] else { return "" }
    change(&config)
    description["config"] = .object(config)
    if let className { description["class_name"] = .string(className) }
    return folder.write(JSONValue.object(description).canonicalText, to: "changed.json")
  }

  @Test(arguments: ["GemmaBackbone", "BertBackbone", "Functional"])
  func aClassThatIsNotReadIsNamed(className: String) throws {
    let config = try changed("llama", class: className)
    let refusal = expectRefusal(.modelArchitecture) {
      try convert(preset("llama/model.weights.h5"), config: config)
    }
    #expect(refusal?.found == "the class \(className) of Keras")
    for name in [
      "LlamaBackbone", "Llama3Backbone", "MistralBackbone", "GPTNeoXBackbone", "QwenBackbone",
      "Qwen3Backbone", "Qwen3_5Backbone", "Gemma3Backbone", "RWKV7Backbone",
    ] { #expect(refusal?.expected.contains(name) == true) }
  }

  private static let unsupported: [(String, String, JSONValue)] = [
    ("gemma3", "use_post_ffw_norm", false),
    ("gemma3", "use_post_attention_norm", .null), ("gemma3", "use_query_key_norm", false),
    ("gemma3", "final_logit_soft_cap", 30), ("gemma3", "attention_logit_soft_cap", 50),
    ("gemma3", "use_bidirectional_attention", true), ("gemma3", "is_embedding_model", true),
    ("llama", "rope_position_scaling_factor", 2.0), ("qwen3", "sliding_window_size", 8),
    ("qwen3_5", "sliding_window_size", 8), ("qwen2", "use_sliding_window_attention", true),
  ]

  @Test(arguments: unsupported)
  func whatSextantOrKerasDoesNotComputeIsRefused(
    name: String, key: String, value: JSONValue
  ) throws {
    let config = try changed(name) { $0[key] = value }
    expectRefusal(.modelUnsupported, "\(key)") {
      try convert(preset("\(name)/model.weights.h5"), config: config)
    }
  }

  private static let impossible: [(String, String, JSONValue)] = [
    ("llama", "rope_low_freq_factor", 1.0), ("llama", "num_query_heads", 5),
    ("llama3", "rope_high_freq_factor", 0.5), ("gpt_neox", "rotary_percentage", 1.5),
    ("qwen3_5", "partial_rotary_factor", -1), ("qwen3_5", "mrope_section", [1, 2]),
    ("gemma3", "num_layers", "two"), ("mistral", "vocabulary_size", .null),
    ("llama", "rope_max_wavelength", 0), ("gpt_neox", "rotary_max_wavelength", -2),
  ]

  @Test(arguments: impossible)
  func impossibleNumbersAreRefused(name: String, key: String, value: JSONValue) throws {
    let config = try changed(name) { $0[key] = value }
    expectRefusal(.modelConfiguration, "\(key)") {
      try convert(preset("\(name)/model.weights.h5"), config: config)
    }
  }

  /// A number too many or too few shifts the meaning of others.
  @Test func variablesAreCounted() throws {
    let config = try changed("llama") { $0["num_layers"] = 3 }
    let refusal = expectRefusal(.hdf5KerasCount) {
      try convert(preset("llama/model.weights.h5"), config: config)
    }
    #expect(refusal?.found.contains("llama_transformer_decoder_2") == true)
    let fewer = try changed("llama") { $0["num_layers"] = 1 }
    expectRefusal(.hdf5KerasCount) { try convert(preset("llama/model.weights.h5"), config: fewer) }
  }

  @Test func weightsWithoutADescriptionAreRefused() throws {
    let path = folder.write(try bytes(preset("qwen3_5/model.weights.h5")), to: "alone.weights.h5")
    let refusal = expectRefusal(.modelConfiguration) { try convert(path) }
    #expect(refusal?.remedy.contains("`configuration`") == true)
  }

  // MARK: Writing

  @Test(arguments: names + ["rwkv7"]) func anExportedPresetHasKerasTensors(name: String) throws {
    let isRWKV = name == "rwkv7"
    let source = isRWKV ? PackageFiles.fixture("keras/rwkv7/weights") : preset(name)
    let store = try convert(source, as: "a.sxt")
    let path = folder.path("out")
    let report = try ModelExport(store, as: .kerasHub).write(to: path + "/")
    #expect(report.files == ["model.weights.h5", "metadata.json", "config.json"])
    let (found, original) = try (
      HDF5Checkpoint("\(path)/model.weights.h5"), HDF5Checkpoint("\(source)/model.weights.h5")
    )
    #expect(found.layout == .keras3 && found.tensors == original.tensors)
    for tensor in found.tensors {
      #expect(try found.bytes(of: tensor) == original.bytes(of: tensor), "\(tensor.name)")
    }
    // The description has the members of Keras' own, apart from names, and those that mean the default.
    let (ours, theirs) = try (configuration(path), configuration(source))
    #expect(ours.className == theirs.className && ours.module == theirs.module)
    let unknown = ours.members.members.map(\.key).filter { theirs.members[$0] == nil }
    #expect(
      unknown.allSatisfy { ["tie_word_embeddings", "rope_position_scaling_factor"].contains($0) })
    let again = try convert(path, as: "b.sxt")
    #expect(try bytes(again.path) == bytes(store.path))
  }

  private func configuration(
    _ folder: String
  ) throws -> (className: JSONValue?, module: JSONValue?, members: JSONObject) {
    let object = try JSONNode(
      parsing: bytes("\(folder)/config.json"), code: .modelConfiguration, file: nil
    ).object()
    guard case .object(let members)? = object["config"] else { throw MissingConfiguration() }
    return (object["class_name"], object["module"], members)
  }

  private struct MissingConfiguration: Error {}

  @Test func weightsAloneAreAFileOfKeras3() throws {
    let store = try convert(preset("gemma3"), as: "a.sxt")
    let path = folder.path("m.weights.h5")
    #expect(ModelExportFormat(path: path)?.inKerasHubForm == .kerasHubWeights)
    _ = try ModelExport(store, as: .kerasHubWeights).write(to: path)
    let again = try convert(path, config: preset("gemma3/config.json"), as: "b.sxt")
    #expect(again.identity == store.identity)
    // Without the form, tensors have transformers' names.
    try files.export(store, to: "flat.h5")
    #expect(try HDF5Checkpoint(folder.path("flat.h5")).layout == .flat)
    #expect(ModelExportFormat.gguf.inKerasHubForm == nil)
  }

  @Test func typesAreWrittenAsKerasHasThem() throws {
    let store = try convert(preset("llama"), as: "a.sxt")
    var options = ModelExportOptions()
    options.dataType = .bf16
    _ = try ModelExport(store, as: .kerasHub, options: options).write(to: folder.path("out"))
    let dtype = try configuration(folder.path("out")).members["dtype"]
    #expect(dtype == KerasHub.policy("bfloat16"))
    let again = try convert(folder.path("out"), as: "b.sxt")
    #expect(again.tensors.first { $0.name == "embedding.weight" }?.dataType == .bf16)
  }

  /// Published models that keras-hub's classes do not have.
  @Test(arguments: [
    ("gpt-neox-tiny/huggingface", "a head of its own in GPTNeoXBackbone"),
    ("configurations/llama-act-quick_gelu", "the activation quick_gelu in LlamaBackbone"),
    ("configurations/llama-yarn-mscale", "a scaled rotation of this kind in LlamaBackbone"),
    ("hybrids/checkpoints/gemma3_small", "Gemma3Backbone"),
    ("configurations/rwkv-epsilon", ""),
  ])
  func whatKerasHubDoesNotHaveIsRefused(model: String, found: String) throws {
    let store = try convert(PackageFiles.fixture(model), as: "a.sxt")
    let code: Refusal.Code = found.isEmpty ? .exportFormat : .exportInexpressible
    let refusal = expectRefusal(code) { try ModelExport(store, as: .kerasHub) }
    #expect(refusal?.found.contains(found) == true, "\(String(describing: refusal))")
  }

  @Test func aModelOfOtherArchitectureHasNoPreset() throws {
    let store = try convert(PackageFiles.fixture("mamba-tiny/huggingface"), as: "a.sxt")
    let refusal = expectRefusal(.exportFormat) { try ModelExport(store, as: .kerasHub) }
    #expect(refusal?.expected.contains("LlamaBackbone") == true)
    var options = ModelExportOptions()
    options.naming = "keras-hub"
    let llama = try convert(preset("llama"), as: "b.sxt")
    expectRefusal(.usageOption) { try ModelExport(llama, as: .safetensors, options: options) }
    _ = try ModelExport(llama, as: .kerasHub, options: options)
    options.naming = "huggingface"
    expectRefusal(.usageOption) { try ModelExport(llama, as: .kerasHub, options: options) }
  }

  @Test func anExistingPresetIsNotReplaced() throws {
    let store = try convert(preset("llama"), as: "a.sxt")
    let path = folder.path("out")
    _ = try ModelExport(store, as: .kerasHub).write(to: path)
    let before = try bytes("\(path)/config.json")
    expectRefusal(.fileExists) { try ModelExport(store, as: .kerasHub).write(to: path) }
    #expect(try bytes("\(path)/config.json") == before)
    var options = ModelExportOptions()
    options.replacing = true
    _ = try ModelExport(store, as: .kerasHub, options: options).write(to: path)
    folder.write("{}", to: "out/model.weights.json")
    expectRefusal(.fileExists) {
      try ModelExport(store, as: .kerasHub, options: options).write(to: path)
    }
  }
}
