import SextantBytes
import SextantCheckpoints
import SextantLocks
import SextantModels
import SextantStore
import SextantTensor
import SextantTokenizers

/// The options of a conversion.
public struct ConversionOptions: Sendable {
  /// The type for matrices and embeddings; nil keeps each tensor's own, and the blocks of a GGUF file. Small
  /// tensors always keep theirs, and for `q8` and `q4v1` so do matrices whose rows are not a whole number
  /// of blocks. With `q4v1` the embedding and the output head are stored in `q8`.
  public var dataType: DataType?
  /// The path of a `config.json`, if the source's folder has none.
  public var configuration: String?
  /// The path of a tokenizer's file, if the source's folder has none, or the name of a tokenizer
  /// without one: `bytes`.
  public var tokenizer: String?
  /// Leave the tokenizer out: the model takes token ids only.
  public var leavesOutTokenizer = false
  /// The name of the architecture, or a `model_type` or a class of transformers, if the
  /// configuration does not name it.
  public var architecture: String?
  /// The group of tensors to convert, if a file has several; nil for the only one.
  public var group: String?
  /// Take integers of 16 bits for the bits of bfloat16 numbers.
  public var readsUInt16AsBFloat16 = false
  /// Patterns for the names of tensors to leave out, with `*` and `?`.
  public var ignoring: [String] = []
  /// Replace an existing destination.
  public var replacing = false

  /// Keeps types, reads the files in the source's folder and replaces nothing.
  public init() {}

  /// The path of the tokenizer that is named; nil for none, and for one that needs no file.
  var tokenizerPath: String? {
    tokenizer.flatMap { Tokenizers.builtIn(named: $0) == nil ? $0 : nil }
  }

  /// The files that are read together with a given configuration and tokenizer. Not all of them
  /// have to exist. They must not be replaced.
  public var sideFiles: [String] {
    let configured = configuration.map {
      ["\(SideFile.folder(of: $0))/generation_config.json"]
    }
    let tokenized = tokenizerPath.map { path in
      let names = ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"]
      return (names + ChatTemplateFiles.names).map { "\(SideFile.folder(of: path))/\($0)" }
    }
    return (configured ?? []) + (tokenized ?? [])
  }
}

/// The report of a conversion.
public struct ConversionReport: Sendable {
  /// The model's identity.
  public var identity: Digest
  /// The architecture's name.
  public var architecture: String
  /// The naming that the checkpoint follows.
  public var dialect: String
  /// The checkpoint's container format.
  public var format: String
  /// Tensors written.
  public var tensorCount: Int
  /// Elements of all tensors.
  public var parameterCount: Int
  /// Bytes read from the checkpoint's tensors.
  public var sourceByteCount: Int
  /// Bytes of the store.
  public var byteCount: Int
  /// Elements that are NaN or infinite in the store, by canonical name.
  public var nonfinite: [(name: String, count: Int)]
  /// Notes for the user that need no action.
  public var notes: [String]
}

/// Converts a checkpoint of any supported format to a native model file.
///
/// Tensors are streamed, several at a time: memory is limited by the pieces, for models of any
/// size. The same weights give the same bytes, for every container and naming.
package struct Conversion {
  private let source: CheckpointSource
  /// The weights of the source's checkpoint.
  private let checkpoint: any Checkpoint
  /// The files in the same folder that were read or may be read, which no output may replace.
  private let sideFiles: [String]
  private let options: ConversionOptions
  private let architecture: any Architecture.Type
  private let configuration: JSONObject
  private let mapping: WeightMapping
  private let attachments: [(name: String, bytes: [UInt8])]
  private var notes: [String]

  /// Opens a checkpoint and checks everything that can be checked without reading weights.
  ///
  /// - Parameter path: a folder in Hugging Face layout, or a checkpoint file.
  /// - Throws: `file.*`, the formats' codes, `model.*`, `tokenizer.*`; `usage.option` for a pattern of
  ///   `ignoring` that fits no tensor.
  package init(_ path: String, options: ConversionOptions = .init()) throws(Refusal) {
    let source = try Self.open(path, options)
    do throws(Refusal) {
      self = try Conversion(source, options)
    } catch {
      throw Self.naming(source.checkpoint.arrays, in: error)
    }
  }

  /// A refusal of missing tensors, with the arrays of NumPy that the file has instead.
  private static func naming(_ arrays: [String], in refusal: Refusal) -> Refusal {
    let codes: [Refusal.Code] = [
      .modelTensorMissing, .modelDialectUnknown, .modelTied, .modelArchitecture, .modelGroup,
      .indexTensorMissing,
    ]
    guard !arrays.isEmpty, codes.contains(refusal.code) else { return refusal }
    var copy = refusal
    let shown = arrays.prefix(4).joined(separator: ", ") + (arrays.count > 4 ? ", …" : "")
    copy.found = "arrays of NumPy instead of tensors: \(shown); \(refusal.found)"
    copy.remedy =
      "In Python, make tensors of the arrays with torch.from_numpy, and save the file again."
    return copy
  }

  private init(_ source: CheckpointSource, _ options: ConversionOptions) throws(Refusal) {
    self.source = source
    self.options = options
    sideFiles = source.sideFiles + options.sideFiles
    let published = try Self.readConfiguration(source, options)
    // The types of a GGUF file's numbers come from its reader, not from a configuration.
    if !(source.checkpoint is GGUFFile) { try Quantisation.check(published) }
    let part = try published.flatMap { config throws(Refusal) in
      try Architectures.languageModel(in: config)
    }
    let config = part ?? published
    let integers = try KerasInt8Checkpoint(source.checkpoint)
    let weights = try ModelWeights(of: integers ?? source.checkpoint, options, config)
    let checkpoint = weights.checkpoint
    self.checkpoint = checkpoint
    let leftOut = try LeftOutTensors(
      options.ignoring, weights: weights.names, tensors: source.checkpoint.tensors.map(\.name))
    let adapterNotes = try Adapter.check(source, ignoring: leftOut.ignores(original:))
    try Quantisation.check(
      checkpoint.tensors.map(\.name).filter { !leftOut.ignores($0) }, in: checkpoint.path)
    let shapes = CheckpointShapes(checkpoint.tensors.map { ($0.name, $0.shape) })
    if let name = options.architecture {
      architecture = try Self.architecture(named: name)
    } else {
      architecture = try Architectures.recognise(config, checkpoint: shapes, path: checkpoint.path)
    }
    do throws(Refusal) {
      configuration = try architecture.configuration(from: config, checkpoint: shapes).json
    } catch {
      let refusal = error.inFile(checkpoint.path)
      throw GGUFDescription(source.checkpoint)?.named(refusal) ?? refusal
    }
    mapping = try WeightMapping(
      architecture, configuration, checkpoint, leavingOut: leftOut,
      isBaseModel: weights.isBaseModel)
    notes = source.warnings + adapterNotes + weights.notes + mapping.notes
    if let integers {
      notes.append(
        "\(counted(integers.quantisedCount, "matrix is", plural: "matrices are")) integers of 8 bits, "
          + "read with the scales of Keras as F32. Keras rounds the inputs of these layers as well, and "
          + "Sextant does not")
    }
    if let published, part != nil {
      let others = Architectures.otherParts(of: published).joined(separator: ", ")
      notes.append("only the language model of a model with several parts; not read: \(others)")
    }
    notes += mapping.notes(onBlocksIn: mapping.plan(options.dataType), options.dataType)
    let keeping = mapping.matricesKeepingType(options.dataType)
    if let first = keeping.first, let type = options.dataType {
      notes.append(
        "\(counted(keeping.count, "matrix keeps its", plural: "matrices keep their")) type: a row is not a multiple of "
          + "\(type.blockLength): \(first)\(keeping.count > 1 ? " and others" : "")")
    }
    let rowCount = mapping.rowCount(of: architecture.tiedPair.embedding)
    let tokenizer = try Self.readTokenizer(source, options, vocabularySize: rowCount, &notes)
    let end = EndOfText(
      source, options, configuration: published, tokenizer: tokenizer?.tokenizer,
      rowCount: rowCount)
    notes += end.notes
    // Now everything that reads a member of the configuration has read it.
    notes += Self.notes(on: config, architecture, GGUFDescription(source.checkpoint))
    var chat: ChatTemplateFiles?
    if let tokenizer { chat = ChatTemplateFiles(source, options, tokenizer.tokenizer) }
    notes += chat?.notes ?? []
    let files = [
      (PublishedChat.attachmentName, chat?.published?.content),
      (ModelTokenizer.endOfTextAttachmentName, end.content),
      (ModelTokenizer.attachmentName, tokenizer?.bytes),
    ]
    attachments = files.compactMap { name, bytes in bytes.map { (name, $0) } }
  }

  // MARK: Side files

  /// Opens a checkpoint. If no reader supports its types, they are usually those of quantised
  /// weights, and the refusal names this.
  private static func open(
    _ path: String, _ options: ConversionOptions
  ) throws(Refusal) -> CheckpointSource {
    do throws(Refusal) {
      let source = try CheckpointSource.open(path)
      guard source.checkpoint.metadata["sextant"] == nil else {
        throw Refusal(
          .fileUnknown, file: path, found: "an artifact of Sextant", expected: "a checkpoint",
          remedy: "Use it as it is: an artifact needs no conversion.")
      }
      if source.sideFile("params.pt") != nil, let config = source.configuration,
        case .object(let members) = try readConfiguration(at: config).value,
        members["lens_type"] != nil
      {
        throw Refusal(
          .fileUnknown, file: path, found: "a lens of tuned-lens", expected: "a checkpoint",
          remedy: "Name the model that the lens was made for with `model`.")
      }
      return source
    } catch {
      guard [.safetensorsUnsupportedDataType, .pytorchTensorKind].contains(error.code) else {
        throw error
      }
      let folder = CheckpointSource.isFolder(path) ? path : SideFile.folder(of: path)
      let name = options.configuration ?? "\(folder)/config.json"
      if let config = try? readConfiguration(at: name) { try Quantisation.check(config) }
      throw Quantisation.refusal(ofUnreadType: error) ?? error
    }
  }

  private static func readConfiguration(at path: String) throws(Refusal) -> JSONNode {
    let config = try JSONNode(
      parsing: SideFile.content(of: path, limit: 16 << 20), code: .modelConfiguration, file: path,
      acceptsInfinity: true, reads: JSONReads())
    guard try !config.object().members.isEmpty else {
      throw config.refusal(
        found: "an object without members",
        expected: "the configuration that was published with the model")
    }
    return config
  }

  private static func readConfiguration(
    _ source: CheckpointSource, _ options: ConversionOptions
  ) throws(Refusal) -> JSONNode? {
    // Prefer the GGUF file's own metadata to a config.json in the same folder.
    let description = GGUFDescription(source.checkpoint)
    if options.configuration == nil, let description { return try description.configuration() }
    // A .keras archive describes its model, too.
    let own = source.checkpoint.metadata["config"]
    let isArchive = source.checkpoint.format.hasPrefix("keras,") && own != nil
    if let path = options.configuration ?? (isArchive ? nil : source.configuration) {
      return try named(options.architecture, in: readConfiguration(at: path))
    }
    // HDF5 dumps of Hugging Face models contain config.json as a root attribute.
    if let text = own {
      return try JSONNode(
        parsing: Array(text.utf8), code: .modelConfiguration, file: source.checkpoint.path,
        acceptsInfinity: true, reads: JSONReads())
    }
    return nil
  }

  /// A configuration that names no model, with the `model_type` or class that the user named: models of one
  /// architecture may differ in their defaults.
  private static func named(
    _ word: String?, in config: JSONNode
  ) throws(Refusal) -> JSONNode {
    let object = try config.object()
    guard let word, [nil, .null].contains(object["model_type"]),
      [nil, .null].contains(object["architectures"])
    else { return config }
    for (key, value) in [
      ("model_type", JSONValue.string(word)), ("architectures", [.string(word)]),
    ] {
      var named = object
      named[key] = value
      let node = JSONNode(
        .object(named), code: config.code, file: config.file, reads: JSONReads())
      if Architectures.all.contains(where: { $0.recognises(node) }) { return node }
    }
    return config
  }

  /// Notes for the user on the configuration: members that nothing reads, and a model of another
  /// type.
  private static func notes(
    on config: JSONNode?, _ architecture: any Architecture.Type, _ gguf: GGUFDescription?
  ) -> [String] {
    guard let config else { return [] }
    var notes: [String] = []
    if case .object(let object) = config.value, case .string(let type)? = object["model_type"],
      !architecture.recognises(config)
    {
      notes.append(
        "the configuration declares the model type \(type), and is read as one of \(architecture.name)"
      )
    }
    var inert = ConfigurationKeys.inert(in: config).union(architecture.inertKeys)
    if KerasHub.className(of: config) != nil { inert.formUnion(KerasHub.inertKeys) }
    var unused = config.unreadMembers(except: inert)
    if let gguf, gguf.isSource(of: config) { unused += gguf.unusedKeys }
    if !unused.isEmpty {
      let more = unused.count > 20 ? " and \(unused.count - 20) more" : ""
      let shown = unused.prefix(20).map { String($0.prefix(100)) }.joined(separator: ", ")
      let isReplaced = unused.contains { $0.hasPrefix("rope_parameters") }
      notes.append(
        "not used: \(shown)\(more). Nothing in this configuration of \(architecture.name) depends on "
          + (unused.count == 1 ? "it" : "them")
          + (isReplaced && hasRotationScaling(config)
            ? "; rope_scaling replaces rope_parameters." : "."))
    }
    return notes
  }

  /// Whether a configuration has a `rope_scaling` with members.
  private static func hasRotationScaling(_ config: JSONNode) -> Bool {
    guard case .object(let object) = config.value,
      case .object(let scaling)? = object["rope_scaling"]
    else { return false }
    return !scaling.members.isEmpty
  }

  static func architecture(
    named name: String
  ) throws(Refusal) -> any Architecture.Type {
    guard let architecture = Architectures.meant(by: name) else {
      throw Refusal(
        .modelArchitecture, at: .parameter("architecture"), found: "\"\(name)\"",
        expected:
          "\(Architectures.names); or a model_type or class of these, such as LlamaForCausalLM")
    }
    return architecture
  }

  /// The tokenizer that the model takes along; nil if there is none.
  private static func readTokenizer(
    _ source: CheckpointSource, _ options: ConversionOptions, vocabularySize: Int,
    _ notes: inout [String]
  ) throws(Refusal) -> (bytes: [UInt8], tokenizer: any Tokenizer)? {
    if options.leavesOutTokenizer {
      notes.append("without a tokenizer: the model takes token ids only")
      return nil
    }
    do throws(Refusal) {
      guard let (path, bytes) = try findTokenizer(source, options) else {
        notes.append(ModelTokenizer.note(onNoneBeside: source))
        return nil
      }
      let isInGGUF = path == source.checkpoint.path
      let found =
        isInGGUF
        ? (bytes, try Tokenizers.load(bytes: bytes, file: path))
        : try ModelTokenizer.completed(bytes, at: path, notes: &notes)
      guard found.1.vocabularySize <= vocabularySize else {
        throw Refusal(
          .modelTokenizer, file: path, found: "ids up to \(found.1.vocabularySize - 1)",
          expected: "ids below the \(vocabularySize) rows of the embedding")
      }
      return found
    } catch {
      // Capturing, steering and probing need only ids, so that a tokenizer is optional.
      guard !error.code.rawValue.hasPrefix("file.") else { throw error }
      var refusal = error
      refusal.remedy += " Or convert without it: `leavesOutTokenizer`."
      throw refusal
    }
  }

  private static func findTokenizer(
    _ source: CheckpointSource, _ options: ConversionOptions
  ) throws(Refusal) -> (path: String?, bytes: [UInt8])? {
    if options.tokenizer == nil, let own = try GGUFDescription(source.checkpoint)?.tokenizer() {
      return (source.checkpoint.path, own)
    }
    return try ModelTokenizer.find(options.tokenizer, beside: source)
  }

  // MARK: Writing

  /// Writes and publishes the store.
  ///
  /// - Parameters:
  ///   - destination: the path that will appear when everything is written.
  ///   - progress: receives source bytes done and in all.
  /// - Throws: `file.*`, `disk.*`, the formats' codes; `model.overflow` if `dataType` cannot
  ///   express a weight. Nothing is left behind then.
  package func write(
    to destination: String,
    progress: @escaping (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> ConversionReport {
    let checkpoint = checkpoint
    guard !checkpoint.reads(path: destination) else {
      throw Refusal(
        .fileSame, file: destination, found: "the checkpoint itself", expected: "another path")
    }
    try ProtectedFiles(
      [options.configuration, options.tokenizerPath].compactMap { $0 } + sideFiles
    ).check(destination)
    let writer = try StoreWriter(
      destination: destination, replacing: options.replacing, architecture: architecture.name,
      configuration: configuration, variant: variant, tensors: mapping.plan(options.dataType),
      attachments: attachments)
    let tally = ConversionTally(byteCount: mapping.byteCount, progress)
    let mapping = mapping
    // Elements that keep their form and type are copied between the files.
    try writer.copy(from: { tensor in
      let keepsType = tensor.dataType == tensor.sourceDataType
      return keepsType ? mapping.part(of: tensor.name, in: checkpoint) : nil
    }) { tensor, piece in
      tally.add(tensor, piece)
    }
    let keepsBlocks = options.dataType == nil
    let convert: @Sendable (PlannedTensor, inout TensorSink) throws(Refusal) -> Void = {
      tensor, sink throws(Refusal) in
      try Self.convert(
        tensor, mapping, checkpoint, keepingBlocks: keepsBlocks, into: &sink, tally)
    }
    if checkpoint.readsConcurrently {
      try writer.writeAll(.shared, convert)
    } else {
      for tensor in writer.missing {
        try writer.write(tensor.name) { sink throws(Refusal) in try convert(tensor, &sink) }
      }
    }
    let counts = tally.nonfinite
    let nonfinite = writer.tensors.compactMap { tensor in
      counts[tensor.name].map { (name: tensor.name, count: $0) }
    }
    try checkpoint.checkUnchanged()
    let identity = try writer.finish()
    return ConversionReport(
      identity: identity, architecture: architecture.name, dialect: mapping.dialect.name,
      format: checkpoint.format, tensorCount: writer.tensors.count,
      parameterCount: mapping.specs.reduce(0) { $0 + $1.shape.reduce(1, *) },
      sourceByteCount: mapping.byteCount, byteCount: writer.fileByteCount, nonfinite: nonfinite,
      notes: notes)
  }

  /// Hands the elements of one tensor to the store, in the type that the store has for them.
  private static func convert(
    _ tensor: PlannedTensor, _ mapping: WeightMapping, _ checkpoint: any Checkpoint,
    keepingBlocks: Bool, into sink: inout TensorSink, _ tally: ConversionTally
  ) throws(Refusal) {
    if keepingBlocks, tensor.dataType.isBlocks {
      return try keepBlocks(of: tensor, mapping, checkpoint, into: &sink, tally)
    }
    var converter = ElementConverter(from: tensor.sourceDataType, to: tensor.dataType)
    try mapping.read(tensor.name, from: checkpoint) { piece throws(Refusal) in
      if tensor.dataType == tensor.sourceDataType {
        tally.add(tensor, piece)
        try sink.append(piece)
      } else {
        try converter.convert(piece) { bytes throws(Refusal) in
          tally.add(tensor, piece, storedAs: bytes)
          try sink.append(bytes, source: piece)
        }
      }
    }
    try converter.overflow.check(of: tensor.name, in: tensor.dataType, file: checkpoint.path)
  }

  /// Hands the blocks of one tensor to the store as they are. Their values are digested.
  private static func keepBlocks(
    of tensor: PlannedTensor, _ mapping: WeightMapping, _ checkpoint: any Checkpoint,
    into sink: inout TensorSink, _ tally: ConversionTally
  ) throws(Refusal) {
    var converter = ElementConverter(from: tensor.dataType, to: tensor.sourceDataType)
    try mapping.read(tensor.name, inBlocks: true, from: checkpoint) { piece throws(Refusal) in
      try converter.convert(piece) { values throws(Refusal) in
        tally.add(tensor, values, storedAs: piece)
        try sink.append(piece, source: values)
      }
    }
  }

  /// `source`, the type that was asked for, or the type of blocks that most elements keep.
  private var variant: String {
    let converted = mapping.plan(options.dataType).filter { $0.dataType != $0.sourceDataType }
    guard !converted.isEmpty else { return StoreFormat.sourceVariant }
    if let type = options.dataType { return type.word }
    var counts: [DataType: Int] = [:]
    for tensor in converted { counts[tensor.dataType, default: 0] += tensor.shape.reduce(1, *) }
    let most = counts.max { ($0.value, $0.key.word) < ($1.value, $1.key.word) }
    return most?.key.word ?? StoreFormat.sourceVariant
  }
}

/// The totals of the threads that write tensors.
private final class ConversionTally: Sendable {
  private struct Totals: Sendable {
    /// Bytes of the source that are done.
    var done = 0
    /// Elements that are NaN or infinite, by canonical name.
    var nonfinite: [String: Int] = [:]
  }

  private let totals = Lock(Totals())
  private let byteCount: Int
  // Called while the lock is locked.
  nonisolated(unsafe) private let progress: (_ done: Int, _ total: Int) -> Void

  init(byteCount: Int, _ progress: @escaping (_ done: Int, _ total: Int) -> Void) {
    self.byteCount = byteCount
    self.progress = progress
  }

  /// Elements so far that are NaN or infinite in the store, by canonical name.
  var nonfinite: [String: Int] { totals.withLock { $0.nonfinite } }

  /// Counts a piece of a tensor's source.
  ///
  /// - Parameter stored: its elements in the store; nil if they are the same.
  func add(
    _ tensor: PlannedTensor, _ piece: UnsafeRawBufferPointer,
    storedAs stored: UnsafeRawBufferPointer? = nil
  ) {
    let nonfinite = Kernels.nonfiniteCount(stored ?? piece, tensor.dataType)
    totals.withLock { totals in
      if nonfinite > 0 { totals.nonfinite[tensor.name, default: 0] += nonfinite }
      totals.done += piece.count
      progress(totals.done, byteCount)
    }
  }
}
