import SextantBytes
import SextantTestSupport
@_spi(_Unicode) import Swift
import Testing

@testable import SextantTokenizers

/// The tests count steps, not seconds. Each text is a worst case.
struct LinearTimeTests {
  private static let long = 1_000

  // MARK: Strings in a text

  @Test func findsTheLongestStringAtEachPlace() {
    var random = SplitMix64(seed: 11)
    func text(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(97 + random.int(below: 2)) } }
    for _ in 0..<60 {
      var strings: Set<[UInt8]> = []
      for _ in 0..<random.int(below: 12) { strings.insert(text(1 + random.int(below: 6))) }
      let list = Array(strings)
      var blob: [UInt8] = []
      let ranges = list.map { string -> Range<Int> in
        blob += string
        return blob.count - string.count..<blob.count
      }
      let bytes = text(random.int(below: 60))
      var reader = LongestMatches.Reader(LongestMatches(ranges, in: blob), bytes)
      for place in bytes.indices {
        let expected = list.filter { bytes[place...].starts(with: $0) }.map(\.count).max()
        let found = reader.match(at: place)
        #expect(found.map { $0.end - place } == expected)
        if let found { #expect(bytes[place..<found.end].elementsEqual(list[found.place])) }
      }
    }
  }

  @Test func stepsGrowWithTheTextAndNotWithTheStrings() {
    // The window is 16,384 bytes: places on both sides of its end, and strings that reach across.
    let string = [UInt8](repeating: 97, count: Self.long) + [98]
    let matches = LongestMatches([0..<string.count, 0..<2], in: string)
    var text = [UInt8](repeating: 97, count: 100_000)
    for place in [16_383, 16_384, 17_000, 40_000] { text[place] = 98 }
    var reader = LongestMatches.Reader(matches, text)
    var found: [Int] = []
    for place in text.indices {
      guard let match = reader.match(at: place) else { continue }
      #expect(match.end <= text.count)
      if match.place == 0 { found.append(place) }
    }
    #expect(found == [15_383, 39_000])
    // Each byte is read once, and the bytes after a window again: less than two steps for each
    // byte.
    #expect(reader.steps <= 5 * text.count / 2)
  }

  // MARK: Patterns

  /// Without memory of vain ways, each of these would read the rest of the text from every place.
  @Test(arguments: [("a+b|a", "a"), ("(?:ab)*c|a|b", "ab"), (#"\s*x|\s"#, " "), ("[^b]*b", "aé ")])
  func patternsThatAlmostMatchTakeLinearTime(spelling: String, unit: String) throws {
    let pattern = try SplitPattern(spelling: spelling)
    func steps(_ count: Int) -> Int {
      let text = Array(String(repeating: unit, count: count).utf8)
      var steps = 0
      var end = 0
      pattern.forEachPart(in: text, range: text.indices, steps: &steps) { part, _ in
        #expect(part.lowerBound == end)
        end = part.upperBound
      }
      #expect(end == text.count)
      return steps
    }
    #expect(steps(20_000) <= 11 * steps(2_000))
  }

  // MARK: Added tokens

  @Test func addedTokensThatAlmostMatchTakeLinearTime() {
    let content = String(repeating: "a", count: Self.long) + "b"
    let matcher = AddedTokenMatcher([
      .init(token: AddedToken(id: 1, content: content), spelling: Array(content.utf8))
    ])
    func steps(_ count: Int) -> Int {
      var steps = 0
      let pieces = matcher.pieces(of: [UInt8](repeating: 97, count: count), steps: &steps)
      #expect(pieces == [.text(0..<count)])
      return steps
    }
    #expect(steps(300_000) <= 3 * 300_000)
    #expect(steps(300_000) <= 11 * steps(30_000))
  }

  @Test func whiteSpaceThatTokensSwallowIsReadOnce() {
    let token = AddedToken(
      id: 1, content: " ", singleWord: false, stripsLeft: true, stripsRight: true)
    let matcher = AddedTokenMatcher([.init(token: token, spelling: [32])])
    var steps = 0
    let text = [UInt8](repeating: 32, count: 100_000)
    #expect(matcher.pieces(of: text, steps: &steps) == [.token(1)])
    #expect(steps <= 4 * text.count)
  }

  // MARK: RWKV World

  @Test func tokensOfAVocabularyThatAlmostMatchTakeLinearTime() throws {
    var lines = (0..<256).map { byte -> String in
      let digits = String(byte, radix: 16)
      return "\(byte + 1) b'\\x\(digits.count < 2 ? "0" : "")\(digits)' 1"
    }
    lines.append("257 '\(String(repeating: "a", count: 255))b' 256")
    let source = try TokenizerSource(
      bytes: Array((lines.joined(separator: "\n") + "\n").utf8), file: nil)
    let world = try RWKVWorld(source)
    var steps = 0
    let ids = world.encode(String(repeating: "a", count: 100_000) + "b", steps: &steps)
    #expect(ids.count == 99_746 && ids.last == 257 && ids.first == 98)
    #expect(steps <= 3 * 100_000)
  }

  // MARK: Merging

  @Test(arguments: ["aaaaaaaa", "abababab", "aabbaabb", "abcabcabd"])
  func oneLongWordTakesThreeCandidatesForEachByteAtMost(pattern: String) throws {
    var merges: [Merge] = []
    // Every pair of symbols merges, in up to 26 generations, so that every symbol changes.
    var symbols: [Int32] = [0, 1, 2, 3]
    var next: Int32 = 4
    for _ in 0..<4 {
      let parts = symbols.suffix(6)
      var made: [Int32] = []
      for left in parts {
        for right in parts {
          merges.append(Merge(left: left, right: right, result: next, rank: merges.count))
          made.append(next)
          next += 1
        }
      }
      symbols = made
    }
    var merger = PairMerger(merges: MergeTable(merges, symbolCount: Int(next)))
    var word = (0..<80_000).map { index in
      Int32(Array(pattern.utf8)[index % pattern.utf8.count]) - 97
    }
    merger.merge(&word)
    #expect(merger.steps <= 3 * 80_000)
    #expect(word.count { $0 == PairMerger.absent } > 0)
  }

  // MARK: Normalising

  @Test func longRunsOfMarksAreInOrderBeforeTheyAreNormalised() {
    var random = SplitMix64(seed: 5)
    let marks: [Unicode.Scalar] = [
      "\u{301}", "\u{323}", "\u{344}", "\u{F71}", "\u{F72}", "\u{345}", "\u{5B0}", "\u{20D0}",
    ]
    for count in [0, 1, 2, 8, 9, 40, 300] {
      for _ in 0..<20 {
        var scalars = "e".unicodeScalars
        for _ in 0..<count { scalars.append(marks[random.int(below: marks.count)]) }
        scalars.append("o")
        for _ in 0..<count { scalars.append(marks[random.int(below: marks.count)]) }
        var ordered = ReorderedScalars()
        for scalar in scalars { ordered.append(scalar) }
        let text = ordered.take()
        #expect(Array(text._nfc) == Array(String(scalars)._nfc))
        guard count > 8 else { continue }
        // The library has nothing to sort any more.
        let classes = text.unicodeScalars.map { $0.properties.canonicalCombiningClass.rawValue }
        for (left, right) in zip(classes, classes.dropFirst()) where right != 0 {
          #expect(left <= right)
        }
      }
    }
    var long = "a".unicodeScalars
    for index in 0..<200_000 { long.append(marks[index % 2]) }
    let normal = NFC.normalize(Array(String(long).utf8))
    #expect(normal.map { String(decoding: $0, as: UTF8.self).unicodeScalars.first } == "\u{1EA1}")
  }

  /// The library does not move this one. The values are those of Python's unicodedata.
  @Test(arguments: [
    ("e\u{F73}\u{301}", "\u{E9}\u{F71}\u{F72}"), ("e\u{301}\u{F73}", "\u{E9}\u{F71}\u{F72}"),
    ("e\u{301}\u{F73}\u{323}", "\u{1EB9}\u{F71}\u{F72}\u{301}"),
    ("e\u{20D0}\u{F73}\u{F71}o\u{323}", "e\u{F71}\u{F71}\u{F72}\u{20D0}\u{1ECD}"),
  ])
  func vowelSignsOfTwoMarksAreReordered(text: String, normal: String) {
    let found = NFC.normalize(Array(text.utf8))
    #expect(found == Array(normal.utf8))
  }

  @Test func userDefinedPiecesThatAlmostMatchTakeLinearTime() throws {
    let string = [UInt8](repeating: 97, count: 250) + [98]
    let normalizer = SentencePieceNormalizer(
      map: nil, kept: LongestMatches([0..<string.count], in: string), addsPrefix: false,
      removesExtraSpaces: true, marker: SpaceMarker.bytes)
    var steps = 0
    let text = [UInt8](repeating: 97, count: 100_000)
    #expect(normalizer.normalize(text, addsPrefix: false, steps: &steps) == text)
    #expect(steps <= 3 * text.count)
  }
}
