import ArgumentParser
import Sextant
import SextantBytes
import SextantEvaluation
import SextantGeneration
import SextantReport
import SextantStore
import SextantTerminal
import SextantTexts

/// `sextant steer search`: where and how strongly to steer.
struct SteerSearch: WritingCommand {
  static let configuration = CommandConfiguration(
    commandName: "search",
    abstract: "Find the blocks, sites, tokens and strength for a steering vector.",
    discussion: """
      Searches for the largest effect within a budget of harm. The effect is the change of p(matching) \
      / (p(matching) + p(other)) on the test. The harm is the divergence of the predictions on neutral \
      text from those of the unsteered model, in nats per token; the increase of nonsense, the \
      probability of all other answers; and, with --keep, the share of other questions that are no \
      longer answered rightly. The dose is chosen on one half of the data and reported on the other, \
      beside random directions of equal norm that were given the same search. The vector that is \
      written has only the chosen sites, and is scaled so that strength 1 is the dose found. The same \
      command gives the same bytes.
      """)

  @OptionGroup var model: TextModelOptions

  @Option(
    help: ArgumentHelp(
      "The steering vector, as it was trained. Its operation must be add or add-preserving-norm.",
      valueName: "file"))
  var apply: String

  @Option(
    help: ArgumentHelp(
      "The test that shows the effect, in the forms of `sextant steer eval --pairs`.",
      valueName: "file"))
  var pairs: String

  @OptionGroup var questions: TemplateArguments

  @Option(
    help: ArgumentHelp(
      """
      Neutral text, on which the divergence is measured: up to 32 passages of 48 tokens from its start. \
      Default: English text that comes with Sextant.
      """,
      valueName: "file"))
  var text: String?

  @Option(
    help: ArgumentHelp(
      "Other questions, whose answers should stay right, in the forms of --pairs.",
      valueName: "file"))
  var keep: String?

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("The vector to write.", valueName: "out.steer.safetensors"))
  var output: String

  @Option(
    help: ArgumentHelp(
      "A folder for results.json, results.csv and index.html, with every cell and texts at three doses.",
      valueName: "folder"))
  var report: String?

  @Option(
    help: ArgumentHelp(
      """
      Keep the measurements in this file. If it is there, the search goes on from it, and comes to the \
      same result as without an interruption.
      """,
      valueName: "file"))
  var checkpoint: String?

  @OptionGroup(title: "Budget") var limits: HarmBudgetArguments
  @OptionGroup(title: "Places") var places: SearchSpaceArguments

  @Option(
    help: ArgumentHelp(
      "The number of random directions that are given the same search, as controls.",
      valueName: "count"))
  var controls = 8

  @Option(
    help: ArgumentHelp(
      "The seed of halves, controls, intervals and texts. Default: 0.", valueName: "s"),
    transform: Numbers.seed)
  var seed: UInt64 = 0

  @Flag(help: "Accept a vector of another model of the same width and depth.")
  var allowModelMismatch = false

  @Flag(help: "Replace existing files.")
  var force = false

  @OptionGroup var printing: OutputOptions

  func validate() throws {
    try Numbers.check(atLeast: 0, [("--controls", controls)])
    if keep == nil {
      try refuseGiven([("--keep-budget", limits.keepBudget != nil)], "needs --keep")
    }
  }

  var fileUse: CommandFiles {
    CommandFiles(
      inputs: model.inputs + [apply, pairs] + [text, keep].compactMap { $0 } + questions.inputs,
      folders: [report].compactMap { $0 },
      outputs: [output] + (report.map(ResultFolder.measurement(in:)) ?? []),
      updated: [checkpoint].compactMap { $0 }, replaces: force)
  }

  func run() throws {
    let open = try model.open()
    let tokenizer = try open.textTokenizer()
    if let note = open.description.untouchedByStateEdits { StandardStreams.printNote(note) }
    var search = SteeringSearch(try SteeringVector(ofSweep: apply), open.model, tokenizer)
    (search.budget, search.space, search.strengths) = (
      limits.budgets, places.space, places.strengths?.values
    )
    (search.controlCount, search.seed) = (controls, seed)
    (search.allowsModelMismatch, search.checkpoint) = (allowModelMismatch, checkpoint)
    search.textCount = report == nil ? 0 : 4
    let template = try questions.load()
    let test = try ChoiceTest(reading: pairs, template: template, isShared: keep != nil)
    let others = try keep.map { path throws(Refusal) in
      try ChoiceTest(reading: path, template: template, isShared: true)
    }
    let neutral = try SteeringSearch.neutralText(text, tokenizer)
    let progress = Progress("search", .items("cells"))
    let found = try search.run(on: test, text: neutral, keeping: others) { state in
      progress.update(state.done, state.total, note: state.best?.note ?? "")
    }
    progress.clear()
    try found.vector().artifact.write(to: output, replacing: force)
    let folder = report.map { ResultFolder($0, replacing: force) }
    try folder?.write(json: found.json, csv: found.cellTable.csv, page: found.page)
    found.report(output: output, folder: report).print(asJSON: printing.json)
  }
}

extension TriedCell {
  /// The best cell so far, in the line of progress.
  fileprivate var note: String {
    "best: \(place.description), effect \(Format.fixed(figures.effect, 3)) at "
      + "\(Format.fixed(figures.divergence, 3)) nats"
  }
}

/// The harm that a dose may do.
struct HarmBudgetArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The largest divergence on neutral text, in nats per token.", valueName: "nats"))
  var budget = HarmBudget().divergence

  @Option(help: ArgumentHelp("The largest increase of nonsense.", valueName: "share"))
  var nonsenseBudget = HarmBudget().nonsense

  @Option(
    help: ArgumentHelp(
      "The largest share of the other questions that may become wrong. Default: 0.02.",
      valueName: "share"))
  var keepBudget: Double?

  /// The budget.
  var budgets: HarmBudget {
    var own = HarmBudget()
    (own.divergence, own.nonsense) = (budget, nonsenseBudget)
    own.loss = keepBudget ?? own.loss
    return own
  }
}

/// The places that a search considers.
struct SearchSpaceArguments: ParsableArguments {
  @OptionGroup var blocks: LayerArguments

  @Option(
    help: ArgumentHelp(
      "The numbers of neighbouring blocks that are steered together. Default: 1,2,4,8,… and all.",
      valueName: "list"))
  var widths: CommaList<Int>?

  @Option(
    help: ArgumentHelp(
      """
      The sites to steer together: residual, state, both, or a component such as ssm, joined by \
      commas. Default: all of these, as far as the vector has them.
      """,
      valueName: "list"))
  var sites: CommaList<String>?

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "The tokens to steer. May be repeated. Default: last,generated and all.", valueName: "list"),
    transform: Written.positions)
  var positions: [PositionSelection] = []

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Measure these multiples of the vector, instead of searching for the strength.",
      valueName: "list"))
  var strengths: CommaList<Float>?

  /// The places.
  var space: SearchSpace {
    var space = SearchSpace()
    (space.layers, space.widths) = (blocks.layers, widths?.values)
    space.sites = sites?.values.map { SteeredSites($0) }
    if !positions.isEmpty { space.positions = positions }
    return space
  }
}
