import SextantBytes
import SextantStore

/// The architectures that this build runs.
public enum Architectures {
  /// All of them; a new architecture adds one word here.
  public static var all: [any Architecture.Type] { [Mamba.self] }

  /// The names of all, for messages.
  public static var names: String { all.map { $0.name }.joined(separator: ", ") }

  /// The architecture of that name.
  public static func named(_ name: String) -> (any Architecture.Type)? {
    all.first { $0.name == name }
  }

  /// Opens the model of a store.
  ///
  /// - Throws: `store.architecture` and what the architecture's `open` throws.
  public static func open(_ store: ModelStore) throws(FormatError) -> any LanguageModel {
    guard let architecture = named(store.architecture) else {
      throw FormatError(
        .storeArchitecture, file: store.path, found: store.architecture, expected: names)
    }
    do throws(FormatError) {
      return try architecture.open(store)
    } catch {
      throw error.inFile(store.path)
    }
  }
}
