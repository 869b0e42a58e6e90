import SextantBytes

/// Which file of a model's folder is its checkpoint.
///
/// A download often has one model in several formats, and a folder of a training run has much that
/// is not a model. The choice depends on names, in the order of transformers.
struct FolderChoice {
  /// The checkpoint's name; nil if the folder has none.
  let name: String?
  /// The names of other files with weights, which are left out.
  let leftOut: [String]

  /// Chooses.
  ///
  /// - Parameter folder: the folder; files in it whose names start with a dot do not count.
  /// - Throws: `index.ambiguous` for several candidates of one kind; `file.read`, `file.permission`.
  init(_ folder: Folder) throws(Refusal) {
    let names = try folder.files()
    let isBound = { (name: String) in
      WeightsFile.index(ofShard: name).map { names.contains($0) } ?? false
    }
    let weights = names.filter { WeightsFile.format(of: $0) != nil && !isBound($0) }
    let tiers = Self.tiers.lazy.map { tier in weights.filter(tier) }
    var candidates = tiers.first { !$0.isEmpty } ?? []
    if candidates.count > 1 {
      candidates = Self.withoutOtherObjects(candidates, in: folder)
      try Self.checkAlone(candidates, in: folder)
    }
    // A folder with only an adapter is opened, so that a reader can name the problem.
    let chosen = candidates.first ?? names.first(where: WeightsFile.isAdapter)
    name = chosen
    leftOut = (weights + names.filter(WeightsFile.isOfOtherPrograms)).filter { $0 != chosen }
  }

  /// Kinds of names, the one to prefer first: those that transformers looks for, in its order, and then any
  /// others by format.
  private static var tiers: [(String) -> Bool] {
    let usual = [
      "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
      "pytorch_model.bin.index.json", "tf_model.h5", "tf_model.h5.index.json",
    ]
    return usual.map { name in { $0 == name } } + [
      { $0.hasSuffix(".safetensors.index.json") },
      { $0.hasSuffix(".safetensors") },
      { WeightsFile.format(of: $0) == .pytorch && $0.hasSuffix(WeightsFile.indexEnding) },
      { WeightsFile.format(of: $0) == .pytorch && !$0.hasSuffix(".bin") },
      { WeightsFile.format(of: $0) == .pytorch },
      { WeightsFile.format(of: $0) == .hdf5 },
      { WeightsFile.format(of: $0) == .numpy },
      { WeightsFile.format(of: $0) == .gguf },
    ]
  }

  /// The files, without those of PyTorch that do not contain tensors by name. If no file is left,
  /// all of them.
  private static func withoutOtherObjects(_ names: [String], in folder: Folder) -> [String] {
    let models = names.filter { name in
      WeightsFile.format(of: name) != .pytorch || name.hasSuffix(WeightsFile.indexEnding)
        || mayBeModel(folder.path(name))
    }
    return models.isEmpty ? names : models
  }

  /// Whether a file of PyTorch is a dict of tensors, or damaged: then it may have been one.
  private static func mayBeModel(_ path: String) -> Bool {
    do throws(Refusal) {
      let file = try InputFile(path)
      let (kind, isOldPickle) = (try FileKind(of: file), try PyTorchFile.isLegacy(file))
      guard kind == .zip || isOldPickle else { return false }
      _ = try PyTorchFile(file)
      return true
    } catch {
      return ![.pytorchRoot, .pytorchPickleGlobal, .pytorchKey].contains(error.code)
    }
  }

  private static func checkAlone(_ names: [String], in folder: Folder) throws(Refusal) {
    guard names.count > 1 else { return }
    let indices = Set(names.map { WeightsFile.index(ofShard: $0) })
    var remedy: String?
    if indices.count == 1, let index = indices.first, let index {
      remedy = "Fetch the index of these shards, \(index)."
    }
    throw Refusal(
      .indexAmbiguous, file: folder.path, found: listing(names), expected: "one checkpoint",
      remedy: remedy)
  }
}
