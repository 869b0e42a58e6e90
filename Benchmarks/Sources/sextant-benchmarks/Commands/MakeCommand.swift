import ArgumentParser
import SextantTensor

struct MakeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "make",
    abstract: "Makes a random model of a published shape, as a store.")

  @Argument(
    help: "A shape: \(PublishedShape.allCases.map(\.rawValue).joined(separator: ", ")).")
  var shape: PublishedShape

  @Argument(
    help: "The type of the weights: \(RandomModel.types.map(\.word).joined(separator: ", ")).")
  var dtype: String

  @OptionGroup var bench: Workbench

  func run() throws {
    guard let type = RandomModel.types.first(where: { $0.word == dtype }) else {
      throw ValidationError("no type \(dtype)")
    }
    print(try bench.files(shape, type).store)
  }
}
