import ArgumentParser
import Sextant
import SextantBytes
import SextantEvaluation
import SextantReport

/// Residual probes against state probes against the output, token by token.
struct ProbeShow: WritingCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract:
      "Show the scores of probes and of the model's output, token by token.",
    discussion: """
      One row for each probe that reads one activation and one for the output: the log-odds of the \
      two choices if the answer came after this token. The tokens at which the signs of the \
      state's probes and of the output differ are listed: there the state contains information \
      that the output contradicts.
      """)

  @OptionGroup var model: TextModelOptions
  @OptionGroup var probes: ProbeFileArguments
  @OptionGroup var text: TextArguments

  @Option(help: ArgumentHelp("The false and the true choice, with | between.", valueName: "a|b"))
  var choices = " False| True"

  @OptionGroup var blocks: LayerArguments

  @Option(help: ArgumentHelp("Write the map as a page.", valueName: "out.html"))
  var html: String?

  @Flag(help: "Replace an existing page.")
  var force = false

  @OptionGroup var printing: OutputOptions

  var fileUse: CommandFiles {
    CommandFiles(
      inputs: model.inputs + text.inputs + [probes.probe.path], outputs: [html].compactMap { $0 },
      replaces: force)
  }

  func run() throws {
    let open = try model.open()
    let tokenizer = try open.textTokenizer()
    let file = try Probe(reading: probes.probe.path)
    let read = try text.prompt.text()
    let map = try ProbeMap(
      file, name: probes.probe.name, of: read,
      choices: choices.split(separator: "|", omittingEmptySubsequences: false).map(String.init),
      layers: blocks.layers, open.model, tokenizer, allowsModelMismatch: probes.allowModelMismatch)
    if let html {
      let page = map.page(of: read, label: file.training.label, probes: probes.probe.path)
      try FilePublisher.publish(Array(page.html.utf8), to: html, replacing: force)
    }
    map.report.print(asJSON: printing.json)
  }
}
