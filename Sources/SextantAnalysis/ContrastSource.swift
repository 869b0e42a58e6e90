import SextantBytes
import SextantTexts
import SextantTokenizers

extension ContrastPairs {
  /// The files that contrast pairs are read from.
  public enum Source: Sendable, Equatable {
    /// One file of pairs or of questions with two answers each.
    case pairs(String)
    /// Two files of texts: line i of one belongs to line i of the other.
    case texts(positive: String, negative: String)
    /// A file of persona templates.
    case personas(String)

    /// The files, in the order in which manifests record their digests.
    public var paths: [String] {
      switch self {
      case .pairs(let path), .personas(let path): [path]
      case .texts(let positive, let negative): [positive, negative]
      }
    }

    /// Reads the files, each once.
    ///
    /// - Throws: `file.*`, `limit.file`, `text.*`.
    func files() throws(Refusal) -> [TextFile] {
      try paths.map { path throws(Refusal) in try TextFile(reading: path) }
    }
  }
}

extension ContrastPairs {
  /// Reads pairs from one file of records.
  ///
  /// - Throws: as `init(reading:template:)` of a source.
  public init(reading path: String, template: PromptTemplate?) throws(Refusal) {
    try self.init(reading: .pairs(path), template: template)
  }

  /// Reads pairs from their files.
  ///
  /// - Parameter template: the template for questions; required for questions, refused for whole
  ///   texts.
  /// - Throws: `file.*`, `limit.file`, `text.*`, `json.*`, `data.record`, `data.empty`, `usage.option`.
  public init(
    reading source: ContrastPairs.Source, template: PromptTemplate?
  ) throws(Refusal) {
    try self.init(source, source.files(), template: template)
  }

  /// Reads pairs from files that are in memory.
  ///
  /// - Parameter replacesEscapes: whether escapes in two files of text are replaced, as llama.cpp does.
  init(
    _ source: ContrastPairs.Source, _ files: [TextFile], template: PromptTemplate?,
    replacesEscapes: Bool = true
  ) throws(Refusal) {
    if case .pairs = source {
      try self.init(records: files[0], template: template)
      return
    }
    guard template == nil else {
      throw Refusal(
        .usageOption, at: .parameter("template"), found: "whole texts", expected: "no template")
    }
    switch source {
    case .texts:
      try self.init(
        positive: files[0], negative: files[1], replacesEscapes: replacesEscapes)
    case .pairs, .personas: try self.init(personas: files[0])
    }
  }

  // MARK: Records

  private init(records file: TextFile, template: PromptTemplate?) throws(Refusal) {
    let keys = (
      question: "question", matching: "answer_matching_behavior",
      other: "answer_not_matching_behavior"
    )
    let records = try TextRecords(file, fields: ["positive", keys.question])
    var form: Form?
    let pairs = try records.map { record, _ throws(Refusal) in
      if form == nil {
        form = try Self.form(of: record, template, in: file)
      }
      guard form == .answers, let template else {
        return try Self.pair(
          record.field("positive").text(), record.field("negative").text(), record)
      }
      let prompt = template.fill(try record.field(keys.question).text())
      return try Self.pair(
        prompt + AnswerLetter.read(record.field(keys.matching)),
        prompt + AnswerLetter.read(record.field(keys.other)), record)
    }
    try self.init(
      form ?? .wholeTexts, digest: file.digest, template: template, pairs: pairs, file: file.path)
  }

  /// The form of records like this one. A template must be given for questions, and only for them.
  private static func form(
    of record: JSONNode, _ template: PromptTemplate?, in file: TextFile
  ) throws(Refusal) -> Form {
    if try record.optionalField(["template"]) != nil,
      try record.optionalField(["suffixes"]) != nil
    {
      throw Refusal(
        .textKind, file: file.path, found: "a template of personas", expected: "pairs",
        remedy: "Name it with `personas`.")
    }
    let isQuestion = try record.optionalField(["question"]) != nil
    let isPair = try record.optionalField(["positive"]) != nil
    let form: Form = isQuestion && !isPair ? .answers : .wholeTexts
    guard (form == .answers) == (template != nil) else {
      throw Refusal(
        .usageOption, file: file.path, at: .parameter("template"),
        found: form == .answers ? "questions and no template" : "pairs of whole texts",
        expected: form == .answers
          ? "one of \(PromptTemplate.presetNames), or a file" : "no template")
    }
    return form
  }

  // MARK: Two files

  private init(
    positive: TextFile, negative: TextFile, replacesEscapes: Bool
  ) throws(Refusal) {
    let plain = (try PromptFile(positive), try PromptFile(negative))
    let replaced =
      replacesEscapes ? (try plain.0.replacingEscapes(), try plain.1.replacingEscapes()) : plain
    let (first, second) = (replaced.0.entries, replaced.1.entries)
    // A line that is blank in one file alone would shift all pairs after it.
    for (own, other) in zip(first, second) where own.line != other.line {
      guard let line = own.line, let otherLine = other.line else { break }
      throw Refusal(
        .dataRecord, file: line < otherLine ? negative.path : positive.path,
        at: .line(min(line, otherLine)), found: "a blank line",
        expected: "a text, as in the other file",
        remedy: "Line i of one file belongs to line i of the other: remove the blank line, or add "
          + "one to the other file.")
    }
    guard first.count == second.count else {
      throw Refusal(
        .dataRecord, file: negative.path, found: counted(second.count, "text"),
        expected: "\(first.count), as many as in \(positive.path)")
    }
    let pairs = try zip(first, second).map { texts throws(Refusal) in
      guard ExactString(texts.0.text) != ExactString(texts.1.text) else {
        throw Refusal(
          .dataRecord, file: negative.path, at: texts.1.line.map { .line($0) },
          found: "the same text in both files", expected: "two texts that differ")
      }
      return Pair(positive: texts.0.text, negative: texts.1.text)
    }
    try self.init(
      .twoFiles, digest: positive.digest, negativeDigest: negative.digest,
      hadEscapes: first != plain.0.entries || second != plain.1.entries, pairs: pairs,
      file: positive.path)
  }

  // MARK: Personas

  /// The places of a persona template.
  private static let (persona, suffix) = ("{persona}", "{suffix}")

  private init(personas file: TextFile) throws(Refusal) {
    let limits = JSONLimits(
      byteCount: TextFile.byteCountLimit, stringByteCount: TextFile.byteCountLimit)
    let root = try JSONNode(
      parsing: file.bytes, limits: limits, code: .dataRecord, file: file.path)
    try root.allowOnly(["template", "positive", "negative", "suffixes"])
    let template = try root.member("template")
    let text = try template.string()
    for place in [Self.persona, Self.suffix] where text.ranges(of: place).count != 1 {
      throw template.refusal(expected: "a text with \(place) in it once")
    }
    let texts = { (key: String) throws(Refusal) -> [String] in
      try root.member(key).elements().map { node throws(Refusal) in try node.text() }
    }
    let (positive, negative) = (try texts("positive"), try texts("negative"))
    guard positive.count == negative.count else {
      throw root.refusal(
        found: "\(positive.count) positive and \(negative.count) negative personas",
        expected: "as many of each")
    }
    var pairs: [Pair] = []
    for (first, second) in zip(positive, negative) {
      for suffix in try texts("suffixes") {
        let fill = { (persona: String) in
          text.replacing(Self.suffix, with: suffix).replacing(Self.persona, with: persona)
        }
        pairs.append(try Self.pair(fill(first), fill(second), root))
      }
    }
    try self.init(.personas, digest: file.digest, pairs: pairs, file: file.path)
  }
}
