import SextantBytes
import SextantTestSupport
import SextantTokenizers
import Testing

/// Ids and texts are those of the packages `tokenizers`, `sentencepiece` and `rwkv`.
struct AgreementTests {
  @Test(arguments: KnownTokenizer.present)
  func encodesDifficultLinesLikeThePackage(tokenizer: KnownTokenizer) throws {
    let encoder = try tokenizer.load()
    let lines = try KnownTokenizer.lines()
    let expected = try tokenizer.expectedIDs()
    try #require(lines.count == 10_000 && expected.count == lines.count)
    let differing = zip(lines, expected).enumerated().filter { _, pair in
      encoder.encode(pair.0) != pair.1
    }
    // Not `isEmpty`, which would print all of them.
    #expect(differing.count == 0, "first: \(String(describing: differing.first))")
  }

  @Test(arguments: KnownTokenizer.present)
  func decodesLikeThePackage(tokenizer: KnownTokenizer) throws {
    let decoder = try tokenizer.load()
    let lines = try KnownTokenizer.lines()
    let changed = try tokenizer.expectedDecodings()
    let differing = zip(lines, try tokenizer.expectedIDs()).enumerated().filter { index, pair in
      !decoder.decode(pair.1).utf8.elementsEqual((changed[index] ?? pair.0).utf8)
    }
    #expect(differing.count == 0, "first: \(String(describing: differing.first))")
  }

  @Test(.enabled(if: KnownTokenizer.present.contains(.neox), "GPT-NeoX's tokenizer is not here"))
  func knowsTheTokensOfNeoX() throws {
    let tokenizer = try KnownTokenizer.neox.load()
    #expect(tokenizer.vocabularySize == 50_277)
    #expect(tokenizer.endOfTextID == 0)
    #expect(tokenizer.specialTokenIDs == [0, 1])
    #expect(tokenizer.token(50_276) == "  ")
    #expect(tokenizer.bytes(of: 50_276) == [0x20, 0x20])
  }

  @Test func encodesTheGoldenPromptsOfTheDemoModel() throws {
    let tokenizer = try KnownTokenizer.demoModel.load()
    let path = PackageFiles.fixture("demo-model/goldens.json")
    let goldens = try JSONNode(parsing: bytes(of: path), code: .dataRecord, file: path)
    let prompts = try goldens.member("prompts").elements()
    #expect(prompts.count == 4)
    for prompt in prompts {
      let text = try prompt.member("prompt").string()
      let ids = try prompt.member("ids").elements().map { try $0.integer() }
      #expect(tokenizer.encode(text) == ids)
      #expect(tokenizer.decode(ids) == text)
    }
  }

  @Test func knowsTheTokensOfTheDemoModel() throws {
    let tokenizer = try KnownTokenizer.demoModel.load()
    #expect(tokenizer.vocabularySize == 2_048)
    #expect(tokenizer.endOfTextID == 0)
    #expect(tokenizer.specialTokenIDs == [0, 1])
    #expect(tokenizer.id(ofToken: "<|pad|>") == 1)
    #expect(tokenizer.id(ofToken: "Ġfilm") == 353)
    #expect(tokenizer.token(353) == "Ġfilm")
    #expect(tokenizer.bytes(of: 353) == Array(" film".utf8))
    #expect(tokenizer.id(ofToken: "no such token") == nil)
    for id in [-1, 2_048, Int.max] {
      #expect(tokenizer.token(id) == nil)
      #expect(tokenizer.bytes(of: id) == nil)
    }
    #expect(tokenizer.decodeSkippingSpecialTokens([0, 353, 1]) == " film")
    #expect(tokenizer.decode([0, 353]) == "<|endoftext|> film")
    let file = try bytes(of: KnownTokenizer.demoModel.path)
    #expect(tokenizer.digest == SHA256.digest(file))
  }
}
