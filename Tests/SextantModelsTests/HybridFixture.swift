import SextantConversion
import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

#if canImport(Glibc)
  import Glibc
#endif

/// A tiny random checkpoint that transformers wrote, with outputs that transformers computed in
/// float64 (`fixtures/generate/make_hybrids.py`).
///
/// `fixtures/hybrids` has one or two checkpoints of each family. The script makes all of them; if the
/// environment variable `SEXTANT_HYBRIDS` names its output folder, the tests read that instead.
struct HybridFixture: Sendable, CustomTestStringConvertible {
  /// The checkpoint's name.
  let name: String
  /// The bound of all values; the gated delta rule in f32 needs a larger one.
  let bound: Bound

  var testDescription: String { name }

  private static let folder: String = {
    if let folder = getenv("SEXTANT_HYBRIDS") { return String(cString: folder) }
    return PackageFiles.fixture("hybrids")
  }()

  /// The checkpoints of the supported families. A new family adds its names here.
  private static let families: [(name: String, usesDeltaRule: Bool)] = [
    ("lfm2", false), ("lfm2-bf16", false), ("nemotron_h", false), ("falcon_mamba", false),
    ("granite_h", false), ("granite_attention", false),
    ("falcon_h1", false), ("falcon_h1-bf16", false), ("falcon_h1_norm", false),
    ("qwen3_5", true), ("qwen3_5-bf16", true), ("qwen3_5-multimodal", true),
    ("qwen3_5_moe", true), ("qwen3_next", true), ("granite_h_moe", false),
    ("granite_h_moe-bf16", false), ("nemotron_h_moe", false), ("nemotron_h_moe-bf16", false),
    ("nemotron_h_latent", false), ("lfm2_moe", false),
    ("qwen2", false), ("qwen2_small", false), ("qwen3", false), ("qwen3_small", false),
    ("gemma3", false), ("gemma3_small", false), ("olmo2", false), ("olmo3", false),
    ("olmo3_small", false), ("olmo_hybrid", true), ("olmo_hybrid_small", true), ("jamba", false),
  ]

  /// Those that are there.
  static let all: [HybridFixture] = {
    let present = Set(TemporaryFolder.entries(of: "\(folder)/checkpoints"))
    return families.filter { present.contains($0.name) }.map {
      HybridFixture(
        name: $0.name,
        bound: $0.usesDeltaRule
          ? Bound(absolute: 3e-4) : Bound(absolute: 1e-4, relative: 1e-5))
    }
  }()

  func convert() throws -> ConvertedModel {
    try ConvertedModel(path: "\(Self.folder)/checkpoints/\(name)")
  }

  /// The model by the configuration as transformers 5 saves it; nil if the fixture has none.
  func convertNewerSpelling() throws -> ConvertedModel? {
    let path = "\(Self.folder)/checkpoints/\(name)"
    let configuration = "config.transformers5.json"
    guard TemporaryFolder.entries(of: path).contains(configuration) else { return nil }
    var options = ConversionOptions()
    options.configuration = "\(path)/\(configuration)"
    return try ConvertedModel(path: path, options: options)
  }

  /// The published form of Qwen3.5, beside the parts for images, has the weights of the bf16 form.
  func goldens() throws -> Goldens {
    let name = name.replacing("-multimodal", with: "-bf16")
    return try Goldens(path: "\(Self.folder)/goldens/\(name).safetensors")
  }
}
