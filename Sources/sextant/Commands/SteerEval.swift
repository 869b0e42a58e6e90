import ArgumentParser
import Sextant
import SextantBytes
import SextantGeneration
import SextantReport
import SextantTerminal
import SextantTexts

/// `sextant steer eval`: the effects of a steering vector, at every block and strength.
struct SteerEval: WritingCommand, SharedCommand {
  static let configuration = CommandConfiguration(
    commandName: "eval",
    abstract: "Measure a steering vector and controls at every block and strength.",
    discussion: """
      Each prompt of the test has two continuations, one of which matches the behaviour. Matching \
      is p(matching) / (p(matching) + p(other)); nonsense is the probability of all other \
      answers, 1 - p(matching) - p(other). The \
      log-probability of an answer is the sum over its tokens, which favours short answers. Each \
      block's part of the vector is applied at that block alone. Blocks are chosen on one half of \
      the prompts and reported on the other half. Intervals are 95% bootstrap intervals. -o writes \
      results.json, results.csv and index.html into a folder.
      """)

  @OptionGroup var model: TextModelOptions

  @Option(help: ArgumentHelp("The steering vector.", valueName: "file"))
  var apply: String

  @Option(
    help: ArgumentHelp(
      """
      The test: questions with answer_matching_behavior and answer_not_matching_behavior, or \
      prompts with correct and incorrect (these need a template); or records {"prompt": …, \
      "matching": …, "other": …}. As JSON lines, a JSON array or a table; - is standard input.
      """,
      valueName: "file"))
  var pairs: String

  @OptionGroup var questions: TemplateArguments

  @OptionGroup var blocks: LayerArguments

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "The strengths, as multiples of the vector or as shares (--unit).", valueName: "list"))
  var multipliers = CommaList(SteeringExperiment.standardMultipliers)

  @Option(help: "The unit of multipliers: raw, or share (of the value's norm).")
  var unit = SteeringExperiment.Unit.raw

  @Option(
    help: ArgumentHelp(
      """
      The sites to steer together: residual, state, both, or a component such as ssm, joined by \
      commas. Default: residual, state and both, as far as the vector has them.
      """,
      valueName: "list"))
  var sites: CommaList<String>?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "The tokens to steer, of the prompt and of answers of several tokens. Default: last.",
      valueName: "list"),
    transform: Written.positions)
  var positions = PositionSelection.last

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "The tokens before which the state is edited. Default: the tokens of --positions.",
      valueName: "list"),
    transform: Written.positions)
  var statePositions: PositionSelection?

  @Option(help: "The operation. Default: the operation of the artifact.")
  var operation: SteeringVector.Operation?

  @Option(
    help: ArgumentHelp(
      "The number of random directions of equal norm, as controls.", valueName: "count"))
  var controls = 16

  @Option(
    help: ArgumentHelp("The seed of controls, halves and intervals. Default: 0.", valueName: "s"),
    transform: Numbers.seed)
  var seed: UInt64 = 0

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "Side effects: a test in one of the forms above, scored by accuracy. May be repeated.",
      valueName: "file"))
  var accuracy: [String] = []

  @Option(
    help: ArgumentHelp("Side effects: the perplexity of a text; @FILE reads it.", valueName: "text")
  )
  var text: PromptArgument?

  @Option(
    name: .customLong("continue"),
    help: ArgumentHelp(
      """
      Prompts (one on each line, or records with a question or prompt) to continue without and \
      with steering, side by side.
      """,
      valueName: "file"))
  var openEnded: String?

  @Option(
    help: ArgumentHelp("The largest number of prompts to continue. Default: 8.", valueName: "count")
  )
  var continuations: Int?

  @Option(
    name: .customShort("n"),
    help: ArgumentHelp("The number of tokens of a continuation. Default: 48.", valueName: "n"))
  var tokenCount: Int?

  @Option(
    help: ArgumentHelp(
      "Also write the main figure: matching by strength at the chosen blocks.",
      valueName: "out.svg"))
  var figure: String?

  @OptionGroup var results: MeasurementArguments

  @Flag(help: "Accept a vector of another model of the same width and depth.")
  var allowModelMismatch = false

  @OptionGroup var printing: OutputOptions

  func validate() throws {
    try Numbers.check(atLeast: 0, [("--controls", controls)])
    try Numbers.check(atLeast: 1, [("--continuations", continuations), ("-n", tokenCount)])
    guard openEnded == nil else { return }
    try refuseGiven(
      [("--continuations", continuations != nil), ("-n", tokenCount != nil)], "needs --continue")
  }

  var fileUse: CommandFiles {
    results.files(
      reading: model.inputs + [apply, pairs] + accuracy + [openEnded].compactMap { $0 }
        + questions.inputs
        + (text?.inputs ?? []),
      writing: [figure].compactMap { $0 })
  }

  func run() throws {
    let folder = results.folder
    let open = try model.open()
    let tokenizer = try open.textTokenizer()
    var experiment = SteeringExperiment(
      try SteeringVector(ofSweep: apply), open.model, tokenizer)
    experiment.multipliers = multipliers.values
    (experiment.unit, experiment.layers) = (unit, blocks.layers)
    experiment.sites = sites?.values.map { SteeredSites($0) }
    (experiment.positions, experiment.statePositions) = (positions, statePositions)
    (experiment.operation, experiment.allowsModelMismatch) = (operation, allowModelMismatch)
    (experiment.controlCount, experiment.seed) = (controls, seed)
    experiment.ranks = Job.ranks
    let template = try questions.load()
    let test = try ChoiceTest(reading: pairs, template: template)
    experiment.side = try SteeringExperiment.SideTests(
      text: text?.text(), tests: accuracy, prompts: openEnded, template: template, tokenizer,
      promptLimit: continuations, tokenCount: tokenCount)
    let found = try Progress.show("sweep", .items("prompts")) { update throws(Refusal) in
      try experiment.run(on: test, template: questions.template, progress: update)
    }
    guard Job.ranks.isFirst else { return }
    try folder?.write(json: found.json, csv: found.cellTable.csv, page: found.page)
    if let figure {
      try FilePublisher.publish(
        Array(found.mainFigure.svg().utf8), to: figure, replacing: results.force)
    }
    found.report(folder: folder?.path).print(asJSON: printing.json)
  }
}

extension SteeringExperiment.Unit: ExpressibleByArgument {}
