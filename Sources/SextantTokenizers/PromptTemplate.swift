import SextantBytes
import SextantTexts

/// A text with one place, written `{}`, that a question is put into.
public struct PromptTemplate: Sendable, Equatable {
  /// The text with its `{}`.
  public let text: String

  /// The templates with names of their own, byte for byte as the paper's experiments used them
  /// (arXiv 2404.05971: OpenHermes' control characters, Llama-2's instruction marks), and a plain
  /// one for base models. All end with an open parenthesis, so that a letter follows.
  static let presets: [(name: String, text: String)] = [
    ("plain", "{}\n\nAnswer: ("),
    ("hermes", "\u{16}user\n{}\u{17}\n\u{16}assistant\n("),
    ("llama", "[INST] {} [/INST] ("),
  ]

  /// The names of the presets, for messages.
  package static var presetNames: String { presets.map(\.name).joined(separator: ", ") }

  /// A template of this text.
  ///
  /// - Throws: `usage.option` unless it contains `{}` exactly once.
  public init(text: String, file: String? = nil) throws(Refusal) {
    let places = text.ranges(of: "{}").count
    guard places == 1 else {
      throw Refusal(
        .usageOption, file: file, at: .parameter("template"), found: "{} \(places) times",
        expected: "{} exactly once")
    }
    self.text = text
  }

  /// The preset of that name, or the template in the file of that path, without the line feed at its
  /// end: editors add one, and a template that ends with an open parenthesis means it.
  ///
  /// - Throws: `file.*`, `text.*`, `usage.option`.
  public init(named name: String) throws(Refusal) {
    if let preset = Self.presets.first(where: { $0.name == name }) {
      try self.init(text: preset.text)
      return
    }
    let file = try TextFile(reading: name, limit: 1 << 20)
    try self.init(text: file.textWithoutLastLineFeed, file: file.path)
  }

  /// The template with `question` in its place.
  public func fill(_ question: String) -> String {
    guard let range = text.firstRange(of: "{}") else { return text }
    return text[..<range.lowerBound] + question + text[range.upperBound...]
  }
}
