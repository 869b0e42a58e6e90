import SextantBytes
import SextantConversion
import SextantModels
import SextantStore
import SextantTokenizers

/// A model with everything that commands need of it.
struct OpenModel {
  /// The file.
  let store: ModelStore
  /// The model that runs from it.
  let model: any LanguageModel
  /// The tokenizer that travels with it, if any does.
  let tokenizer: (any Tokenizer)?

  /// Opens a native model file.
  init(_ path: String) throws(FormatError) {
    store = try ModelStore(opening: path)
    model = try Architectures.open(store)
    tokenizer = try ModelTokenizer.load(from: store)
  }

  /// How artifacts refer to the model.
  var reference: ModelReference { model.description.reference(tokenizer: tokenizer?.digest) }

  /// The tokenizer, for commands that take text.
  ///
  /// - Throws: `model.tokenizer` where the model was converted without one.
  func textTokenizer() throws(FormatError) -> any Tokenizer {
    guard let tokenizer else {
      throw FormatError(
        .modelTokenizer, file: store.path, found: "a model without a tokenizer",
        expected: "one, to read text with",
        remedy: "Convert again with --tokenizer FILE, or --tokenizer bytes for a model of bytes.")
    }
    return tokenizer
  }
}
