import SextantBytes
import SextantGeneration
import SextantModels
import SextantReport
import SextantTokenizers

/// One prompt continued three times with the same seed: steered against the vectors, without steering, and
/// steered with them.
package struct SteeringComparison {
  /// The factors of the strengths.
  package static let factors: [Float] = [-1, 0, 1]

  /// One of the texts.
  package struct Text {
    /// The strengths, in words.
    package let title: String
    /// The artifacts as they were applied.
    package let applied: AppliedArtifacts
    /// The text.
    package let generated: GeneratedText
  }

  /// The texts, in the order of `factors`.
  package let texts: [Text]
  private let prompt: [Int]

  /// Columns of a terminal below which the texts follow each other.
  package static let leastWidth = 60

  /// Continues a prompt.
  ///
  /// - Throws: `usage.option` for artifacts other than vectors; `usage.nothing-steered` for none, and for a
  ///   strength of 0; the errors of generation.
  package init(
    _ model: any LanguageModel, _ tokenizer: any Tokenizer, _ applied: AppliedArtifacts,
    _ prompt: [Int], from state: State?, _ options: GenerationOptions
  ) throws(Refusal) {
    try Self.check(applied)
    self.prompt = prompt
    texts = try Self.factors.map { factor throws(Refusal) in
      let scaled = applied.scaled(by: factor)
      let text = try Generator(model, tokenizer, applying: scaled.interventions)
        .generate(prompt, from: state, options).generated
      return Text(title: Self.title(scaled, factor), applied: scaled, generated: text)
    }
  }

  private static func check(_ applied: AppliedArtifacts) throws(Refusal) {
    var isSteered = false
    for item in applied.interventions.items {
      switch item {
      case .steer(let vector): isSteered = isSteered || !vector.options.isOff
      case .stop: continue
      case .direct, .erase, .edit, .probe, .lens, .observe:
        throw Refusal(
          .usageOption, at: .parameter("compare"),
          found: "an artifact that is not a steering vector",
          expected: "steering vectors only: their strengths are turned around")
      }
    }
    guard isSteered else {
      throw Refusal(
        .usageNothingSteered, at: .parameter("compare"),
        found: applied.files.isEmpty ? "no steering vector" : "a strength of 0",
        expected: "a steering vector with a strength other than 0",
        remedy: "Give a vector with `apply`.")
    }
  }

  private static func title(_ applied: AppliedArtifacts, _ factor: Float) -> String {
    if factor == 0 { return "unsteered" }
    return "strength " + applied.files.map(\.strength.text).joined(separator: ", ")
  }

  /// The texts for people: side by side in columns, or one after the other.
  ///
  /// - Parameter width: columns of the terminal; nil for the texts one after the other.
  package func lines(width: Int?) -> [String] {
    guard let width, width >= Self.leastWidth else {
      return texts.flatMap { ["=== \($0.title)", $0.generated.text] }
    }
    let gap = " │ "
    let column = (width - (texts.count - 1) * gap.count) / texts.count
    let columns = texts.map { text in
      TextColumn.lines(text.title, column) + [String(repeating: "─", count: column)]
        + TextColumn.lines(TerminalText.harmless(text.generated.text), column)
    }
    return (0..<(columns.map(\.count).max() ?? 0)).map { row in
      var line = columns.map { lines in
        TextColumn.filled(row < lines.count ? lines[row] : "", column)
      }.joined(separator: gap)
      while line.last == " " { line.removeLast() }
      return line
    }
  }

  /// The texts for programs.
  package var json: JSONObject {
    JSONObject([
      (
        "texts",
        .array(
          zip(Self.factors, texts).map { factor, text in
            .object(
              JSONObject([("factor", .integer(Int64(factor)))])
                .with(
                  text.applied.json(
                    text.generated, prompt: prompt, TokenTrace(text.applied.sources))))
          })
      )
    ])
  }
}

/// Text in a column of a terminal.
enum TextColumn {
  /// Columns that a text takes: ideographs and such take two.
  static func width(of text: some StringProtocol) -> Int {
    text.reduce(0) { $0 + width(of: $1) }
  }

  private static func width(of character: Character) -> Int {
    guard let scalar = character.unicodeScalars.first?.value else { return 0 }
    let isWide =
      (0x1100...0x115F).contains(scalar) || (0x2E80...0xA4CF).contains(scalar)
      || (0xAC00...0xD7A3).contains(scalar) || (0xF900...0xFAFF).contains(scalar)
      || (0xFE30...0xFE6F).contains(scalar) || (0xFF00...0xFF60).contains(scalar)
      || (0x1F300...0x1FAFF).contains(scalar) || (0x20000...0x3FFFD).contains(scalar)
    return isWide ? 2 : 1
  }

  /// A line, filled up with spaces.
  static func filled(_ line: String, _ width: Int) -> String {
    line + String(repeating: " ", count: max(width - self.width(of: line), 0))
  }

  /// A text in lines of at most `width` columns, broken between words where possible.
  static func lines(_ text: String, _ width: Int) -> [String] {
    text.split(separator: "\n", omittingEmptySubsequences: false).flatMap { paragraph in
      var lines: [String] = []
      var line = ""
      for word in paragraph.split(whereSeparator: { $0 == " " || $0 == "\t" }) {
        if !line.isEmpty, self.width(of: line) + 1 + self.width(of: word) > width {
          lines.append(line)
          line = ""
        }
        line += (line.isEmpty ? "" : " ") + word
        while self.width(of: line) > width, width > 1 {
          let end = end(of: line, within: width)
          lines.append(String(line[..<end]))
          line = String(line[end...])
        }
      }
      return lines + [line]
    }
  }

  /// The end of the longest beginning of a line that fits.
  private static func end(of line: String, within width: Int) -> String.Index {
    var (end, used) = (line.startIndex, 0)
    while end < line.endIndex {
      used += self.width(of: line[end])
      if used > width { break }
      end = line.index(after: end)
    }
    return end
  }
}
