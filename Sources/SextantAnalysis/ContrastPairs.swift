import SextantBytes
import SextantTokenizers

/// Pairs of texts that differ in one thing, from which a steering vector is learned.
public struct ContrastPairs: Sendable {
  /// The published forms of such data.
  public enum Form: String, Sendable {
    /// Records `{"positive": …, "negative": …}`, usually as JSON lines.
    case wholeTexts = "pairs-jsonl"
    /// Records `{"question", "answer_matching_behavior", "answer_not_matching_behavior"}`, usually as a
    /// JSON array, as in the CAA repository of Rimsky et al.
    case answers = "answers-json"
    /// Two text files, line i of one with line i of the other, as llama.cpp's generator of control
    /// vectors takes them.
    case twoFiles = "texts"
    /// A JSON object `{"template", "positive", "negative", "suffixes"}`: every pair of personas with
    /// every suffix.
    case personas = "personas-json"
  }

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
  /// The digest of the file with the negative texts; nil if one file contains both.
  public let negativeDigest: Digest?
  /// The template for questions; nil for a form without questions.
  public let template: PromptTemplate?
  /// Whether escapes such as `\n` in the texts were replaced by their characters.
  public let hadEscapes: Bool
  /// The pairs, in the file's order.
  public let pairs: [Pair]
  private let file: String

  /// Pairs that were read from files of some form.
  ///
  /// - Throws: `data.empty`.
  init(
    _ form: Form, digest: Digest, negativeDigest: Digest? = nil, template: PromptTemplate? = nil,
    hadEscapes: Bool = false, pairs: [Pair], file: String
  ) throws(Refusal) {
    guard !pairs.isEmpty else {
      throw Refusal(.dataEmpty, file: file, found: "no pairs", expected: "at least one")
    }
    self.form = form
    self.digest = digest
    self.negativeDigest = negativeDigest
    self.template = template
    self.hadEscapes = hadEscapes
    self.pairs = pairs
    self.file = file
  }

  /// Two texts without a difference would only take weight from the others.
  static func pair(
    _ positive: String, _ negative: String, _ node: JSONNode
  ) throws(Refusal) -> Pair {
    guard ExactString(positive) != ExactString(negative) else {
      throw node.refusal(found: "the same text twice", expected: "two texts that differ")
    }
    return Pair(positive: positive, negative: negative)
  }

  // MARK: Tokens

  /// The pairs as token ids.
  ///
  /// For answers, the letter must be a token of its own after the prompt, the last one: otherwise
  /// values at the last token would not belong to the answer.
  ///
  /// - Throws: `data.tokenization`, `data.record` for a text without tokens.
  package func tokenized(
    by tokenizer: any Tokenizer
  ) throws(Refusal) -> TokenPairs {
    var (positive, negative): ([[Int]], [[Int]]) = ([], [])
    for (index, pair) in pairs.enumerated() {
      do throws(Refusal) {
        positive.append(try tokens(of: pair.positive, tokenizer))
        negative.append(try tokens(of: pair.negative, tokenizer))
      } catch {
        var refusal = error
        (refusal.file, refusal.place) = (file, .pointer("/\(index)"))
        throw refusal
      }
    }
    return TokenPairs(positive: positive, negative: negative)
  }

  private func tokens(
    of text: String, _ tokenizer: any Tokenizer
  ) throws(Refusal) -> [Int] {
    let tokens = try tokenizer.encodeText(text)
    guard !tokens.isEmpty else {
      throw Refusal(
        .dataRecord, found: "a text without tokens", expected: "at least one token")
    }
    if form == .answers {
      // By scalars: the letter may form one character with the text before it.
      let prompt = try tokenizer.encodeText(String(text.unicodeScalars.dropLast()))
      guard tokens.count == prompt.count + 1, tokens.starts(with: prompt) else {
        throw Refusal(
          .dataTokenization,
          found: "a letter that merges with the end of the prompt",
          expected: "the answer's letter as a token of its own",
          remedy: "End the template differently, for example with \"(\".")
      }
    }
    return tokens
  }

  /// A manifest's record of the data, so that training again can check it.
  package var record: JSONObject {
    var record = JSONObject([
      ("form", .string(form.rawValue)), ("sha256", .string(digest.description)),
      ("pairs", .integer(Int64(pairs.count))),
      ("template", template.map { .string($0.text) } ?? .null),
    ])
    if let negativeDigest { record["sha256_negative"] = .string(negativeDigest.description) }
    if hadEscapes { record["escapes"] = true }
    return record
  }
}
