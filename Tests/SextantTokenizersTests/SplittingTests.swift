import Glibc
import SextantBytes
import SextantTestSupport
import Testing

@testable import SextantTokenizers

/// Every pre-tokenizer of published files, and others: ids and texts are those of the `tokenizers`
/// package, for every tenth line, or for all lines if the environment has `SEXTANT_ALL_LINES`.
struct SplittingTests {
  private static let takesAllLines = getenv("SEXTANT_ALL_LINES") != nil

  /// A pre-tokenizer and what the package gives with it.
  struct Case: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var preTokenizer: JSONValue
    var ids: String
    var texts: String
    /// How many lines decode to themselves.
    var unchanged: Int

    static let all: [Case] = {
      let path = PackageFiles.fixture("tokenizer/splits.json")
      guard
        let root = try? JSONNode(parsing: bytes(of: path), code: .dataRecord, file: path),
        let members = try? root.members()
      else { return [] }
      return members.compactMap { name, node in
        guard let value = try? node.member("pre_tokenizer").value,
          let results = try? node.member(takesAllLines ? "all lines" : "every tenth line"),
          let ids = try? results.member("ids").string(),
          let texts = try? results.member("texts").string(),
          let unchanged = try? results.member("unchanged").integer()
        else { return nil }
        return Case(
          testDescription: name, preTokenizer: value, ids: ids, texts: texts, unchanged: unchanged)
      }
    }()
  }

  @Test func knowsAllCases() { #expect(Case.all.count == 32) }

  @Test(arguments: Case.all)
  func encodesAndDecodesDifficultLinesLikeThePackage(example: Case) throws {
    let path = PackageFiles.fixture("tokenizer/splits-tiny.json")
    var json = try JSONValue(parsing: bytes(of: path), file: path)
    json = TinyTokenizer.replace(json, ["pre_tokenizer"], example.preTokenizer) ?? nil
    let tokenizer = try Tokenizers.load(bytes: json.canonicalBytes, file: path)
    var ids = SHA256()
    var texts = SHA256()
    var unchanged = 0
    for (index, line) in try KnownTokenizer.lines().enumerated()
    where Self.takesAllLines || index % 10 == 0 {
      let encoded = tokenizer.encode(line)
      ids.update(([encoded.count] + encoded).flatMap { UInt32($0).littleEndianBytes })
      let decoded = Array(tokenizer.decode(encoded).utf8)
      texts.update(decoded + [0])
      if decoded.elementsEqual(line.utf8) { unchanged += 1 }
    }
    #expect(ids.finalize().description == example.ids)
    #expect(texts.finalize().description == example.texts)
    #expect(unchanged == example.unchanged)
  }
}
