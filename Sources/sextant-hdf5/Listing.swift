import CHDF5
import SextantBytes

/// All that the file holds, found by a walk over its groups.
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
  private var pathsByName: [ExactString: String] = [:]

  /// The largest piece that reading any dataset takes into memory.
  var largestPieceByteCount: Int { datasets.map(\.pieceByteCount).max() ?? 0 }

  /// Walks over the whole file.
  ///
  /// - Throws: `h5.*`.
  mutating func read(_ file: borrowing HDF5File) throws(FormatError) {
    let root = try file.object("/")
    try Dialect.refuseKerasLegacy(root, path: "/")
    try walk(root, path: "", depth: 0, file)
    metadata = try Attributes.texts(of: root, notes: &notes)
  }

  private mutating func walk(
    _ group: borrowing Handle, path: String, depth: Int, _ file: borrowing HDF5File
  ) throws(FormatError) {
    guard depth <= Self.depthLimit else {
      throw FormatError(
        .hdf5Depth, at: .tensor(path), found: "a group \(depth) levels deep",
        expected: "at most \(Self.depthLimit)")
    }
    let address = try group.address(path: path)
    if let earlier = groups.updateValue(path, forKey: address) {
      throw FormatError(
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
        if linkPath == "/model_weights" { try Dialect.refuseKerasLegacy(object, path: linkPath) }
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
  ) throws(FormatError) {
    try Dialect.refuseKeras3(path: path)
    guard let dataset = try Dataset(object, path: path, fileByteCount: file.byteCount) else {
      notes.append("skipped the dataset of strings \(path)")
      return
    }
    if dataset.isBigEndian { notes.append("converted \(path) from big-endian numbers") }
    let name = ExactString(dataset.name)
    if let other = pathsByName.updateValue(path, forKey: name) {
      throw FormatError(
        .hdf5Name, at: .tensor(dataset.name), found: "\(other) and \(path)",
        expected: "paths that differ when joined with \".\"")
    }
    datasets.append(dataset)
  }
}

/// Layouts of weight files that a flat list of tensors would misread.
enum Dialect {
  private static let expected = "one dataset per tensor, under the tensor's own name"

  /// Keras 1 and 2, and transformers' TensorFlow models: order and names stand in attributes.
  static func refuseKerasLegacy(_ group: borrowing Handle, path: String) throws(FormatError) {
    for attribute in ["layer_names", "layer_names0"]
    where unsafe H5Aexists(group.id, attribute) > 0 {
      throw FormatError(
        .hdf5DialectUnknown, at: .tensor(path),
        found: "the layout of Keras 2 (attribute \(attribute))", expected: expected)
    }
  }

  /// Keras 3 numbers the variables of a layer in the order of their creation.
  static func refuseKeras3(path: String) throws(FormatError) {
    let parts = path.utf8.split(separator: UInt8(ascii: "/"))
    guard parts.count >= 2, parts[parts.count - 2].elementsEqual("vars".utf8),
      parts[parts.count - 1].allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) })
    else { return }
    throw FormatError(
      .hdf5DialectUnknown, at: .tensor(path), found: "the layout of Keras 3 (…/vars/<number>)",
      expected: expected)
  }
}
