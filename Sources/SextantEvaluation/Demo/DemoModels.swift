import Glibc

/// The models that come with Sextant: the demo model, and its siblings, which were trained on the same
/// text with the same tokenizer.
package enum DemoModels {
  /// A model in a folder.
  package struct Entry: Sendable, Equatable {
    /// The name of the model in tables and figures.
    package let name: String
    /// The folder of its checkpoint.
    package let folder: String
    /// The name of its native file.
    package let store: String
  }

  private static let siblings = [("RWKV-7", "demo-rwkv7"), ("Llama", "demo-llama")]

  /// The demo model of a folder, and the siblings that are next to it.
  package static func present(source: String) -> [Entry] {
    let known = siblings.map { name, folder in
      Entry(name: name, folder: "\(source)/../\(folder)", store: "\(folder).sxt")
    }
    return [Entry(name: "Mamba", folder: source, store: "demo.sxt")]
      + known.filter { access("\($0.folder)/config.json", R_OK) == 0 }
  }
}
