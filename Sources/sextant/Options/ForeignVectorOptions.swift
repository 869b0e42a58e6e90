import ArgumentParser
import SextantArtifacts
import SextantBytes
import SextantCheckpoints
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

  func validate() throws {
    try Numbers.check(atLeast: 0, [("--layer", layer)])
    if model == nil, layerConvention != nil || layer != nil {
      throw ValidationError("--layer-convention and --layer need --model.")
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
    let reference = try OpenModel(model).reference
    if Lens.isTunedLens(source) {
      let lens = try Lens(tunedLens: source, for: reference)
      try lens.artifact.write(to: output, replacing: replacing)
      return report(source, output, "lens", "a lens", lens.translators.map(\.site.name), printing)
    }
    let vector: SteeringVector
    if let layer {
      vector = try SteeringVector(bareVector: source, block: layer, for: reference)
    } else if try FileKind(of: InputFile(source)) == .gguf {
      vector = try ControlVectorFile(reading: source)
        .steeringVector(for: reference, convention: layerConvention)
    } else {
      throw FormatError(
        .usageOption, file: source, at: .option("--layer"), found: "a vector without a layer",
        expected: "its block")
    }
    try vector.artifact.write(to: output, replacing: replacing)
    report(
      source, output, "steering", "a steering vector (\(vector.operation.rawValue))",
      vector.vectors.map(\.site.name), printing)
  }

  private func report(
    _ source: String, _ output: String, _ kind: String, _ what: String, _ sites: [String],
    _ printing: OutputOptions
  ) {
    Report(
      title: "\(printable(output)): \(what) for \(counted(sites.count, "site"))",
      facts: [("sites", sites.joined(separator: ", "))],
      json: JSONObject([
        ("source", .string(source)), ("output", .string(output)), ("kind", .string(kind)),
        ("sites", .array(sites.map { .string($0) })),
      ])
    ).print(asJSON: printing.json)
  }
}
