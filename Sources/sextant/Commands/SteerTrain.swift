import ArgumentParser
import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantModels
import SextantReport
import SextantTokenizers

/// Contrast pairs to steering vector.
struct SteerTrain: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Learn a steering vector from pairs of texts.",
    discussion: """
      At each site the vector is the mean over the positive texts minus the mean over the \
      negative ones. Pairs are JSON lines {"positive": …, "negative": …}, or a JSON array of \
      questions with answer_matching_behavior and answer_not_matching_behavior, which needs a \
      template. The same pairs and model give the same bytes.
      """)

  @OptionGroup var model: ModelOptions

  @Option(help: ArgumentHelp("The texts to learn from.", valueName: "file"))
  var pairs: String

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("The artifact to make.", valueName: "out.steer.safetensors"))
  var output: String

  @Option(
    help: ArgumentHelp(
      """
      What questions are put into: \(PromptTemplate.presetNames), or a file in which {} stands \
      for the question.
      """,
      valueName: "name|file"))
  var template: String?

  @Option(help: "How a vector is computed.")
  var method = SteeringTrainer.Method.mean

  @Option(
    help: ArgumentHelp(
      """
      Where vectors are learned: residual (every block's output), state (every component of the \
      recurrent state), all, or sites such as blocks.*.state.ssm, joined by commas.
      """,
      valueName: "list"))
  var sites = WordList(["residual"])

  @Option(
    help: ArgumentHelp("Only these blocks, such as 3 or 2-4. Default: all.", valueName: "a-b"))
  var layers: LayerRange?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      """
      The tokens that are read: last, last-3, all, or indices (negative: from the end), joined by \
      commas.
      """,
      valueName: "list"))
  var positions = PositionSelection.last

  @Option(
    help: ArgumentHelp(
      "Also write the moments of both classes: count, mean and variance.",
      valueName: "out.moments.safetensors"))
  var moments: String?

  @Flag(help: "Replace existing files.")
  var force = false

  @OptionGroup var printing: OutputOptions

  func run() throws {
    let clock = Stopwatch()
    try checkDestinations([output, moments], replacing: force)
    let open = try model.open()
    let sites = try open.model.description.sites(named: sites.words, layers: layers?.blocks)
    let contrast = try ContrastPairs(
      reading: pairs,
      template: template.map { name throws(FormatError) in
        try PromptTemplate(named: name)
      })
    let trainer = try SteeringTrainer(
      open.model, open.textTokenizer(), method: method, sites: sites, positions: positions)
    let progress = Progress("train", .items("texts"))
    let (vector, collected) = try trainer.train(contrast) { progress.update($0, $1) }
    progress.clear()
    try vector.artifact.write(to: output, replacing: force)
    if let moments {
      try collected.artifact(model: open.reference, data: contrast.record)
        .write(to: moments, replacing: force)
    }
    report(vector, sites, pairCount: contrast.pairs.count, seconds: clock.seconds)
      .print(asJSON: printing.json)
  }

  private func report(
    _ vector: SteeringVector, _ sites: [SiteDescription], pairCount: Int, seconds: Double
  ) -> Report {
    var table = Table(["site", "#norm", "#mean norm", "#separation"])
    var rows: [JSONValue] = []
    for site in sites {
      let figures = ["norm", "mean_norm", "separation"].map { name in
        vector.figure(name, at: site.site.name)
      }
      table.add([site.site.name] + figures.map { Format.figure($0) })
      rows.append([
        "site": .string(site.site.name), "layer": site.site.block.map { JSONValue($0) } ?? .null,
        "norm": JSONValue(finite: figures[0]), "mean_norm": JSONValue(finite: figures[1]),
        "separation": JSONValue(finite: figures[2]),
      ])
    }
    return Report(
      title: "\(printable(output)): a vector for \(Format.count(sites.count, of: "site")), "
        + "learned from \(Format.count(pairCount, of: "pair")) in \(Format.fixed(seconds, 2)) s",
      tables: [
        (
          "norm of each vector, of the mean that it is added to, and how far the classes are apart",
          table
        )
      ],
      json: JSONObject([
        ("output", .string(output)), ("moments", moments.map { .string($0) } ?? .null),
        ("model", vector.model.json), ("method", .string(method.rawValue)),
        ("positions", .string(positions.description)), ("pairs", JSONValue(pairCount)),
        ("sites", .array(rows)), ("seconds", JSONValue(finite: seconds)),
      ]))
  }
}

extension SteeringVector {
  /// A figure of training; NaN where there is none.
  fileprivate func figure(_ name: String, at site: String) -> Double {
    guard case .object(let figures) = statistics[site], case .number(let value) = figures[name]
    else { return .nan }
    return value
  }
}
