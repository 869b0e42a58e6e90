import ArgumentParser
import Sextant
import SextantBytes
import SextantGeneration
import SextantReport

/// A command that writes files.
protocol WritingCommand: ParsableCommand {
  /// The files that it reads and writes.
  var fileUse: CommandFiles { get }
}

/// The blocks that a command is about.
struct LayerArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Only these blocks, such as 3 or 1,3,10-12. Default: all.", valueName: "list"),
    transform: Written.layers)
  var layers: LayerSelection?
}

/// A text to read.
struct TextArguments: ParsableArguments {
  @Option(
    name: .shortAndLong, parsing: .unconditional,
    help: ArgumentHelp(
      "The text; @FILE reads it from a file, - from standard input.", valueName: "text"))
  var prompt: PromptArgument

  /// The files that are read.
  var inputs: [String] { prompt.inputs }
}

/// A text to read, or its token ids.
struct TextOrTokenArguments: ParsableArguments {
  @Option(
    name: .shortAndLong, parsing: .unconditional,
    help: ArgumentHelp(
      "The prompt; @FILE reads it from a file, - from standard input.", valueName: "text"))
  var prompt: PromptArgument?

  @Option(help: ArgumentHelp("The prompt as token ids, joined by commas.", valueName: "ids"))
  var tokens: CommaList<Int>?

  /// The files that are read.
  var inputs: [String] { prompt?.inputs ?? [] }

  /// The ids of the text.
  ///
  /// - Parameter continues: whether it continues a state.
  func ids(
    _ tokenizer: () throws(Refusal) -> any Tokenizer, continues: Bool = false
  ) throws(Refusal) -> [Int] {
    if let tokens { return tokens.values }
    return try tokenizer().encodeText(try prompt?.text() ?? "", continues: continues)
  }
}

/// The probes to use.
struct ProbeFileArguments: ParsableArguments {
  @Option(help: ArgumentHelp("The probes.", valueName: "file[#name]"))
  var probe: ProbeFile

  @Flag(help: "Accept probes of another model of the same width and depth.")
  var allowModelMismatch = false
}

/// A folder for the results of a measurement.
struct MeasurementArguments: ParsableArguments {
  @Option(
    name: .shortAndLong,
    help: ArgumentHelp(
      "A folder for results.json, results.csv and index.html.", valueName: "folder"))
  var output: String?

  @Flag(help: "Replace existing files.")
  var force = false

  /// The folder; nil for none.
  var folder: ResultFolder? { output.map { ResultFolder($0, replacing: force) } }

  /// The files of a command that reads these and writes the results.
  func files(reading inputs: [String], writing others: [String] = []) -> CommandFiles {
    CommandFiles(
      inputs: inputs, folders: output.map { [$0] } ?? [],
      outputs: (output.map(ResultFolder.measurement(in:)) ?? []) + others, replaces: force)
  }
}
