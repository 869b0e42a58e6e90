import Glibc
import SextantBytes
import SextantTestSupport
import Testing

@testable import SextantTokenizers

/// Conversations in every named form, compared with what transformers renders with the published templates.
struct ChatRenderingTests {
  /// The renderings of `fixtures/generate/make_chat.py`.
  struct Golden: Sendable {
    let root: JSONNode
    let conversations: [(name: String, messages: [ChatMessage])]
    let values: ChatValues

    init() throws {
      let path = PackageFiles.fixture("chat/renderings.json")
      root = try JSONNode(
        parsing: InputFile(path).readAll(limit: 4 << 20), code: .dataRecord, file: path)
      conversations = try root.member("conversations").members().map { name, node in
        (
          name,
          try node.elements().compactMap { message in
            let role = try message.member("role").string()
            return ChatMessage.Role(rawValue: role).map {
              ChatMessage($0, (try? message.member("content").string()) ?? "")
            }
          }
        )
      }
      values = ChatValues(
        bos: try root.member("bos").string(), eos: try root.member("eos").string(),
        date: try #require(ChatSettings.Date(try root.member("date").string())))
    }

    /// What a form makes of every conversation that its golden has; nil for a refusal.
    func renderings(_ form: ChatForm, _ node: JSONNode) throws -> [(key: String, text: String?)] {
      let refused = try node.member("refused").elements().map { try $0.string() }
      let isSwitched = try node.member("switched").boolean()
      let switches: [(String, Bool?)] =
        isSwitched ? [("", nil), ("off", false), ("on", true)] : [("", nil)]
      var rows: [(key: String, text: String?)] = []
      for (name, messages) in conversations where !refused.contains(name) {
        let known = try root.member("conversations").member(name).elements().count
        guard messages.count == known else { continue }
        for (word, answers) in [("", false), ("answer", true)] {
          for (state, thinking) in switches {
            let text = try? form.render(messages, answers: answers, thinking: thinking, values)
            rows.append(("\(name)|\(word)|\(state)", text?.text))
          }
        }
      }
      return rows.sorted { ExactString($0.key) < ExactString($1.key) }
    }
  }

  @Test(arguments: ChatForm.named.map(\.name))
  func formsRenderAsTransformersDoes(name: String) throws {
    let golden = try Golden()
    guard let node = try golden.root.member("forms").optionalMember(name) else {
      // Our own form, for models without a template.
      #expect(name == "plain")
      return
    }
    let form = try #require(ChatForm.named(name))
    let rows = try golden.renderings(form, node)
    for (key, expected) in try node.member("texts").members() {
      let own = rows.first { $0.key == key }
      let text: String? = expected.value == .null ? nil : try expected.string()
      #expect(own?.text.map { Array($0.utf8) } == text.map { Array($0.utf8) }, "\(key)")
    }
    #expect(try rows.count == node.member("count").integer())
    let together = rows.map { "\($0.key)\0\($0.text ?? "\u{1}")\0" }.joined()
    #expect(
      try SHA256.digest(Array(together.utf8)).description == node.member("all").string())
  }

  @Test func theSpecificationNamesEveryForm() throws {
    let page = try PackageFiles.text("formats/chat-template.md")
    let table = try #require(
      page.split(separator: "## Forms").last?.split(separator: "Differences to").first)
    let rows = table.split(separator: "\n").filter { $0.hasPrefix("| `") }
    let names = rows.flatMap { row in
      row.split(separator: "|")[0].matches(of: /`([^`]+)`/).map { String($0.1) }
    }
    #expect(names.sorted() == ChatTemplate.names.sorted())
  }

  /// The published templates themselves, in files `*.jinja`, if a folder with them is named.
  @Test(.enabled(if: getenv("SEXTANT_CHAT_TEMPLATES") != nil))
  func publishedTemplatesAreRecognised() throws {
    let folder = String(cString: try #require(getenv("SEXTANT_CHAT_TEMPLATES")))
    var names: Set<String> = []
    for file in TemporaryFolder.entries(of: folder) where file.hasSuffix(".jinja") {
      let bytes = try InputFile("\(folder)/\(file)").readAll(limit: 1 << 20)
      let text = String(decoding: bytes, as: UTF8.self)
      if let name = ChatTemplate.name(ofPublished: text) { names.insert(name) }
    }
    #expect(!names.isEmpty)
  }

  @Test func everyGoldenHasItsForm() throws {
    let names = try Golden().root.member("forms").members().map(\.key)
    #expect(Set(names).union(["plain"]) == Set(ChatForm.named.map(\.name)))
    #expect(Set(ChatForm.published.values) == Set(names))
    for name in names {
      let digest = try Golden().root.member("forms").member(name).member("template").string()
      #expect(ChatForm.published[digest] == name)
    }
  }

  @Test func formsRefuseTheConversationsThatTheTemplateLosesPartsOf() throws {
    let golden = try Golden()
    for (name, node) in try golden.root.member("forms").members() {
      let form = try #require(ChatForm.named(name))
      for refused in try node.member("refused").elements() {
        let messages = try #require(
          golden.conversations.first { $0.name == (try? refused.string()) })
        let refusal = #expect(throws: Refusal.self) {
          try form.render(messages.messages, answers: true, thinking: nil, golden.values)
        }
        #expect(refusal?.code == .chatMessages)
      }
    }
  }
}
