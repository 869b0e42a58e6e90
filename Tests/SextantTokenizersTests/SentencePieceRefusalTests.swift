import SextantBytes
import SextantTestSupport
import Testing

@testable import SextantTokenizers

/// Models that are refused, and the codes.
struct SentencePieceRefusalTests {
  typealias Tiny = TinySentencePiece

  /// A model and how it is refused.
  struct Case: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var code: Refusal.Code
    /// A word in the refusal.
    var word: String
    var bytes: [UInt8]
  }

  static let unsupported: [Case] = [
    edited("unigram", .tokenizerUnsupported, "unigram") { $0.modelType = 1 },
    edited("words", .tokenizerUnsupported, "words") { $0.modelType = 3 },
    edited("characters", .tokenizerUnsupported, "characters") { $0.modelType = 4 },
    edited("another type", .tokenizerUnsupported, "model type 9") { $0.modelType = 9 },
    edited("an unused piece that merges lead to", .tokenizerUnsupported, "unused") {
      $0.pieces.append(("ab", -1, 5))
    },
    Case(
      testDescription: "no trainer", code: .tokenizerUnsupported, word: "unigram",
      bytes: Tiny.field(1, Tiny.message(("<unk>", 0, 2)))),
    Case(
      testDescription: "spaces at the ends of words", code: .tokenizerUnsupported, word: "suffix",
      bytes: pieces + Tiny.field(2, Tiny.field(3, 2) + Tiny.field(24, 1))),
    edited("rules for decoded text", .tokenizerUnsupported, "denormalizer") {
      $0.tail = Tiny.field(5, Tiny.field(2, [1, 2, 3]))
    },
    Case(
      testDescription: "too much text", code: .tokenizerUnsupported, word: "fewer",
      bytes: (0..<9_000).flatMap {
        Tiny.field(1, Tiny.message(("\($0)" + String(repeating: "a", count: 1_000), 0, 1)))
      }),
  ]

  static let invalid: [Case] = [
    edited("no unknown piece", .tokenizerInvalid, "unknown") { $0.pieces.removeFirst() },
    edited("two unknown pieces", .tokenizerInvalid, "2 unknown") {
      $0.pieces.append(("<UNK>", 0, 2))
    },
    edited("a piece twice", .tokenizerInvalid, "again") { $0.pieces.append(("a", -1, 1)) },
    edited("an empty piece", .tokenizerInvalid, "0 bytes") { $0.pieces.append(("", -1, 1)) },
    edited("a very long piece", .tokenizerInvalid, "1,025 bytes") {
      $0.pieces.append((String(repeating: "a", count: 1_025), -1, 1))
    },
    edited("a long user-defined piece", .tokenizerInvalid, "257 bytes") {
      $0.pieces.append((String(repeating: "a", count: 257), 0, 4))
    },
    edited("a score that is no number", .tokenizerInvalid, "field 2") {
      $0.pieces.append(("x", .nan, 1))
    },
    edited("an unknown type of piece", .tokenizerInvalid, "type of piece") {
      $0.pieces.append(("x", 0, 7))
    },
    edited("a byte without byte fallback", .tokenizerInvalid, "byte_fallback") {
      $0.pieces.append(("<0x41>", 0, 6))
    },
    edited("byte fallback without bytes", .tokenizerInvalid, "<0x00>") {
      $0.usesByteFallback = true
    },
    edited("a byte of another spelling", .tokenizerInvalid, "<0xff>", bytes: true) {
      $0.pieces[$0.pieces.count - 1].text = "<0xff>"
    },
    edited("a piece of text for a byte", .tokenizerInvalid, "for a byte", bytes: true) {
      $0.pieces.append(("x", 0, 6))
    },
    edited("a map that is cut off", .tokenizerInvalid, "a map of 3 bytes") {
      $0.characterMap = [4, 0, 0]
    },
    edited("a map without replacements", .tokenizerInvalid, "whose trie has 4") {
      $0.characterMap = [4, 0, 0, 0, 0, 0, 0, 0]
    },
    edited("a map whose replacements are not UTF-8", .tokenizerInvalid, "UTF-8") {
      $0.characterMap = [4, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0]
    },
    edited("a map to a replacement that is not there", .tokenizerInvalid, "not there") {
      // Unit 0 declares that a text ends at it and that its value is in unit 1. Unit 1 points too
      // far.
      $0.characterMap = [8, 0, 0, 0] + [0, 0x05, 0, 0] + [9, 0, 0, 0x80] + [0x41, 0]
    },
    edited("a trainer twice", .tokenizerInvalid, "field 2 again") { $0.tail = Tiny.field(2, []) },
    Case(
      testDescription: "a truth value of 2", code: .tokenizerInvalid, word: "field 35",
      bytes: pieces + Tiny.field(2, Tiny.field(35, 2))),
    edited("a group", .tokenizerInvalid, "wire type 3") { $0.tail = Tiny.key(9, 3) },
    edited("field 0", .tokenizerInvalid, "field 0") { $0.tail = [0x02, 0x00] },
    edited("a field that is longer than the file", .tokenizerInvalid, "at most the 1") {
      $0.tail = [0x4A, 0x02, 0x00]
    },
    edited("a length beyond all files", .tokenizerInvalid, "18,446,744,073,709,551,615") {
      $0.tail = [0x4A] + [UInt8](repeating: 0xFF, count: 9) + [0x01]
    },
    edited("a number of 65 bits", .tokenizerInvalid, "too long") {
      $0.tail = [0x48] + [UInt8](repeating: 0xFF, count: 9) + [0x02]
    },
    edited("idle bytes in a number", .tokenizerInvalid, "too long") {
      $0.tail = [0x48, 0x80, 0x00]
    },
    edited("a number that is cut off", .tokenizerInvalid, "the end of a message") {
      $0.tail = [0x48, 0x80]
    },
    edited("a float that is cut off", .tokenizerInvalid, "the end of a message") {
      $0.tail = [0x4D, 0, 0]
    },
    edited("a piece that is no message", .tokenizerInvalid, "field 1") { $0.tail = [0x08, 0x01] },
    edited("a text that is not UTF-8", .tokenizerInvalid, "UTF-8") {
      $0.tail = Tiny.field(1, Tiny.field(1, [0xC0, 0x80]))
    },
  ]

  private static let pieces = Tiny.field(1, Tiny.message(("<unk>", 0, 2)))

  private static func edited(
    _ name: String, _ code: Refusal.Code, _ word: String, bytes: Bool = false,
    _ edit: (inout Tiny) -> Void
  ) -> Case {
    var tiny = Tiny(bytes: bytes)
    edit(&tiny)
    return Case(testDescription: name, code: code, word: word, bytes: tiny.bytes)
  }

  @Test(arguments: unsupported + invalid)
  func refuses(_ example: Case) {
    let refusal = expectRefusal(example.code) {
      try Tokenizers.load(bytes: example.bytes, file: "tiny.model")
    }
    #expect(refusal?.file == "tiny.model")
    let says = refusal.map { "\($0.found) \($0.expected)" } ?? ""
    #expect(says.contains(example.word), "\(says)")
  }

  @Test func passesOverFieldsThatItDoesNotKnow() throws {
    var tiny = Tiny()
    tiny.tail = Tiny.field(4, [1, 2, 3]) + Tiny.field(200, 7) + Tiny.key(9, 1)
    tiny.tail += [UInt8](repeating: 1, count: 8)
    #expect(try tiny.load().tokens("ab") == "a|b")
  }

  @Test func followsAMapWithCyclesNoFurtherThanItsLimit() throws {
    // Unit 0x61 leads to itself by "a", and no text ends.
    var units = [UInt8](repeating: 0, count: 4 * 256)
    units[4 * 0x61] = 0x61
    units[4 * 0x61 + 1] = UInt8(0x61 << 2 & 0xFF)
    units[4 * 0x61 + 2] = UInt8(0x61 >> 6)
    var tiny = Tiny()
    tiny.characterMap = [0, 4, 0, 0] + units + [0x41, 0]
    let text = String(repeating: "a", count: 5_000)
    #expect(try tiny.load().encode(text).count == 5_000)
  }
}
