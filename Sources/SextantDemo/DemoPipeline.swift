import Sextant
import SextantAnalysis
import SextantBytes
import SextantConversion
import SextantEvaluation
import SextantInspection
import SextantReport

/// The whole pipeline on the demo model, and the comparison of this model with those of other
/// architectures.
package struct DemoPipeline {
  /// Receives lines for people.
  package typealias Speaker = (String) -> Void
  /// Receives the step, how much of it is done, and of how much in all.
  package typealias Listener = (_ step: String, _ done: Int, _ total: Int) -> Void

  private let source: String
  private let output: String
  private let say: Speaker
  private let progress: Listener

  /// A pipeline.
  ///
  /// - Parameters:
  ///   - source: the folder of the demo model.
  ///   - output: the folder of the results.
  package init(
    source: String, output: String, say: @escaping Speaker = { _ in },
    progress: @escaping Listener = { _, _, _ in }
  ) {
    (self.source, self.output, self.say, self.progress) = (source, output, say, progress)
  }

  // MARK: Files

  /// The native model.
  package var storePath: String { "\(output)/demo.sxt" }
  private var hdf5StorePath: String { "\(output)/demo-from-hdf5.sxt" }
  /// The folder of the sweep.
  package var steeringFolder: String { "\(output)/steering" }
  /// The page of the probes.
  package var probePage: String { "\(output)/probes.html" }
  private var comparisonPage: String { "\(output)/transfer.html" }
  /// The sentiment vector.
  package var vectorPath: String { "\(output)/sentiment.steer.safetensors" }
  private var models: [DemoModels.Entry] { DemoModels.present(source: source) }

  /// The files that `run` reads and writes.
  package var files: CommandFiles {
    CommandFiles(
      inputs: [source], readsFolders: true, folders: [output, steeringFolder],
      outputs: [storePath, hdf5StorePath, vectorPath, probePage]
        + ResultFolder.measurement(in: steeringFolder),
      replaces: true)
  }

  /// The files that `compare` reads and writes.
  package var comparisonFiles: CommandFiles {
    CommandFiles(
      inputs: models.map(\.folder), readsFolders: true, folders: [output],
      outputs: models.map { "\(output)/\($0.store)" } + [comparisonPage], replaces: true)
  }

  // MARK: Comparison

  /// Compares the demo model with its siblings.
  ///
  /// - Throws: what the experiments throw.
  package func compare() throws(Refusal) -> Report {
    var options = ConversionOptions()
    options.replacing = true
    let models = try models.map { entry throws(Refusal) -> ComparedModel in
      let store = "\(output)/\(entry.store)"
      let report = try LoadedModel.convert(
        "\(entry.folder)/model.safetensors", to: store, options: options)
      let open = try LoadedModel(store)
      return ComparedModel(
        name: entry.name, open.model, try open.textTokenizer(),
        parameterCount: report.parameterCount)
    }
    let found = try ComparisonExperiment(source: source).run(models, progress: progress)
    try FilePublisher.publish(Array(found.page.html.utf8), to: comparisonPage, replacing: true)
    var report = found.report
    report.notes.append("\(comparisonPage) has the figures")
    return report
  }

  // MARK: Steps

  /// Converts, steers, sweeps and probes.
  ///
  /// - Parameter samples: continuations of each opening and strength that are measured.
  /// - Returns: the results, for programs.
  /// - Throws: what the experiments throw.
  package func run(samples: Int) throws(Refusal) -> JSONObject {
    let clock = Stopwatch()
    let conversion = try convert()
    let open = try LoadedModel(storePath)
    let pairs = try ContrastPairs(reading: "\(source)/sentiment_pairs.jsonl", template: nil)
    let sentiment = SentimentDemo(
      open.model, try open.textTokenizer(), vectorPath: vectorPath, samples: samples, say: say)
    let vector = try sentiment.train(pairs)
    let texts = try sentiment.show(vector)
    let scores = try sentiment.measure(vector, pairs) { progress("measure", $0, $1) }
    let effects = try sweep(open, pairs)
    let probes = try probe(open)
    return JSONObject([
      ("folder", .string(output)), ("conversion", conversion), ("continuations", texts),
      ("scores", scores), ("steering", effects), ("probes", probes),
      ("seconds", JSONValue(finite: clock.seconds)),
    ])
  }

  private func heading(_ text: String) {
    say("\n\(text)\n\(String(repeating: "─", count: text.count))")
  }

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
    let found = try SteerDemo.run(
      open.model, open.textTokenizer(), on: pairs, source: source
    ) { progress("sweep", $0, $1) }
    for line in SteerDemo.lines(found) { say("  \(line)") }
    try ResultFolder(steeringFolder, replacing: true).write(
      json: found.json, csv: found.cellTable.csv, page: found.page)
    return .object(found.json)
  }

  private func probe(_ open: LoadedModel) throws(Refusal) -> JSONValue {
    heading("6. Latent knowledge: probes from Alice's contexts to Bob's")
    let result = try ProbeDemo.run(
      open.model, open.textTokenizer(), source: source, progress: progress)
    for line in ProbeDemo.lines(result) { say("  \(line)") }
    try FilePublisher.publish(
      Array(ProbeDemo.page(result).html.utf8), to: probePage, replacing: true)
    return .object(result.json)
  }
}
