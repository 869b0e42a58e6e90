import SextantBytes
import SextantCheckpoints
import SextantTensor
import SextantTestSupport
import SextantTokenizers
import Testing

@testable import SextantConversion

/// Tokenizers in GGUF files: reading those of other programs, and writing ours.
@Suite struct GGUFTokenizerTests {
  private let folder = TemporaryFolder()

  private func fixture(_ name: String) throws -> [UInt8] {
    try InputFile(PackageFiles.fixture("tokenizer/\(name)")).readAll(limit: 1 << 20)
  }

  /// Texts of many scripts and kinds.
  private static func lines() throws -> [String] {
    let path = PackageFiles.fixture("tokenizer/lines.jsonl")
    let bytes = try InputFile(path).readAll(limit: 1 << 20)
    return try bytes.split(separator: UInt8(ascii: "\n")).compactMap {
      if case .string(let text) = try JSONValue(parsing: Array($0), file: path) {
        text
      } else {
        nil
      }
    }
  }

  private func content(_ path: String) throws -> [UInt8] {
    try #require(try GGUFTokenizer(GGUFFile(path)).content())
  }

  /// A tokenizer after export and conversion, without a copy of its original file in the GGUF file.
  private func spelledOut(_ file: [UInt8], rows: Int) throws -> any Tokenizer {
    let metadata = try GGUFTokenizerMetadata(file, vocabularySize: rows)
    var writer = GGUFWriter()
    for (key, value) in metadata.values where key != GGUFTokenizer.fileKey {
      writer.set(key, value)
    }
    let path = folder.path("spelled.gguf")
    try writer.publish(to: path, replacing: true)
    return try Tokenizers.load(bytes: content(path))
  }

  // MARK: In

  /// The file was written by the gguf package from `llama-tiny.model`.
  @Test func aSentencePieceTokenizerGivesTheSameIdsAndTextsFromGGUF() throws {
    let path = PackageFiles.fixture("gguf/llama-tokenizer.gguf")
    let found = try Tokenizers.load(bytes: content(path))
    let expected = try Tokenizers.load(bytes: fixture("llama-tiny.model"))
    #expect(found.vocabularySize == 2000)
    #expect(found.endOfTextID == 2)
    #expect(found.specialTokenIDs == expected.specialTokenIDs)
    #expect(found.addsLeadingSpace)
    for id in 0..<expected.vocabularySize {
      #expect(found.token(id) == expected.token(id))
      #expect(found.bytes(of: id) == expected.bytes(of: id))
    }
    for text in try Self.lines() {
      let ids = found.encode(text)
      #expect(ids == expected.encode(text))
      #expect(found.decode(ids) == expected.decode(ids))
    }
    // Bytes that are not text: a lone continuation, and a truncated character.
    let bytes = [0xA9, 0xE2, 0x82].map {
      found.id(ofToken: "<0x\(String($0, radix: 16).uppercased())>")
    }
    #expect(found.decode(bytes.compactMap { $0 }) == "\u{FFFD}\u{FFFD}")
  }

  private static let bytes = (0..<256).map { byte in
    let digits = String(byte, radix: 16, uppercase: true)
    return "<0x\(digits.count < 2 ? "0" : "")\(digits)>"
  }
  private static let texts =
    ["<unk>", "<s>", "</s>"] + bytes + ["\u{2581}", "a", "b", "ab", "[PAD]"]
  private static let kinds: [Int32] =
    [2, 3, 3] + [Int32](repeating: 6, count: 256) + [1, 1, 1, 1, 5]
  private static let scores = [Float](repeating: 0, count: texts.count)

  private func file(
    texts: [String] = texts, kinds: [Int32]? = kinds, scores: [Float]? = scores,
    _ more: [(String, GGUFNewValue)] = []
  ) throws -> String {
    var writer = GGUFWriter()
    writer.set("tokenizer.ggml.model", .string("llama"))
    writer.set("tokenizer.ggml.tokens", .strings(texts))
    if let kinds { writer.set("tokenizer.ggml.token_type", .int32s(kinds)) }
    if let scores { writer.set("tokenizer.ggml.scores", .float32s(scores)) }
    for (key, value) in more { writer.set("tokenizer.ggml.\(key)", value) }
    let path = folder.path("t.gguf")
    try writer.publish(to: path, replacing: true)
    return path
  }

  @Test func optionsHaveTheDefaultsOfLlamaCpp() throws {
    func tokens(_ text: String, _ more: [(String, GGUFNewValue)]) throws -> [Int] {
      try Tokenizers.load(bytes: content(file(more))).encode(text)
    }
    let (marker, ab, b) = (259, 262, 261)
    #expect(try tokens("ab  b", []) == [marker, ab, marker, marker, b])
    #expect(
      try tokens("ab  b", [("add_space_prefix", .boolean(false))]) == [ab, marker, marker, b])
    let joined: [(String, GGUFNewValue)] = [("remove_extra_whitespaces", .boolean(true))]
    #expect(try tokens("ab  b", joined) == [marker, ab, marker, b])
    // Entries that only fill the rows after the last token are not tokens.
    #expect(try Tokenizers.load(bytes: content(file())).vocabularySize == Self.texts.count - 1)
  }

  @Test func textsBeginAsTheMetadataSay() throws {
    func ids(_ more: [(String, GGUFNewValue)]) throws -> [Int] {
      try Tokenizers.load(bytes: content(file(more))).encodeText("a")
    }
    let bos = ("bos_token_id", GGUFNewValue.uint32(1))
    #expect(try ids([]) == [259, 260])
    // Without this key, llama.cpp adds the token.
    #expect(try ids([bos]) == [1, 259, 260])
    #expect(try ids([bos, ("add_bos_token", .boolean(true))]) == [1, 259, 260])
    #expect(try ids([bos, ("add_bos_token", .boolean(false))]) == [259, 260])
  }

  @Test func theUnknownTokenMayBeKnownByItsIdAlone() throws {
    var kinds = Self.kinds
    kinds[0] = 3
    let path = try file(kinds: kinds, [("unknown_token_id", .uint32(0))])
    #expect(try Tokenizers.load(bytes: content(path)).encode("a") == [259, 260])
    // Then others of its type are fillers.
    let filled = try file(
      texts: Self.texts + ["[PAD263]"], kinds: kinds + [2],
      scores: Self.scores + [0], [("unknown_token_id", .uint32(0))])
    #expect(try Tokenizers.load(bytes: content(filled)).vocabularySize == Self.texts.count - 1)
    let none = try file(kinds: kinds)
    #expect(expectRefusal(.tokenizerInvalid) { try GGUFTokenizer(GGUFFile(none)).content() } != nil)
  }

  @Test func refusesWhatDoesNotFitTogether() throws {
    func refusal(_ code: Refusal.Code, _ path: String) {
      let refusal = expectRefusal(code) { try GGUFTokenizer(GGUFFile(path)).content() }
      #expect(refusal?.file == path)
      // The refusal has no offset, because the bytes are not in a file.
      #expect(refusal?.place == nil)
    }
    var kinds = Self.kinds
    kinds[260] = 7
    refusal(.tokenizerInvalid, try file(kinds: kinds))
    refusal(.tokenizerInvalid, try file(kinds: nil))
    refusal(.tokenizerInvalid, try file(scores: nil))
    refusal(.tokenizerInvalid, try file(scores: [0, 1]))
    refusal(
      .tokenizerInvalid,
      try file(scores: [.nan] + [Float](repeating: 0, count: Self.texts.count - 1)))
    var texts = Self.texts
    texts[261] = "a"
    refusal(.tokenizerInvalid, try file(texts: texts))
    texts[261] = ""
    refusal(.tokenizerInvalid, try file(texts: texts))
    texts = Self.texts
    texts[3] = "zero"
    refusal(.tokenizerInvalid, try file(texts: texts))
    refusal(.tokenizerInvalid, try file([("eos_token_id", .uint32(4000))]))
    refusal(.tokenizerInvalid, try file([("add_space_prefix", .uint32(1))]))
    refusal(.tokenizerInvalid, try file([("precompiled_charsmap", .strings(["a"]))]))
    refusal(.tokenizerInvalid, try file([("precompiled_charsmap", .bytes([1, 2, 3]))]))
  }

  @Test func survivesChangedBytes() throws {
    let original = try InputFile(file()).readAll(limit: 1 << 20)
    var random = SeededRandom(seed: 5)
    var (readCount, refusedCount) = (0, 0)
    for _ in 0..<400 {
      var bytes = original
      bytes[random.index(below: bytes.count)] = UInt8(random.index(below: 256))
      let path = folder.write(bytes, to: "changed.gguf")
      do throws(Refusal) {
        guard let content = try GGUFTokenizer(GGUFFile(path)).content() else { continue }
        let tokenizer = try Tokenizers.load(bytes: content)
        _ = tokenizer.decode(tokenizer.encode("ab  b\u{FFFD}"))
        readCount += 1
      } catch {
        #expect(error.file == path)
        refusedCount += 1
      }
    }
    #expect(readCount > 20 && refusedCount > 20)
  }

  // MARK: Out

  @Test func aTokenizerModelKeepsItsIdsThroughTheFormat() throws {
    let model = try fixture("llama-tiny.model")
    let expected = try Tokenizers.load(bytes: model)
    let found = try spelledOut(model, rows: 2005)
    #expect(found.vocabularySize == expected.vocabularySize)
    for text in try Self.lines() { #expect(found.encode(text) == expected.encode(text)) }
  }

  /// The format has scores and no merges; special tokens are text in it.
  @Test func aTokenizerJSONWithBytesKeepsItsIdsThroughTheFormat() throws {
    let json = try fixture("llama-tiny.json")
    let expected = try Tokenizers.load(bytes: json)
    let found = try spelledOut(json, rows: 2000)
    let special = Set(["<unk>", "<s>", "</s>", "<|endoftext|>", "<|pad|>", "の", "'s"])
    let ids = Set(special.compactMap { expected.id(ofToken: $0) })
    #expect(ids.count == special.count)
    let plain = try Self.lines().map { ($0, expected.encode($0)) }
      .filter { ids.isDisjoint(with: $0.1) }
    #expect(plain.count > 5000)
    for (text, ids) in plain { #expect(found.encode(text) == ids) }
  }

  @Test func theMetadataSayWhatLlamaCppReads() throws {
    let metadata = try GGUFTokenizerMetadata(fixture("llama-tiny.model"), vocabularySize: 2003)
    func value(_ key: String) -> GGUFNewValue? {
      metadata.values.first { $0.key == "tokenizer.ggml.\(key)" }?.value
    }
    #expect(value("model") == .string("llama"))
    #expect(value("bos_token_id") == .uint32(1) && value("eos_token_id") == .uint32(2))
    #expect(value("unknown_token_id") == .uint32(0))
    #expect(value("add_bos_token") == .boolean(true))
    #expect(value("add_space_prefix") == .boolean(true))
    guard case .strings(let texts)? = value("tokens"),
      case .int32s(let kinds)? = value("token_type"),
      case .float32s(let scores)? = value("scores")
    else {
      Issue.record("no tokens")
      return
    }
    #expect(texts.count == 2003 && kinds.count == 2003 && scores.count == 2003)
    // llama.cpp searches the text for these.
    #expect(texts[7] == "     " && kinds[7] == 4)
    #expect(texts[2002] == "[PAD2002]" && kinds[2002] == 5)
    #expect(texts.contains("<0x0A>") && scores[300] > scores[1000])
    #expect(metadata.notes.contains { $0.contains("matches first") })
  }

  @Test func refusesTokenizersThatLlamaCppDoesNotHave() throws {
    func refusal(_ file: [UInt8], _ found: String) {
      let refusal = expectRefusal(.exportInexpressible) {
        try GGUFTokenizerMetadata(file, vocabularySize: 4000)
      }
      #expect(refusal?.found.contains(found) == true, "\(refusal?.found ?? "nothing")")
      #expect(refusal?.remedy.contains("`leavesOutTokenizer`") == true)
    }
    refusal(try fixture("spaces-tiny.model"), "without tokens for bytes")
    let json = String(decoding: try fixture("llama-tiny.json"), as: UTF8.self)
    let node = try JSONNode(
      parsing: Array(json.utf8), limits: JSONLimits(byteCount: 1 << 20, depth: 32),
      code: .tokenizerInvalid, file: nil)
    guard case .object(var root) = node.value, case .object(var model)? = root["model"],
      case .array(let merges)? = model["merges"]
    else { return }
    func edited(_ merges: [JSONValue]) -> [UInt8] {
      model["merges"] = .array(merges)
      root["model"] = .object(model)
      return JSONValue.object(root).canonicalBytes
    }
    refusal(edited(Array(merges.dropLast())), "left out")
    // Several merges make the same token. The first of them is moved to the end.
    let results = merges.map { merge -> String in
      guard case .array(let pair) = merge, case .string(let a) = pair[0],
        case .string(let b) = pair[1]
      else { return "" }
      return a + b
    }
    let place = try #require(results.indices.dropLast().first { results[$0] == results[$0 + 1] })
    refusal(edited(merges[..<place] + merges[(place + 1)...] + [merges[place]]), "in two places")
    // A pattern without a name in llama.cpp.
    let byteLevel = try InputFile(PackageFiles.fixture("demo-model/tokenizer.json"))
      .readAll(limit: 1 << 20)
    let changed = String(decoding: byteLevel, as: UTF8.self)
      .replacing("\"individual_digits\": true", with: "\"individual_digits\": false")
    refusal(Array(changed.utf8), "without a name")
  }

  // MARK: Names of pre-tokenizers

  /// A pre-tokenizer of `splits.json`, with which the `tokenizers` package gives the ids that are
  /// recorded there, and the names for it in the format. The first name is the one to write.
  struct Named: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var names: [String]
    var ignoresMerges = false

    static let all = [
      Named("gpt-2", "gpt-2 phi-2 mpt olmo jina-es jina-de gigachat jais trillion"),
      Named("gpt-2, spelled otherwise", "gpt-2"),
      Named("smollm", "smollm starcoder refact command-r codeshell exaone minerva-7b"),
      Named(
        "llama-3", "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2",
        ignoresMerges: true),
      Named("llama-3", "dbrx smaug-bpe glm4 chatglm-bpe"), Named("cl100k", "dbrx"),
      Named("cl100k, removed and inverted", "dbrx"),
      Named("qwen-2", "qwen2 stablelm2 deepseek-r1-qwen hunyuan megrez kormo"),
      Named("qwen-3.5", "qwen35"), Named("tekken", "tekken", ignoresMerges: true),
      Named("o200k", "gpt-4o llama4 kanana2"), Named("falcon", "falcon"),
      Named("deepseek-3", "deepseek-v3 hunyuan-dense"),
      Named("bloom", "bloom poro-chat gpt3-finnish"),
    ]

    init(_ name: String, _ names: String, ignoresMerges: Bool = false) {
      testDescription = name
      self.names = names.split(separator: " ").map(String.init)
      self.ignoresMerges = ignoresMerges
    }
  }

  @Test func everyNameIsTested() {
    let names = GGUFTokenizer.patterns.flatMap(\.names)
    #expect(Set(names).count == names.count)
    #expect(Set(names) == Set(Named.all.flatMap(\.names)))
  }

  @Test(arguments: Named.all)
  func aNameMeansOnePreTokenizerInBothDirections(example: Named) throws {
    let cases = try JSONNode(
      parsing: fixture("splits.json"), code: .dataRecord, file: "splits.json")
    let node = try cases.member(example.testDescription).member("pre_tokenizer")
    let json = try JSONValue(parsing: fixture("splits-tiny.json"), file: "splits-tiny.json")
    guard case .object(var root) = json, case .object(var model)? = root["model"] else { return }
    model["ignore_merges"] = .boolean(example.ignoresMerges)
    root["model"] = .object(model)
    root["pre_tokenizer"] = node.value
    let file = JSONValue.object(root).canonicalBytes
    let expected = try Tokenizers.load(bytes: file)
    let metadata = try GGUFTokenizerMetadata(file, vocabularySize: expected.vocabularySize)
    let written = metadata.values.first { $0.key == "tokenizer.ggml.pre" }?.value
    #expect(written == .string(example.names[0]))
    let all = try Self.lines()
    let lines = stride(from: 0, to: all.count, by: 250).map { all[$0] }
    for name in example.names {
      var writer = GGUFWriter()
      for (key, value) in metadata.values where key != GGUFTokenizer.fileKey {
        writer.set(key, key == "tokenizer.ggml.pre" ? .string(name) : value)
      }
      let path = folder.path("named.gguf")
      try writer.publish(to: path, replacing: true)
      let read = try JSONNode(parsing: content(path), code: .tokenizerInvalid, file: path)
      #expect(
        try PreTokenizer(byteLevel: read.member("pre_tokenizer")) == PreTokenizer(byteLevel: node))
      let found = try Tokenizers.load(bytes: content(path))
      for line in lines { #expect(found.encode(line) == expected.encode(line)) }
    }
  }
}
