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
/// They are not part of the package. Tests look for them beside the checkout, or in the folder that
/// `SEXTANT_RWKV_TINY` names.
struct PublishedRWKV: Sendable, CustomTestStringConvertible {
  let name: String
  var suffix = "safetensors"
  var configuration: String?
  /// The accepted error of the logits.
  var bound: Float = 1e-5

  static let all = [
    PublishedRWKV(name: "4v0-660K"),
    // It was trained with an epsilon that is not the default. Its file does not record this.
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
  /// The logits [1, 1, 256] after three bytes.
  private func logits(_ published: PublishedRWKV, as dataType: DataType? = nil) throws -> Tensor {
    let folder = TemporaryFolder()
    var options = ConversionOptions()
    options.configuration = published.configuration
    options.dataType = dataType
    let path = folder.path("model.sxt")
    _ = try Conversion(
      "\(PublishedRWKV.folder)/tiny-rwkv-\(published.name).\(published.suffix)", options: options
    ).write(to: path)
    let model = try Architectures.open(ModelStore(opening: path))
    var state = model.initialState()
    return try model.run(TokenBatch(Array("\"in".utf8).map(Int.init)), from: &state)
  }

  @Test(arguments: PublishedRWKV.all)
  func thePublishedLogitsAreMet(_ published: PublishedRWKV) throws {
    let logits = try logits(published)
    let bytes = try InputFile("\(PublishedRWKV.folder)/expected-logits-\(published.name).bin")
      .readAll(limit: 1 << 20)
    let expected = try #require(
      bytes.withUnsafeBytes { Tensor(copying: $0, dataType: .f32, shape: [256]) })
    expectClose(logits, expected, Bound(absolute: published.bound), published.name)
  }

  /// The bounds are twice the largest difference measured.
  @Test(arguments: PublishedRWKV.all, [(DataType.bf16, Float(0.06)), (.q8, 0.17)])
  func fewerBitsMoveTheLogitsLittle(
    _ published: PublishedRWKV, variant: (type: DataType, bound: Float)
  ) throws {
    expectClose(
      try logits(published, as: variant.type), try logits(published),
      Bound(absolute: variant.bound), "\(published.name) in \(variant.type.word)")
  }
}
