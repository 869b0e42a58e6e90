import SextantConversion
import SextantModelTestSupport
import SextantModels
import SextantTestSupport
import Testing

/// A small model of `fixtures/` with golden outputs of an independent float64 reference.
///
/// A new architecture is covered by its lines here.
struct ModelFixture: Sendable, CustomTestStringConvertible {
  /// The folder in `fixtures/`.
  let folder: String
  /// The form of the checkpoint: a folder or a file in that folder.
  let form: String
  /// The golden file of these weights.
  let golden: String

  /// A configuration in that folder, for forms without a configuration.
  let configuration: String?

  init(_ folder: String, _ form: String, _ golden: String, configuration: String? = nil) {
    self.folder = folder
    self.form = form
    self.golden = golden
    self.configuration = configuration
  }

  var testDescription: String { "\(folder)/\(form)" }

  /// Every form whose outputs are compared with golden ones.
  static let all = [
    ModelFixture("mamba-tiny", "huggingface", "f32"), ModelFixture("mamba-tiny", "sharded", "f32"),
    ModelFixture("mamba-tiny", "state-spaces", "f32"), ModelFixture("mamba-tiny", "bf16", "bf16"),
    ModelFixture("mamba-tiny", "f16", "f16"), ModelFixture("mamba-tiny", "untied", "untied"),
    ModelFixture("mamba2-tiny", "huggingface", "f32"),
    ModelFixture("mamba2-tiny", "sharded", "f32"),
    ModelFixture("mamba2-tiny", "state-spaces", "f32"),
    ModelFixture("mamba2-tiny", "bf16", "bf16"),
    ModelFixture("mamba2-tiny", "grouped", "grouped"),
    ModelFixture("rwkv-tiny/rwkv4", "blinkdl", "f32"),
    ModelFixture("rwkv-tiny/rwkv4", "huggingface", "f32"),
    ModelFixture("rwkv-tiny/rwkv4", "bf16.pth", "bf16"),
    ModelFixture("rwkv-tiny/rwkv5", "blinkdl", "f32"),
    ModelFixture("rwkv-tiny/rwkv5", "huggingface", "f32"),
    ModelFixture("rwkv-tiny/rwkv5", "bf16.pth", "bf16"),
    ModelFixture(
      "rwkv-tiny/rwkv5", "blinkdl", "small-epsilon", configuration: "small-epsilon.json"),
    ModelFixture("rwkv-tiny/rwkv5", "v5.0", "v5.0"),
    ModelFixture("rwkv-tiny/rwkv5", "v5.1", "v5.1"),
    ModelFixture("rwkv-tiny/rwkv6", "blinkdl", "f32"),
    ModelFixture("rwkv-tiny/rwkv6", "huggingface", "f32"),
    ModelFixture("rwkv-tiny/rwkv6", "bf16.pth", "bf16"),
    ModelFixture("rwkv-tiny/rwkv7", "blinkdl", "f32"),
    ModelFixture("rwkv-tiny/rwkv7", "without-v0", "f32"),
    ModelFixture("rwkv-tiny/rwkv7", "bf16.pth", "bf16"),
    ModelFixture("rwkv-tiny/rwkv7", "fla", "fla"),
    ModelFixture("llama-tiny", "huggingface", "f32"), ModelFixture("llama-tiny", "bf16", "bf16"),
    ModelFixture("llama-tiny", "hdf5/model.h5", "f32"),
    ModelFixture("llama-tiny", "llama3", "llama3"), ModelFixture("llama-tiny", "linear", "linear"),
    ModelFixture("llama-tiny", "mistral", "mistral"),
    ModelFixture("gpt-neox-tiny", "huggingface", "f32"),
    ModelFixture("gpt-neox-tiny", "sharded", "f32"), ModelFixture("gpt-neox-tiny", "f16", "f16"),
    ModelFixture("gpt-neox-tiny", "serial", "serial"),
    ModelFixture("btlm-tiny", "huggingface", "f32"), ModelFixture("btlm-tiny", "sharded", "f32"),
    ModelFixture("btlm-tiny", "bf16", "bf16"), ModelFixture("btlm-tiny", "untied", "untied"),
  ]

  /// One form for each kind of forward pass, for tests that do not depend on weights and namings.
  static let kinds = [
    ModelFixture("mamba-tiny", "huggingface", "f32"),
    ModelFixture("mamba2-tiny", "grouped", "grouped"),
    ModelFixture("rwkv-tiny/rwkv4", "blinkdl", "f32"),
    ModelFixture("rwkv-tiny/rwkv5", "blinkdl", "f32"),
    ModelFixture("rwkv-tiny/rwkv5", "v5.0", "v5.0"),
    ModelFixture("rwkv-tiny/rwkv6", "blinkdl", "f32"),
    ModelFixture("rwkv-tiny/rwkv7", "blinkdl", "f32"),
    ModelFixture("llama-tiny", "llama3", "llama3"),
    ModelFixture("llama-tiny", "mistral", "mistral"),
    ModelFixture("gpt-neox-tiny", "huggingface", "f32"),
    ModelFixture("btlm-tiny", "huggingface", "f32"),
    ModelFixture("hybrids", "checkpoints/granite_h", "granite_h"),
    ModelFixture("hybrids", "checkpoints/falcon_h1-bf16", "falcon_h1-bf16"),
  ]

  func convert() throws -> ConvertedModel {
    var options = ConversionOptions()
    options.configuration = configuration.map { PackageFiles.fixture("\(folder)/\($0)") }
    return try ConvertedModel("\(folder)/\(form)", options: options)
  }

  func goldens() throws -> Goldens {
    try Goldens("\(folder)/goldens/\(golden).safetensors")
  }
}
