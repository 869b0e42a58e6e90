import ArgumentParser
import Glibc
import Sextant
import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantInspection
import SextantModels
import SextantReport
import SextantTerminal

extension LensLoss: ExpressibleByArgument {}
extension TunedLensOptions.Optimizer.Kind: ExpressibleByArgument {}

/// Texts to lens.
struct LensTrain: WritingCommand, SharedCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Train a lens on texts.",
    discussion: """
      A ridge lens is computed in closed form from one pass over the texts. Then the lens of each \
      site is solved for and fitted. The time of this part grows with the third power of the \
      model's width, and with --calibration-tokens; it does not depend on the length of the texts. A tuned lens is \
      trained by gradient descent to predict the model's final distribution. The defaults are the \
      published recipe (tuned-lens 0.2.0): SGD with Nesterov momentum, and 250 steps of 262,144 \
      tokens. If one pass over the texts has fewer tokens, they are divided among the steps. \
      --passes reads the texts several times; --steps sets the exact number of steps. With --start \
      ridge, training starts from the ridge lens and needs far fewer steps. The same command gives \
      the same bytes, also if mpirun or srun runs it on several machines.
      """)

  enum Method: String, CaseIterable, ExpressibleByArgument { case tuned, ridge }

  @OptionGroup var model: TextModelOptions
  @OptionGroup(title: "Texts") var texts: CorpusArguments

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("The artifact to make.", valueName: "out.lens.safetensors"))
  var output: String

  @Option(help: "The method.")
  var method = Method.tuned

  @Option(
    help: "The loss of a tuned lens: its divergence from the model, or cross-entropy. Default: kl.")
  var loss: LensLoss?

  @Option(
    help: ArgumentHelp(
      "The start of a tuned lens: identity, ridge (computed first), or a lens. Default: identity.",
      valueName: "identity|ridge|file"))
  var start: String?

  @Option(help: "The optimiser of a tuned lens. Default: sgd.")
  var optimizer: TunedLensOptions.Optimizer.Kind?

  @Option(
    help: ArgumentHelp(
      "The largest number of passes of a tuned lens over the texts. Default: 1, unless --steps is given.",
      valueName: "n"))
  var passes: Int?

  @Option(
    help: ArgumentHelp(
      "The number of steps of a tuned lens, for any number of passes. Default: 250, or those of --passes.",
      valueName: "n"))
  var steps: Int?

  @Option(
    help: ArgumentHelp(
      "The number of tokens in each step. Default: 262144, or the passes' tokens over 250 steps.",
      valueName: "n"))
  var tokensPerStep: Int?

  @Option(help: ArgumentHelp("The factor of the learning rate. Default: 1.", valueName: "x"))
  var rateScale: Double?

  @Option(
    help: ArgumentHelp(
      "The number of warm-up steps, in which the learning rate grows. Default: 0.", valueName: "n"))
  var warmUp: Int?

  @Option(
    help: ArgumentHelp(
      "The weight decay of a tuned lens, towards the logit lens. Default: 0.001.", valueName: "x"))
  var weightDecay: Double?

  @Flag(help: "Train only the biases of a tuned lens.")
  var biasOnly = false

  @Option(
    help: ArgumentHelp(
      "The number of tokens on which a ridge lens is finally fitted by divergence; 0 for regression only. Default: 8192.",
      valueName: "n"))
  var calibrationTokens: Int?

  @Option(
    help: ArgumentHelp("The seed for the order of the chunks. Default: 42.", valueName: "s"),
    transform: Numbers.positiveSeed)
  var seed: Int?

  @Option(
    help: ArgumentHelp(
      "Write checkpoints of the training to this file, for --resume.", valueName: "file"))
  var checkpoint: String?

  @Option(
    help: ArgumentHelp("The number of steps between two checkpoints. Default: 25.", valueName: "n"))
  var checkpointEvery: Int?

  @Option(help: ArgumentHelp("Continue from a checkpoint.", valueName: "file"))
  var resume: String?

  @Flag(help: "Replace existing files.")
  var force = false

  @OptionGroup var printing: OutputOptions

  func validate() throws {
    try Numbers.check(
      atLeast: 1,
      [
        ("--steps", steps), ("--tokens-per-step", tokensPerStep), ("--passes", passes),
        ("--checkpoint-every", checkpointEvery),
      ])
    try Numbers.check(
      atLeast: 0,
      [("--warm-up", warmUp), ("--calibration-tokens", calibrationTokens)])
    guard steps == nil || passes == nil else {
      throw ValidationError("--steps and --passes both set the length of the training: name one.")
    }
    if method != .tuned { try refuseGiven(tunedOptions, "is for --method tuned") }
    if checkpoint == nil {
      try refuseGiven([("--checkpoint-every", checkpointEvery != nil)], "needs --checkpoint")
    }
    guard method == .ridge || start == "ridge" || calibrationTokens == nil else {
      throw ValidationError("--calibration-tokens is for ridge lenses.")
    }
  }

  /// The options that only a tuned lens has, and whether they were given.
  private var tunedOptions: [(name: String, isGiven: Bool)] {
    [
      ("--steps", steps != nil), ("--passes", passes != nil),
      ("--tokens-per-step", tokensPerStep != nil), ("--loss", loss != nil),
      ("--start", start != nil), ("--optimizer", optimizer != nil),
      ("--rate-scale", rateScale != nil), ("--warm-up", warmUp != nil),
      ("--weight-decay", weightDecay != nil), ("--bias-only", biasOnly), ("--seed", seed != nil),
      ("--checkpoint", checkpoint != nil), ("--checkpoint-every", checkpointEvery != nil),
      ("--resume", resume != nil),
    ]
  }

  var fileUse: CommandFiles {
    // A checkpoint that training continues from is written again; any other existing one needs
    // --force.
    let goesOn = resume.map { ProtectedFiles([$0]) }
    let isOwn = checkpoint.map { goesOn?.contains($0) ?? false } ?? false
    let read = [start, isOwn ? nil : resume].compactMap { $0 }
    let written = [checkpoint].compactMap { $0 }
    return CommandFiles(
      inputs: model.inputs + texts.inputs + read,
      outputs: [output] + (isOwn ? [] : written), updated: isOwn ? written : [], replaces: force)
  }

  func run() throws {
    let clock = Stopwatch()
    let open = try model.open()
    let tokenizer = try open.textTokenizer()
    let corpus = try texts.corpus(for: open)
    let (lens, passes): (Lens?, Double)
    switch method {
    case .ridge: (lens, passes) = (try ridge(open, tokenizer, corpus), 1)
    case .tuned:
      let options = try tunedOptions(corpus)
      (lens, passes) = (
        try tuned(open, tokenizer, corpus, options), options.passes(over: corpus)
      )
    }
    guard let lens else { return }  // the first rank writes
    try lens.artifact.write(to: output, replacing: force)
    Report(
      trained: lens, output: output, on: corpus, passes: passes, seconds: clock.seconds,
      peakMemory: PeakMemory.byteCount
    ).print(asJSON: printing.json)
  }

  private func ridge(
    _ open: LoadedModel, _ tokenizer: any Tokenizer, _ corpus: TextCorpus,
    everywhere: Bool = false
  ) throws(Refusal) -> Lens? {
    var options = RidgeLensOptions()
    options.calibrationTokens = calibrationTokens ?? options.calibrationTokens
    let trainer = try RidgeLensTrainer(
      open.model, tokenizer: tokenizer.digest, corpus: corpus, options: options,
      ranks: Job.ranks)
    let reading = Progress("ridge: read", .items("tokens"))
    let solving = Progress("ridge: solve", .items("sites"))
    defer {
      reading.clear()
      solving.clear()
    }
    return try trainer.trainTogether(everywhere: everywhere) { title, done, total in
      (title == "read" ? reading : solving).update(done, total)
    }
  }

  private func tunedOptions(_ corpus: TextCorpus) throws(Refusal) -> TunedLensOptions {
    var options = TunedLensOptions()
    options.loss = loss ?? .kl
    options.optimizer = TunedLensOptions.Optimizer(
      kind: optimizer ?? .sgd, rateScale: rateScale ?? 1, weightDecay: weightDecay ?? 1e-3,
      warmUp: warmUp ?? 0)
    (options.isBiasOnly, options.seed) = (biasOnly, seed ?? 42)
    try options.fit(to: corpus, passes: passes ?? 1, steps: steps, tokensPerStep: tokensPerStep)
    return options
  }

  private func tuned(
    _ open: LoadedModel, _ tokenizer: any Tokenizer, _ corpus: TextCorpus,
    _ options: TunedLensOptions
  ) throws(Refusal) -> Lens? {
    let trainer = try TunedLensTrainer(
      open.model, tokenizer: tokenizer.digest, corpus: corpus, options: options,
      ranks: Job.ranks)
    let begin: Lens? =
      switch start {
      case nil, "identity": nil
      case "ridge": try ridge(open, tokenizer, corpus, everywhere: true)
      case let path?: try Lens(reading: path)
      }
    let resumed: LensCheckpoint? =
      if let resume { try LensCheckpoint(reading: resume) } else { nil }
    let progress = Progress("tuned", .items("tokens"))
    defer { progress.clear() }
    return try trainer.trainTogether(
      from: begin, resuming: resumed, saveEvery: checkpoint == nil ? 0 : checkpointEvery ?? 25,
      save: { saved throws(Refusal) in
        guard let checkpoint else { return }
        try saved.artifact.write(to: checkpoint, replacing: true)
      },
      progress: { state in
        progress.update(state.tokens.done, state.tokens.total, note: note(state, of: options.steps))
      })
  }

  /// The step, and the losses from the first site to the last.
  private func note(_ state: LensProgress, of steps: Int) -> String {
    "step \(state.step) of \(steps)"
      + (state.losses.isEmpty
        ? "" : "  loss " + state.losses.map { Format.fixed($0, 2) }.joined(separator: " "))
  }
}
