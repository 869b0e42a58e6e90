import SextantBytes
import SextantTokenizers

/// A pair of prompts as tokens, with the tokens of both that stand for each other.
package struct PatchingTokens: Sendable, Equatable {
  /// A token of each prompt.
  package struct Place: Sendable, Equatable {
    /// Its position in the clean prompt.
    package let clean: Int
    /// Its position in the corrupted prompt.
    package let corrupted: Int
    /// The region that it belongs to.
    package let region: Int
  }

  /// The clean prompt.
  package let clean: [Int]
  /// The corrupted prompt; the clean one if noise corrupts it.
  package let corrupted: [Int]
  /// The token of the answer.
  package let answer: Int
  /// The token of the answer that it is compared with; nil for none.
  package let against: Int?
  /// The named spans, and the texts between them.
  package let regions: [String]
  /// The tokens that stand for each other, in order.
  package let places: [Place]
  /// The tokens of the clean prompt that noise is added to.
  package var subject: Range<Int> = 0..<0
  /// Whether an answer has more tokens than the one that is compared.
  package var answersAreLonger = false

  /// Whether each token stands for the one at the same position.
  package var isEven: Bool { places.allSatisfy { $0.clean == $0.corrupted } }

  /// Prompts of equally many tokens.
  package init(clean: [Int], corrupted: [Int], answer: Int, against: Int?) {
    precondition(clean.count == corrupted.count, "prompts of unequal length")
    self.init(
      clean, corrupted, answer: answer, against: against,
      [Region("prompt", clean.indices, corrupted.indices)])
  }

  /// A part of both prompts.
  private struct Region {
    let name: String
    let clean: Range<Int>
    let corrupted: Range<Int>

    init(_ name: String, _ clean: Range<Int>, _ corrupted: Range<Int>) {
      (self.name, self.clean, self.corrupted) = (name, clean, corrupted)
    }
  }

  private init(
    _ clean: [Int], _ corrupted: [Int], answer: Int, against: Int?, _ regions: [Region]
  ) {
    (self.clean, self.corrupted) = (clean, corrupted)
    (self.answer, self.against) = (answer, against)
    self.regions = regions.map(\.name)
    places = regions.enumerated().flatMap { index, region -> [Place] in
      // Of spans of different lengths, only the last tokens have read all of the span.
      let count =
        region.clean.count == region.corrupted.count
        ? region.clean.count : min(1, region.clean.count, region.corrupted.count)
      return zip(region.clean.suffix(count), region.corrupted.suffix(count)).map {
        Place(clean: $0, corrupted: $1, region: index)
      }
    }
  }

  // MARK: From texts

  /// The tokens of a pair of texts.
  ///
  /// The first token at which the two answers differ is compared. Tokens that both answers begin with are read
  /// as the end of the prompts.
  ///
  /// - Parameters:
  ///   - isNoised: whether noise at the subject corrupts the clean prompt.
  ///   - place: the file of the pair, and its place there; nil for none.
  /// - Throws: `data.tokenization` for prompts whose tokens do not fit each other, and for answers that change
  ///   the tokens of a prompt; `data.record` for a missing text, and for prompts or answers that are equal.
  package init(
    _ pair: PatchingPair, _ tokenizer: any Tokenizer, isNoised: Bool,
    at place: (file: String?, index: Int)? = nil
  ) throws(Refusal) {
    do throws(Refusal) {
      try self.init(pair, tokenizer, isNoised)
    } catch {
      guard let place, error.place == nil else { throw error }
      var refusal = error
      (refusal.file, refusal.place) = (place.file, .pointer("/\(place.index)"))
      throw refusal
    }
  }

  private init(
    _ pair: PatchingPair, _ tokenizer: any Tokenizer, _ isNoised: Bool
  ) throws(Refusal) {
    let texts = try Self.texts(of: pair, isNoised)
    let reader = PromptReader(tokenizer)
    let (clean, corrupted) = (try reader.read(texts.clean), try reader.read(texts.corrupted))
    guard isNoised || clean.ids != corrupted.ids else {
      throw Refusal(
        .dataRecord, found: "a clean and a corrupted prompt with the same tokens",
        expected: "prompts that differ")
    }
    let answers = try Self.answers(of: pair, texts, reader)
    let shared = answers.shared
    let spans =
      isNoised
      ? [PatchingPair.Span("subject", clean: texts.subject, corrupted: texts.subject)] : pair.spans
    let regions = try Self.regions(spans, clean, corrupted, reader, end: shared.count)
    self.init(
      clean.ids + shared, corrupted.ids + shared, answer: answers.answer,
      against: answers.against, regions)
    answersAreLonger = answers.areLonger
    if isNoised {
      subject = regions.first { $0.name == "subject" }?.clean ?? 0..<0
    }
  }

  private static func texts(
    of pair: PatchingPair, _ isNoised: Bool
  ) throws(Refusal) -> (clean: String, corrupted: String, subject: String) {
    if isNoised {
      guard let subject = pair.subject else {
        throw Refusal(
          .dataRecord, found: "no subject",
          expected: "the part of the prompt that noise is added to")
      }
      return (pair.clean, pair.clean, subject)
    }
    guard let corrupted = pair.corrupted else {
      throw Refusal(
        .dataRecord, found: "no corrupted prompt", expected: "one, or noise at the subject")
    }
    return (pair.clean, corrupted, "")
  }

  /// The first tokens at which the answers differ, and those that both begin with.
  private static func answers(
    of pair: PatchingPair, _ texts: (clean: String, corrupted: String, subject: String),
    _ reader: PromptReader
  ) throws(Refusal) -> (shared: [Int], answer: Int, against: Int?, areLonger: Bool) {
    let ids = { (word: String) throws(Refusal) -> [Int] in
      let clean = try reader.continuation(word, of: texts.clean)
      let corrupted = try reader.continuation(word, of: texts.corrupted)
      guard clean == corrupted else {
        throw Refusal(
          .dataTokenization, found: "\"\(word)\", which has other tokens after each prompt",
          expected: "an answer with the same tokens after both prompts")
      }
      return clean
    }
    let answer = try ids(pair.answer)
    guard let word = pair.against else { return ([], answer[0], nil, answer.count > 1) }
    let against = try ids(word)
    let shared = zip(answer, against).prefix { $0 == $1 }.map(\.0)
    guard shared.count < min(answer.count, against.count) else {
      let isEqual = answer == against
      throw Refusal(
        .dataRecord,
        found: isEqual
          ? "the answer \"\(pair.answer)\" twice"
          : "the answers \"\(pair.answer)\" and \"\(word)\", one of which begins the other",
        expected: "answers that differ at some token",
        remedy: isEqual ? nil : "End both answers with the same mark, such as a full stop.")
    }
    return (
      shared, answer[shared.count], against[shared.count],
      max(answer.count, against.count) > shared.count + 1
    )
  }

  /// The regions of two prompts.
  ///
  /// - Parameter end: tokens that are added to the end of both.
  private static func regions(
    _ spans: [PatchingPair.Span], _ clean: PromptReader.Prompt, _ corrupted: PromptReader.Prompt,
    _ reader: PromptReader, end: Int
  ) throws(Refusal) -> [Region] {
    var regions: [Region] = []
    var (first, second) = (0, 0)
    var last: String?
    func add(_ name: String, _ a: Range<Int>, _ b: Range<Int>, end: Int = 0) throws(Refusal) {
      guard a.count == b.count else {
        throw reader.unequal(
          clean.ids[a], corrupted.ids[b], region: spans.isEmpty ? nil : name)
      }
      guard a.count + end > 0 else { return }
      regions.append(
        Region(
          name, a.lowerBound..<a.upperBound + end, b.lowerBound..<b.upperBound + end))
    }
    for span in spans {
      let (a, b) = (
        try reader.find(span.clean, in: clean), try reader.find(span.corrupted, in: corrupted)
      )
      guard a.lowerBound >= first, b.lowerBound >= second else {
        throw Refusal(
          .dataTokenization,
          found: "the span \"\(span.name)\", which begins before the end of the one before it",
          expected: "spans in the order of the prompts, without a token in common")
      }
      guard !regions.contains(where: { $0.name == span.name }) else {
        throw Refusal(
          .dataRecord, found: "two spans with the name \"\(span.name)\"",
          expected: "a name for each")
      }
      let between = last.map { "after \($0)" } ?? "before \(span.name)"
      try add(between, first..<a.lowerBound, second..<b.lowerBound)
      regions.append(Region(span.name, a, b))
      (first, second, last) = (a.upperBound, b.upperBound, span.name)
    }
    let name = last.map { "after \($0)" } ?? "prompt"
    try add(name, first..<clean.ids.count, second..<corrupted.ids.count, end: end)
    return regions
  }
}

/// Reads prompts, and finds parts of their texts among their tokens.
private struct PromptReader {
  /// A text and its tokens.
  struct Prompt {
    let text: String
    let ids: [Int]
  }

  private let tokenizer: any Tokenizer

  init(_ tokenizer: any Tokenizer) { self.tokenizer = tokenizer }

  /// The tokens of a text.
  func read(_ text: String) throws(Refusal) -> Prompt {
    let ids = try tokenizer.encodeText(text)
    guard !ids.isEmpty else {
      throw Refusal(.dataRecord, found: "a prompt without tokens", expected: "at least one token")
    }
    return Prompt(text: text, ids: ids)
  }

  /// The tokens that a word adds to a text.
  func continuation(_ word: String, of text: String) throws(Refusal) -> [Int] {
    let (before, whole) = (try tokenizer.encodeText(text), try tokenizer.encodeText(text + word))
    guard whole.count > before.count, whole.starts(with: before) else {
      throw Refusal(
        .dataTokenization,
        found: "\"\(word)\", which "
          + (word.isEmpty ? "has no tokens" : "changes the tokens of the prompt"),
        expected: "an answer that only adds tokens after those of the prompt",
        remedy: "Begin the answer with a space, or end the prompt before one.")
    }
    return Array(whole[before.count...])
  }

  /// The tokens that contain a part of the text which occurs once.
  func find(_ part: String, in prompt: Prompt) throws(Refusal) -> Range<Int> {
    let (text, wanted) = (Array(prompt.text.utf8), Array(part.utf8))
    let starts = text.indices.filter { text[$0...].starts(with: wanted) }
    guard let start = starts.first, starts.count == 1, !wanted.isEmpty else {
      throw Refusal(
        .dataRecord,
        found:
          "\"\(part)\", which is \(starts.isEmpty ? "not" : "\(starts.count) times") in \"\(prompt.text)\"",
        expected: "a part of the prompt that occurs once",
        remedy: "Name more of the text, or correct it.")
    }
    var ends: [Int] = []  // of the tokens, in bytes
    var bytes: [UInt8] = []
    for id in prompt.ids {
      bytes += tokenizer.bytes(of: id) ?? []
      ends.append(bytes.count)
    }
    // Tokens that begin a text come before it.
    let offset = bytes.count - text.count
    guard offset >= 0, bytes[offset...].elementsEqual(text) else {
      throw Refusal(
        .dataTokenization, found: "tokens that spell another text than \"\(prompt.text)\"",
        expected: "a tokenizer that keeps the text, so that a part of it can be found",
        remedy: "Take prompts of equally many tokens, without named parts.")
    }
    let range = start + offset..<start + offset + wanted.count
    let first = ends.firstIndex { $0 > range.lowerBound } ?? 0
    let last = ends.firstIndex { $0 >= range.upperBound } ?? ends.count - 1
    return first..<last + 1
  }

  /// The refusal of prompts whose tokens do not stand for each other.
  ///
  /// - Parameter region: the text between two spans where this is so; nil if there are no spans.
  func unequal(
    _ clean: ArraySlice<Int>, _ corrupted: ArraySlice<Int>, region: String?
  ) -> Refusal {
    Refusal(
      .dataTokenization,
      found: "\(region.map { "\($0): " } ?? "")\(counted(clean.count, "token")) and "
        + "\(counted(corrupted.count, "token")): \(shown(clean)) and \(shown(corrupted))",
      expected: region == nil
        ? "prompts of equally many tokens, or spans that name what differs"
        : "equally many tokens outside of the spans",
      remedy: "Change a prompt, or name the texts that stand for each other with `span`.")
  }

  /// Tokens with marks between them.
  private func shown(_ ids: ArraySlice<Int>) -> String {
    ids.map { LensText.shown(tokenizer.decode([$0])) }.joined(separator: "|")
  }
}
