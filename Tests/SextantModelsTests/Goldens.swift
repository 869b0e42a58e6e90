import SextantBytes
import SextantCheckpoints
import SextantConversion
import SextantModels
import SextantStore
import SextantTensor
import SextantTestSupport
import Testing

/// A file of golden outputs, by tensor name.
struct Goldens {
  private let file: SafetensorsFile

  init(_ fixture: String) throws {
    file = try SafetensorsFile(PackageFiles.fixture(fixture))
  }

  func floats(_ name: String) throws -> Tensor {
    let entry = try #require(file.tensor(named: name))
    let bytes = try file.bytes(of: entry)
    return try #require(
      bytes.withUnsafeBytes { Tensor(copying: $0, dataType: .f32, shape: entry.shape) })
  }

  func integers(_ name: String) throws -> [Int] {
    let entry = try #require(file.tensor(named: name))
    try #require(entry.dataType == .i64)
    return try file.bytes(of: entry).withUnsafeBytes { bytes in
      (0..<bytes.count / 8).map { Int(bytes.loadUnaligned(fromByteOffset: 8 * $0, as: Int64.self)) }
    }
  }
}

/// How far a computed value may be from its golden one: absolute + relative · |golden|.
struct Bound {
  var absolute: Float
  var relative: Float = 0

  static let logits = Bound(absolute: 1e-4, relative: 1e-5)
  static let residual = Bound(absolute: 5e-5)
  static let state = Bound(absolute: 1e-4)
}

/// Expects equal shapes (apart from dimensions of 1) and values within the bound.
func expectClose(
  _ computed: Tensor, _ golden: Tensor, _ bound: Bound, _ what: String,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  #expect(
    computed.shape.filter { $0 != 1 } == golden.shape.filter { $0 != 1 }, "\(what)",
    sourceLocation: sourceLocation)
  guard computed.count == golden.count else { return }
  let worst = zip(computed.values, golden.values).map {
    (excess: abs($0 - $1) - bound.absolute - bound.relative * abs($1), computed: $0, golden: $1)
  }.max { ($0.excess.isNaN ? .infinity : $0.excess) < ($1.excess.isNaN ? .infinity : $1.excess) }
  guard let worst else { return }
  #expect(
    worst.excess <= 0, "\(what): \(worst.computed) instead of \(worst.golden)",
    sourceLocation: sourceLocation)
}

/// A fixture's checkpoint, converted into a temporary folder and opened.
struct ConvertedModel {
  let folder = TemporaryFolder()
  let report: ConversionReport
  let store: ModelStore
  let model: any LanguageModel

  init(_ fixture: String, options: ConversionOptions = .init()) throws {
    let path = folder.path("model.sxt")
    report = try Conversion(PackageFiles.fixture(fixture), options: options).write(to: path)
    store = try ModelStore(opening: path)
    model = try Architectures.open(store)
  }
}

/// Keeps every value that a run shows, by site; the pieces of a long run are joined.
final class Recorder: Tap {
  private(set) var values: [Site: Tensor] = [:]

  func wants(_ site: Site) -> Bool { true }

  func visit(_ site: Site, _ value: inout Tensor, _ context: TapContext) {
    let earlier = site.isState ? nil : values[site]
    values[site] = earlier.map { Tensor.concatenated([$0, value]) } ?? value
  }

  func stateStops(in range: ClosedRange<Int>) -> [Int] { [range.upperBound] }
}
