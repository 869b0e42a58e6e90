import ArgumentParser
import SextantArtifacts
import SextantBytes
import SextantEvaluation
import SextantModels
import SextantReport
import SextantTokenizers

/// How long an edit of the state survives.
struct SteerHalfLife: WritingCommand {
  static let configuration = CommandConfiguration(
    commandName: "half-life",
    abstract: "Measure how many tokens an edit of the recurrent state survives.",
    discussion: """
      Each component of each block is edited once by the vector; then the edited and the unedited \
      model read the same text on. The half-life is the number of tokens after which half of the \
      difference is left in the component, measured, and predicted from the model's decays where \
      they are known. The interval is how often to repeat the edit to keep half of it (--positions \
      every-K). That of the output is how long predictions differ.
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var beginning: TextOptions

  @Option(help: ArgumentHelp("A vector of the state.", valueName: "file[:strength]"))
  var apply: AppliedFile

  @Option(help: ArgumentHelp("The text to read; @FILE reads it from a file.", valueName: "text"))
  var text: PromptArgument

  @Option(help: ArgumentHelp("Tokens that are read after each edit.", valueName: "count"))
  var horizon = 64

  @Option(help: ArgumentHelp("Edits in the text to take the mean of.", valueName: "count"))
  var edits = 4

  @Option(help: ArgumentHelp("Also write a page with a heat map.", valueName: "out.html"))
  var html: String?

  @Flag(help: "Replace an existing file.")
  var force = false

  @OptionGroup var printing: OutputOptions

  func validate() throws {
    try Numbers.check(atLeast: 1, [("--horizon", horizon), ("--edits", edits)])
    if !apply.strength.isPlain {
      throw ValidationError("The strength of --apply is a plain number.")
    }
  }

  var fileUse: CommandFiles {
    CommandFiles(
      inputs: model.inputs + apply.inputs + text.inputs, outputs: [html].compactMap { $0 },
      replaces: force)
  }

  func run() throws {
    let open = try model.open(beginning)
    let tokenizer = try open.textTokenizer()
    let progress = Progress("half-life", .items("edits"))
    let found = try HalfLife(
      of: open.model, tokenizer: tokenizer.digest, vector: SteeringVector(reading: apply.path),
      strength: apply.strength.value, on: tokenizer.encodeText(text.text()), horizon: horizon,
      edits: edits
    ) { progress.update($0, $1) }
    progress.clear()
    if let html {
      var page = HTMLPage(
        title: "Half-life of an edit of the state",
        subtitle: "\(open.reference.architecture), \(open.reference.layerCount) blocks")
      page.add(figure: Self.map(found, horizon: horizon).svg(standsAlone: false))
      page.add(table: table(found), caption: "tokens")
      try FilePublisher.publish(Array(page.html.utf8), to: html, replacing: force)
    }
    report(found).print(asJSON: printing.json)
  }

  /// Half-lives by layer and component.
  static func map(_ found: HalfLife, horizon: Int) -> HeatMap {
    let layers = Set(found.entries.map(\.layer)).sorted()
    var components: [String] = []
    for entry in found.entries where !components.contains(entry.component) {
      components.append(entry.component)
    }
    let cells = components.map { component in
      layers.map { layer -> HeatMap.Cell in
        let entry = found.entries.first { $0.layer == layer && $0.component == component }
        guard let entry else { return HeatMap.Cell(nil) }
        let measured = entry.measured.halfLife
        let text = measured.map { Format.fixed($0, 1) } ?? "> \(horizon)"
        let predicted = entry.predicted.map {
          $0.halfLife.map { Format.fixed($0, 1) } ?? "> \(horizon)"
        }
        return HeatMap.Cell(
          measured ?? Double(horizon), text: text,
          hover: "blocks.\(layer).state.\(component): measured \(text), "
            + "predicted \(predicted ?? "unknown"), repeat every "
            + (entry.measured.reinjectionInterval.map(String.init) ?? "> \(horizon)"))
      }
    }
    return HeatMap(
      title: "Half-life of an edit of the state", subtitle: "tokens until half of it is left",
      rowTitle: "component", columnTitle: "block", rows: components,
      columns: layers.map(String.init), cells: cells,
      scale: .sequential(0...Double(horizon)))
  }

  private func table(_ found: HalfLife) -> Table {
    var table = Table(["site", "#measured", "#predicted", "#repeat every", "#output"])
    let text = { (value: Double?) in value.map { Format.fixed($0, 2) } ?? "> \(horizon)" }
    for entry in found.entries {
      table.add([
        "blocks.\(entry.layer).state.\(entry.component)", text(entry.measured.halfLife),
        entry.predicted.map { text($0.halfLife) } ?? "",
        entry.measured.reinjectionInterval.map(String.init) ?? "> \(horizon)",
        text(entry.divergenceCurve?.halfLife),
      ])
    }
    return table
  }

  private func report(_ found: HalfLife) -> Report {
    let number = { (value: Double?) -> JSONValue in value.map { JSONValue(finite: $0) } ?? .null }
    return Report(
      title: "half-lives of edits of the state, in tokens, means of \(found.editCount) edits",
      tables: [
        ("measured in the component, predicted from decays, and of the output", table(found))
      ],
      json: JSONObject([
        ("edits", JSONValue(found.editCount)), ("horizon", JSONValue(horizon)),
        (
          "rows",
          .array(
            found.entries.map { entry in
              [
                "layer": JSONValue(entry.layer), "component": .string(entry.component),
                "measured": number(entry.measured.halfLife),
                "predicted": number(entry.predicted?.halfLife),
                "is_predicted": .boolean(entry.predicted != nil),
                "interval": entry.measured.reinjectionInterval.map { JSONValue($0) } ?? .null,
                "output": number(entry.divergenceCurve?.halfLife),
                "curve": .array(entry.measured.shares.map { .number($0) }),
                "predicted_curve": entry.predicted.map {
                  .array($0.shares.map { .number($0) })
                } ?? .null,
                "divergence": .array(entry.divergence.map { .number($0) }),
              ]
            })
        ),
      ]))
  }
}
