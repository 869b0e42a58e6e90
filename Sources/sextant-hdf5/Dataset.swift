import CHDF5
import SextantBytes

/// A dataset that passed all checks, and how to read it.
struct Dataset: Equatable {
  /// The path inside the file, from "/".
  let path: String
  /// The tensor's name: the path's parts joined with ".", unless the file's layout defines another
  /// one.
  var name: String
  /// The number type.
  let element: Element
  /// The dimensions, outermost first.
  let shape: [Int]
  /// Bytes of all elements.
  let byteCount: Int
  /// The position of the elements.
  let layout: Layout
  private let address: UInt64

  var isBigEndian: Bool { element.isBigEndian }

  /// Bytes in memory at a time when the elements are read.
  var pieceByteCount: Int {
    switch layout {
    case .compact, .contiguous: min(byteCount, HDF5ReaderMessage.maximumPayloadByteCount)
    case .chunked(let chunks): max(chunks.byteCount, chunks.bandByteCount)
    }
  }

  /// Checks a dataset; nil if it contains strings.
  ///
  /// - Throws: `h5.datatype*`, `h5.bfloat16-unmarked`, `h5.dataspace`, `h5.storage.*`, `h5.filter`,
  ///   `h5.chunk`, `h5.bomb`, `h5.address`, `h5.invalid`.
  init?(
    _ object: borrowing Handle, path: String, fileByteCount: Int
  ) throws(Refusal) {
    let type = try Handle(H5Dget_type(object.id), "read a data type", tensor: path)
    // The closure cannot capture the borrowed handle: the question is answered beforehand.
    let mark = H5Tget_class(type.id) == H5T_OPAQUE ? try Attributes.text("dtype", of: object) : nil
    guard let element = try Element(type, path: path, isMarked: { mark == "bfloat16" }) else {
      return nil
    }
    let shape = try Dataspace.shape(of: object, path: path)
    guard let byteCount = Dataspace.byteCount(shape, width: element.byteWidth) else {
      throw Refusal(
        .hdf5Dataspace, at: .tensor(path), found: "a shape of \(shape)",
        expected: "a size below 2^63 bytes")
    }
    self.path = path
    name = TensorNames.parts(of: path).joined(separator: ".")
    self.element = element
    self.shape = shape
    self.byteCount = byteCount
    address = try object.address(path: path)
    let storage = Storage(
      path: path, shape: shape, element: element, byteCount: byteCount,
      fileByteCount: fileByteCount)
    layout = try storage.layout(of: object)
  }

  /// Whether the other is the same dataset, for any names of its tensor.
  func isStored(like other: Dataset) -> Bool {
    var other = other
    other.name = name
    return self == other
  }
}

/// The dimensions of a dataset.
enum Dataspace {
  /// - Throws: `h5.dataspace`, `h5.invalid`.
  static func shape(of object: borrowing Handle, path: String) throws(Refusal) -> [Int] {
    let space = try Handle(H5Dget_space(object.id), "read a dataspace", tensor: path)
    switch H5Sget_simple_extent_type(space.id) {
    case H5S_SCALAR: return []
    case H5S_SIMPLE: break
    default: throw refusal(path, found: "a null dataspace", expected: "a shape")
    }
    let rank = Int(H5Sget_simple_extent_ndims(space.id))
    guard (0...HDF5ReaderMessage.maximumRank).contains(rank) else {
      throw refusal(
        path, found: "\(rank) dimensions", expected: "at most \(HDF5ReaderMessage.maximumRank)")
    }
    var current = [hsize_t](repeating: 0, count: rank)
    var maximum = current
    try unsafe Library.check(
      H5Sget_simple_extent_dims(space.id, &current, &maximum), "read a dataspace", tensor: path)
    var shape: [Int] = []
    for (current, maximum) in zip(current, maximum) {
      guard let dimension = Int(exactly: current) else {
        throw refusal(path, found: "a dimension of \(current)", expected: "less than 2^63")
      }
      if dimension == 0 && maximum == sextant_h5_unlimited() {
        throw refusal(path, found: "an unlimited dimension of 0", expected: "written data")
      }
      shape.append(dimension)
    }
    return shape
  }

  /// Bytes of a shape, or nil if they overflow, even if a dimension is zero.
  static func byteCount(_ shape: [Int], width: Int) -> Int? {
    var product = width
    for dimension in shape {
      let (next, overflow) = product.multipliedReportingOverflow(by: max(dimension, 1))
      if overflow { return nil }
      product = next
    }
    return shape.contains(0) ? 0 : product
  }

  private static func refusal(_ path: String, found: String, expected: String) -> Refusal {
    Refusal(.hdf5Dataspace, at: .tensor(path), found: found, expected: expected)
  }
}
