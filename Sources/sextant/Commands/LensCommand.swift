import ArgumentParser
import Sextant
import SextantBytes
import SextantTerminal

/// `sextant lens`: the predictions of each block.
struct LensCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lens", abstract: "Show what each block of a model predicts.",
    subcommands: [LensTrain.self, LensEval.self, LensShow.self, LensState.self])
}

/// The texts of a lens command.
struct CorpusArguments: ParsableArguments {
  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      """
      The texts. Each record of JSON lines, of a JSON array or of a table with the column --field is \
      a document; any other file is one document. - is standard input, and gzip is unpacked.
      """,
      valueName: "file"))
  var text: [String]

  @Option(
    help: ArgumentHelp(
      "The field of a record that contains the text. Default: text.", valueName: "name"))
  var field: String?

  @Option(
    help: ArgumentHelp(
      """
      The number of tokens in a chunk. Documents are joined and split into chunks; the remainder \
      is dropped. Texts that are shorter are one chunk.
      """,
      discussion: "Default: 2048, or the model's context length if that is less.",
      valueName: "tokens"))
  var chunk: Int?

  @Option(
    help: ArgumentHelp("The number of tokens to read, from the start of the texts.", valueName: "n")
  )
  var maxTokens: Int?

  func validate() throws {
    try Numbers.check(atLeast: 2, [("--chunk", chunk), ("--max-tokens", maxTokens)])
  }

  /// Reads the texts for a model.
  func corpus(for open: LoadedModel) throws(Refusal) -> TextCorpus {
    if chunk == nil, let length = open.description.context?.length, length < 2048 {
      StandardStreams.printError(
        "note: chunks of \(counted(length, "token")), the model's context length")
    }
    return try open.corpus(reading: text, chunkLength: chunk, field: field, limit: maxTokens)
  }

  /// The files that are read.
  var inputs: [String] { text }
}
