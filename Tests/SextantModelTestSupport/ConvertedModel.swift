import SextantConversion
import SextantModels
import SextantStore
import SextantTestSupport
import SextantTokenizers

/// A fixture's checkpoint, converted into a temporary folder and opened.
package struct ConvertedModel {
  /// The folder of the store.
  package let folder = TemporaryFolder()
  /// The report of the conversion.
  package let report: ConversionReport
  /// The native model.
  package let store: ModelStore
  /// The model, ready to run.
  package let model: any LanguageModel
  /// Its tokenizer; nil if the fixture has none.
  package let tokenizer: (any Tokenizer)?

  /// Converts a folder or file of `fixtures/`.
  package init(_ fixture: String, options: ConversionOptions = .init()) throws {
    try self.init(path: PackageFiles.fixture(fixture), options: options)
  }

  /// Converts a folder or file.
  package init(path checkpoint: String, options: ConversionOptions = .init()) throws {
    let path = folder.path("model.sxt")
    report = try Conversion(checkpoint, options: options).write(to: path)
    store = try ModelStore(opening: path)
    model = try Architectures.open(store)
    tokenizer = try ModelTokenizer.load(from: store)
  }
}
