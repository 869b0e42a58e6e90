import Glibc
import SextantBytes
import SextantConversion
import SextantModelTestSupport
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

/// The small trained models that rwkv.cpp is tested with, and the logits that its authors expect of
/// them (github.com/RWKV/rwkv.cpp, `tests/`), under the original names.
///
/// They are not part of the package: they are looked for beside the checkout, or where
/// `SEXTANT_RWKV_TINY` says.
struct PublishedRWKV: Sendable, CustomTestStringConvertible {
  let name: String
  var suffix = "safetensors"
  var configuration: String?
  /// What the expected logits allow for.
  var bound: Float = 1e-5

  static let all = [
    PublishedRWKV(name: "4v0-660K"),
    // Trained with another epsilon than the default, which its file does not say.
    PublishedRWKV(
      name: "5v2-730K", configuration: PackageFiles.fixture("rwkv-tiny/rwkv5/small-epsilon.json")),
    // Our copy was once quantised to 5 bits; the logits are those of the original.
    PublishedRWKV(name: "6v0-3m", bound: 0.1), PublishedRWKV(name: "7v0-834K"),
    PublishedRWKV(name: "7v0-834K", suffix: "pth"),
  ]

  static let folder =
    getenv("SEXTANT_RWKV_TINY").map { String(cString: $0) }
    ?? "\(PackageFiles.root)/../shared/data/rwkv-tiny"

  static var arePresent: Bool { access(folder, R_OK) == 0 }

  var testDescription: String { "\(name).\(suffix)" }
}

@Suite(.enabled(if: PublishedRWKV.arePresent)) struct PublishedRWKVTests {
  @Test(arguments: PublishedRWKV.all)
  func thePublishedLogitsAreMet(_ published: PublishedRWKV) throws {
    let folder = TemporaryFolder()
    var options = ConversionOptions()
    options.configuration = published.configuration
    let path = folder.path("model.sxt")
    _ = try Conversion(
      "\(PublishedRWKV.folder)/tiny-rwkv-\(published.name).\(published.suffix)", options: options
    ).write(to: path)
    let model = try Architectures.open(ModelStore(opening: path))
    var state = model.initialState()
    let logits = try model.run(TokenBatch(Array("\"in".utf8).map(Int.init)), from: &state)
    let bytes = try InputFile("\(PublishedRWKV.folder)/expected-logits-\(published.name).bin")
      .readAll(limit: 1 << 20)
    let expected = try #require(
      bytes.withUnsafeBytes { Tensor(copying: $0, dataType: .f32, shape: [256]) })
    expectClose(logits, expected, Bound(absolute: published.bound), published.name)
  }
}
