import ArgumentParser
import Sextant
import SextantArtifacts
import SextantInspection
import SextantReport

extension LayerConvention: ExpressibleByArgument {}

/// The facts about a vector of another tool that its file does not record.
struct ForeignVectorOptions: ParsableArguments {
  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("The model for which the vector was made.", valueName: "model.sxt"))
  var model: String?

  @Option(
    help: """
      How a control vector counts layers: the block of direction N. repeng: block N (where it was \
      measured). llama-generator and jukofyork: block N - 1 (where it was measured). llama-apply: \
      block N (where llama.cpp adds it). A file that follows GLP does not need this option.
      """)
  var layerConvention: LayerConvention?

  @Option(
    help: ArgumentHelp("The block of a bare vector (.pt, .npz).", valueName: "block"))
  var layer: Int?

  @Flag(
    help: "Accept a vector or a lens that records another model of the same width and depth.")
  var allowModelMismatch = false

  func validate() throws {
    try Numbers.check(atLeast: 0, [("--layer", layer)])
    if model == nil, layerConvention != nil || layer != nil || allowModelMismatch {
      throw ValidationError("--layer-convention, --layer and --allow-model-mismatch need --model.")
    }
    if layerConvention != nil, layer != nil {
      throw ValidationError("Give one of --layer-convention and --layer.")
    }
  }

  /// Reads the vector and writes it as an artifact.
  ///
  /// - Throws: `usage.option`, `foreign.*`, `artifact.*`; the errors of reading and writing.
  func convert(
    _ source: String, to output: String, model: String, replacing: Bool, _ printing: OutputOptions
  ) throws {
    let foreign = try ForeignArtifact(
      reading: source, for: LoadedModel.open(model).reference, layer: layer,
      convention: layerConvention, allowsModelMismatch: allowModelMismatch)
    try foreign.artifact.write(to: output, replacing: replacing)
    Report(foreign, of: source, to: output).print(asJSON: printing.json)
  }
}
