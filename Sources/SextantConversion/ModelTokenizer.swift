import SextantBytes
import SextantCheckpoints
import SextantStore
import SextantTokenizers

/// The tokenizer that travels with a model, as its own file's bytes.
public enum ModelTokenizer {
  /// The attachment's name; its format is told by its content.
  public static let attachmentName = "tokenizer"

  /// The tokenizer's file that a conversion takes along.
  ///
  /// - Parameters:
  ///   - name: a path, or the name of a tokenizer that needs no file; nil for the file that lies
  ///     beside the checkpoint.
  /// - Returns: nil where none was named and none lies there.
  /// - Throws: `file.*`, `limit.file`; `model.tokenizer` where several lie there and none is better.
  static func find(
    _ name: String?, beside source: CheckpointSource
  ) throws(FormatError) -> (path: String?, bytes: [UInt8])? {
    if let name, let content = Tokenizers.builtIn(named: name) { return (nil, content) }
    let beside = source.tokenizers
    guard let path = name ?? beside.first else { return nil }
    // A folder of files with one name each has one of each; vocabularies carry their dates.
    if name == nil, path.hasSuffix(".txt"), beside.count > 1 {
      throw FormatError(
        .modelTokenizer, file: source.folder, found: "several vocabularies, from \(path) on",
        expected: "one")
    }
    return (path, try InputFile(path).readAll(limit: Tokenizers.byteCountLimit))
  }

  /// Reads the tokenizer of a store.
  ///
  /// - Returns: nil where the model was converted without one.
  /// - Throws: `store.tensor-digest`, `tokenizer.*`, `json.*`.
  public static func load(from store: ModelStore) throws(FormatError) -> (any Tokenizer)? {
    guard let bytes = try store.attachment(attachmentName) else { return nil }
    return try Tokenizers.load(bytes: bytes, file: store.path)
  }
}
