import SextantTestSupport
import SextantTokenizers
import Testing

/// Decoding at once and piece by piece. A tiny tokenizer's ids below 256 are bytes.
struct DecodingTests {
  @Test(arguments: [
    ([0x41, 0xE2, 0x82, 0xAC], "A€"),
    ([0xE2, 0x82], "\u{FFFD}"),
    ([0xE2, 0x82, 0x41], "\u{FFFD}A"),
    ([0xF0, 0x9F, 0x98], "\u{FFFD}"),
    ([0xF0, 0x9F, 0x98, 0x80, 0x80], "😀\u{FFFD}"),
    ([0xC0, 0x80], "\u{FFFD}\u{FFFD}"),
    ([0xED, 0xA0, 0x80], "\u{FFFD}\u{FFFD}\u{FFFD}"),
    ([0xF4, 0x90, 0x80, 0x80], "\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}"),
    ([0xFF, 0xC3, 0xA9], "\u{FFFD}é"),
  ])
  func replacesEachMaximalPartOfABrokenSequence(bytes: [Int], text: String) throws {
    let tokenizer = try TinyTokenizer().load()
    #expect(tokenizer.decode(bytes).utf8.elementsEqual(text.utf8))
    #expect(stream(bytes, with: tokenizer).utf8.elementsEqual(text.utf8))
  }

  @Test func passesOverIDsWithoutAToken() throws {
    let tokenizer = try TinyTokenizer().load()
    #expect(tokenizer.decode([0x41, 256, -1, Int.max, 0x42]) == "AB")
    #expect(stream([0x41, 256, -1, Int.max, 0x42], with: tokenizer) == "AB")
  }

  @Test func holdsBackNothingButIncompleteCharacters() throws {
    let tokenizer = try TinyTokenizer().load()
    let text = "aé€😀\u{301}\n한z"
    var decoder = StreamingDecoder(tokenizer)
    var seen = ""
    for scalar in text.unicodeScalars {
      let bytes = Array(String(scalar).utf8)
      for byte in bytes.dropLast() { #expect(decoder.append(Int(byte)).isEmpty) }
      let complete = decoder.append(Int(bytes[bytes.count - 1]))
      #expect(complete.utf8.elementsEqual(bytes))
      seen += complete
    }
    #expect(decoder.flush().isEmpty)
    #expect(seen.utf8.elementsEqual(text.utf8))
  }

  @Test func streamsEveryPrefixOfATextLikeDecodingIt() throws {
    let tokenizer = try TinyTokenizer().load()
    let bytes = "naïve €😀 → 한국어".utf8.map { Int($0) }
    for start in bytes.indices {
      for end in start...bytes.count {
        let part = Array(bytes[start..<end])
        #expect(stream(part, with: tokenizer) == tokenizer.decode(part))
      }
    }
  }

  @Test func streamsAnyBytesLikeDecodingThem() throws {
    let tokenizer = try TinyTokenizer().load()
    // Bytes at the limits of valid sequences.
    let tricky = [
      0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1,
      0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF,
    ]
    var random = SplitMix64(seed: 1)
    for _ in 0..<2_000 {
      let ids = (0..<random.int(below: 12)).map { _ in tricky[random.int(below: tricky.count)] }
      let streamed = stream(ids, with: tokenizer)
      #expect(streamed.utf8.elementsEqual(tokenizer.decode(ids).utf8), "\(ids)")
    }
  }

  @Test func decodesWhatItEncodes() throws {
    let tokenizer = try KnownTokenizer.demoModel.load()
    for line in try KnownTokenizer.lines().prefix(3_000) {
      let ids = tokenizer.encode(line)
      #expect(tokenizer.decode(ids).utf8.elementsEqual(line.utf8))
      #expect(stream(ids, with: tokenizer).utf8.elementsEqual(line.utf8))
    }
  }

  @Test func startsAfreshAfterFlushing() throws {
    var decoder = StreamingDecoder(try TinyTokenizer().load())
    #expect(decoder.append(0xE2).isEmpty)
    #expect(decoder.flush() == "\u{FFFD}")
    #expect(decoder.append(0x41) == "A")
    #expect(decoder.flush().isEmpty)
  }

  private func stream(_ ids: [Int], with tokenizer: any Tokenizer) -> String {
    var decoder = StreamingDecoder(tokenizer)
    var text = ""
    for id in ids { text += decoder.append(id) }
    return text + decoder.flush()
  }
}
