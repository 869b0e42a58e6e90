import SextantBytes
import SextantTestSupport
import SextantTokenizers
import Testing

/// A damaged file is refused, or gives a tokenizer that works correctly. Nothing crashes.
struct MutationTests {
  @Test(arguments: [
    KnownTokenizer.llamaModel, .spaces, .llamaJSON, .llama3,
  ])
  func damagedFilesAreRefusedOrStillWork(tokenizer: KnownTokenizer) throws {
    try expectSafe(bytes(of: tokenizer.path), rounds: 150)
  }

  @Test func damagedVocabulariesAreRefusedOrStillWork() throws {
    let lines = TinyWorld(["257 'ab' 2", #"258 '\u2028' 3"#, #"259 b'\xe2\x80' 2"#]).lines
    try expectSafe(Array(lines.joined(separator: "\n").utf8), rounds: 400)
  }

  @Test func damagedSmallModelsAreRefusedOrStillWork() throws {
    var tiny = TinySentencePiece(
      TinySentencePiece.characters + [("ab", -1, 1), ("bc", 0, 4), ("x\u{2581}", 0, 5)])
    tiny.addsPrefix = true
    try expectSafe(tiny.bytes, rounds: 1_500)
  }

  private func expectSafe(_ file: [UInt8], rounds: Int) throws {
    let text = "ab  <s>é日\u{2581}'S x\r\n\t1234 The the fi½…"
    var random = SplitMix64(seed: 11)
    var accepted = 0
    for _ in 0..<rounds {
      var damaged = file
      switch random.int(below: 4) {
      case 0: damaged.removeLast(1 + random.int(below: file.count - 1))
      case 1: damaged.remove(at: random.int(below: file.count))
      default:
        for _ in 0...random.int(below: 4) {
          damaged[random.int(below: file.count)] = UInt8(random.int(below: 256))
        }
      }
      guard let tokenizer = Self.load(damaged) else { continue }
      accepted += 1
      let ids = tokenizer.encode(text)
      #expect(ids.allSatisfy { 0..<tokenizer.vocabularySize ~= $0 })
      #expect(tokenizer.decode(ids).utf8.count < 100_000)
    }
    #expect(accepted < rounds)
  }

  /// Loading throws only refusals, as the signature declares.
  private static func load(_ bytes: [UInt8]) -> (any Tokenizer)? {
    do throws(Refusal) {
      return try Tokenizers.load(bytes: bytes, file: "damaged")
    } catch {
      return nil
    }
  }
}
