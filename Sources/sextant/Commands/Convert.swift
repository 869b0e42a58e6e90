import ArgumentParser
import SextantBytes
import SextantConversion
import SextantInspection
import SextantReport
import SextantTerminal

/// Checkpoint to native model.
struct Convert: WritingCommand {
  static let configuration = CommandConfiguration(
    abstract: "Convert a checkpoint to a native model file.",
    discussion: """
      Weights are streamed, so that memory stays small for models of any size. The destination \
      appears complete or not at all. The same weights give the same bytes, for every source \
      format and naming. With --model, SOURCE is a control vector (.gguf) or a bare vector of \
      another tool, which becomes a steering vector for that model, or a folder of tuned-lens, \
      which becomes a lens.
      """)

  @Argument(
    help: """
      A folder in Hugging Face layout, a preset of keras-hub, a .safetensors file, a PyTorch file, \
      an .index.json of shards, an HDF5 or Keras file (.h5, .weights.json, .keras), an .npz archive, \
      or a GGUF file.
      """)
  var source: String

  @Option(
    name: .shortAndLong, help: ArgumentHelp("The file to make.", valueName: "model.sxt"))
  var output: String

  @Option(
    help: """
      The type to store matrices and embeddings in; keep does not change the types, and keeps the \
      blocks of a GGUF file. Small tensors always keep their types. q8 stores blocks of 32 bytes with \
      one scale each, and q4 blocks of 32 numbers of 4 bits with a scale and a minimum, embedding and \
      output head in q8; matrices whose rows are not multiples of 32 keep their type, too.
      """)
  var dtype = StoredType.keep

  @Option(
    help: ArgumentHelp(
      """
      The model's configuration, if it is not in the folder of the weights. A \
      generation_config.json in the same folder is read too.
      """,
      valueName: "config.json"))
  var config: String?

  @Option(
    help: ArgumentHelp(
      """
      The model's tokenizer, if it is not in the folder of the weights: tokenizer.json, \
      tokenizer.model or rwkv_vocab_*.txt; or the word bytes, for a model that reads bytes.
      """,
      valueName: "file"))
  var tokenizer: String?

  @Flag(
    help: """
      Leave the tokenizer out. The model then takes only token ids, which is enough for capture, \
      steering and probes.
      """)
  var withoutTokenizer = false

  @Option(
    help: ArgumentHelp(
      """
      The architecture, if the configuration does not name it: a name such as llama, or a \
      model_type or class of transformers, such as LlamaForCausalLM.
      """,
      valueName: "name"))
  var architecture: String?

  @Option(
    help: ArgumentHelp(
      """
      The group of tensors to convert, if a file has several, such as a model and its moving \
      average. The group is the prefix of the names.
      """,
      valueName: "name"))
  var group: String?

  @Flag(
    name: .customLong("bf16-as-uint16"),
    help: """
      Read integers of 16 bits, and values of 16 bits without a type, as the bits of bfloat16 \
      numbers. HDF5 and NumPy have no bfloat16 type.
      """)
  var bfloat16AsUInt16 = false

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      """
      Leave out the tensors whose names match this pattern; * stands for any characters and ? for \
      one. The pattern is compared with the name in the file, with and without prefixes. May be \
      repeated. Value heads, classifiers and buffers are left out in any case.
      """,
      valueName: "pattern"))
  var ignore: [String] = []

  @OptionGroup var hdf5: HDF5Options
  @OptionGroup(title: "Vectors of other tools")
  var foreign: ForeignVectorOptions

  @Flag(help: "Replace an existing file.")
  var force = false

  @OptionGroup var printing: OutputOptions

  func validate() throws {
    if withoutTokenizer, tokenizer != nil {
      throw ValidationError("--without-tokenizer and --tokenizer exclude each other.")
    }
    guard foreign.model != nil else { return }
    try refuseGiven(
      [
        ("--dtype", dtype != .keep), ("--config", config != nil), ("--tokenizer", tokenizer != nil),
        ("--without-tokenizer", withoutTokenizer), ("--architecture", architecture != nil),
        ("--group", group != nil), ("--bf16-as-uint16", bfloat16AsUInt16),
        ("--ignore", !ignore.isEmpty),
      ], "is for models; with --model, SOURCE is a vector or a lens")
  }

  var fileUse: CommandFiles {
    CommandFiles(
      inputs: [source] + [config, tokenizer, foreign.model].compactMap { $0 } + options.sideFiles,
      readsFolders: true, outputs: [output], replaces: force)
  }

  private var options: ConversionOptions {
    var options = ConversionOptions()
    options.dataType = dtype.dataType
    options.configuration = config
    options.tokenizer = tokenizer
    options.leavesOutTokenizer = withoutTokenizer
    options.architecture = architecture
    options.group = group
    options.readsUInt16AsBFloat16 = bfloat16AsUInt16
    options.ignoring = ignore
    options.replacing = force
    return options
  }

  func run() throws {
    hdf5.apply()
    if let model = foreign.model {
      try hdf5.checkUsed()
      return try foreign.convert(source, to: output, model: model, replacing: force, printing)
    }
    let clock = Stopwatch()
    let conversion = try Conversion(source, options: options)
    try hdf5.checkUsed()
    Interruption.promise("nothing was written: the same command starts from the beginning")
    let progress = Progress("convert", .bytes)
    var report = try conversion.write(to: output) { progress.update($0, $1) }
    progress.clear()
    report.notes = report.notes.map(ParameterNames.withOptions)
    Report(report, of: source, to: output, seconds: clock.seconds).print(asJSON: printing.json)
  }
}
