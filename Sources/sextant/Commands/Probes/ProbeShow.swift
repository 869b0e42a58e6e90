import ArgumentParser
import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModels
import SextantReport
import SextantStore
import SextantTensor
import SextantTokenizers

/// Residual probes against state probes against the output, token by token.
struct ProbeShow: WritingCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "The disagreement map: what probes read and the output says, token by token.",
    discussion: """
      One row for each probe that reads one activation and one for the output: the log-odds of the \
      two choices if the answer came after this token. Tokens at which the state's probes and the \
      output are on different sides are listed: there the state knows what the output does not say.
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
    let tap = try ProbeTap(
      file, name: probe.name, layers: layers, model: open.model.description,
      tokenizer: tokenizer.digest, allowsModelMismatch: allowModelMismatch)
    let text = try prompt.text()
    let tokens = tokenizer.encodeText(text)
    guard !tokens.isEmpty else {
      throw FormatError(
        .usageOption, at: .option("--prompt"), found: "no tokens", expected: "at least one")
    }
    let ids = try choiceTokens(tokenizer)
    var state = open.model.initialState()
    let logits = try open.model.run(TokenBatch(tokens), from: &state, logits: .all, tap: tap)
    let width = open.model.description.vocabularySize
    let output = logits.withFloats { logits in
      tokens.indices.map { Double(logits[$0 * width + ids[1]] - logits[$0 * width + ids[0]]) }
    }
    let scores = tap.entries.indices.map { entry in
      tokens.indices.map { tap.scores(at: $0)?[entry] ?? .nan }
    }
    let texts = tokens.map { tokenizer.decode([$0]) }
    let map = map(tap.entries, scores, output, texts)
    if let html {
      var page = HTMLPage(
        title: "Who knows, who says", subtitle: "\(probe.path), label \(file.training.label)")
      page.add(paragraph: text)
      page.add(figure: map.svg(width: 1100, standsAlone: false))
      try FilePublisher.publish(Array(page.html.utf8), to: html, replacing: force)
    }
    report(tap.entries, scores, output, tokens, texts).print(asJSON: printing.json)
  }

  private func choiceTokens(_ tokenizer: any Tokenizer) throws(FormatError) -> [Int] {
    let ids = choices.split(separator: "|", omittingEmptySubsequences: false)
      .compactMap { tokenizer.encode(String($0)).first }
    guard ids.count == 2, ids[0] != ids[1] else {
      throw FormatError(
        .usageOption, at: .option("--choices"), found: choices,
        expected: "two texts that begin with different tokens, with | between")
    }
    return ids
  }

  private func map(
    _ entries: [ProbeEntry], _ scores: [[Double]], _ output: [Double], _ texts: [String]
  ) -> HeatMap {
    let rows = entries.map(\.name) + ["output"]
    let cells = (scores + [output]).enumerated().map { row, values in
      values.enumerated().map { column, value in
        HeatMap.Cell(
          value.isFinite ? value : nil,
          hover: "\(rows[row]) at \(texts[column]): \(Format.fixed(value, 2))")
      }
    }
    return HeatMap(
      title: "Log-odds of the label, token by token", rowTitle: "probe", columnTitle: "token",
      rows: rows, columns: texts, cells: cells, scale: .diverging(limit: 4))
  }

  private func report(
    _ entries: [ProbeEntry], _ scores: [[Double]], _ output: [Double], _ tokens: [Int],
    _ texts: [String]
  ) -> Report {
    let shown = entries.indices.suffix(6)
    var table = Table(
      ["token"] + shown.map { "#\(entries[$0].name)" } + ["#output"])
    var rows: [JSONValue] = []
    var disagreements: [JSONValue] = []
    for (position, text) in texts.enumerated() {
      table.add(
        [printable(text)] + shown.map { Format.fixed(scores[$0][position], 2) }
          + [Format.fixed(output[position], 2)])
      var own = JSONObject()
      for (entry, values) in zip(entries, scores) {
        own[entry.name] = JSONValue(finite: values[position])
        guard entry.site.isState, (values[position] >= 0) != (output[position] >= 0) else {
          continue
        }
        disagreements.append([
          "position": JSONValue(position), "text": .string(text), "probe": .string(entry.name),
          "score": JSONValue(finite: values[position]),
          "output": JSONValue(finite: output[position]),
        ])
      }
      rows.append([
        "position": JSONValue(position), "token": JSONValue(tokens[position]),
        "text": .string(text), "scores": .object(own),
        "output": JSONValue(finite: output[position]),
      ])
    }
    let states = entries.count { $0.site.isState }
    return Report(
      title:
        "\(Format.count(texts.count, of: "token")), \(Format.count(entries.count, of: "probe"))",
      tables: [("log-odds; the last probes", table)],
      notes: states == 0
        ? []
        : [
          "state and output are on different sides at \(disagreements.count) of "
            + "\(states * texts.count) places"
        ],
      json: JSONObject([
        ("tokens", .array(rows)), ("disagreements", .array(disagreements)),
      ]))
  }
}
