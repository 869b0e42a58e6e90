import SextantBytes
import SextantTestSupport
import Testing

@testable import SextantTokenizers

/// Merging, added tokens and options, on tokenizers small enough to reason about.
struct EncodingTests {
  @Test func mergesTheBestRankFirstAndTheLeftmostAmongEquals() throws {
    let tokenizer = try TinyTokenizer(merges: [("a", "b"), ("b", "c"), ("ab", "c")]).load()
    #expect(show(tokenizer.encode("abc")) == "<258>")
    #expect(show(tokenizer.encode("bcabbc")) == "<257><256><257>")
    let runs = try TinyTokenizer(merges: [("a", "a"), ("aa", "aa")]).load()
    #expect(show(runs.encode("aaaaaaa")) == "<257><256>a")
  }

  @Test func mergesLikeTheTextbookAlgorithm() throws {
    var random = SplitMix64(seed: 3)
    for _ in 0..<20 {
      var tokens = ["a", "b", "c", "d"]
      var merges: [(String, String)] = []
      while merges.count < 40 {
        let left = tokens[random.int(below: tokens.count)]
        let right = tokens[random.int(below: tokens.count)]
        if left.utf8.count + right.utf8.count > 12 { continue }
        if merges.contains(where: { $0 == (left, right) }) { continue }
        merges.append((left, right))
        if !tokens.contains(left + right) { tokens.append(left + right) }
      }
      let tokenizer = try TinyTokenizer(merges: merges).load()
      for count in [1, 2, 3, 10, 400] {
        let word = String(
          (0..<count).map { _ in Character(["a", "b", "c", "d"][random.int(below: 4)]) })
        let expected = textbook(word, merges).map { tokenizer.id(ofToken: $0) }
        #expect(tokenizer.encode(word) == expected)
      }
    }
  }

  @Test func encodesOneVeryLongWord() throws {
    let tokenizer = try TinyTokenizer(merges: [("a", "a"), ("aa", "aa"), ("aaaa", "aaaa")]).load()
    let ids = tokenizer.encode(String(repeating: "a", count: 100_007))
    #expect(ids == Array(repeating: 258, count: 12_500) + [257, 256, 97])
  }

  @Test func givesRepeatedWordsTheSameIDsInALongText() throws {
    let tokenizer = try TinyTokenizer(merges: [("Ġ", "x"), ("Ġx", "y")]).load()
    let ids = tokenizer.encode(String(repeating: " xy x", count: 5_000))
    #expect(ids == Array(repeating: [257, 256], count: 5_000).flatMap { $0 })
  }

  @Test func encodesBytesWithoutAnyMerges() throws {
    let tokenizer = try TinyTokenizer().load()
    let text = "\0 é\u{10FFFF}\n"
    #expect(tokenizer.encode(text) == text.utf8.map { Int($0) })
    #expect(tokenizer.encode("").isEmpty)
    #expect(tokenizer.endOfTextID == nil)
  }

  @Test func readsBothSpellingsOfMerges() throws {
    let pairs = TinyTokenizer(merges: [("a", "b"), ("Ġ", "ab")])
    let lines = pairs.setting("model", "merges", to: ["#version: 0.2", "a b", "Ġ ab"])
    #expect(try pairs.load().encode("ab ab") == [256, 257])
    #expect(try lines.load().encode("ab ab") == [256, 257])
  }

  @Test func takesWholeWordsWhenMergesAreIgnored() throws {
    // "abc" cannot be reached by merging.
    let added = AddedToken(id: 257, content: "xy", singleWord: true)
    let tiny = TinyTokenizer(added: [added]).setting("model", "vocab", "abc", to: 256)
    #expect(show(try tiny.load().encode("abc abc")) == "abc abc")
    let whole = try tiny.setting("model", "ignore_merges", to: true).load()
    #expect(show(whole.encode("abc abc")) == "<256> abc")
    // Added tokens are not words of the model.
    #expect(show(whole.encode("-xy xyz")) == "-<257> xyz")
  }

  @Test(arguments: [
    ("xabab", [AddedToken(id: 256, content: "ab")], "x<256><256>"),
    ("abcab", [AddedToken(id: 256, content: "ab"), .init(id: 257, content: "abc")], "<257><256>"),
    ("abcbc", [AddedToken(id: 256, content: "bc"), .init(id: 257, content: "abc")], "<257><256>"),
    (
      "ab xab ab1 ab. _ab (ab)", [AddedToken(id: 256, content: "ab", singleWord: true)],
      "<256> xab ab1 <256>. _ab (<256>)"
    ),
    (
      "xabcx bc",
      [AddedToken(id: 256, content: "abc", singleWord: true), .init(id: 257, content: "bc")],
      "xabcx <257>"
    ),
    ("x \n ab y", [AddedToken(id: 256, content: "ab", stripsLeft: true)], "x<256> y"),
    ("x ab \n y", [AddedToken(id: 256, content: "ab", stripsRight: true)], "x <256>y"),
    (
      "x  ab  ab  y", [AddedToken(id: 256, content: "ab", stripsLeft: true, stripsRight: true)],
      "x<256><256>y"
    ),
    (
      "\n\n\n", [AddedToken(id: 256, content: "\n", stripsLeft: true, stripsRight: true)], "<256>"
    ),
  ])
  func findsAddedTokensLikeThePackage(text: String, added: [AddedToken], ids: String) throws {
    #expect(show(try TinyTokenizer(added: added).load().encode(text)) == ids)
  }

  @Test(arguments: [
    ("e\u{303}", true, "<256><256>"), ("\u{1EBD}", true, "<256><256>"),
    ("e\u{303}", false, "<256>áº½"), ("\u{1EBD}", false, "áº½<256>"),
  ])
  func looksForNormalizedTokensInNormalizedText(
    content: String, normalized: Bool, ids: String
  ) throws {
    let added = AddedToken(id: 256, content: content, normalized: normalized)
    let tokenizer = try TinyTokenizer(added: [added]).setting("normalizer", to: ["type": "NFC"])
      .load()
    #expect(show(tokenizer.encode("e\u{303}\u{1EBD}")).utf8.elementsEqual(ids.utf8))
  }

  @Test func putsASpaceBeforeEveryPieceOnRequest() throws {
    let tokenizer = try TinyTokenizer(added: [AddedToken(id: 256, content: "<s>", special: true)])
      .setting("pre_tokenizer", "add_prefix_space", to: true).load()
    #expect(show(tokenizer.encode("a<s>b<s> c<s>")) == " a<256> b<256> c<256>")
    #expect(tokenizer.encode("").isEmpty)
    #expect(tokenizer.specialTokenIDs == [256])
  }

  private func textbook(_ word: String, _ merges: [(String, String)]) -> [String] {
    var parts = word.map { String($0) }
    while true {
      let best = merges.first { merge in
        zip(parts, parts.dropFirst()).contains { $0 == merge }
      }
      guard let best else { return parts }
      let pairs = zip(parts, parts.dropFirst()).enumerated()
      guard let place = pairs.first(where: { $0.element == best })?.offset else { return parts }
      parts[place...place + 1] = [best.0 + best.1]
    }
  }
}

@Test func passesOverControlCharactersThatTheVocabularyLacks() throws {
  let token = ByteAlphabet.token(of: [4])
  let tiny = TinyTokenizer(merges: [("!", "?")]).setting("model", "vocab", token, to: nil)
  let tokenizer = try tiny.load()
  #expect(tokenizer.encode("!\u{4}?\u{5}") == [256, 5])
  #expect(tokenizer.encode("\u{4}").isEmpty)
  // If there were an unknown token, it would be at this place.
  expectRefusal(.tokenizerUnsupported) {
    try tiny.setting("model", "unk_token", to: "a").load()
  }
}
