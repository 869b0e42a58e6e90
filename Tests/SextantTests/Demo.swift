import Sextant
import SextantTestSupport

/// The demo model, converted once.
enum Demo {
  private static let folder = TemporaryFolder.shared.makeFolder("library")

  /// The path of a file for these tests alone.
  static func file(_ name: String) -> String { "\(folder)/\(name)" }

  /// The path of the model.
  static let path: String = {
    let path = file("demo.sxt")
    do {
      try LoadedModel.convert(PackageFiles.fixture("demo-model/model.safetensors"), to: path)
    } catch {
      fatalError("\(error)")
    }
    return path
  }()

  /// The model.
  static func model() throws -> LoadedModel { try LoadedModel(path) }

  /// Pairs of texts with opposite sentiment.
  static let pairs = ["film", "acting", "story", "music", "ending", "cast"].map {
    (positive: "The \($0) was superb.", negative: "The \($0) was boring.")
  }

  /// Texts with labels.
  static let examples = ["film", "acting", "story", "music", "ending", "cast"].flatMap {
    [(text: "I loved the \($0).", label: true), (text: "I hated the \($0).", label: false)]
  }
}
