import ArgumentParser
import Glibc
import SextantArtifacts
import SextantBytes
import SextantEvaluation
import SextantModels
import SextantStore
import SextantTensor

/// Measures the steering sweep of the paper, in the shape of its largest recurrent model.
struct SweepCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sweep",
    abstract: "Times the paper's steering sweep on random weights, and extrapolates the whole.",
    discussion: """
      The paper sweeps 7 behaviours, all blocks and 9 strengths, with 50 prompts each (arXiv \
      2404.05971, section 3). The prompts here have random tokens, and all have different lengths, \
      92 tokens on average, as the paper's questions have with the tokenizer of GPT-NeoX. The vector \
      is random, and steers the last token. The sweep is timed at the last block alone, and at every \
      eighth block. A cell costs what the prompt does, and a part that is proportional to the \
      blocks from its own on. Two equations give both, and with them the time of all blocks.
      """)

  @Option(help: "The shape.") var shape = PublishedShape.mamba2800m
  @Option(help: "The type of the weights: f32, bf16 or f16.") var dtype = "bf16"
  @Option(help: "The distance of the blocks that are timed.") var every = 8
  @Option(help: "Prompts of a behaviour.") var prompts = 50
  @Option(help: "Behaviours.") var behaviours = 7
  @OptionGroup var bench: Workbench

  private static let multipliers: [Float] = [-3, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 3]

  func validate() throws {
    guard every > 0, prompts > 0, behaviours > 0 else {
      throw ValidationError("--every, --prompts and --behaviours must be 1 or more.")
    }
  }

  func run() throws {
    guard let type = [DataType.f32, .bf16, .f16].first(where: { $0.word == dtype }) else {
      throw ValidationError("no type \(dtype)")
    }
    bench.begin()
    WorkerPool.setSharedThreadCount(bench.threads)
    let model = try Architectures.open(ModelStore(opening: bench.files(shape, type).store))
    let layers = Array(0..<model.description.layerCount)
    let timed = layers.filter { $0.isMultiple(of: every) }
    let vector = try vector(for: model.description)
    let items = items(vocabulary: model.description.vocabularySize)
    let mean = items.reduce(0) { $0 + $1.prompt.count } / items.count
    tell(
      "\(shape.rawValue) \(dtype): \(items.count) prompts of \(mean) tokens on average, "
        + "\(Self.multipliers.count) strengths, \(layers.count) blocks")
    // The blocks that a cell of each layer runs.
    func work(_ layers: [Int]) -> Double {
      layers.reduce(0) { $0 + Double(model.description.layerCount - $1) }
    }
    let last = Array(layers.suffix(1))
    for _ in 0..<bench.rounds {
      let one = try seconds(model, vector, last, items)
      tell("the last block: \(tenths(one)) s")
      let some = try seconds(model, vector, timed, items)
      tell("\(timed.count) blocks: \(tenths(some)) s")
      let perBlock = (some - one) / (work(timed) - work(last))
      let prompt = one - perBlock * work(last)
      let whole = Double(behaviours) * (prompt + perBlock * work(layers))
      tell(
        "\(behaviours) behaviours at all blocks: \(tenths(whole / 60)) min, of which the prompts "
          + "\(tenths(Double(behaviours) * prompt / 60)) min")
    }
  }

  private func seconds(
    _ model: any LanguageModel, _ vector: SteeringVector, _ layers: [Int],
    _ items: [ChoiceTest.Tokens]
  ) throws -> Double {
    guard let chosen = LayerSelection(layers.map(String.init).joined(separator: ",")) else {
      throw MeasurementFailure("no blocks")
    }
    let sweep = try SteeringSweep(
      model, tokenizer: nil, vector: vector, layers: chosen, multipliers: Self.multipliers,
      sites: [.residual])
    let begin = now()
    _ = try sweep.run(on: items)
    return now() - begin
  }

  /// A random vector for the residual stream of each block.
  private func vector(for model: ModelDescription) throws -> SteeringVector {
    var numbers = SeededRandom(seed: 1)
    let vectors = try model.sites(named: ["residual"]).map { site in
      (
        site.reference,
        Tensor((0..<site.elementCount).map { _ in numbers.uniform() - 0.5 }, shape: site.shape)
      )
    }
    return SteeringVector(
      model: model.reference(tokenizer: nil), vectors: vectors, operation: .add, targets: [:],
      training: .init(method: "random", positions: .last, data: JSONObject()),
      statistics: JSONObject())
  }

  /// Prompts of random tokens with two answers of one token each. Their lengths are spread evenly
  /// around 92 tokens, so that no two are equal.
  private func items(vocabulary: Int) -> [ChoiceTest.Tokens] {
    var numbers = SeededRandom(seed: 2)
    return (0..<prompts).map { index in
      let length = max(2, 92 + index - prompts / 2)
      return ChoiceTest.Tokens(
        prompt: (0..<length).map { _ in Int(numbers.uniform() * Float(vocabulary)) },
        matching: [[1]], other: [[2]])
    }
  }

  /// Prints a line at once, also to a file: the next one may take minutes.
  private func tell(_ line: String) {
    print(line)
    fflush(nil)
  }

  private func tenths(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }
}
