import Glibc
import SextantBytes
import SextantCheckpoints
import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

@testable import SextantConversion

/// Models with experts in the forms of other programs.
@Suite struct ExpertConversionTests {
  private let folder = TemporaryFolder()

  private func store(_ name: String) throws -> ModelStore {
    let model = try #require(RandomModel.withExperts.first { $0.name == name })
    return try RandomModel.store(model.configuration, at: folder.path("\(name).sxt"))
  }

  private func convert(
    _ path: String, as name: String, _ options: ConversionOptions = .init()
  ) throws -> (report: ConversionReport, store: ModelStore) {
    let destination = folder.path(name)
    let report = try Conversion(path, options: options).write(to: destination)
    return (report, try ModelStore(opening: destination))
  }

  private func export(
    _ store: ModelStore, to name: String, naming: String? = nil
  ) throws -> String {
    let path = folder.path(name)
    var options = ModelExportOptions()
    options.naming = naming
    let format = try #require(ModelExportFormat(path: path))
    _ = try ModelExport(store, as: format, options: options).write(to: path)
    return path
  }

  private func logits(_ store: ModelStore) throws -> Tensor {
    let model = try Architectures.open(store)
    var state = model.initialState()
    return try model.run(TokenBatch([3, 14, 15, 92, 65, 35]), from: &state, logits: .all)
  }

  private static let namings: [(model: String, naming: String, tensor: String, shape: [Int])] = [
    ("qwen3_5_moe", "huggingface", "model.layers.0.mlp.experts.gate_up_proj", [8, 64, 64]),
    (
      "qwen3_5_moe", "huggingface-experts", "model.layers.3.mlp.experts.7.up_proj.weight", [32, 64]
    ),
    ("qwen3_next", "qwen3-next", "model.layers.0.mlp.experts.2.down_proj.weight", [64, 32]),
    ("qwen3_next", "qwen3-next-stacked", "model.layers.0.mlp.experts.down_proj", [8, 64, 32]),
    (
      "granitemoehybrid", "huggingface", "model.layers.1.block_sparse_moe.input_linear.weight",
      [8, 64, 64]
    ),
    (
      "granitemoe", "huggingface", "model.layers.1.block_sparse_moe.output_linear.weight",
      [8, 64, 32]
    ),
    ("nemotron_h", "huggingface", "backbone.layers.1.mixer.gate.e_score_correction_bias", [8]),
    ("latent", "huggingface", "backbone.layers.3.mixer.experts.5.up_proj.weight", [32, 32]),
    ("lfm2_moe", "huggingface", "model.layers.2.feed_forward.experts.0.w2.weight", [64, 32]),
  ]

  @Test(arguments: namings)
  func aFolderOfTransformersGivesTheSameModel(
    own: (model: String, naming: String, tensor: String, shape: [Int])
  ) throws {
    let store = try store(own.model)
    let path = try export(store, to: "published", naming: own.naming)
    let file = try SafetensorsFile("\(path)/model.safetensors")
    #expect(file.tensor(named: own.tensor)?.shape == own.shape)
    let (report, back) = try convert(path, as: "back.sxt")
    #expect(report.dialect == own.naming)
    #expect(report.notes.filter { $0.contains("not used") } == [])
    #expect(back.configuration == store.configuration)
    for entry in store.tensors {
      #expect(try back.tensor(entry.name) == store.tensor(entry.name), "\(entry.name)")
    }
  }

  /// Names and numbers of the metadata as llama.cpp's converter writes them.
  private static let metadata: [(model: String, name: String, values: [(String, GGUFValue)])] = [
    (
      "qwen3_5_moe", "qwen35moe",
      [
        ("expert_count", .integer(8)), ("expert_used_count", .integer(3)),
        ("expert_feed_forward_length", .integer(32)),
        ("expert_shared_feed_forward_length", .integer(64)),
      ]
    ),
    (
      "granitemoehybrid", "granitehybrid",
      [
        ("expert_count", .integer(8)), ("feed_forward_length", .integer(32)),
        ("expert_shared_feed_forward_length", .integer(96)),
      ]
    ),
    (
      "granitemoe", "granitemoe",
      [("expert_used_count", .integer(2)), ("feed_forward_length", .integer(32))]
    ),
    (
      "nemotron_h", "nemotron_h_moe",
      [
        ("expert_weights_scale", .number(2.5)), ("expert_weights_norm", .boolean(true)),
        ("expert_group_count", .integer(1)), ("expert_shared_count", .integer(1)),
      ]
    ),
    (
      "latent", "nemotron_h_moe",
      [
        ("moe_latent_size", .integer(32)), ("expert_group_count", .integer(4)),
        ("expert_group_used_count", .integer(2)),
      ]
    ),
    (
      "lfm2_moe", "lfm2moe",
      [
        ("leading_dense_block_count", .integer(1)), ("expert_gating_func", .integer(2)),
        ("feed_forward_length", .integer(96)),
      ]
    ),
  ]

  @Test(arguments: metadata)
  func aGGUFGivesTheSameModel(
    own: (model: String, name: String, values: [(String, GGUFValue)])
  ) throws {
    let store = try store(own.model)
    let path = try export(store, to: "model.gguf")
    let file = try GGUFFile(path)
    #expect(file.values["general.architecture"] == .string(own.name))
    for (key, value) in own.values { #expect(file.values["\(own.name).\(key)"] == value, "\(key)") }
    let block = own.model == "lfm2_moe" || own.name == "nemotron_h_moe" ? 1 : 0
    let isLatent = own.model == "latent"
    #expect(
      file.tensor(named: "blk.\(block).ffn_up_exps.weight")?.shape == [8, 32, isLatent ? 32 : 64])
    #expect(file.tensor(named: "blk.\(block).ffn_gate_inp.weight")?.dataType == .f32)
    let (report, back) = try convert(path, as: "back.sxt")
    #expect(report.notes.filter { $0.contains("not used") } == [])
    var expected = store.configuration
    // llama.cpp has numbers for the positions of images in every file.
    if own.name == "qwen35moe" { expected["mrope_section"] = [2, 1, 1] }
    #expect(back.configuration == expected)
    for entry in store.tensors {
      let (found, kept) = try (back.tensor(entry.name), store.tensor(entry.name))
      // -exp(A_log) and 1 + w do not determine the last bits.
      let isRounded = entry.name.hasSuffix("A_log") || entry.name.contains("norm")
      let bound: Float = isRounded ? 2e-7 : 0
      #expect(found.shape == kept.shape)
      #expect(
        zip(found.values, kept.values).allSatisfy { abs($0 - $1) <= bound * max(1, abs($1)) },
        "\(entry.name)")
    }
  }

  /// llama.cpp has no blocks with perceptrons beside others with experts, and divides weights by their sum.
  @Test func whatLlamaCPPLacksIsRefused() throws {
    let store = try store("qwen3_next")
    expectRefusal(.exportInexpressible) { _ = try export(store, to: "model.gguf") }
    expectRefusal(.exportInexpressible) { _ = try export(store, to: "folder") }
  }

  /// A file of llama.cpp's converter for Qwen3-Next: value heads keep their order, and the rows of b and a
  /// are by key heads.
  @Test func aGGUFOfQwen3NextIsRead() throws {
    let store = try store("qwen3_5_moe")
    let expected = try logits(store)
    let own = try GGUFFile(export(store, to: "own.gguf"))
    var writer = GGUFWriter()
    for (key, value) in own.values where !key.contains("rope.dimension_sections") {
      let key = key.replacing("qwen35moe", with: "qwen3next")
      switch value {
      case .string(let text):
        writer.set(key, .string(text.replacing("qwen35moe", with: "qwen3next")))
      case .integer(let number): writer.set(key, .uint32(UInt32(number)))
      case .number(let number): writer.set(key, .float32(Float(number)))
      case .boolean(let flag): writer.set(key, .boolean(flag))
      case .array: break
      }
    }
    func stored(_ entry: CheckpointTensor) throws -> Tensor {
      try #require(
        own.bytes(of: entry).withUnsafeBytes {
          Tensor(copying: $0, dataType: entry.dataType, shape: entry.shape)
        })
    }
    // [2 key heads][2 value heads of b, then of a]
    func interleaved(_ b: [Float], _ a: [Float]) -> [Float] {
      let half = b.count / 2
      return Array(b[..<half] + a[..<half] + b[half...] + a[half...])
    }
    for entry in own.tensors {
      let parts = entry.name.split(separator: ".")
      let canonical = ["ssm_a", "ssm_dt", "ssm_out", "attn_gate", "attn_qkv", "ssm_conv1d"]
      guard parts.count > 2, parts[0] == "blk" else {
        try writer.add(entry.name, stored(entry))
        continue
      }
      let block = "blocks.\(parts[1]).linear_attn"
      func values(_ name: String) throws -> [Float] { try store.tensor("\(block).\(name)").values }
      if parts[2] == "ssm_alpha" {
        let joint = try interleaved(values("b_proj.weight"), values("a_proj.weight"))
        try writer.add("blk.\(parts[1]).ssm_ba.weight", Tensor(joint, shape: [8, 64]))
      } else if parts[2] == "ssm_beta" {
        continue
      } else if canonical.contains(String(parts[2])) {
        // Without the order of llama.cpp's Qwen3.5.
        let plain: [Float] =
          switch parts[2] {
          case "ssm_a": try values("A_log").map { -Float(exp(Double($0))) }
          case "ssm_dt": try values("dt_bias")
          case "ssm_out": try values("out_proj.weight")
          case "attn_gate": try values("z_proj.weight")
          case "ssm_conv1d": try values("conv1d.weight")
          default:
            try values("q_proj.weight") + values("k_proj.weight") + values("v_proj.weight")
          }
        try writer.add(entry.name, Tensor(plain, shape: entry.shape))
      } else {
        try writer.add(entry.name, stored(entry))
      }
    }
    let path = folder.path("next.gguf")
    try writer.publish(to: path)
    let (report, back) = try convert(path, as: "back.sxt")
    #expect(report.dialect == "gguf-qwen3next")
    let found = try logits(back)
    #expect(
      zip(found.values, expected.values).allSatisfy { abs($0 - $1) <= 1e-3 + 1e-3 * abs($1) })
  }

  /// A configuration may declare millions of experts that the file does not have.
  @Test func absentExpertsAreRefusedAtOnce() throws {
    let path = try export(store("lfm2_moe"), to: "published")
    let text = try InputFile("\(path)/config.json").readAll(limit: 1 << 20)
    var config = try JSONNode(parsing: text, code: .modelConfiguration, file: nil).object()
    config["num_experts"] = 4096
    config["num_hidden_layers"] = 1000
    config["layer_types"] = nil
    folder.write(JSONValue.object(config).canonicalText, to: "published/config.json")
    let refusal = expectRefusal(.modelTensorMissing) { try convert(path, as: "absent.sxt") }
    #expect(refusal?.found.contains("more") == true)
  }

  /// Stacks of experts become blocks of 8 bits, and the router keeps its precision.
  @Test(arguments: ["qwen3_5_moe", "latent", "lfm2_moe"])
  func stacksOfExpertsAreStoredInBlocks(model: String) throws {
    let store = try store(model)
    let path = try export(store, to: "published")
    var options = ConversionOptions()
    options.dataType = .q8
    let (_, blocks) = try convert(path, as: "q8.sxt", options)
    for entry in blocks.tensors {
      if entry.name.contains(".experts.") { #expect(entry.dataType == .q8, "\(entry.name)") }
      if entry.name.contains("router") { #expect(entry.dataType == .f32, "\(entry.name)") }
    }
    // A model of the same numbers in f32 computes the same.
    let numbers = try blocks.tensors.map { entry in
      (name: entry.name, tensor: try #require(blocks.tensor(entry.name).converted(to: .f32)))
    }
    let path32 = folder.path("f32.sxt")
    _ = try StoreWriter.publish(
      numbers, to: path32, architecture: blocks.architecture, configuration: blocks.configuration)
    let (found, expected) = try (logits(blocks), logits(ModelStore(opening: path32)))
    expectClose(found, expected, Bound(absolute: 1e-3, relative: 1e-4), model)
    #expect(try found != logits(store))
  }
}
