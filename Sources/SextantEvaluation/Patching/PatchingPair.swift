import SextantBytes
import SextantTexts

/// Two prompts that differ in one fact, and the answers that show which fact the model read.
///
///     PatchingPair(
///       clean: "The Eiffel Tower is in", corrupted: "The Colosseum is in", answer: " Paris", against: " Rome",
///       spans: [.init("subject", clean: "Eiffel Tower", corrupted: "Colosseum")])
public struct PatchingPair: Sendable, Equatable {
  /// A part of both prompts that stands for the same thing, and may have different numbers of tokens.
  public struct Span: Sendable, Equatable {
    /// The name, which results show.
    public var name: String
    /// The text in the clean prompt, where it occurs once.
    public var clean: String
    /// The text in the corrupted prompt, where it occurs once.
    public var corrupted: String

    /// Names a part of both prompts.
    public init(_ name: String, clean: String, corrupted: String) {
      (self.name, self.clean, self.corrupted) = (name, clean, corrupted)
    }
  }

  /// The prompt after which the answer is right.
  public var clean: String
  /// The prompt after which the other answer is right; nil if noise at the subject takes its place.
  public var corrupted: String?
  /// The answer to the clean prompt, as it continues the prompt.
  public var answer: String
  /// The answer that it is compared with; nil for none.
  public var against: String?
  /// The part of the clean prompt that noise is added to; nil for none.
  public var subject: String?
  /// Parts of the prompts that belong to each other, in the order of the prompts.
  public var spans: [Span]

  /// A pair of prompts.
  public init(
    clean: String, corrupted: String? = nil, answer: String, against: String? = nil,
    subject: String? = nil, spans: [Span] = []
  ) {
    (self.clean, self.corrupted, self.answer) = (clean, corrupted, answer)
    (self.against, self.subject, self.spans) = (against, subject, spans)
  }

  /// Reads pairs from a file of records with the fields `clean`, `corrupted`, `answer`, and if wanted `against`,
  /// `subject` and `spans`, a list of objects with `name`, `clean` and `corrupted` (`formats/texts.md`).
  ///
  /// - Throws: `file.*`, `limit.file`, `text.*`, `json.*`, `data.record`, `data.empty`.
  public static func read(_ path: String) throws(Refusal) -> [PatchingPair] {
    let file = try TextFile(reading: path)
    let pairs = try TextRecords(file, fields: ["clean"]).map { record, _ throws(Refusal) in
      try PatchingPair(record)
    }
    guard !pairs.isEmpty else {
      throw Refusal(.dataEmpty, file: file.path, found: "no pairs", expected: "at least one")
    }
    return pairs
  }

  private init(_ record: JSONNode) throws(Refusal) {
    let text = { (name: String) throws(Refusal) -> String? in
      try record.optionalField([name])?.text()
    }
    var spans: [Span] = []
    for node in try record.optionalField(["spans"])?.elements() ?? [] {
      spans.append(
        Span(
          try node.field("name").text(), clean: try node.field("clean").text(),
          corrupted: try node.field("corrupted").text()))
    }
    self.init(
      clean: try record.field("clean").text(), corrupted: try text("corrupted"),
      answer: try record.field("answer").text(), against: try text("against"),
      subject: try text("subject"), spans: spans)
  }
}
