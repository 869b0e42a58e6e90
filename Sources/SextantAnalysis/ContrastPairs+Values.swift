import SextantBytes
import SextantTexts

extension ContrastPairs {
  /// Pairs of texts that the program has made.
  ///
  /// A manifest records them as the file of JSON lines that has the bytes `jsonLines(of:)`: a vector that
  /// is trained on that file has the same bytes, and `sextant verify --retrain` accepts the file.
  ///
  ///     let pairs = try ContrastPairs([(positive: "I love it.", negative: "I hate it.")])
  ///
  /// - Parameter texts: the text that shows the behaviour, and the text that does not.
  /// - Throws: `data.empty` for no pairs, `data.record` for two equal texts.
  public init(_ texts: [(positive: String, negative: String)]) throws(Refusal) {
    let file = try TextFile(Self.jsonLines(of: texts), path: "the pairs")
    try self.init(.pairs("the pairs"), [file], template: nil)
  }

  /// The bytes of a file of JSON lines with these pairs.
  public static func jsonLines(of texts: [(positive: String, negative: String)]) -> [UInt8] {
    TextFile.jsonLines(
      texts.map {
        JSONObject([("positive", .string($0.positive)), ("negative", .string($0.negative))])
      })
  }
}

extension SelectedRecords {
  /// Texts with labels that the program has made.
  ///
  /// A manifest records them as the file of JSON lines that has the bytes `jsonLines(of:)`, read with the
  /// label `label`: probes that are trained on that file have the same bytes, and
  /// `sextant verify --retrain` accepts the file.
  ///
  ///     let records = try SelectedRecords([("2 + 2 = 4", true), ("2 + 2 = 5", false)])
  ///
  /// - Throws: `data.empty` for no texts, `data.record` for an empty one.
  public init(_ examples: [(text: String, label: Bool)]) throws(Refusal) {
    let file = try TextFile(Self.jsonLines(of: examples), path: "the records")
    try self.init(
      LabelledRecords(file), label: "label",
      subset: QuirkySubset(character: nil, difficulty: nil))
  }

  /// The bytes of a file of JSON lines with these texts and labels.
  public static func jsonLines(of examples: [(text: String, label: Bool)]) -> [UInt8] {
    TextFile.jsonLines(
      examples.map { JSONObject([("text", .string($0.text)), ("label", .boolean($0.label))]) })
  }
}
