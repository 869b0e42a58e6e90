import CHDF5
import SextantBytes

/// How a dataset's bytes lie in the file, checked against what the dataset declares.
///
/// libhdf5 reads with success what was never written: fill values for missing data, zeros behind
/// the end of an external file. Such tensors would pass as weights.
struct Storage {
  let path: String
  let shape: [Int]
  let element: Element
  let byteCount: Int

  private static let chunkLimit = 1 << 30
  private static let allowedFilters: Set<Int32> = [
    H5Z_FILTER_DEFLATE, H5Z_FILTER_SHUFFLE, H5Z_FILTER_FLETCHER32,
  ]

  /// Checks layout, filters and sizes; returns the shape of the chunks, if there are any.
  ///
  /// - Throws: `h5.storage.*`, `h5.filter`, `h5.chunk`, `h5.bomb`, `h5.invalid`.
  func check(_ object: borrowing Handle) throws(FormatError) -> [Int]? {
    let properties = try Handle(
      H5Dget_create_plist(object.id), "read a dataset's properties", tensor: path)
    let layout = H5Pget_layout(properties.id)
    if layout == H5D_VIRTUAL {
      throw refusal(.hdf5StorageVirtual, found: "a virtual layout", expected: "data in the file")
    }
    let externalCount = H5Pget_external_count(properties.id)
    guard externalCount == 0 else {
      throw refusal(
        .hdf5StorageExternal, found: "data in \(externalCount) other files",
        expected: "data in the file")
    }
    try checkFilters(properties)
    switch layout {
    case H5D_COMPACT, H5D_CONTIGUOUS:
      try checkContiguous(object)
      return nil
    case H5D_CHUNKED: return try checkChunks(object, properties)
    default:
      throw refusal(
        .hdf5Invalid, found: "a layout of unknown class \(layout.rawValue)",
        expected: "contiguous, compact or chunked data")
    }
  }

  private func checkFilters(_ properties: borrowing Handle) throws(FormatError) {
    let count = H5Pget_nfilters(properties.id)
    try Library.check(count, "read the filters", tensor: path)
    for index in 0..<UInt32(count) {
      var flags: UInt32 = 0
      var valueCount = 0
      var configuration: UInt32 = 0
      let filter = unsafe H5Pget_filter2(
        properties.id, index, &flags, &valueCount, nil, 0, nil, &configuration)
      guard Self.allowedFilters.contains(filter) else {
        throw refusal(
          .hdf5Filter, found: filter < 0 ? "a filter that cannot be read" : "filter \(filter)",
          expected: "deflate (1), shuffle (2) or fletcher32 (3)")
      }
    }
  }

  private func checkContiguous(_ object: borrowing Handle) throws(FormatError) {
    let stored = H5Dget_storage_size(object.id)
    guard byteCount == 0 || stored == byteCount else {
      throw refusal(
        .hdf5StorageUnallocated, found: "\(stored) bytes stored",
        expected: "\(byteCount) bytes, as type and shape say")
    }
  }

  private func checkChunks(
    _ object: borrowing Handle, _ properties: borrowing Handle
  ) throws(FormatError) -> [Int] {
    var dimensions = [hsize_t](repeating: 0, count: shape.count)
    let rank = unsafe H5Pget_chunk(properties.id, Int32(shape.count), &dimensions)
    let chunk = dimensions.compactMap { Int(exactly: $0) }
    guard rank == shape.count, chunk.count == shape.count, !chunk.contains(0), rank > 0 else {
      throw refusal(
        .hdf5Chunk, found: "chunks of \(dimensions)", expected: "a positive size per dimension")
    }
    guard let chunkBytes = Dataspace.byteCount(chunk, width: element.byteWidth),
      chunkBytes <= Self.chunkLimit
    else {
      throw refusal(
        .hdf5Bomb, found: "chunks of \(chunk) elements", expected: "at most 1 GiB per chunk")
    }
    if byteCount == 0 { return chunk }

    let stored = H5Dget_storage_size(object.id)
    guard UInt64(byteCount) / UInt64(Listing.ratioLimit) <= stored, stored > 0 else {
      throw refusal(
        .hdf5Bomb, found: "\(byteCount) bytes declared, \(stored) stored",
        expected: "at most \(Listing.ratioLimit) bytes for each stored one")
    }
    try checkPresence(object, chunk)
    return chunk
  }

  /// Every chunk must be there: libhdf5 would make up those that are not.
  private func checkPresence(
    _ object: borrowing Handle, _ chunk: [Int]
  ) throws(FormatError) {
    var expected = 1
    for (dimension, size) in zip(shape, chunk) {
      // At most one chunk per byte, so that the product cannot overflow.
      expected *= (dimension - 1) / size + 1
    }
    var present: hsize_t = 0
    let space = try Handle(H5Dget_space(object.id), "read a dataspace", tensor: path)
    try unsafe Library.check(
      H5Dget_num_chunks(object.id, space.id, &present), "count the chunks", tensor: path)
    guard present == expected else {
      throw refusal(.hdf5Chunk, found: "\(present) chunks", expected: "\(expected) chunks")
    }
    let band = Slabs.bandByteCount(shape: shape, chunk: chunk, width: element.byteWidth)
    guard band <= Self.chunkLimit else {
      throw refusal(
        .hdf5Chunk, found: "\(band) bytes in the chunks of one row",
        expected: "at most 1 GiB in them together")
    }
  }

  private func refusal(
    _ code: FormatError.Code, found: String, expected: String
  ) -> FormatError {
    FormatError(code, at: .tensor(path), found: found, expected: expected)
  }
}
