import SextantBytes
import SextantTensor

/// The contents of an index file, and their comparison with the shards.
struct ShardIndex {
  /// The content of index and shards together.
  struct Contents {
    var tensors: [CheckpointTensor] = []
    var shardOfTensor: [ExactString: Int] = [:]
    /// The tensors that the index names and no shard has.
    var absent: [String] = []

    /// Faults that may be harmless.
    var warnings: [String] {
      absent.isEmpty
        ? [] : ["the index names tensors that no shard contains: \(listing(absent))"]
    }
  }

  /// The index file's path, for refusals.
  let file: String
  /// The meaning of its entries: a tensor, or a layer with numbered variables.
  let entryKind: EntryKind
  /// The entries of the index, with the files that must contain them. Variables of one layer may be
  /// in several.
  let weightMap: [(entry: String, shard: String)]
  /// The shards' file names, sorted.
  let shardNames: [String]
  /// `metadata.total_size` of the index; nil if it has none.
  let totalSize: JSONValue?

  /// The meaning of an index's entries.
  enum EntryKind {
    /// One tensor of that name.
    case tensor
    /// The variables of a group of Keras 3, such as `/layers/dense/vars`.
    case kerasLayer
    /// A weight of TensorFlow, such as `tf_model/h_._0/kernel:0`: a dataset of that name, or of the name
    /// without the model's, which transformers leave out.
    case tensorFlowWeight

    /// The meaning of the entries of an index at this path.
    init(ofIndexAt path: String) {
      self =
        ShardedCheckpoint.isOfKeras(path)
        ? .kerasLayer : path.hasSuffix(".h5.index.json") ? .tensorFlowWeight : .tensor
    }

    /// The entry that a tensor belongs to.
    func entry(of tensor: String) -> String {
      switch self {
      case .tensor, .tensorFlowWeight: tensor
      case .kerasLayer: KerasVariables.split(tensor)?.layer ?? tensor
      }
    }
  }

  /// Reads an index.
  ///
  /// - Throws: `limit.file`, `json.*`, `index.value`, `index.path`, `st.none`.
  init(of file: InputFile, entries entryKind: EntryKind = .tensor) throws(Refusal) {
    let root = try JSONNode(
      parsing: file.readAll(limit: SafetensorsHeader.byteLimit), code: .indexValue,
      file: file.path)
    var weightMap: [(entry: String, shard: String)] = []
    var shards = Set<ExactString>()
    for (key, node) in try root.member("weight_map").members() {
      // Keras names one file, or a list of them.
      var nodes = [node]
      if entryKind == .kerasLayer, case .array = node.value { nodes = try node.elements() }
      for node in nodes {
        let shard = try node.string()
        try Self.checkPlainName(shard, at: node)
        weightMap.append((entryKind == .kerasLayer ? Self.layer(key) : key, shard))
        shards.insert(ExactString(shard))
      }
    }
    guard !weightMap.isEmpty else {
      throw Refusal(
        .safetensorsNone, file: file.path, at: .pointer("/weight_map"), found: "no tensor",
        expected: "at least one")
    }
    self.file = file.path
    self.entryKind = entryKind
    self.weightMap = weightMap
    shardNames = shards.sorted().map(\.string)
    totalSize = try root.optionalMember("metadata")?.object()["total_size"]
  }

  /// The layer's part of its variables' names.
  private static func layer(_ group: String) -> String {
    var parts = group.split(separator: "/").map(String.init)
    if parts.first == "_layer_checkpoint_dependencies" { parts[0] = "layers" }
    return parts.joined(separator: ".")
  }

  /// Shards are named by one path component: an index must not reach out of its folder.
  private static func checkPlainName(_ name: String, at node: JSONNode) throws(Refusal) {
    let isPlain =
      !name.isEmpty && name != "." && name != ".."
      && !name.unicodeScalars.contains {
        $0 == "/" || $0 == "\\" || $0.properties.generalCategory == .control
      }
    guard isPlain else {
      throw Refusal(
        .indexPath, file: node.file, at: .pointer(node.pointer), found: "\"\(name)\"",
        expected: "the name of a file in the folder of the index")
    }
  }

  /// Opens all shards, each in the format of its content.
  ///
  /// A shard is named by the index and not by the user, and a folder may come from a stranger. A
  /// link in it may point anywhere, to the cache of a download or another disk, but only to a
  /// checkpoint: a link to anything else is refused before more than its first bytes are read.
  ///
  /// - Returns: the shards, and a warning that names links out of the folder. Links into the cache of the
  ///   hub are its usual form, and not named.
  /// - Throws: `index.missing-shard`, `file.*`, `st.*`, `pth.*`.
  func openShards(
    in folder: Folder
  ) throws(Refusal) -> (shards: [any Checkpoint], warnings: [String]) {
    let entries = Set(try folder.entries().map { ExactString($0) })
    let missing = shardNames.filter { !entries.contains(ExactString($0)) }
    guard missing.isEmpty else {
      throw Refusal(
        .indexMissingShard, file: file, found: "no \(listing(missing))",
        expected: "\(shardNames.count) shards in the folder of the index")
    }
    var shards: [any Checkpoint] = []
    var links: [String] = []
    for name in shardNames {
      do throws(Refusal) {
        let file = try InputFile(folder.path(name))
        if let target = folder.targetOutside(name) {
          try Self.checkIsCheckpoint(file, target)
          if !folder.isLinkToBlob(name) { links.append("\(name) to \(target)") }
        }
        shards.append(try openShard(file))
      } catch  where error.code == .fileMissing {
        throw Refusal(
          .indexMissingShard, file: file, found: "\"\(name)\" is a broken link",
          expected: "a file")
      }
    }
    return (
      shards, links.isEmpty ? [] : ["shards are links to files elsewhere: \(listing(links))"]
    )
  }

  private static func checkIsCheckpoint(
    _ file: InputFile, _ target: String
  ) throws(Refusal) {
    let isKnown = [.safetensors, .zip, .hdf5].contains(try FileKind(of: file))
    let isOldPickle = try PyTorchFile.isLegacy(file)
    guard isKnown || isOldPickle else {
      throw Refusal(
        .fileSymlinkEscape, file: file.path,
        found: "a link to \(target), which is not a checkpoint",
        expected: "a file in the folder, or a link to a checkpoint")
    }
  }

  private func openShard(_ file: InputFile) throws(Refusal) -> any Checkpoint {
    switch entryKind {
    case .tensorFlowWeight:
      return try openHDF5(
        file, as: .keras2, "weights that layer_names lists, as in shards of transformers")
    case .kerasLayer:
      return try openHDF5(file, as: .keras3, "variables of Keras 3, as the index declares")
    case .tensor:
      let isLegacy = try PyTorchFile.isLegacy(file)
      if isLegacy { return try PyTorchFile(file) }
      return try FileKind(of: file) == .zip ? PyTorchFile(file) : SafetensorsFile(file)
    }
  }

  private func openHDF5(
    _ file: InputFile, as layout: HDF5Layout, _ expected: String
  ) throws(Refusal) -> HDF5Checkpoint {
    let shard = try HDF5Checkpoint(file, isShard: true)
    guard shard.layout == layout else {
      throw Refusal(
        .hdf5DialectUnknown, file: file.path, found: "the layout \(shard.layout.rawValue)",
        expected: expected)
    }
    return shard
  }

  /// Holds the shards against the index.
  ///
  /// A tensor that no shard has is absent if the entries are tensors' own names, and missing in the
  /// other formats, whose names depend on each other.
  ///
  /// - Throws: `index.tensor-twice`, `index.tensor-missing`, `index.tensor-extra`, `st.name`.
  func match(_ shards: [any Checkpoint]) throws(Refusal) -> Contents {
    var contents = Contents()
    var twice: [String] = []
    for (place, shard) in shards.enumerated() {
      for tensor in shard.tensors {
        let earlier = contents.shardOfTensor.updateValue(place, forKey: ExactString(tensor.name))
        if earlier != nil { twice.append(tensor.name) }
        contents.tensors.append(tensor)
      }
    }
    try refuse(.indexTensorTwice, twice, expected: "each tensor in one shard")

    let places = Dictionary(
      uniqueKeysWithValues: shardNames.enumerated().map { (ExactString($1), $0) })
    var shardsOfEntry: [ExactString: Set<Int>] = [:]
    for (name, shard) in contents.shardOfTensor {
      shardsOfEntry[ExactString(entryKind.entry(of: name.string)), default: []].insert(shard)
    }
    var named: [ExactString: Set<Int>] = [:]
    var missing: [String] = []
    for (entry, shard) in weightMap {
      guard let place = places[ExactString(shard)] else { continue }
      let entry = name(of: entry) { contents.shardOfTensor[ExactString($0)] == place }
      named[ExactString(entry), default: []].insert(place)
      guard shardsOfEntry[ExactString(entry)]?.contains(place) != true else { continue }
      if entryKind == .tensor, shardsOfEntry[ExactString(entry)] == nil {
        contents.absent.append(entry)
      } else {
        missing.append(entry)
      }
    }
    try refuse(.indexTensorMissing, missing, expected: "each in the shard it names")

    let extra = contents.tensors.map(\.name).filter { name in
      let shards = named[ExactString(entryKind.entry(of: name))]
      guard let shards, let shard = contents.shardOfTensor[ExactString(name)] else { return true }
      return !shards.contains(shard)
    }
    try refuse(.indexTensorExtra, extra, expected: "only tensors that the index names")

    if let (_, name) = TensorName.equivalentPair(contents.tensors.lazy.map(\.name)) {
      throw Refusal(
        .safetensorsName, file: file, at: .tensor(name),
        found: "another name that differs only in Unicode normalisation",
        expected: "distinct names")
    }
    if entryKind == .kerasLayer {
      try KerasVariables.checkComplete(contents.tensors.map(\.name), file: file)
    }
    contents.tensors.sort { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    return contents
  }

  /// The name of the index entry `entry` in its shard.
  private func name(of entry: String, isInShard: (String) -> Bool) -> String {
    guard entryKind == .tensorFlowWeight else { return entry }
    let full = HDF5Layout.tensorName(ofWeight: entry)
    guard !isInShard(full), let slash = entry.utf8.firstIndex(of: UInt8(ascii: "/")) else {
      return full
    }
    let short = HDF5Layout.tensorName(ofWeight: String(entry[entry.utf8.index(after: slash)...]))
    return isInShard(short) ? short : full
  }

  private func refuse(
    _ code: Refusal.Code, _ names: [String], expected: String
  ) throws(Refusal) {
    if let first = names.first {
      throw Refusal(
        code, file: file, at: .tensor(first), found: listing(names), expected: expected)
    }
  }
}
