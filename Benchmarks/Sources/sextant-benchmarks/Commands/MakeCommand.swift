import ArgumentParser
import SextantTensor

struct MakeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "make",
    abstract: "Writes a random model of a published shape, in Hugging Face layout.")

  @OptionGroup var models: RandomModelOptions

  func run() throws {
    for folder in try models.make() { print(folder) }
  }
}

/// Which random models to make, and where.
struct RandomModelOptions: ParsableArguments {
  @Option(
    help: """
      Make a random model of this shape: \
      \(PublishedShape.allCases.map(\.rawValue).joined(separator: ", ")). May be repeated.
      """)
  var shape: [PublishedShape] = []

  @Option(help: "The types of the random models' weights: f32, bf16, f16; separated by commas.")
  var dtypes = "f32,bf16"

  @Option(help: "The seed of the random weights.")
  var seed: UInt64 = 1

  @Option(help: "The folder where random models are made and kept, and stores are written.")
  var cache = "/tmp/sextant-benchmarks"

  /// The folders of the models.
  func make() throws -> [String] {
    try shape.flatMap { shape in
      try dtypes.split(separator: ",").map { name in
        guard let type = DataType(elementType: name.uppercased()), type.isFloatingPoint else {
          throw ValidationError("no type \(name)")
        }
        return try RandomModel(shape: shape, dataType: type, seed: seed).make(in: cache)
      }
    }
  }
}
