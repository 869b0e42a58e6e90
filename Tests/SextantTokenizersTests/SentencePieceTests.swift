import SextantBytes
import SextantTestSupport
import Testing

@testable import SextantTokenizers

/// The results of the `sentencepiece` package for models small enough to reason about.
struct SentencePieceTests {
  private func tiny(
    _ more: [TinySentencePiece.Piece] = [], bytes: Bool = false
  ) throws -> any Tokenizer {
    try TinySentencePiece(TinySentencePiece.characters + more, bytes: bytes).load()
  }

  @Test func mergesTheHighestScoreFirstAndTheLeftmostAmongEquals() throws {
    let tokenizer = try tiny([("ab", -1, 1), ("bc", -1, 1), ("abc", -2, 1)])
    #expect(tokenizer.tokens("abc") == "abc")
    #expect(tokenizer.tokens("bcabbc") == "bc|ab|bc")
    #expect(tokenizer.tokens("aabc") == "a|abc")
  }

  @Test func mergesLikeTheTextbookAlgorithm() throws {
    var random = SplitMix64(seed: 5)
    for _ in 0..<20 {
      var pieces = TinySentencePiece.characters
      for _ in 0..<30 {
        let text = (0..<2 + random.int(below: 4)).map { _ in "▁abc"[random.int(below: 4)] }
        if pieces.contains(where: { $0.text == text.joined() }) { continue }
        pieces.append((text.joined(), -Float(random.int(below: 12)), 1))
      }
      let tokenizer = try TinySentencePiece(pieces).load()
      for count in [1, 2, 5, 300] {
        let text = (0..<count).map { _ in " abc"[random.int(below: 4)] }.joined()
        #expect(tokenizer.tokens(text) == textbook(text, pieces).joined(separator: "|"))
      }
    }
  }

  @Test func joinsRunsOfUnknownCharacters() throws {
    let tokenizer = try tiny()
    #expect(tokenizer.tokens("xya") == "<unk>|a")
    #expect(tokenizer.tokens("xayz") == "<unk>|a|<unk>")
    #expect(tokenizer.tokens("x x") == "<unk>|▁|<unk>")
    #expect(tokenizer.decode(tokenizer.encode("xayz")) == " \u{2047} a \u{2047} ")
    // A marker without a piece is also unknown, and a run of unknown characters can cross words.
    let bare = try TinySentencePiece([("a", -1, 1)]).load()
    #expect(bare.tokens("ax  y a x") == "a|<unk>|a|<unk>")
  }

  @Test func fallsBackToBytes() throws {
    let tokenizer = try tiny(bytes: true)
    #expect(tokenizer.tokens("xa") == "<0x78>|a")
    #expect(tokenizer.tokens("aé😀") == "a|<0xC3>|<0xA9>|<0xF0>|<0x9F>|<0x98>|<0x80>")
    #expect(tokenizer.decode(tokenizer.encode("aé😀\0")) == "aé😀\0")
  }

  @Test func mergesCharactersThatOnlyLongerPiecesHave() throws {
    let tokenizer = try tiny([("xy", -1, 1), ("xyz", -2, 1)])
    #expect(tokenizer.tokens("xyz") == "xyz")
    #expect(tokenizer.tokens("axyb") == "a|xy|b")
    #expect(tokenizer.tokens("yx") == "<unk>")
  }

  @Test func findsUserDefinedPiecesBeforeAnythingIsMerged() throws {
    let tokenizer = try tiny([("ab", -1, 1), ("bc", 0, 4), ("bca", 0, 4), ("▁▁", 0, 4)])
    #expect(tokenizer.tokens("abc") == "a|bc")
    #expect(tokenizer.tokens("bcabca") == "bca|bca")
    #expect(tokenizer.tokens("ab   ab") == "ab|▁▁|▁|ab")
  }

  @Test func takesControlPiecesSpelledOutForText() throws {
    let tokenizer = try tiny()
    #expect(tokenizer.tokens("<s>a") == "<unk>|a")
    #expect(tokenizer.specialTokenIDs == [1, 2])
    #expect(tokenizer.endOfTextID == 2)
    #expect(tokenizer.decode([1, 4, 2]) == "<s>a</s>")
    #expect(tokenizer.decodeSkippingSpecialTokens([1, 4, 2]) == "a")
  }

  /// Options: a space before the text, spaces trimmed, spaces marked.
  @Test(arguments: [
    ("a  b", "000", "a| | |b", "a  b"), (" a ", "000", " |a| ", " a "),
    ("a  b", "001", "a|▁|▁|b", "a  b"), ("  ", "001", "▁|▁", "  "),
    ("a  b", "010", "a| |b", "a b"), (" a ", "011", "a", "a"), ("  ", "011", "", ""),
    ("a  b", "100", " |a| | |b", " a  b"), (" a ", "101", "▁|▁|a|▁", " a "),
    ("  ", "101", "▁|▁|▁", "  "), ("", "101", "", ""),
    (" a  b ", "111", "▁|a|▁|b", "a b"), ("  ", "111", "", ""),
  ])
  func normalizesSpaces(text: String, options: String, tokens: String, decoded: String) throws {
    var tiny = TinySentencePiece(TinySentencePiece.characters + [(" ", -9, 1)])
    let flags = options.map { $0 == "1" }
    (tiny.addsPrefix, tiny.removesExtraSpaces, tiny.marksSpaces) = (flags[0], flags[1], flags[2])
    let tokenizer = try tiny.load()
    #expect(tokenizer.tokens(text) == tokens)
    #expect(tokenizer.decode(tokenizer.encode(text)) == decoded)
  }

  @Test func streamsAContinuationWithItsFirstSpace() throws {
    var tiny = TinySentencePiece()
    tiny.addsPrefix = true
    let tokenizer = try tiny.load()
    let ids = tokenizer.encode("a b")
    var start = StreamingDecoder(tokenizer)
    #expect(ids.map { start.append($0) }.joined() + start.flush() == "a b")
    #expect(ids.map { start.append($0) }.joined() + start.flush() == "a b")
    var continuation = StreamingDecoder(tokenizer, continuing: true)
    #expect(ids.map { continuation.append($0) }.joined() == " a b")
  }

  @Test func encodesOneVeryLongWord() throws {
    let tokenizer = try tiny([("aa", -1, 1), ("aaaa", -2, 1)])
    let ids = tokenizer.encode(String(repeating: "a", count: 100_003))
    #expect(ids == Array(repeating: 8, count: 25_000) + [7, 4])
  }

  private func textbook(_ text: String, _ pieces: [TinySentencePiece.Piece]) -> [String] {
    var parts = text.map { $0 == " " ? "▁" : String($0) }
    while true {
      var best: (place: Int, score: Float)?
      for (place, pair) in zip(parts, parts.dropFirst()).enumerated() {
        guard let piece = pieces.first(where: { $0.text == pair.0 + pair.1 }) else { continue }
        if best.map({ piece.score > $0.score }) ?? true { best = (place, piece.score) }
      }
      guard let best else { return parts }
      parts[best.place...best.place + 1] = [parts[best.place] + parts[best.place + 1]]
    }
  }
}

extension String {
  /// The character at a place.
  fileprivate subscript(place: Int) -> String { String(Array(self)[place]) }
}
