import ArgumentParser
import Glibc
import SextantBytes
import SextantDemo
import SextantEvaluation
import SextantReport
import SextantTerminal

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
    let pipeline = DemoPipeline(source: source, output: output)
    return transfer ? pipeline.comparisonFiles : pipeline.files
  }

  func run() throws {
    compute.apply()
    try checkSource()
    let clock = Stopwatch()
    let steps = Progress.Steps(.items("items"))
    defer { steps.clear() }
    let pipeline = DemoPipeline(
      source: source, output: output,
      say: { text in
        steps.clear()
        if !printing.json { StandardStreams.print(text) }
      }, progress: steps.update)
    if transfer {
      let report = try pipeline.compare()
      steps.clear()
      return report.print(asJSON: printing.json)
    }
    let document = try pipeline.run(samples: samples ?? 48)
    if printing.json { return StandardStreams.print(JSONValue.object(document).prettyText) }
    StandardStreams.print(
      """

      Done in \(Format.fixed(clock.seconds, 1)) s. The files are in \(output)/:
        sextant inspect \(pipeline.vectorPath)
        sextant generate -m \(pipeline.storePath) -p "The ending" --layers \(SentimentDemo.layer) \\
          --apply \(pipeline.vectorPath):1.5
        \(pipeline.steeringFolder)/index.html: steering by block, strength and site
        \(pipeline.probePage): probes, block by block
      """)
  }

  private func checkSource() throws(Refusal) {
    guard access("\(source)/config.json", R_OK) == 0 else {
      throw Refusal(
        .fileMissing, file: source, found: "no demo model",
        expected: "the folder of the demo model",
        remedy: "Run this in Sextant's own folder, or name the model's folder with --source.")
    }
  }
}
