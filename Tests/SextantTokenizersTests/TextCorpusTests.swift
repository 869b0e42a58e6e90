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
    for limit in [1, 0, -1] {
      let refusal = expectRefusal(.usageOption) {
        try TextCorpus(reading: [plain], tokenizer: tokenizer, chunkLength: 2, limit: limit)
      }
      #expect(refusal?.place == .parameter("maxTokens") && refusal?.found == "\(limit)")
    }
  }

  @Test func theDigestIsOfTheFilesInTheirOrder() throws {
    let (a, b) = (write("One film about it.", "a.txt"), write("Two films about it.", "b.txt"))
    let digest = { (paths: [String]) throws -> Digest in
      try TextCorpus(reading: paths, tokenizer: tokenizer, chunkLength: 2).digest
    }
    #expect(try digest([a, b]) == digest([a, b]))
    #expect(try digest([a, b]) != digest([b, a]))
  }

  @Test func theContentTellsWhatADocumentIs() throws {
    let records = "{\"text\": \"One film.\"}\n{\"text\": \"Two films.\"}\n"
    let array = "[{\"text\": \"One film.\"}, \"Two films.\"]"
    let table = "id,text\n1,One film.\n2,Two films.\n"
    let expected = try TextCorpus(
      reading: [write(records, "a.jsonl")], tokenizer: tokenizer, chunkLength: 2)
    #expect(expected.documentCount == 2)
    let files = [
      (records, "a.ndjson"), (records, "a.JSONL"), (records, "a.txt"), (records, "a"),
      ("\u{FEFF}\r\n" + records.replacing("\n", with: "\r\n"), "windows.jsonl"),
      (array, "a.json"), (array, "array"), (table, "a.csv"), (table, "table"),
      (table.replacing(",", with: ";"), "semicolons"),
    ]
    for (text, name) in files {
      let corpus = try TextCorpus(
        reading: [write(text, name)], tokenizer: tokenizer, chunkLength: 2)
      #expect(corpus.chunks == expected.chunks, "\(name)")
      #expect(corpus.documentCount == 2, "\(name)")
    }
    // A text that only resembles records is one text.
    for text in [
      "[INST] Say it. [/INST]\n", "[1] One film.\n", "{ a film }\n",
      "\"One film.\"\n\"Two,\" he said.\n",
      "One film, text\nTwo films.\n", "text\nOne film.\n",
    ] {
      let corpus = try TextCorpus(
        reading: [write(text, "prose.txt")], tokenizer: tokenizer, chunkLength: 2)
      #expect(corpus.documentCount == 1, "\(text)")
      let end = try #require(tokenizer.endOfTextID)
      let all = [end] + tokenizer.encode(text)
      #expect(corpus.chunks.flatMap { $0 } == Array(all.prefix(all.count / 2 * 2)), "\(text)")
    }
  }

  @Test func anotherFieldIsNamed() throws {
    let path = write("{\"content\": \"One film.\", \"id\": 1}\n", "a.jsonl")
    let refusal = expectRefusal(.dataRecord) {
      try TextCorpus(reading: [path], tokenizer: tokenizer, chunkLength: 2)
    }
    #expect(refusal?.found.contains("\"content\", \"id\"") == true)
    #expect(refusal?.remedy.contains("`field`") == true && refusal?.place == .line(1))
    let corpus = try TextCorpus(
      reading: [path], tokenizer: tokenizer, chunkLength: 2, field: "content")
    #expect(corpus.documentCount == 1)
  }

  @Test func aTextThatIsShorterThanAChunkIsOne() throws {
    let path = write("One film.", "short.txt")
    let count = tokenizer.encode("One film.").count + 1
    let corpus = try TextCorpus(reading: [path], tokenizer: tokenizer, chunkLength: 64)
    #expect(corpus.chunks.map(\.count) == [count] && corpus.chunkLength == count)
    #expect(corpus.askedChunkLength == 64 && corpus.byteCount == 9)
    let limited = try TextCorpus(
      reading: [path], tokenizer: tokenizer, chunkLength: 64, limit: 3)
    #expect(limited.chunks.map(\.count) == [3] && limited.askedChunkLength == 64)
    let exact = try TextCorpus(reading: [path], tokenizer: tokenizer, chunkLength: count)
    #expect(exact.askedChunkLength == nil)
    expectRefusal(.usageOption) {
      try TextCorpus(reading: [path], tokenizer: tokenizer, chunkLength: 64, limit: 1)
    }
  }

  @Test func badTextsAreRefused() {
    let bad: [(String, String, Refusal.Code)] = [
      (" ", "blank.jsonl", .dataEmpty), ("\"\"\n{\"text\": \"\"}\n", "empty.jsonl", .dataEmpty),
      ("{\"txt\": 1}\n", "other.jsonl", .dataRecord),
      ("{\n", "broken.jsonl", .jsonInvalid),
    ]
    for (text, name, code) in bad {
      let path = write(text, name)
      let error = #expect(throws: Refusal.self) {
        try TextCorpus(reading: [path], tokenizer: tokenizer, chunkLength: 64)
      }
      #expect(error?.code == code, "\(name)")
    }
  }

  @Test func aFieldOfPlainTextIsRefused() throws {
    let (plain, strings) = (write("One film.\n", "a.txt"), write("[\"One film.\"]", "b.json"))
    let records = write("{\"body\": \"Two films.\"}\n", "c.jsonl")
    let read = { (paths: [String], field: String?) throws(Refusal) -> Int in
      try TextCorpus(reading: paths, tokenizer: tokenizer, chunkLength: 2, field: field)
        .documentCount
    }
    for paths in [[plain], [strings], [plain, strings]] {
      let refusal = expectRefusal(.usageOption) { try read(paths, "body") }
      #expect(refusal?.place == .parameter("field") && refusal?.found.contains("body") == true)
      #expect(try read(paths, nil) == paths.count)
    }
    #expect(try read([plain, records], "body") == 2)
  }
}
