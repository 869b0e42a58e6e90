import ArgumentParser
import SextantArtifacts
import SextantBytes
import SextantEvaluation
import SextantReport
import SextantStore

/// Residual probes against state probes against the output, token by token.
struct ProbeShow: WritingCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract:
      "The disagreement map: the scores of probes and of the model's output, token by token.",
    discussion: """
      One row for each probe that reads one activation and one for the output: the log-odds of the \
      two choices if the answer came after this token. The tokens at which the signs of the \
      state's probes and of the output differ are listed: there the state contains information \
      that the output contradicts.
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var beginning: TextOptions

  @Option(help: ArgumentHelp("The probes.", valueName: "file[#name]"))
  var probe: ProbeFile

  @Option(
    name: .shortAndLong, parsing: .unconditional,
    help: ArgumentHelp(
      "The text; @FILE reads it from a file, - from standard input.", valueName: "text"))
  var prompt: PromptArgument

  @Option(help: ArgumentHelp("The false and the true choice, with | between.", valueName: "a|b"))
  var choices = " False| True"

  @Option(
    help: ArgumentHelp(
      "Only these blocks, such as 3 or 1,3,10-12. Default: all.", valueName: "list"))
  var layers: LayerSelection?

  @Option(help: ArgumentHelp("Write the map as a page.", valueName: "out.html"))
  var html: String?

  @Flag(help: "Replace an existing page.")
  var force = false

  @Flag(help: "Accept probes of another model of the same width and depth.")
  var allowModelMismatch = false

  @OptionGroup var printing: OutputOptions

  var fileUse: CommandFiles {
    CommandFiles(
      inputs: model.inputs + prompt.inputs + [probe.path], outputs: [html].compactMap { $0 },
      replaces: force)
  }

  func run() throws {
    let open = try model.open(beginning)
    let tokenizer = try open.textTokenizer()
    let file = try Probe(reading: probe.path)
    let text = try prompt.text()
    let map = try ProbeMap(
      file, name: probe.name, of: text,
      choices: choices.split(separator: "|", omittingEmptySubsequences: false).map(String.init),
      layers: layers, open.model, tokenizer, allowsModelMismatch: allowModelMismatch)
    if let html {
      var page = HTMLPage(
        title: "Probes and output", subtitle: "\(probe.path), label \(file.training.label)")
      page.add(paragraph: text)
      page.add(figure: map.figure.svg(width: 1100, standsAlone: false))
      try FilePublisher.publish(Array(page.html.utf8), to: html, replacing: force)
    }
    map.report.print(asJSON: printing.json)
  }
}
