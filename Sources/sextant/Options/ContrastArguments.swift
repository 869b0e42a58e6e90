import ArgumentParser
import Sextant
import SextantBytes

/// The files that contrast pairs are read from.
struct ContrastArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      Contrast pairs: records {"positive": …, "negative": …}, or questions with \
      answer_matching_behavior and answer_not_matching_behavior; as JSON lines, a JSON array or a \
      table. - is standard input.
      """,
      valueName: "file"))
  var pairs: String?

  @Option(
    help: ArgumentHelp(
      """
      Texts that show the behaviour, one on each line; with --negative. \\n, \\t and \\\\ stand for a \
      new line, a tab and a backslash, as for llama.cpp.
      """,
      valueName: "file"))
  var positive: String?

  @Option(
    help: ArgumentHelp(
      "Texts that do not show it; line i belongs to line i of --positive.", valueName: "file"))
  var negative: String?

  @Option(
    help: ArgumentHelp(
      """
      A JSON object with a template that contains {persona} and {suffix}, and the lists positive, \
      negative and suffixes.
      """,
      valueName: "file"))
  var personas: String?

  /// The files that were named; nil for none.
  var source: ContrastPairs.Source? {
    if let pairs { return .pairs(pairs) }
    if let positive, let negative { return .texts(positive: positive, negative: negative) }
    return personas.map { .personas($0) }
  }

  mutating func validate() throws {
    guard (positive == nil) == (negative == nil) else {
      throw ValidationError("--positive and --negative go together.")
    }
    guard [pairs, positive, personas].count(where: { $0 != nil }) <= 1 else {
      throw ValidationError("Name one source: --pairs, --positive with --negative, or --personas.")
    }
  }

  /// The files that are read.
  var inputs: [String] { [pairs, positive, negative, personas].compactMap { $0 } }
}

/// The template for questions.
struct TemplateArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      The template for questions: \(PromptTemplate.presetNames), or a file with {} in the place of \
      the question.
      """,
      valueName: "name|file"))
  var template: String?

  /// The files that are read.
  var inputs: [String] { template.map { [$0] } ?? [] }

  /// The template; nil for none.
  func load() throws(Refusal) -> PromptTemplate? {
    guard let template else { return nil }
    return try PromptTemplate(named: template)
  }
}
