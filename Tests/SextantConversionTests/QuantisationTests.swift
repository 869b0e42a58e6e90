import SextantBytes
import SextantCheckpoints
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

@testable import SextantConversion

/// Checkpoints with quantised weights are refused. The configuration, the names of tensors or a
/// type of 8 bits shows that they are quantised.
@Suite struct QuantisationTests {
  private let folder = TemporaryFolder()

  /// The tiny Llama, in which tensors take the place of some matrix `w`: `w.qweight` and the like.
  private func checkpoint(
    _ parts: [(name: String, type: DataType)] = [], keepingWeight: Bool = false,
    config change: (inout JSONObject) -> Void = { _ in }
  ) throws -> String {
    let fixture = "llama-tiny/huggingface"
    let source = try SafetensorsFile(PackageFiles.fixture("\(fixture)/model.safetensors"))
    var writer = SafetensorsWriter()
    for entry in source.tensors {
      let isQuantised = entry.name.hasSuffix("_proj.weight") && !parts.isEmpty
      let module = String(entry.name.dropLast(".weight".count))
      if isQuantised {
        for (part, type) in parts {
          writer.add("\(module).\(part)", Tensor(zeros: [2, 4], dataType: type))
        }
      }
      guard !isQuantised || keepingWeight else { continue }
      let value = try source.bytes(of: entry).withUnsafeBytes {
        Tensor(copying: $0, dataType: entry.dataType, shape: entry.shape)
      }
      writer.add(entry.name, try #require(value))
    }
    try writer.publish(to: folder.path("model.safetensors"), replacing: true)
    let text = try InputFile(PackageFiles.fixture("\(fixture)/config.json")).readAll(limit: 1 << 20)
    var object = try JSONNode(parsing: text, code: .modelConfiguration, file: nil).object()
    change(&object)
    folder.write(JSONValue.object(object).canonicalText, to: "config.json")
    return folder.path
  }

  /// The tensors that the programs write, as their own saved models have them.
  @Test(
    arguments: [
      (
        "GPTQ", [("qweight", .i32), ("qzeros", .i32), ("scales", .f16), ("g_idx", .i32)], false
      ),
      ("AWQ", [("qweight", .i32), ("qzeros", .i32), ("scales", .f16)], false),
      (
        "bitsandbytes",
        [
          ("weight.absmax", .u8), ("weight.quant_map", .f32), ("weight.nested_absmax", .f32),
          ("weight.quant_state.bitsandbytes__nf4", .u8),
        ], true
      ),
      ("bitsandbytes", [("weight.quant_state.bitsandbytes__fp4", .u8)], true),
      ("bitsandbytes", [("SCB", .f32), ("weight_format", .u8)], true),
      (
        "compressed-tensors",
        [("weight_packed", .i32), ("weight_scale", .bf16), ("weight_shape", .i64)], false
      ),
      ("FP8", [("weight_scale_inv", .f32)], true), ("FP8", [("weight_scale", .f32)], true),
      ("FP8", [("input_scale", .f32)], true),
      ("NVFP4", [("weight_scale", .u8), ("weight_scale_2", .f32)], true),
      ("HQQ", [("W_q", .u8), ("meta", .u8)], false), ("AQLM", [("codebooks", .f16)], false),
      ("quanto", [("weight._data", .i8), ("weight._scale", .f32)], false),
      ("MLX", [("scales", .f16), ("biases", .f16)], true),
      ("EXL2", [("q_weight", .i32), ("q_scale", .i32)], false),
    ] as [(String, [(name: String, type: DataType)], Bool)])
  func namesTellTheMethod(
    method: String, parts: [(name: String, type: DataType)], keepsWeight: Bool
  ) throws {
    let path = try checkpoint(parts, keepingWeight: keepsWeight)
    let refusal = expectRefusal(.modelQuantised) { try Conversion(path) }
    #expect(refusal?.found.contains("quantised by \(method)") == true, "\(refusal?.found ?? "")")
    #expect(refusal?.remedy.contains("unquantised weights, or from a GGUF file") == true)
    // A prefix, and an architecture that the user names, make no difference.
    var options = ConversionOptions()
    options.architecture = "llama"
    expectRefusal(.modelQuantised) { try Conversion(path, options: options) }
  }

  @Test(
    arguments: [
      ("GPTQ", ["quant_method": "gptq", "bits": 4]), ("AWQ", ["quant_method": "awq"]),
      ("bitsandbytes", ["quant_method": "bitsandbytes", "load_in_4bit": true]),
      ("bitsandbytes", ["load_in_8bit": true]), ("FP8", ["quant_method": "fp8"]),
      ("compressed-tensors", ["quant_method": "compressed-tensors", "format": "pack-quantized"]),
      ("torchao", ["quant_method": "torchao"]), ("FP8", ["quant_algo": "FP8"]),
      ("a method that the configuration does not name", ["bits": 4]),
    ] as [(String, JSONValue)])
  func theConfigurationTellsTheMethod(method: String, value: JSONValue) throws {
    let path = try checkpoint { $0["quantization_config"] = value }
    let refusal = expectRefusal(.modelQuantised) { try Conversion(path) }
    #expect(refusal?.found == "weights that are quantised by \(method)")
    #expect(refusal?.file == folder.path("config.json"))
    #expect(refusal?.place == .pointer("/quantization_config"))
    let nested = try checkpoint { $0["text_config"] = ["quantization_config": value] }
    #expect(
      expectRefusal(.modelQuantised) { try Conversion(nested) }?.place
        == .pointer("/text_config/quantization_config"))
  }

  @Test func anotherMemberMayTellIt() throws {
    let mlx = try checkpoint { $0["quantization"] = ["group_size": 64, "bits": 4] }
    #expect(expectRefusal(.modelQuantised) { try Conversion(mlx) }?.found.hasSuffix("MLX") == true)
    let old = try checkpoint { $0["compression_config"] = ["quant_method": "compressed-tensors"] }
    expectRefusal(.modelQuantised) { try Conversion(old) }
  }

  @Test(
    arguments: [
      nil, [:], ["quant_method": "bitsandbytes", "load_in_4bit": false, "load_in_8bit": false],
      ["load_in_4bit": false, "load_in_8bit": false],
    ] as [JSONValue])
  func aMemberThatDeclaresNothingDoesNoHarm(value: JSONValue) throws {
    _ = try Conversion(checkpoint { $0["quantization_config"] = value })
  }

  /// No reader has types of 8 bits; the configuration knows more than the type.
  @Test func typesThatNoReaderHasAreToldAsQuantised() throws {
    for type in ["F8_E4M3", "F8_E5M2", "F8_E8M0"] {
      let file = RawSafetensors.file([
        ("model.layers.0.self_attn.q_proj.weight", type, [2], [1, 2])
      ])
      let path = folder.write(file, to: "f8.safetensors")
      let refusal = expectRefusal(.modelQuantised) { try Conversion(path) }
      #expect(refusal?.found == "weights that are quantised to FP8: \(type)")
    }
    let four = folder.write(
      RawSafetensors.file([("w", "F4", [2], [1])]), to: "f4.safetensors")
    #expect(
      expectRefusal(.modelQuantised) { try Conversion(four) }?.found
        == "weights that are quantised to FP4: F4")
    let complex = folder.write(
      RawSafetensors.file([("w", "C64", [1], [0, 0, 0, 0, 0, 0, 0, 0])]), to: "c.safetensors")
    expectRefusal(.safetensorsUnsupportedDataType) { try Conversion(complex) }
    folder.write(#"{"quantization_config": {"quant_method": "fbgemm_fp8"}}"#, to: "config.json")
    let path = folder.path("f8.safetensors")
    let declared = expectRefusal(.modelQuantised) { try Conversion(path) }
    #expect(declared?.file == folder.path("config.json"))
  }

  /// The reader of GGUF computes the numbers of its quantised types.
  @Test func aGGUFFileIsReadWhateverIsBesideIt() throws {
    let reference = try Conversion(PackageFiles.fixture("llama-tiny/huggingface"))
      .write(to: folder.path("r.sxt"))
    _ = try ModelExport(ModelStore(opening: folder.path("r.sxt")), as: .gguf)
      .write(to: folder.path("m.gguf"))
    folder.write(#"{"quantization_config": {"quant_method": "gptq"}}"#, to: "config.json")
    let again = try Conversion(folder.path("m.gguf")).write(to: folder.path("a.sxt"))
    #expect(again.identity == reference.identity)
  }

  @Test func theConfigurationThatIsNamedCounts() throws {
    let path = try checkpoint { $0["quantization_config"] = ["quant_method": "gptq"] }
    var options = ConversionOptions()
    options.configuration = PackageFiles.fixture("llama-tiny/huggingface/config.json")
    _ = try Conversion(path, options: options)
  }
}
