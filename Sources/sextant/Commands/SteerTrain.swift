import ArgumentParser
import Sextant
import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantInspection
import SextantModels
import SextantReport
import SextantTerminal

/// Contrast pairs to steering vector.
struct SteerTrain: WritingCommand, SharedCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Train a steering vector on pairs of texts.",
    discussion: """
      At each site the vector is computed from the moments of the positive and the negative texts, \
      by default as the difference of their means. Questions need a template. The same pairs and \
      model give the same bytes. --moments keeps the moments, and --from-moments trains from them \
      without the model, to the same bytes. mpirun and srun can run the command on several machines: \
      the bytes are the same. --shard reads one shard of the pairs, in a job of its own; \
      `sextant moments merge` adds the shards.
      """)

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("The model, a file made by `sextant convert`.", valueName: "model.sxt"))
  var model: String?

  @OptionGroup(title: "Data") var contrast: ContrastArguments
  @OptionGroup var beginning: TextOptions
  @OptionGroup(title: "Conversations") var chat: ChatPromptArguments

  @Option(
    help: ArgumentHelp(
      """
      Moments of an earlier training (count, mean and spread of activations), instead of model and \
      texts. --sites then selects among the sites of the file. Default: all of them.
      """,
      valueName: "file.moments.safetensors"))
  var fromMoments: String?

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp(
      "The artifact to make. Required without --shard.", valueName: "out.steer.safetensors"))
  var output: String?

  @OptionGroup var questions: TemplateArguments

  @Option(help: "The method that computes the vector.")
  var method = SteeringMethod.mean

  @Option(
    help: ArgumentHelp(
      "The weight of the identity (times a scalar) in the covariance of lda and lda-total.",
      valueName: "0…1"))
  var shrinkage = 0.0

  @Option(
    help:
      "The norm of vectors: none (the method's own norm), unit (1), mean (the norm of the mean-difference vector)."
  )
  var scale = SteeringMethod.Scale.none

  @Option(help: "The operation when the vector is applied.")
  var operation = SteeringVector.Operation.add

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "The tokens to steer, unless the user selects others. Default: \(PositionSelection.fromLast).",
      valueName: "list"),
    transform: Written.positions)
  var steerAt = PositionSelection.fromLast

  @OptionGroup var places: SiteArguments

  @Option(
    help: ArgumentHelp(
      "Also write the moments of both classes that the method needs.",
      valueName: "out.moments.safetensors"))
  var moments: String?

  @Option(
    help: ArgumentHelp(
      "Also keep the moments that these methods need, such as lda,pca.", valueName: "list"))
  var momentsFor: CommaList<String>?

  @Option(
    help: ArgumentHelp(
      "The number of pairs in a batch. More are faster and use more memory; the result is the same, bit for bit. Default: 16.",
      valueName: "count"))
  var batch: Int?

  @Option(
    help: ArgumentHelp(
      """
      The number of shards into which the pairs are cut. Each is summed on its own, and the sums are added \
      in the order of the shards. Default: 1.
      """, valueName: "count"))
  var shards: Int?

  @Option(
    help: ArgumentHelp(
      """
      Read only shard I of N, counted from 0, and write its moments with --moments. `sextant moments merge` \
      adds the shards, to the bytes of --shards N.
      """, valueName: "I/N"),
    transform: Written.shard)
  var shard: WrittenShard?

  @OptionGroup var compute: ComputeOptions

  @Flag(help: "Replace existing files.")
  var force = false

  @OptionGroup var printing: OutputOptions

  func validate() throws {
    if fromMoments != nil {
      guard model == nil, contrast.source == nil, moments == nil else {
        throw ValidationError("--from-moments replaces --model and the texts.")
      }
      try beginning.checkUnused("--from-moments")
      try refuseGiven(
        [
          ("--batch", batch != nil), ("--positions", places.positions != nil),
          ("--template", questions.template != nil), ("--precision", compute.precision != nil),
          ("--shards", shards != nil), ("--shard", shard != nil),
        ], "has no effect with --from-moments")
      try refuseGiven([("--chat", chat.chat)], "has no effect with --from-moments")
    } else if model == nil || contrast.source == nil {
      throw ValidationError("Name --model and the texts (--pairs …), or --from-moments.")
    }
    if moments == nil { try refuseGiven([("--moments-for", momentsFor != nil)], "needs --moments") }
    if shard == nil {
      guard output != nil else { throw ValidationError("Name the artifact with --output.") }
    } else {
      try refuseGiven(
        [("--output", output != nil), ("--shards", shards != nil)], "has no effect with --shard")
      guard moments != nil else { throw ValidationError("--shard needs --moments.") }
    }
    try Numbers.check(atLeast: 1, [("--batch", batch), ("--shards", shards)])
    try chat.checkAlone([
      ("--template", questions.template != nil), ("--no-bos", beginning.noBos),
    ])
  }

  var fileUse: CommandFiles {
    CommandFiles(
      inputs: [model, fromMoments].compactMap { $0 } + questions.inputs + contrast.inputs
        + chat.inputs,
      outputs: [output, moments].compactMap { $0 }, replaces: force)
  }

  var unsharedReason: String? {
    if fromMoments != nil { return "--from-moments, which one process computes" }
    return shard == nil ? nil : "--shard, which one process reads"
  }

  func run() throws {
    let clock = Stopwatch()
    compute.apply()
    let estimator = try SteeringEstimator(method, shrinkage: shrinkage, scale: scale)
    if let fromMoments {
      return try write(
        SteeringVector.train(
          fromMoments: fromMoments, estimator, sites: places.sites?.values, layers: places.layers),
        clock)
    }
    let (trainer, pairs, sites) = try trainer(estimator)
    let progress = Progress("train", .items("texts"))
    if let shard, let moments {
      let artifact = try trainer.moments(ofShard: shard.number, of: pairs) {
        progress.update($0, $1)
      }
      progress.clear()
      try artifact.write(to: moments, replacing: force)
      return Report(shard: shard.number, of: shard.count, moments: moments, seconds: clock.seconds)
        .print(asJSON: printing.json)
    }
    let (vector, own) = try trainer.train(pairs) { progress.update($0, $1) }
    progress.clear()
    let collected = moments == nil ? nil : try own.gathered(sites, by: Job.ranks)
    guard Job.ranks.isFirst else { return }
    if let moments, let collected {
      try collected.artifact(
        model: vector.model, data: trainer.description(of: pairs), positions: places.readPositions,
        retraining: vector.training.retraining
      ).write(to: moments, replacing: force)
    }
    try write(vector, clock)
  }

  private func write(_ learned: SteeringVector, _ clock: Stopwatch) throws(Refusal) {
    guard let output else { preconditionFailure("checked before") }
    let vector = learned.applied(as: operation, at: steerAt)
    try vector.artifact.write(to: output, replacing: force)
    Report(trained: vector, output: output, moments: moments, seconds: clock.seconds)
      .print(asJSON: printing.json)
  }

  /// Opens the model, and reads the texts.
  private func trainer(
    _ estimator: SteeringEstimator
  ) throws(Refusal) -> (SteeringTrainer, ContrastPairs, [SiteDescription]) {
    guard let model, let source = contrast.source else { preconditionFailure("checked before") }
    let open = try chat.apply(to: LoadedModel.open(model, beginsTexts: !beginning.noBos))
    let sites = try places.sites(of: open.description)
    try steerAt.check(
      vocabularySize: open.model.description.vocabularySize, parameter: "steerAt")
    let pairs = try ContrastPairs(reading: source, template: questions.load())
    let trainer = try SteeringTrainer(
      open.model, open.textTokenizer(), estimator: estimator, sites: sites,
      positions: places.readPositions,
      keeping: SteeringMethod.named(momentsFor?.values ?? []), batch: batch ?? 16,
      shards: shard?.count ?? shards, ranks: Job.ranks)
    return (trainer, pairs, sites)
  }
}
