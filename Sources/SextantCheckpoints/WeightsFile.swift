import SextantBytes

/// The content of a file in a model's folder, judged by its name.
enum WeightsFile {
  /// The formats of checkpoints, in the order in which a folder's files are preferred.
  enum Format: Int, Comparable {
    case safetensors, pytorch, hdf5, numpy, gguf

    static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
  }

  /// The format that a file, or an index of shards, of this name promises; nil for a file that is
  /// not a checkpoint: one of another ending, the state of a training run, or an adapter.
  static func format(of name: String) -> Format? {
    isTrainingState(name) || isAdapter(name) ? nil : ending(of: name)
  }

  /// The format that the ending alone promises.
  private static func ending(of name: String) -> Format? {
    let name = name.hasSuffix(indexEnding) ? String(name.dropLast(indexEnding.count)) : name
    if ShardedCheckpoint.isOfKeras(name) { return .hdf5 }
    switch parts(name).last {
    case "safetensors": return .safetensors
    case "bin", "pth", "pt", "ckpt": return .pytorch
    case "h5", "hdf5", "keras": return .hdf5
    case "npz": return .numpy
    case "gguf": return .gguf
    default: return nil
    }
  }

  /// How the name of an index of shards ends, after that of the file that they make together.
  static let indexEnding = ".index.json"

  /// Whether a file has weights in a format that is not read, such as those of Flax and ONNX.
  static func isOfOtherPrograms(_ name: String) -> Bool {
    ["msgpack", "onnx", "ot", "tflite", "mlmodel"].contains(parts(name).last)
  }

  /// Whether a file has the state of a training run: `optimizer.pt`, `scheduler.bin`,
  /// `rng_state_0.pth`, `training_args.bin` and similar names.
  static func isTrainingState(_ name: String) -> Bool {
    guard ending(of: name) != nil, let stem = parts(name).first else { return false }
    // The processes of a run number their files.
    let digits = stem.reversed().prefix { $0.isASCII && $0.isNumber }
    var base = stem.dropLast(digits.count)
    if let mark = base.last, !digits.isEmpty, mark == "_" || mark == "-" { base.removeLast() }
    return trainingStates.contains(base) || base.hasSuffix("optim_states")
  }

  private static let trainingStates: Set<Substring> = [
    "optimizer", "optim", "optimizer_state", "scheduler", "lr_scheduler", "scaler", "grad_scaler",
    "rng_state", "random_states", "training_args", "training_state", "trainer_state", "sampler",
    "dl_state_dict", "loss_scaler",
  ]

  /// Whether a file has the name that PEFT gives to an adapter's weights.
  static func isAdapter(_ name: String) -> Bool {
    ending(of: name) != nil && parts(name).first == "adapter_model"
  }

  /// The index that binds a shard together with others, if the shard's name implies one:
  /// `model.safetensors.index.json` for `model-00001-of-00003.safetensors`, and
  /// `model.weights.json` for `model_00000.weights.h5`.
  static func index(ofShard name: String) -> String? {
    guard let dot = name.lastIndex(of: ".") else { return nil }
    let pieces = name[..<dot].split(separator: "-", omittingEmptySubsequences: false)
    if pieces.count > 3, pieces[pieces.count - 2] == "of",
      [pieces[pieces.count - 3], pieces[pieces.count - 1]].allSatisfy({ $0.allSatisfy(\.isNumber) })
    {
      return pieces.dropLast(3).joined(separator: "-") + name[dot...] + indexEnding
    }
    let kerasEnding = ".weights.h5"
    guard name.hasSuffix(kerasEnding) else { return nil }
    let stem = name.dropLast(kerasEnding.count)
    guard stem.suffix(5).count == 5, stem.suffix(5).allSatisfy({ $0.isASCII && $0.isNumber }),
      stem.dropLast(5).hasSuffix("_")
    else { return nil }
    return "\(stem.dropLast(6)).weights.json"
  }

  // MARK: Downloads

  /// Whether a file is an unfinished download that a reader of `checkpoint` must know: of its
  /// weights, of weights that would have been preferred, or of another file of the model.
  ///
  /// - Parameter checkpoint: the name of the file or index that is read; nil if there is none.
  static func isUnfinishedDownload(_ name: String, reading checkpoint: String?) -> Bool {
    let endings = [".incomplete", ".part", ".crdownload", ".aria2"]
    guard let ending = endings.first(where: { name.hasSuffix($0) }) else { return false }
    var wanted = parts(String(name.dropLast(ending.count)))
    // Downloads of the hub have the digest of the content behind the name.
    if wanted.count > 1, let last = wanted.last, last.count >= 8, last.allSatisfy(\.isHexDigit) {
      wanted.removeLast()
    }
    let file = wanted.joined(separator: ".")
    // A name without an ending may be that of any file.
    if wanted.count < 2 || sideFiles.contains(file) || file.hasPrefix("rwkv_vocab_") { return true }
    guard let format = format(of: file) else { return false }
    return checkpoint.flatMap { Self.ending(of: $0) }.map { format <= $0 } ?? true
  }

  private static let sideFiles: Set<String> = [
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
    "tokenizer.model", "special_tokens_map.json", "added_tokens.json", "vocabulary.txt",
  ]

  private static func parts(_ name: String) -> [Substring] {
    name.split(separator: ".", omittingEmptySubsequences: false)
  }
}
