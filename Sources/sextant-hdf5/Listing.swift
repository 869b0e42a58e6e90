import CHDF5
import SextantBytes

/// The whole content of the file, found by a walk over its groups.
struct Listing {
  /// Groups inside groups.
  static let depthLimit = 32
  /// Links in all groups together.
  static let objectLimit = 200_000
  /// Bytes that a dataset may declare for each one stored: deflate makes no more of one.
  static let ratioLimit = 1032

  private(set) var datasets: [Dataset] = []
  private(set) var notes: [String] = []
  private(set) var metadata: [(key: String, value: String)] = []
  private var objectCount = 0
  private var groups: [UInt64: String] = [:]
  /// How the datasets spell the tensors' names.
  private(set) var layout = HDF5Layout.flat

  /// The largest piece that reading any dataset takes into memory.
  var largestPieceByteCount: Int { datasets.map(\.pieceByteCount).max() ?? 0 }

  /// Walks over the whole file.
  ///
  /// - Throws: `h5.*`.
  mutating func read(_ file: borrowing HDF5File) throws(Refusal) {
    let root = try file.object("/")
    try walk(root, path: "", depth: 0, file)
    // From here on every link is known to be a hard one, so that paths have their usual meaning.
    let names = try TensorNames(
      datasets: datasets.map(\.path), groups: Set(groups.values.map { ExactString($0) }), file)
    layout = names.layout
    metadata = try Attributes.texts(of: root, except: names.descriptions, notes: &notes)
    var kept: [Dataset] = []
    for var dataset in datasets {
      guard let name = try names.name(of: dataset.path) else {
        notes.append("skipped \(dataset.path), which belongs to the optimizer")
        continue
      }
      dataset.name = name
      if dataset.isBigEndian { notes.append("converted \(dataset.path) from big-endian numbers") }
      kept.append(dataset)
    }
    datasets = kept
    try refuseEqualNames()
  }

  private func refuseEqualNames() throws(Refusal) {
    var paths: [ExactString: String] = [:]
    for dataset in datasets {
      if let other = paths.updateValue(dataset.path, forKey: ExactString(dataset.name)) {
        throw Refusal(
          layout == .keras2 ? .hdf5KerasNames : .hdf5Name, at: .tensor(dataset.name),
          found: "\(other) and \(dataset.path)",
          expected: layout == .flat
            ? "paths that differ when joined with \".\"" : "weights with names of their own")
      }
    }
  }

  private mutating func walk(
    _ group: borrowing Handle, path: String, depth: Int, _ file: borrowing HDF5File
  ) throws(Refusal) {
    guard depth <= Self.depthLimit else {
      throw Refusal(
        .hdf5Depth, at: .tensor(path), found: "a group \(depth) levels deep",
        expected: "at most \(Self.depthLimit)")
    }
    let address = try group.address(path: path)
    if let earlier = groups.updateValue(path, forKey: address) {
      throw Refusal(
        .hdf5Cycle, at: .tensor(path),
        found: "the same group as \(earlier.isEmpty ? "/" : earlier)",
        expected: "each group in one place")
    }
    let links = try Links.list(group, path: path, atMost: Self.objectLimit - objectCount)
    objectCount += links.count
    for link in links {
      let linkPath = "\(path)/\(link.name)"
      try link.refuseUnlessHard(path: linkPath)
      let object = try file.object(linkPath)
      switch H5Iget_type(object.id) {
      case H5I_GROUP:
        try walk(object, path: linkPath, depth: depth + 1, file)
      case H5I_DATASET:
        try add(object, path: linkPath, file)
      default:
        notes.append("skipped the stored data type \(linkPath)")
      }
    }
  }

  private mutating func add(
    _ object: borrowing Handle, path: String, _ file: borrowing HDF5File
  ) throws(Refusal) {
    guard let dataset = try Dataset(object, path: path, fileByteCount: file.byteCount) else {
      notes.append("skipped the dataset of strings \(path)")
      return
    }
    datasets.append(dataset)
  }
}
