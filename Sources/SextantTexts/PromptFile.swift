import SextantBytes

/// A file of prompts.
///
/// JSON records are strings, or objects with the text in one of their `fields`; the same is true
/// for the rows of a table. In any other file, each line that is not blank is a prompt.
package struct PromptFile: Sendable {
  /// The fields of a record that may contain its text, the first one that is there.
  package static let fields = ["statement", "text", "prompt", "question"]

  /// A prompt, and its line; nil in a JSON array.
  package struct Entry: Sendable, Equatable {
    /// The prompt.
    package let text: String
    /// The line, from 1.
    package let line: Int?
  }

  /// The file.
  package let file: TextFile
  /// The prompts, in the file's order; at least one.
  package private(set) var entries: [Entry]
  /// Whether the prompts are lines of plain text.
  package let isPlain: Bool

  /// Reads prompts.
  ///
  /// - Parameter fill: the template for a text in the field `question`.
  /// - Throws: `text.*`, `json.*`, `data.record` for an empty prompt, `data.empty` for none.
  package init(
    _ file: TextFile, fillingQuestions fill: (String) -> String = { $0 }
  ) throws(Refusal) {
    let records = try TextRecords(file, fields: Self.fields, acceptsText: true)
    self.file = file
    isPlain = records.form == .text
    entries = try records.map { record, line throws(Refusal) in
      if case .string = record.value { return Entry(text: try record.text(), line: line) }
      let field = try record.field(Self.fields)
      let isQuestion = try record.optionalField(Self.fields.dropLast()) == nil
      return Entry(text: isQuestion ? fill(try field.text()) : try field.text(), line: line)
    }
    guard !entries.isEmpty else {
      throw Refusal(.dataEmpty, file: file.path, found: "no prompts", expected: "at least one")
    }
  }

  /// The same prompts; in lines of plain text, escapes are replaced by their characters.
  ///
  /// - Throws: `text.encoding` if bytes that are spelled with `\x` do not make UTF-8.
  package func replacingEscapes() throws(Refusal) -> PromptFile {
    guard isPlain else { return self }
    var result = self
    result.entries = try entries.map { entry throws(Refusal) in
      let text = try TextEscapes.replaced(in: entry.text, file: file.path, line: entry.line)
      return Entry(text: text, line: entry.line)
    }
    return result
  }

  /// Reads the prompts of the file at a path, a pipe or standard input.
  ///
  /// - Throws: `file.*`, `limit.file`, `text.*`, `json.*`, `data.record`, `data.empty`.
  package static func read(_ path: String) throws(Refusal) -> [String] {
    try PromptFile(TextFile(reading: path)).entries.map(\.text)
  }
}
