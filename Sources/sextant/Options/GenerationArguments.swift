import ArgumentParser
import Sextant
import SextantBytes
import SextantGeneration

/// How tokens are chosen.
struct SamplingArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Temperature; 0 takes the most probable token. Default: 0.8.", valueName: "t"),
    transform: Written.single)
  var temp: Float = 0.8

  @Option(
    help: ArgumentHelp(
      "Choose among the k most probable tokens; 0 for all. Default: 0.", valueName: "k"))
  var topK: Int?

  @Option(
    help: ArgumentHelp(
      "Choose among the most probable tokens whose probabilities add up to p. Default: 1.",
      valueName: "p"),
    transform: Written.single)
  var topP: Float?

  @Option(
    help: ArgumentHelp(
      "Choose among tokens at least p times as probable as the most probable one. Default: 0.",
      valueName: "p"),
    transform: Written.single)
  var minP: Float?

  @Option(
    help: ArgumentHelp(
      """
      Lower the probability of the tokens that the prompt or the text already contains: their \
      positive logits are divided by r, and their negative logits are multiplied by r. 1 changes \
      nothing. Default: 1.
      """,
      valueName: "r"),
    transform: Written.single)
  var repetitionPenalty: Float = 1

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp(
      "The seed of the random choices. The same seed gives the same text. Default: 0.",
      valueName: "s"),
    transform: Numbers.seed)
  var seed: UInt64?

  /// Refuses options of a random choice where nothing is chosen at random.
  func validate() throws {
    guard temp == 0 else { return }
    try refuseGiven(
      [
        ("--top-k", topK != nil), ("--top-p", topP != nil), ("--min-p", minP != nil),
        ("--seed", seed != nil),
      ], "has no effect with --temp 0, which takes the most probable token")
  }

  /// The options, checked.
  func options() throws(Refusal) -> SamplingOptions {
    try SamplingOptions(
      temperature: temp, topK: topK ?? 0, topP: topP ?? 1, minP: minP ?? 0,
      repetitionPenalty: repetitionPenalty, seed: seed ?? 0)
  }
}

/// The texts and tokens that end a text, in addition to the number of its tokens.
struct EndingArguments: ParsableArguments {
  @Option(
    name: .customLong("stop"), parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "End the text before this string, even if the string spans tokens. May be repeated.",
      valueName: "text"))
  var stopTexts: [String] = []

  @Flag(help: "Continue after the token that ends a text.")
  var ignoreEos = false
}

/// Several texts in one run.
struct ManyTextsArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      Continue each of these prompts: one on each line; or JSON strings, or records with a statement, \
      text, prompt or question. With --chat, also records with messages. - is standard input.
      """,
      valueName: "file"))
  var prompts: String?

  @Option(
    help: ArgumentHelp(
      "The number of texts for each prompt; sample k uses the seed plus k. Default: 1.",
      valueName: "count"))
  var samples: Int?

  @Option(
    help: ArgumentHelp(
      """
      The largest number of texts in a batch; memory grows with it. Default: 8. With probes, \
      lenses, --when, --stop-when or a strength in nats, texts run one after the other.
      """,
      valueName: "count"))
  var batch: Int?

  /// Whether several texts are asked for.
  var areGiven: Bool { prompts != nil || samples != nil }

  /// The counts.
  var options: BatchOptions {
    var options = BatchOptions()
    options.samples = samples ?? options.samples
    options.batch = batch ?? options.batch
    return options
  }

  /// Refuses counts out of range, and a batch of one text.
  func checkEffects() throws {
    try Numbers.check(atLeast: 1, [("--samples", samples), ("--batch", batch)])
    guard !areGiven else { return }
    try refuseGiven([("--batch", batch != nil)], "needs several texts: give --prompts or --samples")
  }

  /// The files that are read.
  var inputs: [String] { [prompts].compactMap { $0 } }
}

/// The applied artifacts, with their blocks and tokens.
struct SteeringArguments: ParsableArguments {
  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      """
      Apply an artifact: steering vectors and erasers edit, in the order given; probes and lenses \
      report. The strength of a vector is a multiple (2; default: 1), a share of the value's norm \
      (10%), a divergence (0.1nats), for which Sextant searches the strength, or one number for \
      each block (3=1.5,5-7=0.5). The strength of an eraser is the share to erase. May be \
      repeated.
      """,
      valueName: "file[:strength]"),
    transform: Written.applied)
  var apply: [AppliedFile] = []

  @Option(
    help: ArgumentHelp(
      "The blocks in which artifacts edit and probes read, such as 3 or 1,3,10-12. Default: all.",
      valueName: "list"),
    transform: Written.layers)
  var layers: LayerSelection?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      """
      Steer only these tokens: last, last-3, all, prompt, generated, generated-8, every-4, indices \
      (negative: from the prompt's end), windows of them such as 2:5, or token=13, joined by commas. \
      Default: the tokens that the artifact declares.
      """,
      valueName: "list"),
    transform: Written.positions)
  var positions: PositionSelection?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "The tokens before which the state is edited. Default: the tokens of --positions.",
      valueName: "list"),
    transform: Written.positions)
  var statePositions: PositionSelection?

  @Option(help: "The operation. Default: the operation of each artifact.")
  var operation: SteeringVector.Operation?

  @Option(
    help: ArgumentHelp(
      """
      Edit only tokens at which a probe's score (log-odds) is above or below a bound. The score is \
      that of the same token if the probe's site is before the edited site, otherwise that of the \
      previous token. #name chooses one of several probes of a file.
      """,
      valueName: "probe[#name]>x"),
    transform: Written.condition)
  var when: ProbeCondition?

  @Flag(help: "Accept artifacts of another model of the same width and depth.")
  var allowModelMismatch = false

  /// The files that are read.
  var inputs: [String] {
    apply.flatMap(\.inputs) + [when?.path].compactMap { $0 }
  }
}

/// The probe that ends a text.
struct ProbeStopArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "End the text at a token at which a probe's score is above or below a bound.",
      valueName: "probe[#name]>x"),
    transform: Written.condition)
  var stopWhen: ProbeCondition?

  /// The files that are read.
  var inputs: [String] { [stopWhen?.path].compactMap { $0 } }
}

extension GenerationOptions {
  /// The options of a text.
  ///
  /// - Parameter stops: texts at which it ends in addition to those of `ending`.
  init(
    _ count: Int, _ sampling: SamplingArguments, _ ending: EndingArguments, stops: [String] = []
  ) throws(Refusal) {
    self.init(
      tokenCount: count, sampling: try sampling.options(), stopsAtEnd: !ending.ignoreEos)
    self.stops = try StopTexts(ending.stopTexts + stops)
  }
}
