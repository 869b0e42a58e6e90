import SextantBytes
import SextantTestSupport
import Testing

@testable import SextantTokenizers

/// Tokenizers that are refused, with the code and the place.
struct RefusalTests {
  /// An edit of a tiny tokenizer, and the refusal of the result.
  struct Case: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var code: Refusal.Code
    var pointer: String
    /// The path of the edited member.
    var path: [String]
    /// The new value; nil removes the member.
    var value: JSONValue?
  }

  static let unsupported = cases(
    .tokenizerUnsupported,
    [
      ("version", "/version", ["version"], "2.0"),
      ("unknown part", "/extra", ["extra"], 1),
      ("WordPiece", "/model/type", ["model", "type"], "WordPiece"),
      ("unknown option of the model", "/model/fancy", ["model", "fancy"], true),
      ("dropout", "/model/dropout", ["model", "dropout"], 0.1),
      ("byte fallback without its parts", "/pre_tokenizer", ["model", "byte_fallback"], true),
      ("prefix", "/model/continuing_subword_prefix", ["model", "continuing_subword_prefix"], "##"),
      ("suffix", "/model/end_of_word_suffix", ["model", "end_of_word_suffix"], "</w>"),
      ("no token for a byte", "/model/vocab", ["model", "vocab", "a"], nil),
      ("normalizer NFKC", "/normalizer/type", ["normalizer"], ["type": "NFKC"]),
      (
        "NFD in a sequence", "/normalizer/normalizers/1/type", ["normalizer"],
        ["type": "Sequence", "normalizers": [["type": "NFC"], ["type": "NFD"]]]
      ),
      ("no pre-tokenizer", "", ["pre_tokenizer"], nil),
      ("UnicodeScripts", "/pre_tokenizer/type", ["pre_tokenizer"], ["type": "UnicodeScripts"]),
      (
        "no ByteLevel", "/pre_tokenizer", ["pre_tokenizer"],
        ["type": "Digits", "individual_digits": true]
      ),
      (
        "ByteLevel twice", "/pre_tokenizer/pretokenizers/1", ["pre_tokenizer"],
        [
          "type": "Sequence",
          "pretokenizers": [
            ["type": "ByteLevel", "add_prefix_space": false],
            ["type": "ByteLevel", "add_prefix_space": false],
          ],
        ]
      ),
      (
        "Metaspace after ByteLevel", "/pre_tokenizer/pretokenizers/1", ["pre_tokenizer"],
        [
          "type": "Sequence",
          "pretokenizers": [
            ["type": "ByteLevel", "add_prefix_space": false],
            ["type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"],
          ],
        ]
      ),
      (
        "a pattern that looks back", "/pre_tokenizer/pattern/Regex", ["pre_tokenizer"],
        ["type": "Split", "pattern": ["Regex": "(?<=a)b"], "behavior": "Isolated", "invert": false]
      ),
      (
        "split by nothing", "/pre_tokenizer/pattern/String", ["pre_tokenizer"],
        ["type": "Split", "pattern": ["String": ""], "behavior": "Isolated", "invert": false]
      ),
      (
        "behavior", "/pre_tokenizer/behavior", ["pre_tokenizer"],
        ["type": "Split", "pattern": ["Regex": "a"], "behavior": "Dropped", "invert": false]
      ),
      ("no decoder", "", ["decoder"], nil),
      ("Metaspace", "/decoder/type", ["decoder"], ["type": "Metaspace"]),
      ("another processor", "/post_processor/type", ["post_processor"], ["type": "Other"]),
      (
        "too many tokens before a text", "/post_processor", ["post_processor"],
        BeginOfTextTests.template([[Int](repeating: 65, count: 17)])
      ),
      (
        "too many normalizers", "/normalizer", ["normalizer"],
        ["type": "Sequence", "normalizers": .array(.init(repeating: ["type": "NFC"], count: 17))]
      ),
      (
        "too many pre-tokenizers", "/pre_tokenizer", ["pre_tokenizer"],
        [
          "type": "Sequence",
          "pretokenizers": .array(
            .init(repeating: ["type": "Digits", "individual_digits": true], count: 16) + [
              ["type": "ByteLevel", "add_prefix_space": false]
            ]),
        ]
      ),
      (
        "a template that repeats the text", "/post_processor/single", ["post_processor"],
        [
          "type": "TemplateProcessing",
          "single": [["Sequence": ["id": "A"]], ["Sequence": ["id": "A"]]],
        ]
      ),
      (
        "a very long added token", "/added_tokens/0/content", ["added_tokens"],
        [added(256, String(repeating: "a", count: 1_025))]
      ),
      ("unknown flag", "/added_tokens/0/fancy", ["added_tokens"], [["fancy": true]]),
    ])

  static let invalid = cases(
    .tokenizerInvalid,
    [
      ("no version", "", ["version"], nil),
      ("no model", "", ["model"], nil),
      ("model of another type", "/model", ["model"], "BPE"),
      ("no vocabulary", "/model", ["model", "vocab"], nil),
      ("vocabulary of another type", "/model/vocab", ["model", "vocab"], []),
      ("null for an id", "/model/vocab/new", ["model", "vocab", "new"], .some(.null)),
      ("id of another type", "/model/vocab/new", ["model", "vocab", "new"], "256"),
      ("fractional id", "/model/vocab/new", ["model", "vocab", "new"], 256.5),
      ("negative id", "/model/vocab/new", ["model", "vocab", "new"], -1),
      ("huge id", "/model/vocab/new", ["model", "vocab", "new"], 2_000_000_000),
      ("largest id", "/model/vocab/new", ["model", "vocab", "new"], .integer(.max)),
      ("id twice", "/model/vocab/new", ["model", "vocab", "new"], 97),
      ("merges of another type", "/model/merges", ["model", "merges"], [:]),
      ("merge without a space", "/model/merges/0", ["model", "merges"], ["ab"]),
      ("merge with two spaces", "/model/merges/0", ["model", "merges"], ["a  b"]),
      ("merge of three", "/model/merges/0", ["model", "merges"], [["a", "b", "c"]]),
      ("merge of a number", "/model/merges/0", ["model", "merges"], [["a", 1]]),
      ("merge of an absent token", "/model/merges/0", ["model", "merges"], [["a", "no"]]),
      ("merge into an absent token", "/model/merges/0", ["model", "merges"], [["a", "b"]]),
      ("added token without flags", "/added_tokens/0", ["added_tokens"], [["content": "x"]]),
      ("empty added token", "/added_tokens/0/content", ["added_tokens"], [added(256, "")]),
      ("id of another token", "/added_tokens/0/id", ["added_tokens"], [added(97, "<s>")]),
      ("two ids for a token", "/added_tokens/0/id", ["added_tokens"], [added(256, "a")]),
      ("huge added id", "/added_tokens/0/id", ["added_tokens"], [added(1 << 40, "<s>")]),
      (
        "added token twice", "/added_tokens/1/content", ["added_tokens"],
        [added(256, "<s>"), added(256, "<s>")]
      ),
    ])

  private static func cases(
    _ code: Refusal.Code,
    _ rows: [(name: String, pointer: String, path: [String], value: JSONValue?)]
  ) -> [Case] {
    rows.map {
      Case(
        testDescription: $0.name, code: code, pointer: $0.pointer, path: $0.path, value: $0.value)
    }
  }

  private static func added(_ id: Int, _ content: String) -> JSONValue {
    TinyTokenizer.json(of: AddedToken(id: id, content: content))
  }

  @Test(arguments: unsupported + invalid)
  func refuses(_ example: Case) {
    var tiny = TinyTokenizer()
    tiny.json = TinyTokenizer.replace(tiny.json, example.path[...], example.value) ?? nil
    let refusal = expectRefusal(example.code) { try tiny.load() }
    #expect(refusal?.place == .pointer(example.pointer))
    #expect(refusal?.file == "tiny.json")
  }

  @Test func refusesTheSamePairTwice() {
    let tiny = TinyTokenizer(merges: [("a", "b"), ("b", "c"), ("a", "b")])
    let refusal = expectRefusal(.tokenizerInvalid) { try tiny.load() }
    #expect(refusal?.place == .pointer("/model/merges/2"))
  }

  @Test func acceptsWhatChangesNothing() throws {
    var tiny = TinyTokenizer().setting("model", "unk_token", to: "<unk>")
    tiny = tiny.setting("model", "continuing_subword_prefix", to: "")
    tiny = tiny.setting("model", "type", to: nil).setting("model", "dropout", to: 0)
    tiny = tiny.setting("truncation", to: ["max_length": 2])
    tiny = tiny.setting("added_tokens", to: nil)
    #expect(show(try tiny.load().encode("abc")) == "abc")
  }

  @Test(arguments: [
    ("", Refusal.Code.tokenizerUnsupported), ("\u{FEFF}{}", .tokenizerUnsupported),
    ("[]", .tokenizerUnsupported),
    ("{", .jsonInvalid), ("{}", .tokenizerInvalid), ("{\"version\": \"1.0\"} x", .jsonTrailing),
    ("{\"model\": {}, \"model\": {}}", .jsonDuplicateKey),
    ("{\"a\": \(String(repeating: "[", count: 100_000))", .jsonDepth),
    ("{\"version\": \(String(repeating: "9", count: 40))}", .jsonNumber),
  ])
  func refusesHostileTexts(text: String, code: Refusal.Code) {
    expectRefusal(code) { try Tokenizers.load(bytes: Array(text.utf8), file: "hostile") }
  }

  @Test func refusesAFileThatIsTooLargeBeforeReadingIt() {
    let bytes = [UInt8](repeating: UInt8(ascii: " "), count: Tokenizers.byteCountLimit + 1)
    expectRefusal(.limitFile) { try Tokenizers.load(bytes: bytes) }
  }

  @Test func keepsVocabularyKeysThatAreCanonicallyEquivalentApart() throws {
    // Tokens outside the byte alphabet: one as a composed and one as a decomposed character.
    let tokenizer = try TinyTokenizer()
      .setting("model", "vocab", "\u{1E69}", to: 256)
      .setting("model", "vocab", "s\u{323}\u{307}", to: 257).load()
    #expect(tokenizer.id(ofToken: "\u{1E69}") == 256)
    #expect(tokenizer.id(ofToken: "s\u{323}\u{307}") == 257)
    #expect(tokenizer.bytes(of: 256) == [0xE1, 0xB9, 0xA9])
  }
}
