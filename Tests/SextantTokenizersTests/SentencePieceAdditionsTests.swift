import SextantBytes
import SextantTestSupport
import Testing

@testable import SextantTokenizers

/// Settings of the tokenizer in files beside a `tokenizer.model`.
struct SentencePieceAdditionsTests {
  private static func token(
    _ id: Int, _ content: String, special: Bool = true, strips: Bool = false
  ) -> JSONValue {
    TinyTokenizer.json(
      of: AddedToken(
        id: id, content: content, special: special, stripsLeft: strips, stripsRight: strips))
  }

  private func load(
    _ additions: JSONObject, _ tiny: TinySentencePiece = .init()
  ) throws -> any Tokenizer {
    try Tokenizers.load(bytes: Tokenizers.sentencePiece(tiny.bytes, with: additions))
  }

  /// Pieces: 0 to 2 special, 3 "▁", 4 to 6 "a" to "c".
  @Test func addedTokensAreCutOutOfTheTextBeforeItIsNormalised() throws {
    var tiny = TinySentencePiece()
    tiny.addsPrefix = true
    tiny.removesExtraSpaces = true
    let tokens: JSONValue = [Self.token(9, "<|x|>"), Self.token(1, "<s>")]
    let tokenizer = try load(JSONObject([("added_tokens", tokens)]), tiny)
    #expect(tokenizer.encode("<|x|>a b<|x|>") == [9, 4, 3, 5, 9])
    #expect(tokenizer.encode("a<|x|>b") == [3, 4, 9, 5])
    #expect(tokenizer.encode("<s>a") == [1, 4])
    #expect(try tiny.load().encode("<s>a").first == 3)
    #expect(tokenizer.vocabularySize == 10)
    #expect(tokenizer.specialTokenIDs == [1, 2, 9])
    #expect(tokenizer.token(9) == "<|x|>" && tokenizer.id(ofToken: "<|x|>") == 9)
    #expect(tokenizer.token(8) == nil && tokenizer.bytes(of: 8) == nil)
    #expect(tokenizer.decode([3, 4, 9, 5]) == "a<|x|>b")
    #expect(tokenizer.beginOfTextIDs.isEmpty)
    // In the older form each part is a separate text.
    let legacy = try load(JSONObject([("added_tokens", tokens), ("legacy", true)]), tiny)
    #expect(legacy.encode("<|x|>a<|x|>b") == [9, 3, 4, 9, 3, 5])
  }

  @Test func tokensBeforeATextAndNoneChangeTheFile() throws {
    let tiny = TinySentencePiece()
    #expect(Tokenizers.sentencePiece(tiny.bytes, with: JSONObject()) == tiny.bytes)
    let additions = JSONObject([("begin_of_text", [1])])
    let tokenizer = try load(additions)
    #expect(try tokenizer.encodeText("a") == [1, 4] && tokenizer.encode("a") == [4])
    #expect(try tokenizer.digest != tiny.load().digest)
    let parts = try Tokenizers.partsOfSentencePiece(
      Tokenizers.sentencePiece(tiny.bytes, with: additions))
    #expect(parts.model == tiny.bytes && parts.additions == additions)
    let plain = try Tokenizers.partsOfSentencePiece(tiny.bytes)
    #expect(plain.model == tiny.bytes && plain.additions.members.isEmpty)
  }

  @Test func aListOfPiecesHasTheAddedTokens() throws {
    let bytes = Tokenizers.sentencePiece(
      TinySentencePiece().bytes,
      with: JSONObject([
        ("added_tokens", [Self.token(9, "<|x|>"), Self.token(8, "y", special: false)])
      ]))
    let pieces = try #require(try ScoredPieces(tokenizer: bytes)).pieces
    #expect(pieces.count == 10)
    #expect(pieces[7] == .init("[PAD7]", score: 0, kind: .unused))
    #expect(pieces[8] == .init("y", score: 0, kind: .userDefined))
    #expect(pieces[9] == .init("<|x|>", score: 0, kind: .control))
  }

  @Test(arguments: [
    JSONObject([("added_tokens", [token(4, "x")])]),
    JSONObject([("added_tokens", [token(9, "a")])]),
    JSONObject([("added_tokens", [token(9, "x"), token(9, "y")])]),
    JSONObject([("added_tokens", [token(9, "x"), token(10, "x")])]),
    JSONObject([("added_tokens", [token(9, "")])]),
    JSONObject([("added_tokens", [token(-1, "x")])]),
    JSONObject([("added_tokens", [token(1 << 40, "x")])]),
    JSONObject([("begin_of_text", [7])]), JSONObject([("begin_of_text", [-1])]),
    JSONObject([("begin_of_text", 1)]), JSONObject([("legacy", 1)]),
  ])
  func refusesWhatContradictsItself(additions: JSONObject) {
    expectRefusal(.tokenizerInvalid) { try load(additions) }
  }

  @Test func refusesUnknownMembers() {
    expectRefusal(.tokenizerUnsupported) { try load(JSONObject([("other", 1)])) }
  }
}
