import SextantBytes

/// A checkpoint found at a path, and the files that usually are in the same folder.
package struct CheckpointSource: Sendable {
  /// The checkpoint, open.
  package let checkpoint: any Checkpoint
  /// The folder that contains it and its side files.
  package let folder: String
  /// Harmless faults of the checkpoint.
  package let warnings: [String]

  /// The path of `config.json` in the folder of the checkpoint, if there is one; or else that of `task.json`,
  /// in which keras-hub describes a model for a task.
  package var configuration: String? { sideFile("config.json") ?? sideFile("task.json") }
  /// The paths of tokenizers in the folder of the checkpoint, the one to prefer first:
  /// `tokenizer.json`, `tokenizer.model`, `rwkv_vocab_*.txt`; in a preset of keras-hub its
  /// vocabulary alone.
  package var tokenizers: [String] {
    // The tokenizer.json there is Keras's description of an object.
    let vocabularies = ["vocabulary.txt", "vocabulary.spm", "vocabulary.json"]
    for name in vocabularies {
      if let vocabulary = sideFile("assets/tokenizer/\(name)") { return [vocabulary] }
    }
    let names = (try? Folder(folder).entries()) ?? []
    let worlds = names.filter { $0.hasPrefix("rwkv_vocab_") && $0.hasSuffix(".txt") }
    return (["tokenizer.json", "tokenizer.model"] + worlds).compactMap { sideFile($0) }
  }

  /// The names of files in the folder of the checkpoint that belong to tokenizers of other formats:
  /// vocabularies of GPT-2 and BERT, and those of tiktoken and Mistral.
  package var tokenizersOfOtherFormats: [String] {
    let names = (try? Folder(folder).entries()) ?? []
    let known: Set = ["vocab.json", "merges.txt", "vocab.txt", "tekken.json"]
    return names.filter { known.contains($0) || $0.hasSuffix(".tiktoken") }.sorted()
  }

  /// The names of files in the folder of the checkpoint with the weights of an adapter.
  package var adapterWeights: [String] {
    ((try? Folder(folder).files()) ?? []).filter(WeightsFile.isAdapter)
  }

  /// The paths of all files in the folder of the checkpoint that may belong to it by their endings:
  /// configurations, indexes, tokenizers and vocabularies.
  package var sideFiles: [String] {
    let names = (try? Folder(folder).entries()) ?? []
    return names.filter { name in [".json", ".model", ".txt"].contains { name.hasSuffix($0) } }
      .compactMap { sideFile($0) }
  }

  /// The path of a file in the folder of the checkpoint, if there is an entry of that name.
  package func sideFile(_ name: String) -> String? { Folder(folder).entry(name) }

  /// Whether a folder has a file of that name.
  package static func hasFile(_ name: String, in folder: String) -> Bool {
    Folder(folder).entry(name) != nil
  }

  /// Whether `path` names a folder, which may contain a checkpoint.
  package static func isFolder(_ path: String) -> Bool { Folder.exists(path) }

  /// Opens the checkpoint at `path`.
  ///
  /// - Parameter path: a file, whose format is recognised by its content (safetensors, PyTorch, an
  ///   index of shards, HDF5, Keras, NumPy, GGUF), or a folder in Hugging Face layout. If a folder
  ///   has one model in several formats, Sextant reads the same one as transformers, and a warning
  ///   names the others.
  /// - Throws: `file.missing` for a folder without a checkpoint, `index.ambiguous` for one with
  ///   several of one kind, `index.incomplete-download`, `file.extension-mismatch`, `file.unknown`,
  ///   and the refusals of the format's reader.
  package static func open(_ path: String) throws(Refusal) -> CheckpointSource {
    guard Folder.exists(path) else { return try open(file: path) }
    let folder = Folder(path)
    let choice = try FolderChoice(folder)
    try folder.checkDownloadsComplete(reading: choice.name)
    guard let name = choice.name else { throw try noCheckpoint(in: folder) }
    let source = try open(file: folder.path(name))
    // An index may call its shards anything.
    let leftOut = choice.leftOut.filter { !source.checkpoint.reads(path: folder.path($0)) }
    guard !leftOut.isEmpty else { return source }
    return CheckpointSource(
      checkpoint: source.checkpoint, folder: source.folder,
      warnings: source.warnings + [
        "read \(name); other weights in the folder are left out: \(listing(leftOut))"
      ])
  }

  private static func open(file path: String) throws(Refusal) -> CheckpointSource {
    let file = try InputFile(path)
    let kind = try FileKind(of: file)
    try kind.checkExtension(of: path)
    let checkpoint: any Checkpoint
    var warnings: [String] = []
    // Unrecognised bytes go to the reader for the file's ending, which gives the most helpful
    // refusal.
    switch kind == .unknown ? FileKind(promisedBy: path) ?? .unknown : kind {
    case .safetensors:
      checkpoint = try SafetensorsFile(file)
    case .json where path.hasSuffix(".index.json") || ShardedCheckpoint.isOfKeras(path):
      let sharded = try ShardedCheckpoint(path)
      warnings = sharded.warnings
      checkpoint = sharded
    case .hdf5:
      let hdf5 = try HDF5Checkpoint(file)
      warnings = hdf5.notes
      checkpoint = hdf5
    case .zip:
      checkpoint = try open(archive: file, &warnings)
    case .unknown where try PyTorchFile.isLegacy(file):
      checkpoint = try PyTorchFile(file)
    case .gguf:
      checkpoint = try GGUFFile(file)
    case .store:
      throw Refusal(
        .fileUnknown, file: path, found: "a Sextant model", expected: "a foreign checkpoint",
        remedy: "Use it as it is: it is converted already.")
    case .json, .unknown, .gitLFSPointer, .html:
      throw Refusal(
        .fileUnknown, file: path, found: kind.rawValue, expected: formats)
    }
    return CheckpointSource(
      checkpoint: checkpoint, folder: Folder(of: path).path, warnings: warnings)
  }

  /// The kind of a zip archive follows from its members.
  private static func open(
    archive file: InputFile, _ warnings: inout [String]
  ) throws(Refusal) -> any Checkpoint {
    let name = file.path.lowercased()
    let archive = try? ZipArchive.open(file, allowingDeflate: true)
    if name.hasSuffix(".npz") || archive.map(NumPyArchive.isOne) == true {
      let numpy = try NumPyArchive(ZipArchive.open(file, allowingDeflate: true), in: file)
      warnings = numpy.notes
      return numpy
    }
    if name.hasSuffix(".keras") || archive.map(KerasArchive.isOne) == true {
      let keras = try KerasArchive.open(ZipArchive.open(file, allowingDeflate: true), in: file)
      warnings = keras.notes
      return keras
    }
    return try PyTorchFile(file)
  }

  private static let formats =
    "safetensors, PyTorch, an index of shards of these (*.index.json), HDF5, Keras, NumPy "
    + "(.npz), or GGUF"

  // MARK: Folders

  private static func noCheckpoint(in folder: Folder) throws(Refusal) -> Refusal {
    let names = try folder.files()
    let expected = "model.safetensors, pytorch_model.bin, an index of either, HDF5, .npz or GGUF"
    let states = names.filter { WeightsFile.isTrainingState($0) }
    let unread = names.filter {
      FileKind(promisedBy: $0) == .zip || WeightsFile.isOfOtherPrograms($0)
    }
    if unread.isEmpty || unread == states {
      let found = states.isEmpty ? "" : ": \(listing(states)) is the state of a training run"
      let inner = folder.innerFoldersWithWeights()
      return Refusal(
        .fileMissing, file: folder.path,
        found: "a folder without a checkpoint" + found
          + (inner.isEmpty ? "" : "; there are weights in folders inside it"),
        expected: expected,
        remedy: inner.isEmpty
          ? nil
          : "Name the folder inside that has weights: "
            + inner.prefix(10).joined(separator: ", or ") + (inner.count > 10 ? ", …" : "."))
    }
    return Refusal(
      .fileUnknown, file: folder.path, found: "only \(listing(unread))", expected: expected,
      remedy: "Name the file, if one of them is the checkpoint.")
  }
}
