import SextantBytes
import SextantStore

/// The tokenizer that travels with a model: the bytes of its own file, attached to the store.
package enum ModelTokenizer {
  /// The attachment's name; its format follows from its content.
  package static let attachmentName = "tokenizer"
  /// The name of the attachment with the ids that end a text.
  package static let endOfTextAttachmentName = "end-of-text"

  /// Reads the tokenizer of a store, with the ids that end a text as the model's files named them.
  ///
  /// - Returns: nil if the model was converted without one.
  /// - Throws: `store.tensor-digest`, `tokenizer.*`, `model.tokenizer`, `json.*`.
  package static func load(from store: ModelStore) throws(Refusal) -> (any Tokenizer)? {
    guard let bytes = try store.attachment(attachmentName) else { return nil }
    let tokenizer = try Tokenizers.load(bytes: bytes, file: store.path)
    guard let end = try storedEndOfTextIDs(of: store) else { return tokenizer }
    return BoundedTokenizer(tokenizer, end: end)
  }

  /// The ids that end a text: those that the store keeps, else the tokenizer's.
  ///
  /// - Throws: as `load`.
  package static func endOfTextIDs(of store: ModelStore) throws(Refusal) -> [Int] {
    if let end = try storedEndOfTextIDs(of: store) { return end }
    return try load(from: store)?.endOfTextIDs ?? []
  }

  /// The ids that a store keeps; nil if it keeps none.
  ///
  /// - Throws: `store.tensor-digest`, `model.tokenizer` for what is not a list of ids.
  package static func storedEndOfTextIDs(of store: ModelStore) throws(Refusal) -> [Int]? {
    guard let bytes = try store.attachment(endOfTextAttachmentName) else { return nil }
    var ids: [Int] = []
    let node = try JSONNode(parsing: bytes, code: .modelTokenizer, file: store.path)
    for id in try node.member("ids").elements() {
      ids.append(try id.integer(in: 0...Int(Int32.max)))
    }
    return ids
  }
}
