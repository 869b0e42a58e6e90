import SextantBytes
import SextantTokenizers

/// Prompts with two ways to go on, one of which shows a behaviour: what steering is measured on.
public struct ChoiceTest: Sendable {
  /// One prompt. Several tokens may stand for one way to go on: their probabilities add up.
  public struct Item: Sendable, Equatable {
    /// The prompt.
    public var prompt: String
    /// The continuations that show the behaviour.
    public var matching: [String]
    /// The continuations that do not.
    public var other: [String]
  }

  /// An item as token ids.
  public struct Tokens: Sendable, Equatable {
    /// The prompt, at least one token.
    public var prompt: [Int]
    /// Tokens that show the behaviour.
    public var matching: [Int]
    /// Tokens that do not.
    public var other: [Int]

    /// An item.
    public init(prompt: [Int], matching: [Int], other: [Int]) {
      self.prompt = prompt
      self.matching = matching
      self.other = other
    }
  }

  /// The digest of the file.
  public let digest: Digest
  /// The items, in the file's order.
  public let items: [Item]
  private let file: String

  private static let limits = JSONLimits(byteCount: 1 << 30, stringByteCount: 1 << 20)

  /// Reads a test from a file, whose form is told by its content.
  ///
  /// - JSON array of `{"question", "answer_matching_behavior", "answer_not_matching_behavior"}`, as in
  ///   the CAA repository, or of `{"prompt", "correct", "incorrect"}`, as in the MMLU and TruthfulQA
  ///   files beside it: prompts need a template, and answers are letters.
  /// - JSON lines `{"prompt", "matching", "other"}`: whole prompts, and one or more continuations of one
  ///   token each.
  ///
  /// - Throws: `file.*`, `json.*`, `data.record`, `data.empty`, `usage.option`.
  public init(reading path: String, template: PromptTemplate?) throws(FormatError) {
    let bytes = try InputFile(path).readAll(limit: 1 << 30)
    file = path
    digest = SHA256.digest(bytes)
    let first = bytes.first { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }
    guard (first == UInt8(ascii: "[")) == (template != nil) else {
      throw FormatError(
        .usageOption, file: path, at: .option("--template"),
        found: template == nil ? "questions and no template" : "whole prompts and a template",
        expected: template == nil
          ? "one of \(PromptTemplate.presetNames), or a file" : "no template")
    }
    items =
      if let template { try Self.questions(bytes, template, path) } else {
        try Self.lines(bytes, path)
      }
    guard !items.isEmpty else {
      throw FormatError(.dataEmpty, file: path, found: "no items", expected: "at least one")
    }
  }

  private static func questions(
    _ bytes: [UInt8], _ template: PromptTemplate, _ path: String
  ) throws(FormatError) -> [Item] {
    let value = try JSONValue(parsing: bytes, limits: limits, file: path)
    var items: [Item] = []
    for record in try JSONNode(value, code: .dataRecord, file: path).elements() {
      let isGraded = try record.optionalMember("correct") != nil
      let keys =
        isGraded
        ? ("prompt", "correct", "incorrect")
        : ("question", "answer_matching_behavior", "answer_not_matching_behavior")
      let item = Item(
        prompt: template.fill(try record.member(keys.0).string()),
        matching: [try AnswerLetter.read(record.member(keys.1))],
        other: [try AnswerLetter.read(record.member(keys.2))])
      guard item.matching != item.other else {
        throw record.refusal(found: "the same answer twice", expected: "two answers")
      }
      items.append(item)
    }
    return items
  }

  private static func lines(_ bytes: [UInt8], _ path: String) throws(FormatError) -> [Item] {
    var items: [Item] = []
    let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    for (index, line) in lines.enumerated() where line.contains(where: { $0 > 0x20 }) {
      do throws(FormatError) {
        let node = try JSONNode(parsing: Array(line), limits: limits, code: .dataRecord, file: path)
        items.append(
          Item(
            prompt: try node.member("prompt").string(),
            matching: try words(node.member("matching")),
            other: try words(node.member("other"))))
      } catch {
        var refusal = error
        refusal.found += "\(refusal.place.map { " (\($0))" } ?? "")"
        refusal.place = .line(index + 1)
        throw refusal
      }
    }
    return items
  }

  /// A word, or a list of them.
  private static func words(_ node: JSONNode) throws(FormatError) -> [String] {
    guard case .array = node.value else { return [try node.string()] }
    var words: [String] = []
    for element in try node.elements() { words.append(try element.string()) }
    guard !words.isEmpty else { throw node.refusal(expected: "at least one continuation") }
    return words
  }

  /// The items as token ids.
  ///
  /// Each continuation must be one token of its own after the prompt: else its probability would be
  /// that of something else.
  ///
  /// - Throws: `data.tokenization`, `data.record` for a prompt without tokens.
  public func tokenized(by tokenizer: any Tokenizer) throws(FormatError) -> [Tokens] {
    var result: [Tokens] = []
    for (index, item) in items.enumerated() {
      let prompt = tokenizer.encodeText(item.prompt)
      let place = FormatError.Place.pointer("/\(index)")
      guard !prompt.isEmpty else {
        throw FormatError(
          .dataRecord, file: file, at: place, found: "a prompt without tokens",
          expected: "at least one token")
      }
      let ids = { (words: [String]) throws(FormatError) -> [Int] in
        var ids: [Int] = []
        for word in words {
          let tokens = tokenizer.encodeText(item.prompt + word)
          guard tokens.count == prompt.count + 1, tokens.starts(with: prompt) else {
            throw FormatError(
              .dataTokenization, file: file, at: place,
              found: "\"\(word)\", which is not one token after the prompt",
              expected: "a continuation that is a token of its own")
          }
          ids.append(tokens[prompt.count])
        }
        return ids
      }
      let tokens = Tokens(
        prompt: prompt, matching: try ids(item.matching), other: try ids(item.other))
      guard Set(tokens.matching).isDisjoint(with: tokens.other) else {
        throw FormatError(
          .dataRecord, file: file, at: place, found: "a continuation on both sides",
          expected: "different ones")
      }
      result.append(tokens)
    }
    return result
  }
}
