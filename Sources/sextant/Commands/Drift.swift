import ArgumentParser
import Sextant
import SextantBytes
import SextantEvaluation
import SextantReport
import SextantTerminal

/// `sextant drift`: the cost of fewer bits.
struct Drift: SharedCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure how much models with fewer bits differ from a reference.",
    discussion: """
      Every model reads the text token by token and predicts the next one. KL is the divergence of \
      its predictions from the reference's, in nats per token; same best is the share of positions \
      at which both rank the same token first. The logit error is given as root mean square and as \
      maximum.
      """)

  @Option(
    name: .shortAndLong, parsing: .singleValue,
    help: ArgumentHelp("A model to measure; may be given several times.", valueName: "model.sxt"))
  var model: [String]

  @Option(help: ArgumentHelp("The model to compare with.", valueName: "model.sxt"))
  var reference: String

  @Option(
    help: ArgumentHelp(
      "The text; @FILE reads it from a file, - from standard input.", valueName: "text"))
  var text: PromptArgument

  @OptionGroup var beginning: TextOptions
  @OptionGroup var compute: ComputeOptions
  @OptionGroup var printing: OutputOptions

  func run() throws {
    compute.apply()
    let base = try LoadedModel.open(reference, beginsTexts: !beginning.noBos)
    var comparison = DriftComparison(
      with: base.model, in: base.store, try base.textTokenizer(), on: try text.text())
    try Progress.show("drift", .items("tokens")) { update throws(Refusal) in
      try comparison.add(
        model, ranks: Job.ranks,
        open: { path throws(Refusal) in
          // The reference warns of a long text; once is enough.
          let open = try LoadedModel(path)
          return (open.model, open.store)
        }, progress: update)
    }
    guard Job.ranks.isFirst else { return }
    comparison.report(reference: reference).print(asJSON: printing.json)
  }
}
