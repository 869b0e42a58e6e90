import SextantConversion
import SextantModels
import SextantStore
import SextantTestSupport
import SextantTokenizers

/// A fixture's checkpoint, converted into a temporary folder and opened.
public struct ConvertedModel {
  /// The folder that holds the store.
  public let folder = TemporaryFolder()
  /// What the conversion did.
  public let report: ConversionReport
  /// The native model.
  public let store: ModelStore
  /// The model, ready to run.
  public let model: any LanguageModel
  /// Its tokenizer; nil where the fixture has none.
  public let tokenizer: (any Tokenizer)?

  /// Converts a folder or file of `fixtures/`.
  public init(_ fixture: String, options: ConversionOptions = .init()) throws {
    let path = folder.path("model.sxt")
    report = try Conversion(PackageFiles.fixture(fixture), options: options).write(to: path)
    store = try ModelStore(opening: path)
    model = try Architectures.open(store)
    tokenizer = try ModelTokenizer.load(from: store)
  }
}
