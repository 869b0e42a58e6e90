import Glibc
import SextantBytes
import SextantConversion
import SextantModels
import SextantStore

/// One model with the same weights in the format of each program that runs it.
///
/// Exports are made when they are first asked for, and kept.
struct ModelFiles {
  /// The native file.
  let store: String
  /// Its name without folders and ending.
  let name: String
  private let cache: String

  init(store: String, name: String, cache: String) {
    (self.store, self.name, self.cache) = (store, name, cache)
  }

  /// The amount that decoding one token has to read, in GB.
  func decodingGigabytes() throws -> Double {
    Double(try ModelStore(opening: store).decodingByteCount) / 1e9
  }

  /// A folder that transformers loads.
  func folder() throws -> String {
    let folder = "\(cache)/\(name)-hf"
    return try export(folder, complete: folder + "/config.json")
  }

  /// A file for llama.cpp.
  func gguf() throws -> String { try export("\(cache)/\(name).gguf") }

  /// A file for the `rwkv` package.
  func stateDict() throws -> String { try export("\(cache)/\(name).pth") }

  private func export(_ path: String, complete: String? = nil) throws -> String {
    if access(complete ?? path, R_OK) == 0 { return path }
    guard let format = ModelExportFormat(path: path) else {
      throw MeasurementFailure("no format for \(path)")
    }
    report("\(name): writing \(path)")
    _ = try ModelExport(ModelStore(opening: store), as: format).write(to: path)
    return path
  }
}

/// Prints a line of progress on standard error.
func report(_ text: String) {
  let line = Array("\(text)\n".utf8)
  _ = write(STDERR_FILENO, line, line.count)
}
