import SextantBytes
import SextantCheckpoints
import SextantModels
import SextantTokenizers

extension ModelExport {
  /// Writes a preset that keras-hub's `from_preset` loads; `config.json` comes last, so that a folder that
  /// has it is complete.
  ///
  /// - Returns: the names of the files.
  func writePreset(
    _ path: String, _ meter: Meter, _ notes: inout [String]
  ) throws(Refusal) -> [String] {
    var folder = path
    while folder.utf8.count > 1, folder.hasSuffix("/") { folder.removeLast() }
    var description = try architecture.published(store.configuration, dialect: model.dialect.name)
    var side = try tokenizerFiles(&description, &notes)
    side.append(("metadata.json", metadata))
    if case .object(var config)? = description["config"] {
      config["dtype"] = KerasHub.policy(dataTypeName)
      description["config"] = .object(config)
    }
    side.append(("config.json", JSONValue.object(description).canonicalBytes))
    let names = [Self.presetWeights] + side.map(\.name)
    let isNew = try Self.makeFolder(folder)
    do throws(Refusal) {
      try checkNew(names, in: folder)
      for inner in ["assets", "assets/tokenizer"]
      where names.contains(where: { $0.hasPrefix(inner) }) {
        _ = try Self.makeFolder("\(folder)/\(inner)")
      }
      try kerasHubWriter(meter).publish(
        to: "\(folder)/\(Self.presetWeights)", replacing: options.replacing)
      for (name, bytes) in side {
        try FilePublisher.publish(bytes, to: "\(folder)/\(name)", replacing: options.replacing)
      }
    } catch {
      if isNew { Self.removeFolders(["assets/tokenizer", "assets", ""].map { "\(folder)/\($0)" }) }
      throw error
    }
    return names
  }

  private static let presetWeights = "model.weights.h5"

  /// A file of weights as Keras 3 has it: a group for each layer, whose variables are numbered.
  func kerasHubWriter(_ meter: Meter) throws(Refusal) -> HDF5Writer {
    var writer = HDF5Writer()
    for tensor in model.tensors {
      try writer.add(
        tensor.name.replacing(".", with: "/"), tensor.dataType, shape: tensor.shape, isPath: true,
        source: source(of: tensor, meter))
    }
    return writer
  }

  /// The name of the type that most matrices have.
  private var dataTypeName: String {
    let types = Set(model.tensors.map(\.dataType))
    return types.contains(.bf16) ? "bfloat16" : types.contains(.f16) ? "float16" : "float32"
  }

  /// The versions whose format this is, and the number of weights.
  private var metadata: [UInt8] {
    let count = model.tensors.reduce(0) { $0 + $1.shape.reduce(1, *) }
    let object: JSONValue = [
      "keras_version": "3.15.1", "keras_hub_version": "0.32.0",
      "parameter_count": .integer(Int64(count)), "tasks": ["CausalLM"],
    ]
    return object.canonicalBytes
  }

  /// The tokenizer's files. Llama 2 and Llama 3 differ in the tokenizer: its kind decides which of the two
  /// the description names.
  private func tokenizerFiles(
    _ description: inout JSONObject, _ notes: inout [String]
  ) throws(Refusal) -> [(name: String, bytes: [UInt8])] {
    guard !options.leavesOutTokenizer,
      let bytes = try store.attachment(ModelTokenizer.attachmentName),
      case .string(let name)? = description["class_name"]
    else { return [] }
    let alike = ["LlamaBackbone", "Llama3Backbone"]
    let names = alike.contains(name) ? [name] + alike : [name]
    guard let files = try KerasTokenizerFiles.files(of: bytes, for: names, &notes) else {
      return []
    }
    let chosen = architecture.kerasHubClasses.first { $0.name == files.known.backbone }
    if let chosen, case .object(let config)? = description["config"] {
      description = chosen.description(config)
    }
    return files.files
  }

  /// Refuses files that are there, before anything is written.
  private func checkNew(_ names: [String], in folder: String) throws(Refusal) {
    let model = ProtectedFiles([store.path])
    for name in names { try model.check("\(folder)/\(name)") }
    for other in ["model.weights.json", "model.safetensors"]
    where CheckpointSource.hasFile(other, in: folder) {
      throw Refusal(
        .fileExists, file: "\(folder)/\(other)", found: "other weights",
        expected: "a folder without them", remedy: "Remove the file, or name another folder.")
    }
    guard !options.replacing else { return }
    for name in names where CheckpointSource.hasFile(name, in: folder) {
      _ = try FilePublisher("\(folder)/\(name)")
    }
  }
}
