import SextantBytes
import SextantTestSupport
import Testing

@testable import SextantTokenizers

/// The tokens that a post-processor puts before a text. The values are those of transformers 5.24 with
/// tokenizers 0.23.3; tokens that it puts after a text are ignored.
struct BeginOfTextTests {
  private static let sequence: JSONValue = ["Sequence": ["id": "A", "type_id": 0]]

  /// A template that puts special tokens before a text, each of these ids.
  static func template(_ tokens: [[Int]], behind: [[Int]] = []) -> JSONValue {
    func name(_ place: Int) -> String { "token \(place)" }
    let all = tokens + behind
    let pieces = all.indices.map { place -> JSONValue in
      ["SpecialToken": ["id": .string(name(place)), "type_id": 0]]
    }
    let special = all.enumerated().map { place, ids -> (String, JSONValue) in
      let value: JSONValue = [
        "id": .string(name(place)), "ids": .array(ids.map { .integer(Int64($0)) }), "tokens": [],
      ]
      return (name(place), value)
    }
    return [
      "type": "TemplateProcessing",
      "single": .array(pieces[..<tokens.count] + [sequence] + pieces[tokens.count...]),
      "pair": [], "special_tokens": .object(JSONObject(special)),
    ]
  }

  private static let roberta: JSONValue = [
    "type": "RobertaProcessing", "sep": ["</s>", 257], "cls": ["<s>", 256],
    "trim_offsets": true, "add_prefix_space": false,
  ]
  private static let bert: JSONValue = [
    "type": "BertProcessing", "sep": ["</s>", 257], "cls": ["<s>", 256],
  ]
  private static let trimming: JSONValue = ["type": "ByteLevel"]

  private static func sequence(_ processors: [JSONValue]) -> JSONValue {
    ["type": "Sequence", "processors": .array(processors)]
  }

  static let processors: [(processor: JSONValue, ids: [Int])] = [
    (.null, []), (trimming, []), (template([]), []), (template([[256]]), [256]),
    (template([[256], [257]]), [256, 257]), (template([[256, 257]]), [256, 257]),
    (template([[256]], behind: [[257]]), [256]), (template([], behind: [[257]]), []),
    (roberta, [256]), (bert, [256]),
    (sequence([trimming, template([[256]])]), [256]),
    // A later processor treats the result of an earlier one as the text.
    (sequence([template([[256]]), template([[257]])]), [257, 256]),
  ]

  @Test(arguments: processors)
  func beginsTextsAsThePostProcessorSays(processor: JSONValue, ids: [Int]) throws {
    let added = [
      AddedToken(id: 256, content: "<s>", special: true), .init(id: 257, content: "</s>"),
    ]
    let tiny = TinyTokenizer(added: added).setting("post_processor", to: processor)
    let tokenizer = try tiny.load()
    #expect(tokenizer.beginOfTextIDs == ids)
    #expect(tokenizer.encode("Hi") == [72, 105])
    #expect(try tokenizer.encodeText("Hi") == ids + [72, 105])
    #expect(try tokenizer.encodeText("") == ids)
    #expect(try tokenizer.encodeText("Hi", continues: true) == [72, 105])
    // A token that the text spells out does not replace the token before the text.
    #expect(try tokenizer.encodeText("<s>Hi") == ids + [256, 72, 105])
    let without = BoundedTokenizer(tokenizer, begin: [])
    #expect(try without.encodeText("Hi") == [72, 105] && without.encode("Hi") == [72, 105])
  }

  static let broken: [JSONValue] = [
    template([[300]]), template([[-1]]),
    [
      "type": "TemplateProcessing", "single": [["SpecialToken": ["id": "<s>"]], sequence],
      "special_tokens": [:],
    ],
    ["type": "BertProcessing", "cls": ["<s>"], "sep": ["</s>", 1]],
  ]

  @Test(arguments: broken)
  func refusesWhatIsNoToken(processor: JSONValue) {
    expectRefusal(.tokenizerInvalid) {
      try TinyTokenizer().setting("post_processor", to: processor).load()
    }
  }

  @Test func documentsAreSeparatedByWhatBeginsOrElseByWhatEndsThem() throws {
    let end = AddedToken(id: 256, content: "</s>", special: true)
    let tiny = TinyTokenizer(added: [end])
    #expect(try tiny.load().encodeDocument("a") == [256, 97])
    let begins = try tiny.setting("post_processor", to: Self.template([[66]])).load()
    #expect(begins.encodeDocument("a") == [66, 97])
    let bare = BoundedTokenizer(try TinyTokenizer().load(), end: [])
    #expect(bare.encodeDocument("a") == [97])
    #expect(BoundedTokenizer(bare, end: [65, 66]).encodeDocument("a") == [65, 97])
  }

  @Test func recordsNameTheTokensOrNothing() throws {
    let record = JSONObject([("sha256", "x")])
    #expect(BeginningRecord.adding([], to: record) == record)
    let recorded = BeginningRecord.adding([1, 2], to: record)
    #expect(recorded["begin_of_text"] == [1, 2])
    #expect(try BeginningRecord.read(recorded, file: nil) == [1, 2])
    #expect(try BeginningRecord.read(record, file: nil).isEmpty)
    for wrong: JSONValue in [1, ["a"], [-1], [1.5]] {
      expectRefusal(.artifactSchema) {
        try BeginningRecord.read(JSONObject([("begin_of_text", wrong)]), file: nil)
      }
    }
  }
}
