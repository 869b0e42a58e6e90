import CHDF5
import SextantBytes

/// The form of a dataset's bytes in the file, checked against the declarations of the dataset.
///
/// libhdf5 reads missing data with success: fill values for data that was never written, zeros
/// after the end of an external file. Such tensors would be taken for weights.
struct Storage {
  let path: String
  let shape: [Int]
  let element: Element
  let byteCount: Int
  let fileByteCount: Int

  private static let chunkLimit = 1 << 30

  /// Checks layout, filters and sizes.
  ///
  /// - Throws: `h5.storage.*`, `h5.filter`, `h5.chunk`, `h5.bomb`, `h5.address`, `h5.invalid`.
  func layout(of object: borrowing Handle) throws(Refusal) -> Layout {
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
    let filters = try filters(properties)
    switch layout {
    case H5D_CHUNKED: return .chunked(try chunks(object, properties, filters))
    case H5D_COMPACT, H5D_CONTIGUOUS: break
    default:
      throw refusal(
        .hdf5Invalid, found: "a layout of unknown class \(layout.rawValue)",
        expected: "contiguous, compact or chunked data")
    }
    guard filters.isEmpty else {
      throw refusal(.hdf5Filter, found: "filters on data without chunks", expected: "none")
    }
    let stored = H5Dget_storage_size(object.id)
    guard byteCount == 0 || stored == byteCount else {
      throw refusal(
        .hdf5StorageUnallocated, found: "\(stored) bytes stored",
        expected: "\(byteCount) bytes, from type and shape")
    }
    if layout == H5D_COMPACT { return .compact }
    return .contiguous(offset: byteCount == 0 ? nil : try offset(object))
  }

  private func offset(_ object: borrowing Handle) throws(Refusal) -> Int {
    let address = H5Dget_offset(object.id)
    guard let offset = Int(exactly: address), offset <= fileByteCount - byteCount else {
      throw refusal(
        .hdf5Address, found: "\(byteCount) bytes at \(address)",
        expected: "an address inside the file's \(fileByteCount) bytes")
    }
    return offset
  }

  // MARK: Chunks

  private func filters(_ properties: borrowing Handle) throws(Refusal) -> [Filter] {
    let count = H5Pget_nfilters(properties.id)
    try Library.check(count, "read the filters", tensor: path)
    var filters: [Filter] = []
    for index in 0..<UInt32(count) {
      var flags: UInt32 = 0
      var valueCount = 1
      var value: UInt32 = 0
      var configuration: UInt32 = 0
      let number = unsafe H5Pget_filter2(
        properties.id, index, &flags, &valueCount, &value, 0, nil, &configuration)
      guard let filter = Filter(number: number) else {
        throw refusal(
          .hdf5Filter, found: number < 0 ? "a filter that cannot be read" : "filter \(number)",
          expected: "deflate (1), shuffle (2) or fletcher32 (3)")
      }
      guard !filters.contains(filter) else {
        throw refusal(.hdf5Filter, found: "\(filter) twice", expected: "each filter once")
      }
      guard filter != .shuffle || (valueCount > 0 && value == element.byteWidth) else {
        throw refusal(
          .hdf5Filter, found: "shuffle for elements of \(value) bytes",
          expected: "\(element.byteWidth) bytes, the width of the type")
      }
      filters.append(filter)
    }
    return filters
  }

  private func chunks(
    _ object: borrowing Handle, _ properties: borrowing Handle, _ filters: [Filter]
  ) throws(Refusal) -> Chunks {
    var dimensions = [hsize_t](repeating: 0, count: shape.count)
    let rank = unsafe H5Pget_chunk(properties.id, Int32(shape.count), &dimensions)
    let chunk = dimensions.compactMap { Int(exactly: $0) }
    guard rank == shape.count, chunk.count == shape.count, !chunk.contains(0), rank > 0 else {
      throw refusal(
        .hdf5Chunk, found: "chunks of \(dimensions)", expected: "a positive size per dimension")
    }
    var options: UInt32 = 0
    try unsafe Library.check(
      H5Pget_chunk_opts(properties.id, &options), "read the chunk options", tensor: path)
    guard options == 0 else {
      throw refusal(
        .hdf5Chunk, found: "chunks at the edge that are stored without filters",
        expected: "chunks that are stored in the same way")
    }
    guard let chunkByteCount = Dataspace.byteCount(chunk, width: element.byteWidth),
      chunkByteCount <= Self.chunkLimit
    else {
      throw refusal(
        .hdf5Bomb, found: "chunks of \(chunk) elements", expected: "at most 1 GiB per chunk")
    }
    let chunks = Chunks(shape: shape, chunk: chunk, width: element.byteWidth, filters: filters)
    if byteCount > 0 { try check(chunks, object) }
    return chunks
  }

  private func check(_ chunks: Chunks, _ object: borrowing Handle) throws(Refusal) {
    let stored = H5Dget_storage_size(object.id)
    guard stored > 0, UInt64(byteCount) / UInt64(Listing.ratioLimit) <= stored else {
      throw refusal(
        .hdf5Bomb, found: "\(byteCount) bytes declared, \(stored) stored",
        expected: "at most \(Listing.ratioLimit) bytes for each stored one")
    }
    // Every chunk must be there: libhdf5 would replace missing ones by fill values. A chunk
    // contains at least one byte, so that this product is below the dataset's size and cannot
    // overflow.
    let expected = chunks.grid.reduce(1, *)
    var present: hsize_t = 0
    let space = try Handle(H5Dget_space(object.id), "read a dataspace", tensor: path)
    try unsafe Library.check(
      H5Dget_num_chunks(object.id, space.id, &present), "count the chunks", tensor: path)
    guard present == expected else {
      throw refusal(.hdf5Chunk, found: "\(present) chunks", expected: "\(expected) chunks")
    }
    guard chunks.bandByteCount <= Self.chunkLimit else {
      throw refusal(
        .hdf5Chunk, found: "\(chunks.bandByteCount) bytes in the chunks of one row",
        expected: "at most 1 GiB in them together")
    }
  }

  private func refusal(
    _ code: Refusal.Code, found: String, expected: String
  ) -> Refusal {
    Refusal(code, at: .tensor(path), found: found, expected: expected)
  }
}
