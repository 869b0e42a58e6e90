import ArgumentParser
import SextantBytes
import SextantTokenizers

/// Lenses: what each layer would say.
struct LensCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lens", abstract: "See what each layer of a model would say.",
    subcommands: [LensTrain.self, LensEval.self, LensShow.self, LensState.self])
}

/// The texts of a lens command.
struct CorpusArguments: ParsableArguments {
  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      """
      The texts. In a file ending in .jsonl each line is a document, a string or an object; any \
      other file is one.
      """,
      valueName: "file"))
  var text: [String]

  @Option(help: ArgumentHelp("The member of an object that holds the text.", valueName: "name"))
  var field = "text"

  @Option(
    help: ArgumentHelp(
      "Documents are joined and cut into chunks of so many tokens; what is left over is dropped.",
      valueName: "tokens"))
  var chunk = 2048

  @Option(help: ArgumentHelp("Read only the first tokens of the texts.", valueName: "n"))
  var maxTokens: Int?

  func validate() throws {
    try Numbers.check(atLeast: 2, [("--chunk", chunk)])
    try Numbers.check(atLeast: 1, [("--max-tokens", maxTokens)])
  }

  /// Reads the texts.
  func corpus(_ tokenizer: any Tokenizer) throws(FormatError) -> TextCorpus {
    try TextCorpus(
      reading: text, tokenizer: tokenizer, chunkLength: chunk, field: field, limit: maxTokens)
  }
}
