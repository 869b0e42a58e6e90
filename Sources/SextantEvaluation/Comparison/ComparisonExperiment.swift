import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantModels
import SextantTokenizers

/// The three experiments of arXiv 2404.05971 on several models with the same data.
package struct ComparisonExperiment: Sendable {
  /// The folder of the data: pairs, test, texts and statements, under the names of the demo model's.
  package let source: String
  /// Random directions that steer, as a control.
  package var controlCount = 32
  /// Tokens of a chunk of the texts that lenses are trained and measured on.
  package var chunkLength = 256
  /// Tokens that lenses are trained on, at most.
  package var trainingTokens = 40_960
  /// Tokens that a ridge lens is finally fitted on.
  package var calibrationTokens = 1024
  /// Steps of the tuned lens.
  package var tunedSteps = 40
  /// Tokens of each step.
  package var tokensPerStep = 1024
  /// Random directions that predict the truth, as a control.
  package var randomDirections = 200

  /// Tokens of a chunk of the reviews, which are short.
  static let reviewChunkLength = 64

  /// Experiments on the data of a folder.
  package init(source: String) { self.source = source }

  /// Runs all experiments on all models.
  ///
  /// - Parameter progress: receives what is being done, and how much of it.
  /// - Throws: what the experiments throw.
  package func run(
    _ models: [ComparedModel],
    progress: (_ title: String, _ done: Int, _ total: Int) -> Void = { _, _, _ in }
  ) throws(Refusal) -> ModelComparison {
    let pairs = try ContrastPairs(reading: file("sentiment_pairs.jsonl"), template: nil)
    let training = try LabelledRecords(reading: file("quirky_train.jsonl"))
    let test = try LabelledRecords(reading: file("quirky_test.jsonl"))
    var members: [ComparisonMember] = []
    for compared in models {
      let (model, tokenizer) = (compared.model, compared.tokenizer)
      let steering = try SteerDemo.run(
        model, tokenizer, on: pairs, source: source, controlCount: controlCount
      ) { progress("\(compared.name): steer", $0, $1) }
      let lenses = try trainedLenses(compared) { progress("\(compared.name): \($0)", $1, $2) }
      let samples = try measure(
        lenses, compared, on: "samples_test.jsonl", chunkLength: chunkLength
      ) { progress("\(compared.name): measure lenses", $0, $1) }
      let reviews = try measure(
        [], compared, on: "reviews.txt", chunkLength: Self.reviewChunkLength)
      let probes = try transfer.run(
        model, tokenizer, training: training, test: test,
        sites: model.description.trainableSites(named: ["all"]).sites
      ) { progress("\(compared.name): \($0)", $1, $2) }
      members.append(
        ComparisonMember(
          name: compared.name, description: model.description,
          parameterCount: compared.parameterCount, steering: steering, lenses: samples,
          reviews: reviews, probes: probes))
    }
    return ModelComparison(members, experiment: self)
  }

  private func file(_ name: String) -> String { "\(source)/\(name)" }

  /// From Alice's and Bob's contexts to those of both, and to the hardest statements.
  private var transfer: TransferExperiment {
    let parts = { (names: [String]) in names.compactMap { QuirkySubset($0) } }
    var experiment = TransferExperiment(
      sources: parts(["A"]), targets: parts(["A", "B", "AH", "BH"]), methods: [.logistic])
    experiment.floorSource = QuirkySubset("B")
    experiment.randomDirections = randomDirections
    return experiment
  }

  /// Trains a ridge and a tuned lens.
  private func trainedLenses(
    _ compared: ComparedModel, progress: (_ title: String, _ done: Int, _ total: Int) -> Void
  ) throws(Refusal) -> [NamedLens] {
    let (model, tokenizer) = (compared.model, compared.tokenizer)
    let training = try TextCorpus(
      reading: [file("samples_train.jsonl")], tokenizer: tokenizer, chunkLength: chunkLength,
      limit: trainingTokens)
    var ridge = RidgeLensOptions()
    ridge.calibrationTokens = calibrationTokens
    let solved = try RidgeLensTrainer(
      model, tokenizer: tokenizer.digest, corpus: training, options: ridge
    ).train(progress: { progress("ridge lens", $1, $2) })
    let tuned = try TunedLensTrainer(
      model, tokenizer: tokenizer.digest, corpus: training, options: tunedOptions
    ).train(progress: { progress("tuned lens", $0.tokens.done, $0.tokens.total) })
    return [NamedLens(name: "ridge", lens: solved), NamedLens(name: "tuned", lens: tuned)]
  }

  private func measure(
    _ lenses: [NamedLens], _ compared: ComparedModel, on name: String, chunkLength: Int,
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> LensEvaluation {
    let corpus = try TextCorpus(
      reading: [file(name)], tokenizer: compared.tokenizer, chunkLength: chunkLength)
    return try LensEvaluation(
      of: lenses, compared.model, tokenizer: compared.tokenizer.digest, on: corpus,
      progress: progress)
  }

  private var tunedOptions: TunedLensOptions {
    var options = TunedLensOptions()
    (options.steps, options.tokensPerStep) = (tunedSteps, tokensPerStep)
    return options
  }
}
