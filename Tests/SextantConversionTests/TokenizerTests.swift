import SextantBytes
import SextantCheckpoints
import SextantConversion
import SextantStore
import SextantTestSupport
import SextantTokenizers
import Testing

/// The tokenizer that is stored with a model.
@Suite struct TokenizerTests {
  private let folder = TemporaryFolder()

  /// A folder with the tiny model, of 101 rows, or the demo model, of 2,048, and these files.
  private func checkpoint(
    demo: Bool = true, _ files: [(name: String, fixture: String)]
  ) throws -> String {
    let origin = demo ? "demo-model" : "mamba-tiny/huggingface"
    for name in ["model.safetensors", "config.json"] {
      folder.write(try bytes(PackageFiles.fixture("\(origin)/\(name)")), to: name)
    }
    for (name, fixture) in files {
      folder.write(try bytes(PackageFiles.fixture(fixture)), to: name)
    }
    return folder.path
  }

  private func bytes(_ path: String) throws -> [UInt8] {
    try InputFile(path).readAll(limit: 1 << 28)
  }

  private func convert(_ source: String, _ tokenizer: String? = nil) throws -> ModelStore {
    var options = ConversionOptions()
    options.tokenizer = tokenizer
    options.replacing = true
    let path = folder.path("out.sxt")
    _ = try Conversion(source, options: options).write(to: path)
    return try ModelStore(opening: path)
  }

  private static let json = (name: "tokenizer.json", fixture: "tokenizer/llama-tiny.json")
  private static let model = (name: "tokenizer.model", fixture: "tokenizer/llama-tiny.model")

  @Test func takesTheFileThatLiesBesideTheModel() throws {
    let alone = try convert(checkpoint([Self.model]))
    #expect(try alone.attachment("tokenizer") == bytes(folder.path("tokenizer.model")))
    let both = try convert(checkpoint([Self.json, Self.model]))
    #expect(try both.attachment("tokenizer") == bytes(folder.path("tokenizer.json")))
    let tokenizer = try #require(try ModelTokenizer.load(from: both))
    #expect(tokenizer.decode(tokenizer.encode("A film.")) == "A film.")
  }

  /// A page or a pointer that was downloaded in the place of a file is named as in the place of weights.
  @Test(arguments: ["tokenizer.json", "tokenizer.model", "config.json"])
  func pointersAndPagesInThePlaceOfFilesAreNamed(name: String) throws {
    for text in [
      "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
      "<!DOCTYPE html>\n<html></html>\n",
    ] {
      let path = try checkpoint([])
      folder.write(Array(text.utf8), to: name)
      let refusal = expectRefusal(.fileHTML, "\(name)") { try convert(path) }
      #expect(refusal?.file == folder.path(name))
    }
  }

  @Test func tokenizersOfOtherFormatsAreNamed() throws {
    let path = try checkpoint([])
    func notes() throws -> [String] {
      var options = ConversionOptions()
      options.replacing = true
      return try Conversion(path, options: options).write(to: folder.path("out.sxt")).notes
    }
    #expect(try notes().contains { $0.hasPrefix("no tokenizer found") })
    for name in ["vocab.json", "merges.txt", "qwen.tiktoken"] { folder.write([0x7B], to: name) }
    let note = try #require(notes().first { $0.hasPrefix("no tokenizer that Sextant reads") })
    #expect(note.contains("merges.txt, qwen.tiktoken, vocab.json"))
  }

  @Test func takesTheFileThatIsNamedBeforeAllOthers() throws {
    let source = try checkpoint([Self.json])
    let named = PackageFiles.fixture("tokenizer/spaces-tiny.model")
    #expect(try convert(source, named).attachment("tokenizer") == bytes(named))
  }

  @Test func takesBytesByTheirName() throws {
    let store = try convert(checkpoint([Self.json]), "bytes")
    let tokenizer = try #require(try ModelTokenizer.load(from: store))
    #expect(tokenizer.encode("é") == [0xC3, 0xA9])
    #expect(store.attachments.map(\.name) == ["end-of-text", "tokenizer"])
  }

  @Test func takesAFileNamedBytesByItsPath() throws {
    let source = try checkpoint([("bytes", Self.model.fixture)])
    let store = try convert(source, folder.path("bytes"))
    #expect(try store.attachment("tokenizer") == bytes(folder.path("bytes")))
  }

  @Test func refusesBytesForAModelOfFewerRows() throws {
    let source = try checkpoint(demo: false, [])
    let refusal = expectRefusal(.modelTokenizer) { try convert(source, "bytes") }
    #expect(refusal?.found == "ids up to 255")
    #expect(refusal?.remedy.contains("`leavesOutTokenizer`") == true)
  }

  @Test func aTokenizerThatCannotBeReadIsLeftOutOnRequest() throws {
    let source = try checkpoint([])
    folder.write(
      #"{"version":"1.0","model":{"type":"Unigram","vocab":[]},"added_tokens":[]}"#,
      to: "tokenizer.json")
    let refusal = expectRefusal(.tokenizerUnsupported) { try convert(source) }
    #expect(refusal?.remedy.contains("`leavesOutTokenizer`") == true)
    var options = ConversionOptions()
    options.leavesOutTokenizer = true
    let report = try Conversion(source, options: options).write(to: folder.path("out.sxt"))
    let store = try ModelStore(opening: folder.path("out.sxt"))
    #expect(try ModelTokenizer.load(from: store) == nil)
    #expect(try ModelTokenizer.endOfTextIDs(of: store) == [0])
    #expect(report.notes.contains { $0.contains("token ids only") })
    folder.write("{", to: "tokenizer.json")
    let broken = expectRefusal(.jsonInvalid) { try convert(source) }
    #expect(broken?.remedy.contains("`leavesOutTokenizer`") == true)
  }

  // MARK: Files beside a tokenizer.model

  @Test func addedTokensOfOtherFilesCompleteATokenizerModel() throws {
    let source = try checkpoint([Self.model])
    let plain = try #require(try ModelTokenizer.load(from: convert(source)))
    #expect(plain.vocabularySize == 2000 && plain.beginOfTextIDs.isEmpty)
    folder.write(#"{"<|a|>": 2001, "<|b|>": 2000}"#, to: "added_tokens.json")
    folder.write(
      #"""
      {"eos_token": {"content": "<|b|>"}, "bos_token": "<s>", "add_bos_token": true,
       "added_tokens_decoder": {"2001": {"content": "<|a|>", "special": false, "rstrip": true}}}
      """#, to: "tokenizer_config.json")
    folder.write(#"{"eos_token": "<|b|>", "pad_token": "</s>"}"#, to: "special_tokens_map.json")
    folder.write("{}", to: "config.none.json")
    let store = try convert(source)
    let tokenizer = try #require(try ModelTokenizer.load(from: store))
    #expect(tokenizer.vocabularySize == 2002)
    #expect(tokenizer.encode("<|b|><|a|>  </s><s>") == [2000, 2001, 2, 1])
    #expect(tokenizer.specialTokenIDs.isSuperset(of: [1, 2, 2000]))
    #expect(!tokenizer.specialTokenIDs.contains(2001))
    #expect(try tokenizer.encodeText("A film.") == [1] + plain.encode("A film."))
    // The first file that names the end of a text decides, and config.json has 0.
    #expect(tokenizer.endOfTextIDs == [0])

    // They are the same after export to a folder or to a GGUF file.
    _ = try ModelExport(store, as: .huggingFace).write(to: folder.path("hf"))
    let settings = try JSONValue(
      parsing: bytes(folder.path("hf/tokenizer_config.json")), file: nil)
    guard case .object(let object) = settings else { return }
    #expect(object["add_bos_token"] == true && object["bos_token"] == "<s>")
    let again = try Conversion(folder.path("hf"), options: .init()).write(
      to: folder.path("again.sxt"))
    #expect(again.identity == store.identity)
    #expect(try bytes(folder.path("again.sxt")) == bytes(store.path))
  }

  /// The ids of the tokenizers package 0.23. transformers 5.24 builds a normalizer of its own for this class, and
  /// has 1113 in place of 275 in the first text, 1133 in place of 286 in the second and 1111 in the third.
  @Test func aTokenizerJSONCountsWhateverClassIsNamedForIt() throws {
    let source = try checkpoint([Self.json])
    folder.write(#"{"tokenizer_class": "LlamaTokenizer"}"#, to: "tokenizer_config.json")
    let tokenizer = try #require(try ModelTokenizer.load(from: convert(source)))
    #expect(tokenizer.encode("  a") == [266, 275])
    #expect(tokenizer.encode("a'sb") == [275, 6, 286])
    #expect(tokenizer.encode(" ") == [266])
  }

  /// What a `tokenizer_config.json` beside a `tokenizer.model` makes of the beginning of a text; the values are
  /// those of transformers 5.24.
  @Test(
    arguments: [
      (#"{"tokenizer_class": "LlamaTokenizer"}"#, []),
      (#"{"tokenizer_class": "LlamaTokenizerFast", "add_bos_token": null}"#, []),
      (#"{"tokenizer_class": "LlamaTokenizer", "add_bos_token": true}"#, [1]),
      (#"{"tokenizer_class": "LlamaTokenizer", "add_bos_token": false}"#, []),
      (#"{"tokenizer_class": "LlamaTokenizer", "add_bos_token": true, "bos_token": null}"#, []),
      (#"{"tokenizer_class": "LlamaTokenizer", "add_bos_token": true, "bos_token": "</s>"}"#, [2]),
      (#"{"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>"}"#, []),
      (#"{"add_bos_token": true}"#, [1]), (#"{"add_bos_token": true, "bos_token": null}"#, []),
      (#"{"tokenizer_class": "CodeLlamaTokenizer"}"#, [1]),
      (#"{"tokenizer_class": "CodeLlamaTokenizer", "add_bos_token": false}"#, []),
      (#"{"tokenizer_class": "CodeLlamaTokenizer", "bos_token": null}"#, []), ("{}", []),
    ])
  func aTokenizerModelBeginsTextsAsTransformersDoes(config: String, ids: [Int]) throws {
    let source = try checkpoint([Self.model])
    folder.write(config, to: "tokenizer_config.json")
    let tokenizer = try #require(try ModelTokenizer.load(from: convert(source)))
    #expect(tokenizer.beginOfTextIDs == ids)
    let report = try Conversion(source).write(to: folder.path("again.sxt"))
    let isOpen =
      config.contains("LlamaTokenizer") && !config.contains("Code")
      && !config.contains("true") && !config.contains("false")
    #expect(report.notes.contains { $0.contains("no add_bos_token") } == isOpen, "\(report.notes)")
  }

  /// transformers 5.24 takes the last of several tokens with one id.
  @Test(
    arguments: [
      ("added_tokens.json", #"{"<a>": 2000, "<b>": 2000}"#, "<b>", "<a>"),
      ("added_tokens.json", #"{"<b>": 2000, "<a>": 2000}"#, "<a>", "<b>"),
      (
        "tokenizer_config.json",
        #"{"added_tokens_decoder": {"2000": {"content": "<a>"}, "02000": {"content": "<b>"}}}"#,
        "<b>", "<a>"
      ),
    ])
  func ofTokensWithOneIDTheLastCounts(
    file: String, text: String, used: String, unused: String
  ) throws {
    let source = try checkpoint([Self.model])
    folder.write(text, to: file)
    let report = try Conversion(source).write(to: folder.path("out.sxt"))
    let store = try ModelStore(opening: folder.path("out.sxt"))
    let tokenizer = try #require(try ModelTokenizer.load(from: store))
    #expect(tokenizer.vocabularySize == 2001 && tokenizer.token(2000) == used)
    #expect(tokenizer.encode(used) == [2000] && tokenizer.encode(unused) != [2000])
    let note =
      "not used: the token \(unused) of \(file == "added_tokens.json" ? file : "added_tokens_decoder")"
    #expect(report.notes.contains { $0.hasPrefix(note) }, "\(report.notes)")
  }

  @Test func addedTokensThatATokenizerJSONLacksAreNamed() throws {
    let source = try checkpoint([Self.json])
    folder.write(#"{"<|extra|>": 2005}"#, to: "added_tokens.json")
    let report = try Conversion(source).write(to: folder.path("out.sxt"))
    #expect(report.notes.contains { $0.contains("<|extra|>") })
  }

  @Test func takesTheOnlyVocabularyAndRefusesToChooseAmongSeveral() throws {
    let lines = (0..<256).map {
      "\($0 + 1) b'\\x\($0 < 16 ? "0" : "")\(String($0, radix: 16))' 1"
    }
    let source = try checkpoint([])
    folder.write(lines.joined(separator: "\r\n"), to: "rwkv_vocab_v1.txt")
    let store = try convert(source)
    #expect(try ModelTokenizer.load(from: store)?.encode("a") == [98])
    folder.write(lines.joined(separator: "\n"), to: "rwkv_vocab_v2.txt")
    expectRefusal(.modelTokenizer) { try convert(source) }
    _ = try convert(source, folder.path("rwkv_vocab_v2.txt"))
  }
}
