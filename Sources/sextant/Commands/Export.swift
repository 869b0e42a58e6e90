import ArgumentParser
import Sextant
import SextantBytes
import SextantConversion
import SextantInspection
import SextantReport
import SextantTerminal

/// Native files to the formats of other programs.
struct Export: WritingCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write a model or an artifact in another program's format.",
    discussion: """
      The ending of OUT selects the format. For a model, a name without an ending, or with a slash \
      after it, makes a folder that transformers loads (config.json, model.safetensors in pieces \
      of at most 5 GB, the tokenizer), .safetensors, .pth and .h5 contain only the weights, .gguf \
      is for llama.cpp. A steering vector becomes a control vector of llama.cpp with .gguf. A lens \
      becomes a folder of the tuned-lens package. .npz and .pt contain the tensors of any artifact \
      under the names of their sites. --form keras-hub makes a preset of keras-hub in the place of a \
      transformers folder, and its weights with .h5. Every file appears complete or not at all.
      """)

  @Argument(help: "A native model, or an artifact.")
  var file: String

  @Option(name: .shortAndLong, help: ArgumentHelp("The file or folder to make.", valueName: "out"))
  var output: String

  @Option(
    help: """
      The type to write a model's matrices and embeddings in; keep does not change the stored \
      types. q8 and q4 are for .gguf only.
      """)
  var dtype = StoredType.keep

  @Option(
    help: ArgumentHelp(
      """
      The form of an .h5 file, or of a folder: flat has one dataset for each tensor and is the default \
      for .h5; keras-hub is what keras-hub loads.
      """, valueName: "form"))
  var form: KerasForm?

  /// The forms of HDF5 files, and of folders with them.
  enum KerasForm: String, ExpressibleByArgument, CaseIterable {
    /// One dataset for each tensor.
    case flat
    /// As keras-hub has it.
    case kerasHub = "keras-hub"
  }

  @Option(
    help: ArgumentHelp(
      "A model's naming, such as state-spaces or blinkdl. Default: the format's usual one.",
      valueName: "name"))
  var naming: String?

  @Option(
    help: ArgumentHelp(
      "The largest number of bytes of weights in one file of a folder. Default: 5000000000.",
      valueName: "bytes")
  )
  var shardSize: Int?

  @Option(
    help: ArgumentHelp(
      "Only these blocks of a steering vector, such as 3 or 1,3,10-12. Default: all.",
      valueName: "list"),
    transform: Written.layers)
  var layers: LayerSelection?

  @Flag(help: "Leave the model's tokenizer out. Other programs then take only token ids.")
  var withoutTokenizer = false

  @Flag(help: "Replace existing files.")
  var force = false

  @OptionGroup var printing: OutputOptions

  func validate() throws {
    if let shardSize, shardSize < 1 {
      throw ValidationError("--shard-size is \(shardSize); it must be 1 or more.")
    }
  }

  /// Refuses options that cannot take effect.
  ///
  /// - Parameter options: each one's name, and whether it was given.
  /// - Throws: `usage.option`.
  private func refuse(
    _ options: [(name: String, isGiven: Bool)], for what: String
  ) throws(Refusal) {
    guard let option = options.first(where: \.isGiven) else { return }
    throw Refusal(
      .usageOption, at: .option(option.name), found: "the export of \(what)",
      expected: "a format that the option applies to", remedy: "Leave the option out.")
  }

  var fileUse: CommandFiles {
    let isFolder = ModelExportFormat(path: output) == .huggingFace
    return CommandFiles(
      inputs: [file], outputs: isFolder ? [] : [output],
      possible: isFolder ? [output] + ArtifactExport.usualNames.map { "\(output)/\($0)" } : [],
      replaces: force
    )
  }

  func run() throws {
    switch try ContentKind(of: file) {
    case .model: try exportModel()
    case .artifact: try exportArtifact()
    case .other:
      throw Refusal(
        .exportFormat, file: file, found: "a file of another program",
        expected: "a native model or an artifact", remedy: "Convert it first.")
    }
  }

  private func exportArtifact() throws {
    try refuse(
      [
        ("--dtype", dtype != .keep), ("--naming", naming != nil), ("--form", form != nil),
        ("--shard-size", shardSize != nil), ("--without-tokenizer", withoutTokenizer),
      ], for: "an artifact")
    let format = try ArtifactExport(to: output)
    if format != .controlVector {
      try refuse(
        [("--layers", layers != nil)],
        for: format == .tunedLens ? "a lens" : "all tensors of an artifact")
    }
    let artifact = try Artifact(reading: file)
    let count = try format.write(artifact, to: output, layers: layers, replacing: force)
    Report(exported: artifact, of: file, to: output, tensorCount: count)
      .print(asJSON: printing.json)
  }

  /// The format of an output in a form.
  ///
  /// - Throws: `usage.option` for an output that has no such form.
  private func format(
    _ format: ModelExportFormat, in form: KerasForm
  ) throws(Refusal) -> ModelExportFormat {
    let found = form == .flat ? (format == .hdf5 ? format : nil) : format.inKerasHubForm
    guard let found else {
      throw Refusal(
        .usageOption, at: .option("--form"), found: "\(form.rawValue) for \(output)",
        expected: form == .flat ? "a file .h5" : "a folder, or a file .h5",
        remedy: "Leave the option out, or name another output.")
    }
    return found
  }

  private func exportModel() throws {
    guard var format = ModelExportFormat(path: output) else {
      throw Refusal(
        .exportFormat, file: output, found: "an ending that is not one of a model format",
        expected: "a folder, .safetensors, .pth, .h5 or .gguf",
        remedy: "For a folder with this name, add a slash: \(output)/")
    }
    try refuse([("--layers", layers != nil)], for: "a model")
    if let form { format = try self.format(format, in: form) }
    if format != .huggingFace {
      try refuse([("--shard-size", shardSize != nil)], for: "one file")
    }
    var options = ModelExportOptions()
    options.dataType = dtype.dataType
    options.naming = naming
    if let shardSize { options.shardByteLimit = shardSize }
    options.leavesOutTokenizer = withoutTokenizer
    options.replacing = force
    let export = try ModelExport(ModelStore(opening: file), as: format, options: options)
    let progress = Progress("export", .bytes)
    var report = try export.write(to: output) { progress.update($0, $1) }
    progress.clear()
    report.notes = report.notes.map(ParameterNames.withOptions)
    report.warnings = report.warnings.map(ParameterNames.withOptions)
    for warning in report.warnings { StandardStreams.printError("warning: \(printable(warning))") }
    Report(report, of: file, to: output, as: format).print(asJSON: printing.json)
  }
}
