import SextantBytes
import SextantCheckpoints
import SextantStore
import SextantTestSupport
import Testing

@testable import SextantConversion
@testable import SextantTokenizers

/// The chat templates in the files of a model, in the store and in an export.
@Suite struct ChatTemplateFilesTests {
  private let folder = TemporaryFolder()

  private func bytes(_ path: String) throws -> [UInt8] {
    try InputFile(path).readAll(limit: 1 << 28)
  }

  /// The demo model with its tokenizer and these files.
  private func checkpoint(_ files: [String: String] = [:]) throws -> String {
    for name in ["model.safetensors", "tokenizer.json", "config.json"] {
      folder.write(try bytes(PackageFiles.fixture("demo-model/\(name)")), to: name)
    }
    for (name, text) in files { folder.write(Array(text.utf8), to: name) }
    return folder.path
  }

  private func convert(
    _ source: String, _ options: ConversionOptions = .init()
  ) throws -> (chat: PublishedChat?, store: ModelStore, notes: [String]) {
    var options = options
    options.replacing = true
    let path = folder.path("out.sxt")
    let report = try Conversion(source, options: options).write(to: path)
    let store = try ModelStore(opening: path)
    return (try PublishedChat.load(from: store), store, report.notes)
  }

  @Test func theFirstFileWithATemplateDecides() throws {
    let tokens = #""bos_token": {"content": "<|pad|>"}, "eos_token": "<|endoftext|>""#
    let configured = #"{"chat_template": "{{ two }}", \#(tokens)}"#
    let processor = #"{"chat_template": "{{ three }}"}"#
    for (files, text) in [
      (["chat_template.jinja": "{{ one }}", "tokenizer_config.json": configured], "{{ one }}"),
      (["tokenizer_config.json": configured, "chat_template.json": processor], "{{ two }}"),
      (["chat_template.json": processor], "{{ three }}"),
    ] {
      let other = Self()
      let (chat, _, notes) = try other.convert(other.checkpoint(files))
      #expect(chat?.templates.map(\.name) == ["default"])
      #expect(chat?.main == text)
      #expect(chat?.eos == "<|endoftext|>")
      #expect(chat?.bos == (files["tokenizer_config.json"] == nil ? nil : "<|pad|>"))
      #expect(notes.contains { $0.contains("none that Sextant knows") })
    }
  }

  @Test func aModelWithoutATemplateHasNone() throws {
    let (chat, store, notes) = try convert(checkpoint())
    #expect(chat == nil && !notes.contains { $0.contains("template") })
    #expect(!store.attachments.map(\.name).contains("chat-template"))
    // The template belongs to the tokenizer.
    var options = ConversionOptions()
    options.leavesOutTokenizer = true
    #expect(try convert(checkpoint(["chat_template.jinja": "{{ one }}"]), options).chat == nil)
  }

  @Test func whatIsNoTemplateIsNoted() throws {
    for (name, text) in [
      ("tokenizer_config.json", #"{"chat_template": 1}"#),
      ("tokenizer_config.json", #"{"chat_template": [{"name": "default"}]}"#),
    ] {
      let (chat, _, notes) = try convert(checkpoint([name: text]))
      #expect(chat == nil)
      #expect(notes.contains { $0.contains("chat_template") || $0.contains("chat template") })
    }
    let other = Self()
    _ = try other.checkpoint()
    other.folder.write([0xFF], to: "chat_template.jinja")
    let (chat, _, notes) = try other.convert(other.folder.path)
    #expect(chat == nil && notes.contains { $0.contains("not UTF-8") })
  }

  static let sources: [[String: String]] = [
    ["chat_template.jinja": "line 1\r\n{{ messages }}\n\n"],
    [
      "tokenizer_config.json":
        #"{"chat_template": [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}], "bos_token": "<|pad|>"}"#
    ],
  ]

  @Test(arguments: sources)
  func anExportWritesItBack(files: [String: String]) throws {
    let (chat, store, _) = try convert(checkpoint(files))
    let original = try #require(chat)
    _ = try ModelExport(store, as: .huggingFace).write(to: folder.path("hf"))
    _ = try ModelExport(store, as: .gguf).write(to: folder.path("a.gguf"))
    if let text = files["chat_template.jinja"] {
      #expect(try bytes(folder.path("hf/chat_template.jinja")) == Array(text.utf8))
    }
    for source in ["hf", "a.gguf"] {
      let again = try convert(folder.path(source)).chat
      #expect(again?.templates.map(\.name) == original.templates.map(\.name))
      #expect(again?.templates.map(\.text) == original.templates.map(\.text))
      #expect(again?.eos == original.eos)
      if source == "hf" { #expect(again == original) }
    }
  }

  @Test func theContentOfAnAttachmentIsChecked() throws {
    for wrong in ["{", "{}", #"{"templates": [{"name": "a"}]}"#, #"{"templates": [], "bos": 1}"#] {
      #expect(throws: Refusal.self) { try PublishedChat(Array(wrong.utf8), file: "m.sxt") }
    }
    let chat = PublishedChat(templates: [("x", "a"), ("y", "b")], bos: nil, eos: "e")
    #expect(try PublishedChat(chat.content, file: "m.sxt") == chat)
    #expect(chat.main == nil)
    #expect(PublishedChat(templates: [("x", "a")], bos: nil, eos: nil).main == "a")
  }
}
