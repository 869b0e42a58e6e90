import SextantBytes
import SextantCheckpoints
import SextantStore
import SextantTestSupport
import SextantTokenizers
import Testing

@testable import SextantConversion

/// The ids that end a text, in the files of a model, in the store and in an export.
@Suite struct EndOfTextTests {
  private let folder = TemporaryFolder()

  private func bytes(_ path: String) throws -> [UInt8] {
    try InputFile(path).readAll(limit: 1 << 28)
  }

  /// The demo model with its tokenizer (ids 0 `<|endoftext|>` and 1 `<|pad|>`) and these files.
  private func checkpoint(
    config: String? = nil, generation: String? = nil, tokenizer: String? = nil
  ) throws -> String {
    for name in ["model.safetensors", "tokenizer.json"] {
      folder.write(try bytes(PackageFiles.fixture("demo-model/\(name)")), to: name)
    }
    let own = String(
      decoding: try bytes(PackageFiles.fixture("demo-model/config.json")), as: UTF8.self)
    folder.write(
      own.replacing(
        "\"eos_token_id\": 0", with: config.map { "\"eos_token_id\": \($0)" } ?? "\"x\": 0"),
      to: "config.json")
    if let generation { folder.write(generation, to: "generation_config.json") }
    if let tokenizer { folder.write(tokenizer, to: "tokenizer_config.json") }
    return folder.path
  }

  private func convert(_ source: String) throws -> (store: ModelStore, notes: [String]) {
    var options = ConversionOptions()
    options.replacing = true
    let path = folder.path("out.sxt")
    let report = try Conversion(source, options: options).write(to: path)
    return (try ModelStore(opening: path), report.notes)
  }

  static let cases: [(config: String?, generation: String?, tokenizer: String?, ids: [Int])] = [
    ("0", nil, nil, [0]), ("7", nil, nil, [7]), ("[7, 8]", nil, nil, [7, 8]),
    ("7", #"{"eos_token_id": [9, 7, 9]}"#, nil, [9, 7]), ("7", #"{"eos_token_id": 9}"#, nil, [9]),
    // A file that names none leaves it to the next.
    ("7", "{}", nil, [7]), ("7", #"{"eos_token_id": null}"#, nil, [7]),
    (nil, nil, #"{"eos_token": "<|pad|>"}"#, [1]),
    (nil, nil, #"{"eos_token": {"content": "<|pad|>", "lstrip": false}}"#, [1]),
    ("null", nil, #"{"eos_token": "<|pad|>"}"#, [1]),
    ("7", nil, #"{"eos_token": "<|pad|>"}"#, [7]),
    // No file names one. The tokenizer's file has a token with a known name.
    (nil, nil, nil, [0]),
    // Ids that the model does not have are ignored.
    ("[2048, 5]", nil, nil, [5]), ("7", #"{"eos_token_id": [-1, 1e300]}"#, nil, [7]),
    ("7", #"{"eos_token_id": "8"}"#, nil, [7]), ("7", "[1]", nil, [7]), ("7", "{", nil, [7]),
    (nil, nil, #"{"eos_token": "no such token"}"#, [0]),
  ]

  @Test(arguments: cases)
  func theFirstFileThatNamesOneDecides(
    config: String?, generation: String?, tokenizer: String?, ids: [Int]
  ) throws {
    let (store, _) = try convert(
      checkpoint(config: config, generation: generation, tokenizer: tokenizer))
    #expect(try ModelTokenizer.endOfTextIDs(of: store) == ids)
    #expect(try ModelTokenizer.load(from: store)?.endOfTextIDs == ids)
    #expect(try ModelTokenizer.load(from: store)?.endOfTextID == ids.first)
  }

  /// The demo model's weights in a folder of their own, and its configuration in another one.
  private func apart(_ options: (inout ConversionOptions) -> Void) throws -> ConversionOptions {
    _ = try checkpoint(config: "7")
    if !folder.entries.contains("weights") { folder.makeFolder("weights") }
    folder.write(try bytes(folder.path("model.safetensors")), to: "weights/model.safetensors")
    var result = ConversionOptions()
    result.replacing = true
    result.configuration = folder.path("config.json")
    options(&result)
    return result
  }

  private func ids(_ options: ConversionOptions) throws -> [Int] {
    let path = folder.path("out.sxt")
    _ = try Conversion(folder.path("weights/model.safetensors"), options: options).write(to: path)
    return try ModelTokenizer.endOfTextIDs(of: ModelStore(opening: path))
  }

  /// A configuration that is named has its own files beside it, as in a folder.
  @Test func theFilesBesideANamedConfigurationAndTokenizerAreRead() throws {
    let options = try apart { _ in }
    #expect(try ids(options) == [7])
    folder.write(#"{"eos_token_id": [5, 6]}"#, to: "weights/generation_config.json")
    #expect(try ids(options) == [5, 6])
    folder.write(#"{"eos_token_id": [9, 8]}"#, to: "generation_config.json")
    #expect(try ids(options) == [9, 8])

    // A file beside the tokenizer counts where no file with ids does.
    let own = String(
      decoding: try bytes(PackageFiles.fixture("demo-model/config.json")), as: UTF8.self)
    folder.write(own.replacing("\"eos_token_id\": 0", with: "\"x\": 0"), to: "weights/own.json")
    folder.write("{}", to: "weights/generation_config.json")
    folder.write(#"{"eos_token": "<|pad|>"}"#, to: "tokenizer_config.json")
    let named = try apart {
      $0.configuration = folder.path("weights/own.json")
      $0.tokenizer = folder.path("tokenizer.json")
    }
    #expect(try ids(named) == [1])
    // The name of a tokenizer without a file is not a path.
    #expect(named.sideFiles.count == 6)
    var bytes = named
    bytes.tokenizer = "bytes"
    #expect(bytes.sideFiles == [folder.path("weights/generation_config.json")])
  }

  @Test(
    arguments: [
      "generation_config.json", "tokenizer_config.json", "special_tokens_map.json",
      "added_tokens.json", "config.json", "tokenizer.json",
    ])
  func noneOfTheFilesBesideThemIsReplaced(name: String) throws {
    let options = try apart { $0.tokenizer = folder.path("tokenizer.json") }
    let text = ["config.json", "tokenizer.json"].contains(name) ? nil : "{}"
    if let text { folder.write(text, to: name) }
    let before = try bytes(folder.path(name))
    let conversion = try Conversion(folder.path("weights/model.safetensors"), options: options)
    expectRefusal(.fileSame) { try conversion.write(to: folder.path(name)) }
    #expect(try bytes(folder.path(name)) == before)
  }

  @Test func anIdOfTheLanguageModelsPartIsUsedAndNotCalledUnused() throws {
    _ = try checkpoint()
    let own = String(
      decoding: try bytes(PackageFiles.fixture("demo-model/config.json")), as: UTF8.self)
    folder.write(
      own.replacing(
        "\"eos_token_id\": 0", with: "\"text_config\": {\"eos_token_id\": 13, \"more\": 1}"),
      to: "config.json")
    let (store, notes) = try convert(folder.path)
    #expect(try ModelTokenizer.endOfTextIDs(of: store) == [13])
    let unused = notes.filter { $0.hasPrefix("not used") }
    #expect(unused.count == 1 && unused[0].hasPrefix("not used: text_config.more."), "\(notes)")
  }

  @Test func whatIsNotUsedIsNamed() throws {
    let notes = try convert(checkpoint(config: "[2048, 5]", generation: "{")).notes
    #expect(notes.contains { $0.contains("2048") && $0.contains("config.json") })
    #expect(notes.contains { $0.contains("generation_config.json") })
    let named = try convert(checkpoint(tokenizer: #"{"eos_token": "no such token"}"#)).notes
    #expect(named.contains { $0.contains("no such token") })
  }

  /// Artifacts refer to a model by its identity.
  @Test func theIdentityDoesNotDependOnIt() throws {
    let first = try convert(checkpoint(config: "0")).store.identity
    let second = try convert(checkpoint(config: "[7, 8]")).store.identity
    let demo = try Conversion(PackageFiles.fixture("demo-model/model.safetensors")).write(
      to: folder.path("demo.sxt"))
    #expect(first == second && first == demo.identity)
  }

  @Test func aStoreThatKeepsNoneAsksTheTokenizer() throws {
    let store = try convert(checkpoint()).store
    #expect(store.attachments.map(\.name) == ["tokenizer"])
    #expect(try ModelTokenizer.load(from: store)?.endOfTextIDs == [0])
  }

  @Test(arguments: ["7", "[7, 8]", "[7, 8, 9, 10]"])
  func anExportWritesWhatTheModelCameWith(ids: String) throws {
    let store = try convert(checkpoint(config: ids)).store
    let expected = try JSONValue(parsing: Array("{\"a\":\(ids)}".utf8), file: nil)
    guard case .object(let wrapped) = expected else { return }
    _ = try ModelExport(store, as: .huggingFace).write(to: folder.path("hf"))
    for name in ["config.json", "generation_config.json"] {
      let file = try JSONNode(
        parsing: bytes(folder.path("hf/\(name)")), code: .modelConfiguration, file: name)
      #expect(try file.member("eos_token_id").value == wrapped["a"])
    }
    _ = try ModelExport(store, as: .gguf).write(to: folder.path("a.gguf"))
    let gguf = try GGUFFile(folder.path("a.gguf"))
    #expect(gguf.values["tokenizer.ggml.eos_token_id"] == .integer(7))
    #expect((gguf.values["tokenizer.ggml.eot_token_id"] == .integer(8)) == (ids != "7"))
    let list = try ModelTokenizer.endOfTextIDs(of: store)
    for source in ["hf", "a.gguf"] {
      let path = folder.path("again.sxt")
      var options = ConversionOptions()
      options.replacing = true
      _ = try Conversion(folder.path(source), options: options).write(to: path)
      #expect(try ModelTokenizer.endOfTextIDs(of: ModelStore(opening: path)) == list)
    }
  }

  @Test func theMetadataOfOtherProgramsNameThem() throws {
    func found(_ values: [(String, GGUFNewValue)]) throws -> (ids: [Int64], unusable: [String]) {
      var writer = GGUFWriter()
      writer.set("general.architecture", .string("mamba"))
      for (key, value) in values { writer.set(key, value) }
      try writer.publish(to: folder.path("m.gguf"), replacing: true)
      return try #require(GGUFDescription(GGUFFile(folder.path("m.gguf")))).endOfText
    }
    func ids(_ values: [(String, GGUFNewValue)]) throws -> [Int64] { try found(values).ids }
    let (eos, eot) = ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id")
    #expect(try ids([]).isEmpty)
    #expect(try ids([(eos, .uint32(5)), (eot, .uint32(6))]) == [5, 6])
    #expect(try ids([(eos, .uint32(5)), ("sextant.end_of_text", .int32s([9, 8]))]) == [9, 8])
    #expect(try ids([(eos, .int32s([5, 7])), (eot, .uint32(6))]) == [5, 7, 6])
    for value in [GGUFNewValue.string("</s>"), .boolean(true), .float32(2), .strings(["a"])] {
      let found = try found([(eos, value), (eot, .uint32(6))])
      #expect(found.ids == [6] && found.unusable == [eos])
    }
  }

  // MARK: Beginning of text

  /// The folder's tokenizer.json decides, and add_bos_token has no effect, as in transformers 5.24.
  @Test func theTemplateOfATokenizerJSONBeginsTexts() throws {
    let source = try checkpoint(tokenizer: #"{"add_bos_token": true, "bos_token": "<|pad|>"}"#)
    #expect(try ModelTokenizer.load(from: convert(source).store)?.beginOfTextIDs == [])
    let own = String(decoding: try bytes(folder.path("tokenizer.json")), as: UTF8.self)
    let template =
      #""post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|pad|>", "type_id": 0}}, "#
      + #"{"Sequence": {"id": "A", "type_id": 0}}], "pair": [], "special_tokens": {"<|pad|>": {"id": "<|pad|>", "ids": [1], "tokens": ["<|pad|>"]}}}"#
    folder.write(own.replacing(#""post_processor": null"#, with: template), to: "tokenizer.json")
    folder.write(#"{"add_bos_token": false}"#, to: "tokenizer_config.json")
    let store = try convert(source).store
    #expect(try ModelTokenizer.load(from: store)?.beginOfTextIDs == [1])
    _ = try ModelExport(store, as: .gguf).write(to: folder.path("a.gguf"))
    let gguf = try GGUFFile(folder.path("a.gguf"))
    #expect(gguf.values["tokenizer.ggml.add_bos_token"] == .boolean(true))
    #expect(gguf.values["tokenizer.ggml.bos_token_id"] == .integer(1))
  }

  @Test(
    arguments: [
      ("gpt-2", nil, []), ("gpt-2", true, [256]), ("llama-bpe", nil, [256]),
      ("llama-bpe", false, []),
    ] as [(String, Bool?, [Int])])
  func theMetadataOfBytePairsBeginTexts(pattern: String, adds: Bool?, ids: [Int]) throws {
    var writer = GGUFWriter()
    writer.set("tokenizer.ggml.model", .string("gpt2"))
    writer.set("tokenizer.ggml.pre", .string(pattern))
    let bytes = (0..<256).map { byte in
      switch byte {
      case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: String(Unicode.Scalar(UInt8(byte)))
      default: ""
      }
    }
    var next: UInt32 = 0x100
    let alphabet = bytes.map { text -> String in
      guard text.isEmpty else { return text }
      defer { next += 1 }
      return Unicode.Scalar(next).map { String($0) } ?? ""
    }
    writer.set("tokenizer.ggml.tokens", .strings(alphabet + ["<s>"]))
    writer.set(
      "tokenizer.ggml.token_type", .int32s([Int32](repeating: 1, count: 256) + [3]))
    writer.set("tokenizer.ggml.merges", .strings([]))
    writer.set("tokenizer.ggml.bos_token_id", .uint32(256))
    if let adds { writer.set("tokenizer.ggml.add_bos_token", .boolean(adds)) }
    try writer.publish(to: folder.path("t.gguf"), replacing: true)
    let content = try #require(try GGUFTokenizer(GGUFFile(folder.path("t.gguf"))).content())
    #expect(try Tokenizers.load(bytes: content).beginOfTextIDs == ids)
  }
}
