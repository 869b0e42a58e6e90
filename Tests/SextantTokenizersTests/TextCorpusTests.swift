import SextantBytes
import SextantTestSupport
import SextantTokenizers
import Testing

@Suite struct TextCorpusTests {
  private let folder = TemporaryFolder()
  private let tokenizer: any Tokenizer

  init() throws {
    let path = PackageFiles.fixture("demo-model/tokenizer.json")
    tokenizer = try Tokenizers.load(bytes: InputFile(path).readAll(limit: 1 << 20), file: path)
  }

  private func write(_ text: String, _ name: String) -> String {
    folder.write(Array(text.utf8), to: name)
  }

  @Test func documentsAreJoinedWithEndsAndCut() throws {
    let plain = write("One film.\n", "a.txt")
    let lines = write("\"Two films.\"\n\n{\"text\": \"Three\", \"id\": 3}\n", "b.jsonl")
    let end = try #require(tokenizer.endOfTextID)
    let all =
      [end] + tokenizer.encode("One film.\n") + [end] + tokenizer.encode("Two films.") + [end]
      + tokenizer.encode("Three")
    for length in 2...5 {
      let corpus = try TextCorpus(
        reading: [plain, lines], tokenizer: tokenizer, chunkLength: length)
      #expect(corpus.chunks.allSatisfy { $0.count == length })
      #expect(corpus.chunks.flatMap { $0 } == Array(all[..<(all.count / length * length)]))
      #expect(corpus.documentCount == 3)
      let text = tokenizer.decodeSkippingSpecialTokens(corpus.chunks.flatMap { $0 })
      #expect(corpus.byteCount == text.utf8.count)
    }
    let limited = try TextCorpus(
      reading: [plain, lines], tokenizer: tokenizer, chunkLength: 2, limit: 5)
    #expect(limited.tokenCount == 4)
  }

  @Test func theDigestIsOfTheFilesInTheirOrder() throws {
    let (a, b) = (write("One film about it.", "a.txt"), write("Two films about it.", "b.txt"))
    let digest = { (paths: [String]) throws -> Digest in
      try TextCorpus(reading: paths, tokenizer: tokenizer, chunkLength: 2).digest
    }
    #expect(try digest([a, b]) == digest([a, b]))
    #expect(try digest([a, b]) != digest([b, a]))
  }

  @Test func badTextsAreRefused() {
    let bad: [(String, String, FormatError.Code)] = [
      ("x", "short.txt", .dataEmpty), ("{\"txt\": 1}\n", "other.jsonl", .dataRecord),
      ("{\n", "broken.jsonl", .jsonInvalid),
    ]
    for (text, name, code) in bad {
      let path = write(text, name)
      let error = #expect(throws: FormatError.self) {
        try TextCorpus(reading: [path], tokenizer: tokenizer, chunkLength: 64)
      }
      #expect(error?.code == code, "\(name)")
    }
  }
}
