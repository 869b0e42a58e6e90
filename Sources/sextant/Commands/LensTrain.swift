import ArgumentParser
import Glibc
import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantModels
import SextantReport
import SextantTokenizers

extension LensLoss: ExpressibleByArgument {}
extension LensOptimizerKind: ExpressibleByArgument {}

/// Texts to lens.
struct LensTrain: WritingCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Learn a lens from texts.",
    discussion: """
      A ridge lens is made in closed form from one pass over the texts. A tuned lens is trained by \
      gradient descent to say what the model says in the end; the defaults are the published \
      recipe (tuned-lens 0.2.0): SGD with Nesterov momentum, 250 steps of 262,144 tokens. With \
      --start ridge it begins where the ridge lens ends, and needs far fewer. The same command \
      gives the same bytes.
      """)

  enum Method: String, CaseIterable, ExpressibleByArgument { case tuned, ridge }

  @OptionGroup var model: ModelOptions
  @OptionGroup var beginning: TextOptions
  @OptionGroup(title: "Texts") var texts: CorpusArguments

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("The artifact to make.", valueName: "out.lens.safetensors"))
  var output: String

  @Option(help: "How the lens is made.")
  var method = Method.tuned

  @Option(help: "What a tuned lens makes small: its divergence from the model, or cross-entropy.")
  var loss = LensLoss.kl

  @Option(
    help: ArgumentHelp(
      "Where a tuned lens starts: identity, ridge (made first), or a lens.",
      valueName: "identity|ridge|file"))
  var start = "identity"

  @Option(help: "The optimiser of a tuned lens.")
  var optimizer = LensOptimizerKind.sgd

  @Option(help: "Steps of a tuned lens.")
  var steps = 250

  @Option(help: ArgumentHelp("Tokens that each step reads.", valueName: "n"))
  var tokensPerStep = 1 << 18

  @Option(help: ArgumentHelp("What the learning rate is multiplied by.", valueName: "x"))
  var rateScale = 1.0

  @Option(help: ArgumentHelp("Steps over which the learning rate grows.", valueName: "n"))
  var warmUp = 0

  @Option(help: ArgumentHelp("What pulls a tuned lens to the logit lens.", valueName: "x"))
  var weightDecay = 1e-3

  @Flag(help: "Train the biases of a tuned lens alone.")
  var biasOnly = false

  @Option(
    help: ArgumentHelp(
      "Tokens on which a ridge lens is fitted by divergence in the end; 0 for regression alone.",
      valueName: "n"))
  var calibrationTokens = 8192

  @Option(help: ArgumentHelp("The seed of the order in which chunks are read.", valueName: "s"))
  var seed = 42

  @Option(
    help: ArgumentHelp(
      "Write where training is to this file, to go on from with --resume.", valueName: "file"))
  var checkpoint: String?

  @Option(help: ArgumentHelp("Steps between two checkpoints.", valueName: "n"))
  var checkpointEvery = 25

  @Option(help: ArgumentHelp("Go on from a checkpoint.", valueName: "file"))
  var resume: String?

  @Flag(help: "Replace existing files.")
  var force = false

  @OptionGroup var printing: OutputOptions

  func validate() throws {
    try Numbers.check(
      atLeast: 1,
      [
        ("--steps", steps), ("--tokens-per-step", tokensPerStep),
        ("--checkpoint-every", checkpointEvery),
      ])
    try Numbers.check(
      atLeast: 0,
      [("--warm-up", warmUp), ("--calibration-tokens", calibrationTokens), ("--seed", seed)])
  }

  var fileUse: CommandFiles {
    // A checkpoint that training goes on from is written again; any other existing one needs --force.
    let goesOn = resume.map { ProtectedFiles([$0]) }
    let isOwn = checkpoint.map { goesOn?.contains($0) ?? false } ?? false
    let read = [start] + (isOwn ? [] : [resume].compactMap { $0 })
    let written = [checkpoint].compactMap { $0 }
    return CommandFiles(
      inputs: model.inputs + texts.inputs + read,
      outputs: [output] + (isOwn ? [] : written), updated: isOwn ? written : [], replaces: force)
  }

  func run() throws {
    let clock = Stopwatch()
    let open = try model.open(beginning)
    let tokenizer = try open.textTokenizer()
    let corpus = try texts.corpus(for: open)
    let lens =
      switch method {
      case .ridge: try ridge(open, tokenizer, corpus)
      case .tuned: try tuned(open, tokenizer, corpus)
      }
    try lens.artifact.write(to: output, replacing: force)
    report(lens, corpus, seconds: clock.seconds).print(asJSON: printing.json)
  }

  private func ridge(
    _ open: OpenModel, _ tokenizer: any Tokenizer, _ corpus: TextCorpus
  ) throws(FormatError) -> Lens {
    var options = RidgeLensOptions()
    options.calibrationTokens = calibrationTokens
    let trainer = try RidgeLensTrainer(
      open.model, tokenizer: tokenizer.digest, corpus: corpus, options: options)
    let reading = Progress("ridge: read", .items("tokens"))
    let solving = Progress("ridge: solve", .items("sites"))
    defer {
      reading.clear()
      solving.clear()
    }
    return try trainer.train { title, done, total in
      (title == "read" ? reading : solving).update(done, total)
    }
  }

  private func tuned(
    _ open: OpenModel, _ tokenizer: any Tokenizer, _ corpus: TextCorpus
  ) throws(FormatError) -> Lens {
    var options = TunedLensOptions()
    options.loss = loss
    options.optimizer = LensOptimizerOptions(
      kind: optimizer, rateScale: rateScale, weightDecay: weightDecay, warmUp: warmUp)
    (options.steps, options.tokensPerStep) = (steps, tokensPerStep)
    (options.isBiasOnly, options.seed) = (biasOnly, seed)
    let trainer = try TunedLensTrainer(
      open.model, tokenizer: tokenizer.digest, corpus: corpus, options: options)
    let begin: Lens? =
      switch start {
      case "identity": nil
      case "ridge": try ridge(open, tokenizer, corpus)
      default: try Lens(reading: start)
      }
    let resumed: LensCheckpoint? =
      if let resume { try LensCheckpoint(reading: resume) } else { nil }
    let progress = Progress("tuned", .items("tokens"))
    defer { progress.clear() }
    return try trainer.train(
      from: begin, resuming: resumed, saveEvery: checkpoint == nil ? 0 : checkpointEvery,
      save: { saved throws(FormatError) in
        guard let checkpoint else { return }
        try saved.artifact.write(to: checkpoint, replacing: true)
      },
      progress: { state in
        progress.update(state.tokens.done, state.tokens.total, note: note(state))
      })
  }

  /// The step, and the losses from the first site to the last.
  private func note(_ state: LensProgress) -> String {
    "step \(state.step) of \(steps)"
      + (state.losses.isEmpty
        ? "" : "  loss " + state.losses.map { Format.fixed($0, 2) }.joined(separator: " "))
  }

  private func report(_ lens: Lens, _ corpus: TextCorpus, seconds: Double) -> Report {
    Report(
      title: "\(printable(output)): a \(lens.training.method) lens for "
        + "\(Format.count(lens.translators.count, of: "site")), learned from "
        + "\(Format.count(corpus.tokenCount, of: "token")) in \(Format.fixed(seconds, 1)) s",
      facts: [
        ("documents", Format.count(corpus.documentCount)),
        ("chunks", "\(Format.count(corpus.chunks.count)) of \(corpus.chunkLength) tokens"),
        ("peak memory", PeakMemory.byteCount.map { Format.bytes($0) } ?? "unknown"),
      ],
      notes: corpus.notes,
      json: JSONObject([
        ("output", .string(output)), ("model", lens.model.json),
        ("method", .string(lens.training.method)), ("options", .object(lens.training.options)),
        ("data", .object(lens.training.data)), ("statistics", .object(lens.statistics)),
        ("seconds", JSONValue(finite: seconds)),
        ("peak_memory_bytes", PeakMemory.byteCount.map { JSONValue($0) } ?? .null),
      ]))
  }
}
