import ArgumentParser
import Glibc
import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantConversion
import SextantEvaluation
import SextantGeneration
import SextantReport
import SextantStore
import SextantTokenizers

/// The whole pipeline on the embedded model.
struct Demo: WritingCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run the whole pipeline on the small model that comes with Sextant.",
    discussion: """
      Converts the model from safetensors and from HDF5 and compares the two, learns a sentiment \
      vector from contrast pairs, continues the same openings at several strengths, and measures \
      the sentiment of many more continuations with a word list. Random directions are the \
      control. It sweeps all blocks and strengths, and steers the residual stream, the state, and \
      both. Then it trains probes on true and false sums in the contexts in which the model \
      answers correctly, and measures them in the contexts in which it does not.
      """)

  @Option(help: ArgumentHelp("The demo model's folder.", valueName: "folder"))
  var source = "fixtures/demo-model"

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("The folder for the files of the demo.", valueName: "folder"))
  var output = "demo-output"

  @Option(
    help: ArgumentHelp(
      "The number of continuations to measure for each opening and strength.", valueName: "count"))
  var samples = 48

  @OptionGroup var compute: ComputeOptions
  @OptionGroup var printing: OutputOptions

  /// The block whose output is steered: of six, where the paper found the middle ones to work best.
  private static let layer = 3
  private static let strengths: [Float] = [-2, 0, 2]
  private static let openings = [
    "I watched this film last night and", "The acting in this movie",
    "What I remember about the story is", "The director has made",
  ]
  /// Reviews follow this token in the model's training text.
  private static let start = "<|endoftext|>"
  private static let tokenCount = 36
  private static let temperature: Float = 0.8
  private static let controlCount = 8

  func validate() throws {
    try Numbers.check(atLeast: 2, [("--samples", samples)])
  }

  var fileUse: CommandFiles {
    CommandFiles(
      inputs: [source], folders: [output, steeringFolder],
      outputs: [storePath, hdf5StorePath, vectorPath, probePage]
        + ResultFolder.measurement(in: steeringFolder),
      replaces: true)
  }

  func run() throws {
    compute.apply()
    try checkSource()
    let clock = Stopwatch()
    let conversion = try convert()
    let open = try OpenModel(storePath)
    let pairs = try ContrastPairs(reading: "\(source)/sentiment_pairs.jsonl", template: nil)
    let vector = try train(open, pairs)
    let texts = try show(open, vector)
    let scores = try measure(open, vector, pairs)
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
        sextant generate -m \(storePath) -p "The ending" --layers \(Self.layer) \\
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
  private var vectorPath: String { "\(output)/sentiment.steer.safetensors" }

  private func checkSource() throws(FormatError) {
    guard access("\(source)/config.json", R_OK) == 0 else {
      throw FormatError(
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

  private func signed(_ value: Double, _ digits: Int) -> String {
    (value > 0 ? "+" : value == 0 ? " " : "") + Format.fixed(value, digits)
  }

  // MARK: Steps

  private func convert() throws(FormatError) -> JSONValue {
    heading("1. Convert the same weights from safetensors and from HDF5")
    let conversions = [
      ("\(source)/model.safetensors", storePath),
      ("\(source)/model.h5", hdf5StorePath),
    ]
    var digests: [Digest] = []
    for (checkpoint, destination) in conversions {
      var options = ConversionOptions()
      options.replacing = true
      let report = try Conversion(checkpoint, options: options).write(to: destination)
      let digest = SHA256.digest(try InputFile(destination).readAll(limit: 1 << 30))
      digests.append(digest)
      say("  \(checkpoint) → \(destination)")
      say(
        "    \(counted(report.tensorCount, "tensor")), \(Format.count(report.parameterCount)) parameters, "
          + "SHA-256 \(digest.description.prefix(16))…")
    }
    guard digests[0] == digests[1] else {
      throw FormatError(
        .storeIdentity, file: conversions[1].1, found: "other bytes than from safetensors",
        expected: "byte-identical files")
    }
    let store = try OpenModel(storePath).store
    try store.verify()
    say("  The two files are byte-identical, and every digest in them is right.")
    return [
      "identity": .string(store.identity.description), "sha256": .string(digests[0].description),
      "identical": true,
    ]
  }

  private func train(
    _ open: OpenModel, _ pairs: ContrastPairs
  ) throws(FormatError) -> SteeringVector {
    heading("2. Learn a sentiment vector from \(pairs.pairs.count) contrast pairs")
    let trainer = try SteeringTrainer(
      open.model, open.textTokenizer(), sites: open.model.description.sites(named: ["residual"]))
    let vector = try trainer.train(pairs).vector
    try vector.artifact.write(to: vectorPath, replacing: true)
    if let pair = pairs.pairs.first {
      say("  + \(pair.positive.dropFirst(Self.start.count))")
      say("  - \(pair.negative.dropFirst(Self.start.count))")
    }
    say("  mean difference at the last token, at every block's output → \(vectorPath)")
    return vector
  }

  private func show(_ open: OpenModel, _ vector: SteeringVector) throws(FormatError) -> JSONValue {
    heading("3. The same openings at three strengths (output of block \(Self.layer))")
    let tokenizer = try open.textTokenizer()
    var shown: [JSONValue] = []
    for opening in Self.openings.prefix(2) {
      say("  \(opening) …")
      for strength in Self.strengths {
        let generator = Generator(
          open.model, tokenizer, applying: [.steer(AppliedVector(vector, options(strength)))])
        let sampling = try SamplingOptions(temperature: Self.temperature, seed: 3)
        let result = try generator.generate(
          tokenizer.encode(Self.start + opening),
          GenerationOptions(tokenCount: Self.tokenCount, sampling: sampling))
        let text = result.text.split(whereSeparator: \.isNewline).joined(separator: " ")
        say("    \(signed(Double(strength), 0)) │\(text)")
        shown.append([
          "opening": .string(opening), "strength": .number(Double(strength)),
          "text": .string(result.text),
        ])
      }
    }
    return .array(shown)
  }

  private func measure(
    _ open: OpenModel, _ vector: SteeringVector, _ pairs: ContrastPairs
  ) throws(FormatError) -> JSONValue {
    let tokenizer = try open.textTokenizer()
    let lexicon = SentimentLexicon(without: pairs.pairs.flatMap { [$0.positive, $0.negative] })
    heading("4. The sentiment of \(samples * Self.openings.count) continuations at each strength")
    say(
      """
        score: (praise - blame) / (praise + blame) by a list of \(lexicon.count) words, without the
        words of the contrast pairs; ± is one standard error

        strength   sentiment vector   \(Self.controlCount) random directions of equal norm
      """)
    let controls = (1...Self.controlCount).map { vector.randomControl(seed: UInt64($0)) }
    let openings = Self.openings.map { tokenizer.encode(Self.start + $0) }
    var rows: [JSONValue] = []
    for strength in Self.strengths {
      let trials = try [[vector], controls].map { vectors throws(FormatError) in
        try SentimentTrial(
          of: vectors, options: options(strength), openings: openings, samplesPerOpening: samples,
          tokenCount: Self.tokenCount, temperature: Self.temperature, lexicon: lexicon
        ) { Generator(open.model, tokenizer, applying: $0) }
      }
      let cells = trials.map {
        "\(signed($0.score.mean, 2)) ± \(Format.fixed($0.score.standardError, 2))"
      }
      say("     \(signed(Double(strength), 0))       \(cells.joined(separator: "       "))")
      rows.append([
        "strength": .number(Double(strength)), "vector": json(trials[0]),
        "control": json(trials[1]),
      ])
    }
    return .array(rows)
  }

  private func sweep(
    _ open: OpenModel, _ pairs: ContrastPairs
  ) throws(FormatError) -> JSONValue {
    heading("5. Every block: residual stream, state, and both, on words that the pairs don't have")
    let found = try SteerDemo(open: open, source: source).run(pairs)
    for line in SteerDemo.lines(found) { say("  \(line)") }
    try ResultFolder(steeringFolder, replacing: true).write(
      json: found.json, csv: found.cellTable.csv, page: found.page)
    return .object(found.json)
  }

  private func probe(_ open: OpenModel) throws(FormatError) -> JSONValue {
    heading("6. Latent knowledge: probes from Alice's contexts to Bob's")
    let result = try ProbeDemo(open: open, source: source).run()
    for line in ProbeDemo.lines(result) { say("  \(line)") }
    try FilePublisher.publish(
      Array(ProbeDemo.page(result).html.utf8), to: probePage, replacing: true)
    return .object(result.json)
  }

  private func json(_ trial: SentimentTrial) -> JSONValue {
    [
      "score": .number(trial.score.mean), "standard_error": .number(trial.score.standardError),
      "scored": JSONValue(trial.score.count), "samples": JSONValue(trial.sampleCount),
    ]
  }

  private func options(_ strength: Float) -> SteeringOptions {
    SteeringOptions(strength: strength, layers: LayerSelection(Self.layer...Self.layer))
  }
}
