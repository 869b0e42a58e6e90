import ArgumentParser
import Glibc
import Sextant
import SextantBytes
import SextantConversion
import SextantEvaluation
import SextantInspection
import SextantReport

/// The whole pipeline on the embedded model.
struct Demo: WritingCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run the whole pipeline on the small model that comes with Sextant.",
    discussion: """
      Converts the model from safetensors and from HDF5 and compares the two, trains a sentiment \
      vector on contrast pairs, continues the same openings at several strengths, and measures \
      the sentiment of many more continuations with a word list. Random directions are the \
      control. It sweeps all blocks and strengths, and steers the residual stream, the state, and \
      both. Then it trains probes on true and false sums in the contexts in which the model \
      answers correctly, and measures them in the contexts in which it does not.

      With --transfer, it compares the demo model with its siblings of other architectures, if their \
      folders are beside its folder. It tests the claims of arXiv 2404.05971 one by one on the same \
      data, and writes transfer.html into the output folder.
      """)

  @Flag(help: "Compare models of several architectures instead.")
  var transfer = false

  @Option(help: ArgumentHelp("The demo model's folder.", valueName: "folder"))
  var source = "fixtures/demo-model"

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("The folder for the files of the demo.", valueName: "folder"))
  var output = "demo-output"

  @Option(
    help: ArgumentHelp(
      "The number of continuations to measure for each opening and strength. Default: 48.",
      valueName: "count"))
  var samples: Int?

  @OptionGroup var compute: ComputeOptions
  @OptionGroup var printing: OutputOptions

  func validate() throws {
    try Numbers.check(atLeast: 2, [("--samples", samples)])
    if transfer {
      try refuseGiven([("--samples", samples != nil)], "is for the demo without --transfer")
    }
  }

  var fileUse: CommandFiles {
    if transfer {
      return CommandFiles(
        inputs: models.map(\.folder), folders: [output],
        outputs: models.map { "\(output)/\($0.store)" } + [transferPage], replaces: true)
    }
    return CommandFiles(
      inputs: [source], folders: [output, steeringFolder],
      outputs: [storePath, hdf5StorePath, vectorPath, probePage]
        + ResultFolder.measurement(in: steeringFolder),
      replaces: true)
  }

  func run() throws {
    compute.apply()
    try checkSource()
    if transfer { return try compare() }
    let clock = Stopwatch()
    let conversion = try convert()
    let open = try LoadedModel.open(storePath)
    let pairs = try ContrastPairs(reading: "\(source)/sentiment_pairs.jsonl", template: nil)
    let sentiment = SentimentDemo(
      open.model, try open.textTokenizer(), vectorPath: vectorPath, samples: samples ?? 48, say: say
    )
    let vector = try sentiment.train(pairs)
    let texts = try sentiment.show(vector)
    let scores = try sentiment.measure(vector, pairs)
    let effects = try sweep(open, pairs)
    let probes = try probe(open)
    if printing.json {
      let document = JSONObject([
        ("folder", .string(output)), ("conversion", conversion), ("continuations", texts),
        ("scores", scores), ("steering", effects), ("probes", probes),
        ("seconds", JSONValue(finite: clock.seconds)),
      ])
      StandardStreams.print(JSONValue.object(document).prettyText)
      return
    }
    say(
      """

      Done in \(Format.fixed(clock.seconds, 1)) s. The files are in \(output)/:
        sextant inspect \(vectorPath)
        sextant generate -m \(storePath) -p "The ending" --layers \(SentimentDemo.layer) \\
          --apply \(vectorPath):1.5
        \(steeringFolder)/index.html: steering by block, strength and site
        \(probePage): probes, block by block
      """)
  }

  // MARK: Files

  private var storePath: String { "\(output)/demo.sxt" }
  private var hdf5StorePath: String { "\(output)/demo-from-hdf5.sxt" }
  private var steeringFolder: String { "\(output)/steering" }
  private var probePage: String { "\(output)/probes.html" }
  private var transferPage: String { "\(output)/transfer.html" }
  private var models: [DemoModels.Entry] { DemoModels.present(source: source) }
  private var vectorPath: String { "\(output)/sentiment.steer.safetensors" }

  private func checkSource() throws(Refusal) {
    guard access("\(source)/config.json", R_OK) == 0 else {
      throw Refusal(
        .fileMissing, file: source, found: "no demo model",
        expected: "the folder of the demo model",
        remedy: "Run this in Sextant's own folder, or name the model's folder with --source.")
    }
  }

  // MARK: Output for people

  private func say(_ text: String) {
    if !printing.json { StandardStreams.print(text) }
  }

  private func heading(_ text: String) {
    say("\n\(text)\n\(String(repeating: "─", count: text.count))")
  }

  // MARK: Comparison

  private func compare() throws {
    var options = ConversionOptions()
    options.replacing = true
    let models = try models.map { entry throws(Refusal) -> ComparedModel in
      let store = "\(output)/\(entry.store)"
      let report = try LoadedModel.convert(
        "\(entry.folder)/model.safetensors", to: store, options: options)
      let open = try LoadedModel.open(store)
      return ComparedModel(
        name: entry.name, open.model, try open.textTokenizer(),
        parameterCount: report.parameterCount)
    }
    var shown: (title: String, progress: Progress)?
    let found = try ComparisonExperiment(source: source).run(models) { title, done, total in
      if shown?.title != title {
        shown?.progress.clear()
        shown = (title, Progress(title, .items("items")))
      }
      shown?.progress.update(done, total)
    }
    shown?.progress.clear()
    try FilePublisher.publish(Array(found.page.html.utf8), to: transferPage, replacing: true)
    var report = found.report
    report.notes.append("\(transferPage) has the figures")
    report.print(asJSON: printing.json)
  }

  // MARK: Steps

  private func convert() throws(Refusal) -> JSONValue {
    heading("1. Convert the same weights from safetensors and from HDF5")
    return try DemoConversion(
      [("\(source)/model.safetensors", storePath), ("\(source)/model.h5", hdf5StorePath)], say: say
    ).json
  }

  private func sweep(
    _ open: LoadedModel, _ pairs: ContrastPairs
  ) throws(Refusal) -> JSONValue {
    heading("5. Every block: residual stream, state, and both, on words that the pairs don't have")
    let tokenizer = try open.textTokenizer()
    let found = try Progress.show("sweep", .items("prompts")) { update throws(Refusal) in
      try SteerDemo.run(open.model, tokenizer, on: pairs, source: source, progress: update)
    }
    for line in SteerDemo.lines(found) { say("  \(line)") }
    try ResultFolder(steeringFolder, replacing: true).write(
      json: found.json, csv: found.cellTable.csv, page: found.page)
    return .object(found.json)
  }

  private func probe(_ open: LoadedModel) throws(Refusal) -> JSONValue {
    heading("6. Latent knowledge: probes from Alice's contexts to Bob's")
    let tokenizer = try open.textTokenizer()
    let result = try Progress.show("read", .items("statements")) { update throws(Refusal) in
      try ProbeDemo.run(open.model, tokenizer, source: source, progress: update)
    }
    for line in ProbeDemo.lines(result) { say("  \(line)") }
    try FilePublisher.publish(
      Array(ProbeDemo.page(result).html.utf8), to: probePage, replacing: true)
    return .object(result.json)
  }
}
