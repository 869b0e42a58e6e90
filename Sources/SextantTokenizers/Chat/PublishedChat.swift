import SextantBytes
import SextantStore

/// The chat templates that a model was published with, as its files contain them. A store keeps them in an
/// attachment.
package struct PublishedChat: Sendable, Equatable {
  /// The name of the template that is meant if none is named.
  package static let mainName = "default"
  /// The name of the attachment.
  package static let attachmentName = "chat-template"

  /// The templates by their names; a single one has the name `default`.
  package var templates: [(name: String, text: String)]
  /// The texts of the tokens that begin and end a text, which templates use by their names.
  package var bos: String?
  package var eos: String?

  /// Creates a collection of templates.
  package init(templates: [(name: String, text: String)], bos: String?, eos: String?) {
    (self.templates, self.bos, self.eos) = (templates, bos, eos)
  }

  /// Templates whose files name no tokens: those of the tokenizer.
  package init(templates: [(name: String, text: String)], for tokenizer: any Tokenizer) {
    let begins = tokenizer.beginOfTextIDs.first.flatMap { tokenizer.token($0) }
    let names = ["<s>", "<bos>", "<|begin_of_text|>", "<|startoftext|>"]
    self.init(
      templates: templates,
      bos: begins ?? names.first { tokenizer.id(ofToken: $0) != nil },
      eos: tokenizer.endOfTextIDs.first.flatMap { tokenizer.token($0) })
  }

  /// The template to use for conversations; nil if there is none.
  package var main: String? {
    templates.first { $0.name == Self.mainName }?.text
      ?? (templates.count == 1 ? templates[0].text : nil)
  }

  package static func == (a: Self, b: Self) -> Bool {
    a.bos == b.bos && a.eos == b.eos
      && a.templates.elementsEqual(b.templates) { $0 == $1 }
  }

  /// The content of the attachment.
  package var content: [UInt8] {
    var object = JSONObject([
      (
        "templates",
        .array(
          templates.map {
            .object(JSONObject([("name", .string($0.name)), ("text", .string($0.text))]))
          })
      )
    ])
    if let bos { object["bos"] = .string(bos) }
    if let eos { object["eos"] = .string(eos) }
    return JSONValue.object(object).canonicalBytes
  }

  /// Reads the attachment.
  ///
  /// - Throws: `chat.template` for other content, `json.*`.
  init(_ bytes: [UInt8], file: String) throws(Refusal) {
    let root = try JSONNode(
      parsing: bytes, limits: JSONLimits(byteCount: 32 << 20, stringByteCount: 4 << 20),
      code: .chatTemplate, file: file)
    templates = []
    for node in try root.member("templates").elements() {
      templates.append((try node.member("name").string(), try node.member("text").string()))
    }
    bos = try root.optionalMember("bos")?.string()
    eos = try root.optionalMember("eos")?.string()
  }

  /// The templates of a store; nil if it has none.
  ///
  /// - Throws: `store.tensor-digest`, `chat.template`, `json.*`.
  package static func load(from store: ModelStore) throws(Refusal) -> PublishedChat? {
    guard let bytes = try store.attachment(attachmentName) else { return nil }
    return try PublishedChat(bytes, file: store.path)
  }
}
