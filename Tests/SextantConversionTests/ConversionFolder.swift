import SextantBytes
import SextantStore
import SextantTestSupport
import Testing

@testable import SextantConversion

/// A temporary folder with stores, and with what they are converted from and exported to.
struct ConversionFolder {
  let folder = TemporaryFolder()

  func path(_ name: String) -> String { folder.path(name) }

  /// Converts a checkpoint to the store `name`.
  func convert(
    _ source: String, as name: String, _ options: ConversionOptions = .init()
  ) throws -> ModelStore {
    try convertWithReport(source, as: name, options).store
  }

  func convertWithReport(
    _ source: String, as name: String, _ options: ConversionOptions = .init()
  ) throws -> (report: ConversionReport, store: ModelStore) {
    let destination = folder.path(name)
    let report = try Conversion(source, options: options).write(to: destination)
    return (report, try ModelStore(opening: destination))
  }

  /// Converts a checkpoint with all tensors in f32.
  func convertToF32(_ source: String, as name: String) throws -> ModelStore {
    var options = ConversionOptions()
    options.dataType = .f32
    return try convert(source, as: name, options)
  }

  /// Writes a store in the format that the ending of `name` means; a folder has none.
  @discardableResult func export(
    _ store: ModelStore, to name: String, _ options: ModelExportOptions = .init()
  ) throws -> ModelExportReport {
    let path = folder.path(name)
    let format = try #require(ModelExportFormat(path: path))
    return try ModelExport(store, as: format, options: options).write(to: path)
  }
}
