import ArgumentParser
import Sextant

extension Precision: ExpressibleByArgument {}

/// Options of everything that runs a model.
struct ComputeOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "The number of threads. Results do not depend on it.",
      discussion: "Default: the number of processors that the process may use.", valueName: "n"))
  var threads: Int?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "The precision of products with bf16 weights and weights in blocks: exact keeps activations f32, fast rounds them.",
      discussion: "Default: \(Precision.standard.rawValue).", valueName: "exact|fast"))
  var precision: Precision?

  mutating func validate() throws {
    if let threads, !(1...1024).contains(threads) {
      throw ValidationError("--threads is \(threads); it must be between 1 and 1024.")
    }
  }

  /// Sizes the shared pool and sets the precision; before anything is computed.
  func apply() {
    if let precision { Precision.current = precision }
    if let threads { WorkerPool.setSharedThreadCount(threads) }
  }
}

/// The model to run and how to run it.
struct ModelOptions: ParsableArguments {
  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("The model, a file made by `sextant convert`.", valueName: "model.sxt"))
  var model: String

  @Flag(help: "Read all weights when the model is opened, instead of at their first use.")
  var preload = false

  @OptionGroup var compute: ComputeOptions

  /// Sizes the pool and opens the model.
  ///
  /// - Parameter beginsTexts: whether the tokens that the tokenizer asks for are put before texts.
  func open(beginsTexts: Bool = true) throws -> LoadedModel {
    compute.apply()
    let open = try LoadedModel.open(model, beginsTexts: beginsTexts)
    if preload { open.store.preload() }
    return open
  }

  /// The files that are read.
  var inputs: [String] { [model] }
}

/// How texts begin that a model reads.
struct TextOptions: ParsableArguments {
  @Flag(
    help: """
      Put no token before a text. Default: put the tokens there that the model's tokenizer \
      requires; `sextant inspect` shows them.
      """)
  var noBos = false

  /// Refuses the option if no text is read from its start.
  ///
  /// - Parameter other: the option that takes the text's place.
  func checkUnused(_ other: String) throws {
    try refuseGiven([("--no-bos", noBos)], "has no effect with \(other)")
  }
}

/// The model to run on texts.
struct TextModelOptions: ParsableArguments {
  @OptionGroup var options: ModelOptions
  @OptionGroup var beginning: TextOptions

  /// The files that are read.
  var inputs: [String] { options.inputs }

  /// Sizes the pool and opens the model.
  func open() throws -> LoadedModel { try options.open(beginsTexts: !beginning.noBos) }
}

/// Whether to write for people or for programs.
struct OutputOptions: ParsableArguments {
  @Flag(name: .long, help: "Print one JSON document to standard output, for programs.")
  var json = false
}
