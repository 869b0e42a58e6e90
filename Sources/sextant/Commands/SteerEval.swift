import ArgumentParser
import Glibc
import SextantArtifacts
import SextantBytes
import SextantEvaluation
import SextantGeneration
import SextantModels
import SextantReport
import SextantStore
import SextantTexts
import SextantTokenizers

/// What a steering vector does, at every layer and strength.
struct SteerEval: WritingCommand {
  static let configuration = CommandConfiguration(
    commandName: "eval",
    abstract: "Measure a steering vector at every layer and strength, beside controls.",
    discussion: """
      Each prompt of the test has two ways to go on, one of which matches the behaviour. Matching \
      is p(matching) / (p(matching) + p(other)), nonsense is 1 - p(matching) - p(other). The \
      log-probability of an answer is the sum over its tokens, so that short answers are favoured. \
      Each block's part of the vector is applied at that block alone. Layers are chosen on one half of \
      the prompts and reported on the other; intervals cover 95% by bootstrap. With -o, a folder \
      gets results.json, results.csv and index.html.
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var beginning: TextOptions

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

  @Option(
    help: ArgumentHelp(
      "What questions are put into: \(PromptTemplate.presetNames), or a file with {} in it.",
      valueName: "name|file"))
  var template: String?

  @Option(
    help: ArgumentHelp(
      "Only these blocks, such as 3 or 1,3,10-12. Default: all.", valueName: "list"))
  var layers: LayerSelection?

  @Option(parsing: .unconditional, help: ArgumentHelp("Strengths.", valueName: "list"))
  var multipliers = NumberList([-3, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 3])

  @Option(help: "What multipliers count: raw, or share (of the value's norm).")
  var unit = SweepUnit.raw

  @Option(
    help: ArgumentHelp(
      """
      What is steered together: residual, state, both, or a component such as ssm, joined by \
      commas. Default: residual, state and both, as far as the vector has them.
      """,
      valueName: "list"))
  var sites: WordList?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "The tokens to steer, of the prompt and of answers of several tokens.", valueName: "list"))
  var positions = PositionSelection.last

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "The tokens before which the state is edited. Default: those of --positions.",
      valueName: "list"))
  var statePositions: PositionSelection?

  @Option(help: "What is done with the vector. Default: what the artifact says.")
  var operation: SteeringVector.Operation?

  @Option(help: ArgumentHelp("Random directions of equal norm, as controls.", valueName: "count"))
  var controls = 16

  @Option(
    help: ArgumentHelp("The seed of controls, halves and intervals.", valueName: "s"),
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
      Side by side: prompts (one on each line, or records with a question or prompt), continued \
      without and with steering.
      """,
      valueName: "file"))
  var openEnded: String?

  @Option(
    help: ArgumentHelp("Prompts that are continued, at most. Default: 8.", valueName: "count"))
  var continuations: Int?

  @Option(
    name: .customShort("n"),
    help: ArgumentHelp("Tokens of a continuation. Default: 48.", valueName: "n"))
  var tokenCount: Int?

  @Option(name: .shortAndLong, help: ArgumentHelp("The folder to write.", valueName: "folder"))
  var output: String?

  @Option(
    help: ArgumentHelp(
      "Also write the main figure: matching by strength at the chosen blocks.",
      valueName: "out.svg"))
  var figure: String?

  @Flag(help: "Replace existing files.")
  var force = false

  @Flag(help: "Accept a vector of another model of the same width and depth.")
  var allowModelMismatch = false

  @OptionGroup var printing: OutputOptions

  func validate() throws {
    try Numbers.check(atLeast: 0, [("--controls", controls), ("--continuations", continuations)])
    try Numbers.check(atLeast: 1, [("-n", tokenCount)])
    guard openEnded == nil else { return }
    try refuseGiven(
      [("--continuations", continuations != nil), ("-n", tokenCount != nil)], "needs --continue")
  }

  var fileUse: CommandFiles {
    CommandFiles(
      inputs: model.inputs + [apply, pairs] + accuracy + [template, openEnded].compactMap { $0 }
        + (text?.inputs ?? []),
      folders: output.map { [$0] } ?? [],
      outputs: (output.map(ResultFolder.measurement(in:)) ?? []) + [figure].compactMap { $0 },
      replaces: force)
  }

  func run() throws {
    let clock = Stopwatch()
    let folder = output.map { ResultFolder($0, replacing: force) }
    let open = try model.open(beginning)
    let tokenizer = try open.textTokenizer()
    let vector = try SteeringVector(reading: apply)
    guard statePositions == nil || vector.vectors.contains(where: { $0.site.isState }) else {
      throw FormatError(
        .usageNothingSteered, file: apply, at: .option("--state-positions"),
        found: "a vector without a component of the state", expected: "a vector of the state",
        remedy: "Leave the option out, or train the vector with --sites state.")
    }
    let questions = try PromptTemplate.named(self.template)
    let test = try ChoiceTest(reading: pairs, template: questions)
    let items = try test.tokenized(by: tokenizer)
    let side = try SideTexts(self, questions, tokenizer)
    let sets = sites.map { $0.words.map { SteeredSites($0) } } ?? Self.sets(of: vector)
    let progress = Progress("sweep", .items("prompts"))
    let result = try sweep(open, vector, layers, multipliers.values, sets)
      .run(on: items) { progress.update($0, $1) }
    progress.clear()
    let sweepSeconds = clock.seconds
    let summary = SweepSummary(result, seed: seed)
    let randoms = try SweepControls(
      of: vector, summary: summary, count: controls, seed: seed, on: items,
      sweep: { vector, layers, sites throws(FormatError) in
        try sweep(open, vector, layers, multipliers.values, [sites])
      },
      progress: { progress.update($0, $1) })
    progress.clear()
    var evaluation = SteeringEvaluation(
      model: open.reference, vector: vector, test: test, templateText: template, summary: summary,
      controls: randoms, seed: seed, unit: unit.rawValue, positions: positions,
      statePositions: statePositions)
    evaluation.sideEffects = try sideEffects(open, vector, summary, side)
    evaluation.continuations = try continued(open, vector, summary, side)
    evaluation.seconds = (sweepSeconds, clock.seconds)
    try folder?.write(
      json: evaluation.json, csv: evaluation.cellTable.csv, page: evaluation.page)
    if let figure {
      let svg = evaluation.mainFigure.svg()
      try FilePublisher.publish(Array(svg.utf8), to: figure, replacing: force)
    }
    evaluation.report(folder: output).print(asJSON: printing.json)
  }

  private func sweep(
    _ open: OpenModel, _ vector: SteeringVector, _ layers: LayerSelection?,
    _ multipliers: [Float], _ sites: [SteeredSites]
  ) throws(FormatError) -> SteeringSweep {
    try SteeringSweep(
      open.model, tokenizer: open.tokenizer?.digest, vector: vector,
      options: options(strength: 1), layers: layers, multipliers: multipliers, sites: sites)
  }

  private func options(strength: Float) -> SteeringOptions {
    SteeringOptions(
      strength: strength, unit: unit == .share ? .share : .raw, operation: operation,
      positions: positions, statePositions: statePositions,
      allowsModelMismatch: allowModelMismatch)
  }

  /// What a vector can steer.
  private static func sets(of vector: SteeringVector) -> [SteeredSites] {
    let sites = vector.vectors.compactMap { Site(name: $0.site.name) }
    let has = { (set: SteeredSites) in sites.contains(where: set.includes) }
    return [SteeredSites.residual, .state].filter(has)
      + (has(.residual) && has(.state) ? [.both] : [])
  }

  private func sideEffects(
    _ open: OpenModel, _ vector: SteeringVector, _ summary: SweepSummary, _ side: SideTexts
  ) throws(FormatError) -> [SteeringEvaluation.SideEffect] {
    guard side.text != nil || !side.tests.isEmpty else { return [] }
    let tokenizer = try open.textTokenizer()
    var effects: [SteeringEvaluation.SideEffect] = []
    for curve in summary.curves {
      let strengths = [curve.ends.low, curve.ends.high]
      for strength in (effects.isEmpty ? [0] : []) + strengths {
        var effect = SteeringEvaluation.SideEffect(
          sites: curve.sites, layer: curve.layer, multiplier: strength)
        if let text = side.text {
          let tokens = tokenizer.encodeDocument(text)
          let kept = try vector.keeping(curve.sites, layer: curve.layer)
          effect.loss = try SideEffects.loss(
            of: open.model, tokenizer: tokenizer.digest, on: tokens,
            applying: strength == 0 ? nil : AppliedVector(kept, options(strength: strength)))
        }
        for (path, items) in side.tests {
          let found = try SideEffects.accuracy(
            of: sweep(
              open, vector, LayerSelection(curve.layer...curve.layer),
              [strength == 0 ? 1 : strength],
              [curve.sites]), on: items)
          effect.accuracies.append((path, strength == 0 ? found.plain : found.steered))
        }
        effects.append(effect)
      }
    }
    return effects
  }

  private func continued(
    _ open: OpenModel, _ vector: SteeringVector, _ summary: SweepSummary, _ side: SideTexts
  ) throws(FormatError) -> [SteeringEvaluation.Continuation] {
    guard !side.prompts.isEmpty, let curve = summary.curves.last else { return [] }
    let tokenizer = try open.textTokenizer()
    let kept = try vector.keeping(curve.sites, layer: curve.layer)
    var texts: [SteeringEvaluation.Continuation] = []
    for prompt in side.prompts.prefix(continuations ?? 8) {
      for strength in [curve.ends.low, 0, curve.ends.high] {
        var options = options(strength: strength)
        (options.positions, options.statePositions) = (.fromLast, nil)
        let generator = Generator(
          open.model, tokenizer, applying: [.steer(AppliedVector(kept, options))])
        let sampling = try SamplingOptions(temperature: 0.8, seed: seed)
        let result = try generator.generate(
          tokenizer.encodeText(prompt),
          GenerationOptions(tokenCount: tokenCount ?? 48, sampling: sampling))
        texts.append(
          .init(prompt: prompt, sites: curve.sites, multiplier: strength, text: result.text))
      }
    }
    return texts
  }
}

/// The units of a sweep's multipliers.
enum SweepUnit: String, CaseIterable, ExpressibleByArgument {
  case raw, share
}

/// What side effects are measured on, read before the work begins.
private struct SideTexts {
  /// The text whose perplexity is measured.
  var text: String?
  /// The tests that are scored by accuracy, with their paths.
  var tests: [(path: String, items: [ChoiceTest.Tokens])] = []
  /// The prompts that are continued freely.
  var prompts: [String] = []

  init(
    _ command: SteerEval, _ template: PromptTemplate?, _ tokenizer: any Tokenizer
  ) throws(FormatError) {
    text = try command.text?.text()
    for path in command.accuracy {
      let test = try ChoiceTest(reading: path, template: template, isShared: true)
      tests.append((path, try test.tokenized(by: tokenizer)))
    }
    if let path = command.openEnded {
      prompts = try PromptFile(TextFile(reading: path)) { template?.fill($0) ?? $0 }
        .entries.map(\.text)
    }
  }
}
