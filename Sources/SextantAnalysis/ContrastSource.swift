import SextantBytes
import SextantTokenizers

/// The files that contrast pairs are read from.
public enum ContrastSource: Sendable, Equatable {
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
}

extension ContrastPairs {
  /// Reads pairs from their files.
  ///
  /// - Parameter template: what questions are put into; nil for whole texts.
  /// - Throws: `file.*`, `json.*`, `data.record`, `data.empty`, `usage.option`.
  public init(
    reading source: ContrastSource, template: PromptTemplate?
  ) throws(FormatError) {
    if case .pairs(let path) = source {
      try self.init(reading: path, template: template)
      return
    }
    guard template == nil else {
      throw FormatError(
        .usageOption, at: .option("--template"), found: "whole texts", expected: "no template")
    }
    switch source {
    case .texts(let positive, let negative): try self.init(positive: positive, negative: negative)
    case .pairs(let path), .personas(let path): try self.init(personas: path)
    }
  }

  private init(positive: String, negative: String) throws(FormatError) {
    let texts = (try PromptFile.read(positive), try PromptFile.read(negative))
    guard texts.0.count == texts.1.count else {
      throw FormatError(
        .dataRecord, file: negative, found: "\(texts.1.count) texts",
        expected: "\(texts.0.count), as many as in \(positive)")
    }
    var pairs: [Pair] = []
    for (index, (first, second)) in zip(texts.0, texts.1).enumerated() {
      guard ExactString(first) != ExactString(second) else {
        throw FormatError(
          .dataRecord, file: negative, found: "text \(index + 1) in both files",
          expected: "two texts that differ")
      }
      pairs.append(Pair(positive: first, negative: second))
    }
    try self.init(
      .texts, digest: Self.digest(positive), negativeDigest: Self.digest(negative), pairs: pairs,
      file: positive)
  }

  private static func digest(_ path: String) throws(FormatError) -> Digest {
    SHA256.digest(try InputFile(path).readAll(limit: byteCountLimit))
  }

  /// The places of a persona template.
  private static let (persona, suffix) = ("{persona}", "{suffix}")

  private init(personas path: String) throws(FormatError) {
    let bytes = try InputFile(path).readAll(limit: Self.byteCountLimit)
    let value = try JSONValue(parsing: bytes, limits: Self.textLimits, file: path)
    let root = JSONNode(value, code: .dataRecord, file: path)
    try root.allowOnly(["template", "positive", "negative", "suffixes"])
    let template = try root.member("template")
    let text = try template.string()
    for place in [Self.persona, Self.suffix] where text.ranges(of: place).count != 1 {
      throw template.refusal(expected: "a text with \(place) in it once")
    }
    let texts = { (key: String) throws(FormatError) -> [String] in
      var texts: [String] = []
      for element in try root.member(key).elements() { texts.append(try Self.text(element)) }
      return texts
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
    try self.init(.personas, digest: SHA256.digest(bytes), pairs: pairs, file: path)
  }
}
