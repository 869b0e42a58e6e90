import SextantBytes
import SextantStore
import SextantTokenizers

/// The tokenizer that travels with a model, as its own file's bytes.
public enum ModelTokenizer {
  /// The attachment's name; its format is told by its content.
  public static let attachmentName = "tokenizer"

  /// Reads the tokenizer of a store.
  ///
  /// - Returns: nil where the model was converted without one.
  /// - Throws: `store.tensor-digest`, `tokenizer.*`, `json.*`.
  public static func load(from store: ModelStore) throws(FormatError) -> (any Tokenizer)? {
    guard let bytes = try store.attachment(attachmentName) else { return nil }
    return try Tokenizers.load(bytes: bytes, file: store.path)
  }
}
