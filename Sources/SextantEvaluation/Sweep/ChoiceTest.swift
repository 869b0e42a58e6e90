import SextantBytes
import SextantTexts
import SextantTokenizers

/// Prompts with two continuations, one of which shows a behaviour, to measure steering.
public struct ChoiceTest: Sendable {
  /// One prompt. Several continuations may express the same answer: their probabilities add up.
  public struct Item: Sendable, Equatable {
    /// The prompt.
    public var prompt: String
    /// The continuations that show the behaviour.
    public var matching: [String]
    /// The continuations that do not.
    public var other: [String]

    /// A prompt with its continuations, at least one of each kind.
    public init(prompt: String, matching: [String], other: [String]) {
      self.prompt = prompt
      self.matching = matching
      self.other = other
    }
  }

  /// An item as token ids.
  package struct Tokens: Sendable, Equatable {
    /// The prompt, at least one token.
    package var prompt: [Int]
    /// The continuations that show the behaviour, each at least one token.
    package var matching: [[Int]]
    /// The continuations that do not, each at least one token.
    package var other: [[Int]]

    /// An item.
    package init(prompt: [Int], matching: [[Int]], other: [[Int]]) {
      self.prompt = prompt
      self.matching = matching
      self.other = other
    }

    /// All continuations: the matching ones, then the others.
    var continuations: [[Int]] { matching + other }

    /// The tokens of the longest continuation.
    var longestContinuation: Int { continuations.reduce(0) { max($0, $1.count) } }
  }

  /// The digest of the file.
  public let digest: Digest
  /// The items, in the file's order.
  public let items: [Item]
  private let file: String

  private static let questionKeys = (
    "question", "answer_matching_behavior", "answer_not_matching_behavior"
  )
  private static let gradedKeys = ("prompt", "correct", "incorrect")

  /// Reads a test from a file of records. The fields of the first record determine their form:
  ///
  /// - `{"question", "answer_matching_behavior", "answer_not_matching_behavior"}`, as in the CAA
  ///   repository, or `{"prompt", "correct", "incorrect"}`, as in the MMLU and TruthfulQA files in
  ///   the same folder: prompts need a template, and answers are letters.
  /// - `{"prompt", "matching", "other"}`: whole prompts, and one or more continuations of any length.
  ///
  /// - Parameters:
  ///   - template: the template for questions.
  ///   - isShared: whether the template is also meant for other tests, so that a test of whole
  ///     prompts does not refuse it.
  /// - Throws: `file.*`, `limit.file`, `text.*`, `json.*`, `data.record`, `data.empty`, `usage.option`.
  public init(
    reading path: String, template: PromptTemplate?, isShared: Bool = false
  ) throws(Refusal) {
    try self.init(TextFile(reading: path), template: template, isShared: isShared)
  }

  /// A test that the program has made. Its digest is that of the file of JSON lines that has the bytes
  /// `jsonLines(of:)`.
  ///
  /// - Throws: `data.empty` for no items, `data.record` for one without continuations of a kind.
  public init(_ items: [Item]) throws(Refusal) {
    try self.init(TextFile(Self.jsonLines(of: items), path: "the test"), template: nil)
  }

  /// The bytes of a file of JSON lines with these items.
  public static func jsonLines(of items: [Item]) -> [UInt8] {
    let words = { (words: [String]) in JSONValue.array(words.map { .string($0) }) }
    return TextFile.jsonLines(
      items.map { item in
        JSONObject([
          ("prompt", .string(item.prompt)), ("matching", words(item.matching)),
          ("other", words(item.other)),
        ])
      })
  }

  private init(
    _ text: TextFile, template: PromptTemplate?, isShared: Bool = false
  ) throws(Refusal) {
    file = text.path
    digest = text.digest
    let records = try TextRecords(text, fields: ["question", "prompt"])
    var hasQuestions: Bool?
    items = try records.map { record, _ throws(Refusal) in
      if hasQuestions == nil {
        try Self.checkKind(of: record, text)
        let isWhole = try record.optionalField(["matching"]) != nil
        try Self.check(template, isShared, isWhole: isWhole, text)
        hasQuestions = !isWhole
      }
      guard hasQuestions == true, let template else { return try Self.whole(record) }
      return try Self.question(record, template)
    }
    guard !items.isEmpty else {
      throw Refusal(.dataEmpty, file: file, found: "no items", expected: "at least one")
    }
  }

  /// Refuses contrast pairs, from which vectors are learned.
  private static func checkKind(of record: JSONNode, _ file: TextFile) throws(Refusal) {
    guard try record.optionalField(["positive"]) != nil,
      try record.optionalField(["prompt", "question"]) == nil
    else { return }
    throw Refusal(
      .dataRecord, file: file.path, found: "contrast pairs: records with positive and negative",
      expected: "a test: records with a prompt, and answers that match a behaviour or do not",
      remedy: "Learn a vector from the pairs, and measure it on a test.")
  }

  /// Refuses a template for whole prompts, and questions without one.
  private static func check(
    _ template: PromptTemplate?, _ isShared: Bool, isWhole: Bool, _ file: TextFile
  ) throws(Refusal) {
    guard isWhole ? template != nil && !isShared : template == nil else { return }
    throw Refusal(
      .usageOption, file: file.path, at: .parameter("template"),
      found: isWhole ? "whole prompts and a template" : "questions and no template",
      expected: isWhole ? "no template" : "one of \(PromptTemplate.presetNames), or a file")
  }

  private static func question(
    _ record: JSONNode, _ template: PromptTemplate
  ) throws(Refusal) -> Item {
    let keys = try record.optionalField(["correct"]) != nil ? gradedKeys : questionKeys
    let item = Item(
      prompt: template.fill(try record.field(keys.0).text()),
      matching: [try AnswerLetter.read(record.field(keys.1))],
      other: [try AnswerLetter.read(record.field(keys.2))])
    guard item.matching != item.other else {
      throw record.refusal(found: "the same answer twice", expected: "two answers")
    }
    return item
  }

  private static func whole(_ record: JSONNode) throws(Refusal) -> Item {
    Item(
      prompt: try record.field("prompt").text(), matching: try words(record.field("matching")),
      other: try words(record.field("other")))
  }

  /// A word, or a list of them.
  private static func words(_ node: JSONNode) throws(Refusal) -> [String] {
    guard case .array = node.value else { return [try node.string()] }
    var words: [String] = []
    for element in try node.elements() { words.append(try element.string()) }
    guard !words.isEmpty else { throw node.refusal(expected: "at least one continuation") }
    return words
  }

  /// The items as token ids.
  ///
  /// The tokens of a continuation are those that the prompt and the continuation together have after
  /// the tokens of the prompt. A continuation whose first characters merge with the end of the prompt
  /// into other tokens is refused, because its probability after the prompt's tokens would be that of
  /// something else. So is a continuation whose tokens begin those of another one: the longer one is
  /// then never the likelier one.
  ///
  /// - Throws: `data.tokenization`; `data.record` for a prompt without tokens, and for a continuation
  ///   that begins another one.
  package func tokenized(by tokenizer: any Tokenizer) throws(Refusal) -> [Tokens] {
    var result: [Tokens] = []
    for (index, item) in items.enumerated() {
      let place = Refusal.Place.pointer("/\(index)")
      let prompt = try tokenizer.encodeText(item.prompt)
      guard !prompt.isEmpty else {
        throw Refusal(
          .dataRecord, file: file, at: place, found: "a prompt without tokens",
          expected: "at least one token")
      }
      let ids = { (words: [String]) throws(Refusal) -> [[Int]] in
        var ids: [[Int]] = []
        for word in words {
          let tokens = try tokenizer.encodeText(item.prompt + word)
          guard tokens.count > prompt.count, tokens.starts(with: prompt) else {
            throw Refusal(
              .dataTokenization, file: file, at: place,
              found: "\"\(word)\", which "
                + (word.isEmpty ? "has no tokens" : "changes the tokens of the prompt"),
              expected: "a continuation that only adds tokens after those of the prompt")
          }
          ids.append(Array(tokens[prompt.count...]))
        }
        return ids
      }
      let tokens = Tokens(
        prompt: prompt, matching: try ids(item.matching), other: try ids(item.other))
      try checkBeginnings(tokens, item, place)
      result.append(tokens)
    }
    return result
  }

  /// Refuses a continuation that begins another one, or that is there twice.
  private func checkBeginnings(
    _ tokens: Tokens, _ item: Item, _ place: Refusal.Place
  ) throws(Refusal) {
    let (words, ids) = (item.matching + item.other, tokens.continuations)
    // In this order, texts that begin with a continuation follow it directly.
    let order = ids.indices.sorted { ids[$0].lexicographicallyPrecedes(ids[$1]) }
    for (short, long) in zip(order, order.dropFirst()) where ids[long].starts(with: ids[short]) {
      let isTwice = ids[long].count == ids[short].count
      throw Refusal(
        .dataRecord, file: file, at: place,
        found: isTwice
          ? "the continuation \"\(words[short])\" twice"
          : "\"\(words[short])\", which is a prefix of \"\(words[long])\"",
        expected: "continuations, none of which is a prefix of another",
        remedy: isTwice
          ? nil : "End both continuations with the same mark, such as a full stop.")
    }
  }
}
