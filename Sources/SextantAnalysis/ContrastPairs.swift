import SextantBytes
import SextantTokenizers

/// Pairs of texts that differ in one thing: what a steering vector is learned from.
public struct ContrastPairs: Sendable {
  /// The published forms of such data.
  public enum Form: String, Sendable {
    /// JSON lines `{"positive": …, "negative": …}`.
    case jsonLines = "pairs-jsonl"
    /// A JSON array of `{"question", "answer_matching_behavior", "answer_not_matching_behavior"}`,
    /// as in the CAA repository of Rimsky et al.
    case answers = "answers-json"
    /// Two text files, line i of one with line i of the other, as llama.cpp's generator of control
    /// vectors takes them.
    case texts = "texts"
    /// A JSON object `{"template", "positive", "negative", "suffixes"}`: every pair of personas with
    /// every suffix.
    case personas = "personas-json"
  }

  /// Bytes that a file of pairs may have.
  public static let byteCountLimit = 1 << 30

  /// One pair of texts.
  public struct Pair: Sendable, Equatable {
    /// The text that shows the behaviour.
    public let positive: String
    /// The text that does not.
    public let negative: String
  }

  /// The form of the file.
  public let form: Form
  /// The digest of the file's bytes; of two texts, of the positive one's.
  public let digest: Digest
  /// The digest of the file with the negative texts; nil where one file holds both.
  public let negativeDigest: Digest?
  /// The template that questions were put into; nil for a form without questions.
  public let template: PromptTemplate?
  /// The pairs, in the file's order.
  public let pairs: [Pair]
  private let file: String

  /// Reads pairs from a file, whose form is told by its content.
  ///
  /// - Parameter template: what a question is put into; required for `answers`, refused for pairs.
  /// - Throws: `file.*`, `json.*`, `data.record`, `data.empty`, `usage.option`.
  public init(reading path: String, template: PromptTemplate?) throws(FormatError) {
    let bytes = try InputFile(path).readAll(limit: Self.byteCountLimit)
    file = path
    digest = SHA256.digest(bytes)
    negativeDigest = nil
    let first = bytes.first { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }
    if first == UInt8(ascii: "[") {
      guard let template else {
        throw FormatError(
          .usageOption, file: path, at: .option("--template"), found: "questions and no template",
          expected: "one of \(PromptTemplate.presetNames), or a file")
      }
      form = .answers
      self.template = template
      pairs = try Self.answers(bytes, template, path)
    } else {
      guard template == nil else {
        throw FormatError(
          .usageOption, file: path, at: .option("--template"), found: "pairs of whole texts",
          expected: "no template")
      }
      form = .jsonLines
      self.template = nil
      pairs = try Self.lines(bytes, path)
    }
    guard !pairs.isEmpty else {
      throw FormatError(.dataEmpty, file: path, found: "no pairs", expected: "at least one")
    }
  }

  /// Pairs that were read from files of another form.
  init(
    _ form: Form, digest: Digest, negativeDigest: Digest? = nil, pairs: [Pair], file: String
  ) throws(FormatError) {
    guard !pairs.isEmpty else {
      throw FormatError(.dataEmpty, file: file, found: "no pairs", expected: "at least one")
    }
    self.form = form
    self.digest = digest
    self.negativeDigest = negativeDigest
    self.pairs = pairs
    self.file = file
    template = nil
  }

  private static func lines(_ bytes: [UInt8], _ path: String) throws(FormatError) -> [Pair] {
    var pairs: [Pair] = []
    let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    for (index, line) in lines.enumerated() where line.contains(where: { $0 > 0x20 }) {
      do throws(FormatError) {
        let node = try JSONNode(
          parsing: Array(line), limits: textLimits, code: .dataRecord, file: path)
        pairs.append(
          try pair(
            text(node.member("positive")), text(node.member("negative")), node))
      } catch {
        var refusal = error
        refusal.found += "\(refusal.place.map { " (\($0))" } ?? "")"
        refusal.place = .line(index + 1)
        throw refusal
      }
    }
    return pairs
  }

  private static func answers(
    _ bytes: [UInt8], _ template: PromptTemplate, _ path: String
  ) throws(FormatError) -> [Pair] {
    let value = try JSONValue(parsing: bytes, limits: textLimits, file: path)
    let root = JSONNode(value, code: .dataRecord, file: path)
    var pairs: [Pair] = []
    for record in try root.elements() {
      let prompt = template.fill(try text(record.member("question")))
      pairs.append(
        try pair(
          prompt + AnswerLetter.read(record.member("answer_matching_behavior")),
          prompt + AnswerLetter.read(record.member("answer_not_matching_behavior")), record))
    }
    return pairs
  }

  static let textLimits = JSONLimits(
    byteCount: byteCountLimit, stringByteCount: 1 << 20)

  static func text(_ node: JSONNode) throws(FormatError) -> String {
    let text = try node.string()
    guard !text.isEmpty else { throw node.refusal(expected: "a text") }
    return text
  }

  /// Two texts without a difference would only take weight from the others.
  static func pair(
    _ positive: String, _ negative: String, _ node: JSONNode
  ) throws(FormatError) -> Pair {
    guard ExactString(positive) != ExactString(negative) else {
      throw node.refusal(found: "the same text twice", expected: "two texts that differ")
    }
    return Pair(positive: positive, negative: negative)
  }

  // MARK: Tokens

  /// The pairs as token ids.
  ///
  /// For answers, the letter must be a token of its own after the prompt, the last one: else
  /// values read at the last token would be of something else.
  ///
  /// - Throws: `data.tokenization`, `data.record` for a text without tokens.
  public func tokenized(
    by tokenizer: any Tokenizer
  ) throws(FormatError) -> TokenPairs {
    var (positive, negative): ([[Int]], [[Int]]) = ([], [])
    for (index, pair) in pairs.enumerated() {
      positive.append(try tokens(of: pair.positive, tokenizer, record: index))
      negative.append(try tokens(of: pair.negative, tokenizer, record: index))
    }
    return TokenPairs(positive: positive, negative: negative)
  }

  private func tokens(
    of text: String, _ tokenizer: any Tokenizer, record: Int
  ) throws(FormatError) -> [Int] {
    let tokens = tokenizer.encodeText(text)
    guard !tokens.isEmpty else {
      throw FormatError(
        .dataRecord, file: file, at: .pointer("/\(record)"), found: "a text without tokens",
        expected: "at least one token")
    }
    if form == .answers {
      // By scalars: the letter may form one character with what stands before it.
      let prompt = tokenizer.encodeText(String(text.unicodeScalars.dropLast()))
      guard tokens.count == prompt.count + 1, tokens.starts(with: prompt) else {
        throw FormatError(
          .dataTokenization, file: file, at: .pointer("/\(record)"),
          found: "a letter that merges with the end of the prompt",
          expected: "the answer's letter as a token of its own",
          remedy: "End the template differently, for example with \"(\".")
      }
    }
    return tokens
  }

  /// What a manifest records of the data, so that training again can check it.
  public var record: JSONObject {
    var record = JSONObject([
      ("form", .string(form.rawValue)), ("sha256", .string(digest.description)),
      ("pairs", .integer(Int64(pairs.count))),
      ("template", template.map { .string($0.text) } ?? .null),
    ])
    if let negativeDigest { record["sha256_negative"] = .string(negativeDigest.description) }
    return record
  }
}
