import SextantBytes
import SextantCheckpoints
import SextantTokenizers

/// The chat templates of a model, as its files have them.
///
/// The first of these that is there counts, as in transformers: `chat_template.jinja`, the member
/// `chat_template` of `tokenizer_config.json`, the same of `chat_template.json`. A GGUF file decides alone.
struct ChatTemplateFiles {
  /// The templates; nil if there is none.
  private(set) var published: PublishedChat?
  /// Notes on the templates for the user.
  private(set) var notes: [String] = []

  /// The names of the files, beside that of the tokenizer.
  static let names = ["chat_template.jinja", "chat_template.json"]
  private static let byteCountLimit = 4 << 20

  /// Looks for templates.
  ///
  /// - Parameter tokenizer: the tokenizer that the model takes along, whose text they concern.
  init(_ source: CheckpointSource, _ options: ConversionOptions, _ tokenizer: any Tokenizer) {
    if options.tokenizer == nil, let gguf = GGUFDescription(source.checkpoint) {
      take(gguf.chatTemplates, tokenizer) { gguf.id(of: $0).flatMap { tokenizer.token($0) } }
    } else {
      let own = options.tokenizerPath.map { SideFile.folder(of: $0) }
      let folders = [own, source.folder == own ? nil : source.folder]
      read(folders.compactMap { $0 }, tokenizer)
    }
    guard let published, let main = published.main, ChatTemplate.name(ofPublished: main) == nil
    else { return }
    notes.append(
      "the chat template is kept, and is none that Sextant knows: for conversations, choose one with "
        + "`chatTemplate`")
  }

  private mutating func read(_ folders: [String], _ tokenizer: any Tokenizer) {
    for folder in folders {
      let configuration = json("tokenizer_config.json", in: folder)
      let found =
        template(at: "\(folder)/chat_template.jinja").map { [(PublishedChat.mainName, $0)] }
        ?? templates(in: configuration, "tokenizer_config.json")
        ?? templates(in: json("chat_template.json", in: folder), "chat_template.json")
      guard let found, !found.isEmpty else { continue }
      let special = json("special_tokens_map.json", in: folder)
      take(found, tokenizer) { key in
        (SpecialTokenName(configuration, key) ?? SpecialTokenName(special, key))?.text
      }
      return
    }
  }

  private mutating func take(
    _ templates: [(name: String, text: String)], _ tokenizer: any Tokenizer,
    names: (String) -> String?
  ) {
    guard !templates.isEmpty else { return }
    var chat = PublishedChat(templates: templates, for: tokenizer)
    chat.bos = names("bos_token") ?? chat.bos
    chat.eos = names("eos_token") ?? chat.eos
    published = chat
  }

  /// A file of text; nil if there is none.
  private mutating func template(at path: String) -> String? {
    guard hasEntry(path) else { return nil }
    do throws(Refusal) {
      let bytes = try SideFile.content(of: path, limit: Self.byteCountLimit)
      guard let text = String(validating: bytes, as: UTF8.self) else {
        notes.append("not used: \(path), which is not UTF-8")
        return nil
      }
      return text
    } catch {
      notes.append("not used: \(path) (found: \(error.found))")
      return nil
    }
  }

  private mutating func json(_ name: String, in folder: String) -> JSONNode? {
    do throws(Refusal) {
      return try SideFile.read(name, in: folder)
    } catch {
      notes.append("no chat template from \(name), which cannot be read (found: \(error.found))")
      return nil
    }
  }

  /// The member `chat_template`: a text, or a list of texts with names.
  private mutating func templates(
    in node: JSONNode?, _ name: String
  ) -> [(name: String, text: String)]? {
    guard let member = (try? node?.optionalMember("chat_template")) ?? nil else { return nil }
    do throws(Refusal) {
      guard case .array = member.value else {
        return [(PublishedChat.mainName, try member.string())]
      }
      var templates: [(name: String, text: String)] = []
      for element in try member.elements() {
        templates.append(
          (try element.member("name").string(), try element.member("template").string()))
      }
      return templates
    } catch {
      notes.append("not used: chat_template of \(name), which is no text and no list of them")
      return nil
    }
  }
}

extension GGUFDescription {
  static let chatTemplateKey = "tokenizer.chat_template"

  /// The id of a special token, such as `bos_token`.
  fileprivate func id(of token: String) -> Int? {
    if case .integer(let id)? = file.values["tokenizer.ggml.\(token)_id"] { Int(id) } else { nil }
  }

  /// The chat templates of the file: the main one, and those with other names.
  var chatTemplates: [(name: String, text: String)] {
    var templates: [(name: String, text: String)] = []
    let prefix = "\(Self.chatTemplateKey)."
    for (key, value) in file.values.sorted(by: { $0.key < $1.key }) {
      guard case .string(let text) = value else { continue }
      if key == Self.chatTemplateKey { templates.insert((PublishedChat.mainName, text), at: 0) }
      if key.hasPrefix(prefix) { templates.append((String(key.dropFirst(prefix.count)), text)) }
    }
    return templates
  }
}
