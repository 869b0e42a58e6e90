import SextantBytes
import SextantCheckpoints
import SextantModels
import SextantStore
import SextantTensor
import SextantTokenizers

/// The formats of other programs that a model can be exported to.
package enum ModelExportFormat: String, Sendable, CaseIterable {
  /// A folder as transformers loads it: configuration, weights, tokenizer.
  case huggingFace = "huggingface"
  /// One file of weights.
  case safetensors
  /// A state dict.
  case pytorch
  /// One dataset for each tensor.
  case hdf5
  /// A model with its tokenizer, for llama.cpp.
  case gguf
  /// A preset as keras-hub loads it: description, weights, tokenizer.
  case kerasHub = "keras-hub"
  /// One file of weights as Keras 3 has it.
  case kerasHubWeights = "keras-hub weights"

  /// The same output in keras-hub's form; nil if it has none for such an output.
  package var inKerasHubForm: Self? {
    switch self {
    case .huggingFace: .kerasHub
    case .hdf5: .kerasHubWeights
    default: nil
    }
  }

  /// The format of an output path. It is a folder if the path ends with a slash, is an existing
  /// folder, or has no ending.
  ///
  /// The text after a dot counts as an ending if it is the ending of a supported format, or
  /// consists of letters only: `llama-1.5b` and `model.v2` are folders, and `model.onnx` is a file
  /// of an unsupported format.
  package init?(path: String) {
    let name = path.utf8.split(separator: UInt8(ascii: "/")).last.map { Substring($0) } ?? ""
    let dot = name.lastIndex(of: ".").flatMap { $0 == name.startIndex ? nil : $0 }
    guard let dot, !path.hasSuffix("/") else {
      self = .huggingFace
      return
    }
    let ending = name[name.index(after: dot)...].lowercased()
    switch ending {
    case "safetensors": self = .safetensors
    case "pth", "pt", "bin": self = .pytorch
    case "h5", "hdf5": self = .hdf5
    case "gguf": self = .gguf
    default:
      guard ending.contains(where: { !$0.isLetter }) || CheckpointSource.isFolder(path) else {
        return nil
      }
      self = .huggingFace
    }
  }
}

/// The options of an export.
package struct ModelExportOptions: Sendable {
  /// The type for matrices and embeddings; nil keeps those of the store.
  package var dataType: DataType?
  /// The name of the naming; nil selects the one that the format's usual readers expect.
  package var naming: String?
  /// Bytes of weights that one file of a folder may have.
  package var shardByteLimit = 5_000_000_000
  /// Leave the tokenizer out.
  package var leavesOutTokenizer = false
  /// Replace existing files.
  package var replacing = false

  /// Keeps types and takes the usual naming.
  package init() {}
}

/// The report of an export.
package struct ModelExportReport: Sendable {
  /// The naming.
  package var naming: String
  /// The files, by their names.
  package var files: [String]
  /// Tensors written.
  package var tensorCount: Int
  /// Bytes of their elements.
  package var byteCount: Int
  /// Notes for the user.
  package var notes: [String]
  /// Reasons for which the file may not work as a user expects.
  package var warnings: [String]
}

/// Converts a native model to the format of another program.
///
/// Every file is absent or complete, and tensors are streamed from the mapped store.
package struct ModelExport {
  let store: ModelStore
  let architecture: any Architecture.Type
  let format: ModelExportFormat
  let options: ModelExportOptions
  let model: PublishedModel
  var notes: [String]
  private var warnings: [String] = []
  private var modelMetadata: GGUFModelMetadata?
  private var tokenizerMetadata: GGUFTokenizerMetadata?

  /// Checks everything that can be checked before anything is written.
  ///
  /// - Throws: `store.architecture`, `export.format`, `export.inexpressible`, `model.*`; `usage.option` for
  ///   a type that the format does not have.
  package init(
    _ store: ModelStore, as format: ModelExportFormat, options: ModelExportOptions = .init()
  ) throws(Refusal) {
    guard let architecture = Architectures.named(store.architecture) else {
      throw Refusal(
        .storeArchitecture, file: store.path, found: store.architecture,
        expected: Architectures.names)
    }
    if format != .gguf, let type = options.dataType, type.isBlocks {
      throw Refusal(
        .usageOption, at: .parameter("dataType"), found: "\(type.word) for a format without blocks",
        expected: "keep, f32, bf16 or f16; or a .gguf file")
    }
    self.store = store
    self.architecture = architecture
    self.format = format
    self.options = options
    let outer = [architecture.tiedPair.embedding, architecture.tiedPair.head]
    var withoutBlocks: [String] = []
    let isGGUF = format == .gguf
    do throws(Refusal) {
      let dialect = try Self.dialect(of: architecture, format, options.naming, store.configuration)
      model = try PublishedModel(store, architecture, dialect) { spec, form, stored in
        var wanted = spec.kind == .vector ? stored : options.dataType ?? stored
        if options.dataType?.isBlocks == true, outer.contains(spec.name) { wanted = .q8 }
        guard isGGUF else { return wanted.isBlocks ? .f32 : wanted }
        let type = Self.ggufType(wanted, spec, form)
        if wanted.isBlocks, !type.isBlocks { withoutBlocks.append(spec.name) }
        return type
      }
      // A model that the format cannot express is refused here, before the first byte is written.
      if isGGUF {
        let metadata = try GGUFModelMetadata(architecture, store.configuration)
        (modelMetadata, warnings) = (metadata, metadata.warnings)
        tokenizerMetadata = try GGUFTokenizerMetadata(
          options.leavesOutTokenizer ? nil : store.attachment(ModelTokenizer.attachmentName),
          vocabularySize: store.entry(architecture.tiedPair.embedding)?.shape.first ?? 0,
          end: ModelTokenizer.storedEndOfTextIDs(of: store))
      } else {
        _ = try architecture.published(store.configuration, dialect: dialect.name)
      }
    } catch {
      throw error.inFile(store.path)
    }
    notes = []
    if let type = model.widened.first, !isGGUF {
      notes.append(
        "\(counted(model.widened.count, "tensor")) in blocks of few bits (\(type)) written as numbers"
      )
    }
    if let first = withoutBlocks.first {
      notes.append(
        "\(counted(withoutBlocks.count, "matrix", plural: "matrices")) without whole blocks in the order of "
          + "the file, written as F32: \(first)\(withoutBlocks.count > 1 ? " and others" : "")")
    }
    notes += tokenizerMetadata?.notes ?? []
    if store.variant != "source" {
      notes.append("the weights are those of the store (\(store.variant)), not the source's")
    }
  }

  /// llama.cpp requires f32 for every tensor except matrices. Blocks stay whole.
  private static func ggufType(
    _ wanted: DataType, _ spec: WeightSpec, _ form: StoredForm
  ) -> DataType {
    if wanted.isBlocks { return form.keepsBlocks(wanted, of: spec) ? wanted : .f32 }
    let isMatrix = spec.kind == .experts || (spec.kind == .matrix && spec.shape.count == 2)
    return isMatrix ? wanted : .f32
  }

  /// The dialect of that name, or the one that a format's usual readers expect.
  private static func dialect(
    of architecture: any Architecture.Type, _ format: ModelExportFormat, _ name: String?,
    _ configuration: JSONObject
  ) throws(Refusal) -> Dialect {
    let all = architecture.dialects
    if format == .kerasHub || format == .kerasHubWeights {
      return try kerasHubDialect(of: architecture, name, configuration)
    }
    if format == .gguf {
      guard let dialect = all.first(where: { $0.name == "gguf" }), name == nil || name == "gguf"
      else {
        throw Refusal(
          .exportFormat, found: name.map { "the naming \($0)" } ?? architecture.name,
          expected: "a model of \(GGUFTables.names) in llama.cpp's naming")
      }
      return dialect
    }
    let usual = all.filter { $0.name != "gguf" && !$0.name.hasPrefix(Dialect.kerasHub) }
    guard let name else {
      // RWKV-7 is read by flash-linear-attention; the others have one naming for transformers.
      let preferred = format == .pytorch ? ["blinkdl"] : ["huggingface", "fla"]
      if let dialect = preferred.lazy.compactMap({ name in
        usual.first { $0.name == name }
      }).first ?? usual.first {
        return dialect
      }
      throw Refusal(
        .exportFormat, found: architecture.name, expected: "an architecture with a naming")
    }
    guard let dialect = usual.first(where: { $0.name == name }) else {
      throw Refusal(
        .usageOption, at: .parameter("naming"), found: name,
        expected: usual.map(\.name).joined(separator: ", "))
    }
    return dialect
  }

  /// The naming of the class of keras-hub that can describe the model.
  private static func kerasHubDialect(
    of architecture: any Architecture.Type, _ name: String?, _ configuration: JSONObject
  ) throws(Refusal) -> Dialect {
    let dialects = architecture.dialects.filter {
      $0.isOfKerasHubPresets && (name == nil || $0.name == name)
    }
    guard let first = dialects.first else {
      throw Refusal(
        name == nil ? .exportFormat : .usageOption, at: name.map { _ in .parameter("naming") },
        found: name.map { "the naming \($0)" } ?? "a model of \(architecture.name)",
        expected: "a model of "
          + Architectures.kerasHubClasses.map(\.name).joined(separator: ", ") + " of keras-hub")
    }
    for dialect in dialects.dropFirst() {
      // The first class counts for a refusal.
      do throws(Refusal) {
        _ = try architecture.published(configuration, dialect: first.name)
        return first
      } catch {
        if (try? architecture.published(configuration, dialect: dialect.name)) != nil {
          return dialect
        }
      }
    }
    return first
  }

  /// llama.cpp's name for an architecture, for files that name their model.
  package static func modelHint(of architecture: String) -> String {
    GGUFTables.modelHint(of: architecture)
  }

  // MARK: Writing

  /// Writes and publishes the files.
  ///
  /// - Parameters:
  ///   - destination: the path that will appear: a file, or a folder that may exist.
  ///   - progress: receives bytes of weights done and in all.
  /// - Throws: `file.*`, `disk.*`.
  package func write(
    to destination: String, progress: @escaping (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> ModelExportReport {
    let meter = Meter(total: model.tensors.reduce(0) { $0 + $1.byteCount }, report: progress)
    var notes = notes
    var files = [destination]
    if format != .huggingFace, format != .kerasHub {
      try ProtectedFiles([store.path]).check(destination)
    }
    switch format {
    case .huggingFace: files = try writeFolder(destination, meter, &notes)
    case .safetensors:
      try writer(model.tensors, meter).publish(to: destination, replacing: options.replacing)
    case .pytorch: try writePyTorch(destination, meter)
    case .hdf5: try writeHDF5(destination, meter)
    case .gguf: try writeGGUF(destination, meter)
    case .kerasHub: files = try writePreset(destination, meter, &notes)
    case .kerasHubWeights:
      try kerasHubWriter(meter).publish(to: destination, replacing: options.replacing)
    }
    return ModelExportReport(
      naming: model.dialect.name, files: files, tensorCount: model.tensors.count,
      byteCount: meter.total, notes: notes, warnings: warnings)
  }

  /// Counts bytes that were passed on.
  final class Meter {
    let total: Int
    private var done = 0
    private let report: (Int, Int) -> Void

    init(total: Int, report: @escaping (Int, Int) -> Void) {
      self.total = total
      self.report = report
    }

    func add(_ count: Int) {
      done += count
      report(done, total)
    }
  }

  /// The elements of a tensor, counted as they pass.
  func source(
    of tensor: PublishedModel.Published, _ meter: Meter
  ) -> SafetensorsWriter.Source {
    { sink throws(Refusal) in
      try model.write(tensor) { piece throws(Refusal) in
        try sink(piece)
        meter.add(piece.count)
      }
    }
  }

  /// A safetensors file of some tensors.
  func writer(
    _ tensors: [PublishedModel.Published], _ meter: Meter
  ) throws(Refusal) -> SafetensorsWriter {
    var writer = SafetensorsWriter(metadata: ["format": "pt"])
    for tensor in tensors {
      try writer.add(
        tensor.name, tensor.dataType, shape: tensor.shape, source: source(of: tensor, meter))
    }
    return writer
  }

  private func writePyTorch(_ destination: String, _ meter: Meter) throws(Refusal) {
    var writer = PyTorchWriter()
    for tensor in model.tensors {
      try writer.add(
        tensor.name, tensor.dataType, shape: tensor.shape, source: source(of: tensor, meter))
    }
    try writer.publish(to: destination, replacing: options.replacing)
  }

  private func writeHDF5(_ destination: String, _ meter: Meter) throws(Refusal) {
    var writer = HDF5Writer()
    // Readers of flat files expect the configuration in the folder of the weights.
    var configuration = try architecture.published(
      store.configuration, dialect: model.dialect.name)
    if let end = try endOfText() { configuration["eos_token_id"] = end }
    writer.set("config", JSONValue.object(configuration).canonicalText)
    for tensor in model.tensors {
      try writer.add(
        tensor.name, tensor.dataType, shape: tensor.shape, source: source(of: tensor, meter))
    }
    try writer.publish(to: destination, replacing: options.replacing)
  }

  private func writeGGUF(_ destination: String, _ meter: Meter) throws(Refusal) {
    var writer = GGUFWriter()
    for (key, value) in modelMetadata?.values ?? [] { writer.set(key, value) }
    writer.set("general.file_type", .uint32(fileType))
    if model.tensors.contains(where: \.dataType.isBlocks) {
      writer.set("general.quantization_version", .uint32(2))
    }
    writer.set("sextant.model", .string(store.identity.description))
    for (key, value) in tokenizerMetadata?.values ?? [] { writer.set(key, value) }
    for (key, value) in try chatMetadata() { writer.set(key, value) }
    for (name, values) in try modelMetadata?.factors() ?? [] {
      try writer.add(name, Tensor(values, shape: [values.count]))
    }
    for tensor in model.tensors {
      try writer.add(
        tensor.name, tensor.dataType, shape: tensor.shape, source: source(of: tensor, meter))
    }
    try writer.publish(to: destination, replacing: options.replacing)
  }

  /// The chat templates: the main one under its own key, and others under their names.
  private func chatMetadata() throws(Refusal) -> [(key: String, value: GGUFNewValue)] {
    guard !options.leavesOutTokenizer, let chat = try PublishedChat.load(from: store) else {
      return []
    }
    let key = GGUFDescription.chatTemplateKey
    return chat.templates.map {
      ($0.name == PublishedChat.mainName ? key : "\(key).\($0.name)", .string($0.text))
    }
  }

  /// llama.cpp's number for the type of most matrices: of the blocks with the most elements, if there are any.
  private var fileType: UInt32 {
    var counts: [DataType: Int] = [:]
    for tensor in model.tensors {
      counts[tensor.dataType, default: 0] += tensor.shape.reduce(1, *)
    }
    let blocks = counts.filter { $0.key.isBlocks }
    switch blocks.max(by: { ($0.value, $0.key.word) < ($1.value, $1.key.word) })?.key {
    case .q4v0: return 2
    case .q4v1: return 3
    case .q8: return 7
    case .q5v0: return 8
    case .q5v1: return 9
    case .q4k: return 15
    case .q5k: return 17
    case .q6k: return 18
    default: break
    }
    if counts[.bf16] != nil { return 32 }
    return counts[.f16] != nil ? 1 : 0
  }
}
