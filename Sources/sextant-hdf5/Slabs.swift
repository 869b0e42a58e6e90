import CHDF5
import SextantBytes

/// The order in which a dataset is read: boxes of elements that follow each other in row-major
/// order, small enough for memory and, for chunked data, made of whole chunks.
///
/// A box spans one index of each axis before `axis`, up to `step` indices of `axis` and all of the
/// later ones. Cutting through chunks would inflate each of them once per box.
struct Slabs {
  private static let target = HDF5ReaderMessage.maximumPayloadByteCount

  private let shape: [Int]
  private let width: Int
  private let axis: Int
  private let step: Int

  /// Plans the reading of a dataset.
  init(_ dataset: Dataset) {
    shape = dataset.shape
    width = dataset.element.byteWidth
    if let chunk = dataset.chunk, let rows = chunk.first {
      axis = 0
      let band = Self.bandByteCount(shape: shape, chunk: chunk, width: width)
      step = rows * max(1, Self.target / max(band, 1))
    } else {
      var axis = 0
      var inner = Self.innerByteCount(shape, after: 0, width: width)
      while inner > Self.target {
        axis += 1
        inner = Self.innerByteCount(shape, after: axis, width: width)
      }
      self.axis = axis
      step = max(1, Self.target / max(inner, 1))
    }
  }

  /// Bytes of the rows that one row of chunks covers.
  static func bandByteCount(shape: [Int], chunk: [Int], width: Int) -> Int {
    guard let rows = shape.first, let chunkRows = chunk.first else { return width }
    return min(rows, chunkRows) * innerByteCount(shape, after: 0, width: width)
  }

  /// Bytes of the largest box.
  var largestByteCount: Int {
    guard !shape.isEmpty else { return width }
    return min(step, shape[axis]) * Self.innerByteCount(shape, after: axis, width: width)
  }

  /// Calls `body` with the start and the size of each box, in order.
  func forEach(
    _ body: (_ start: [Int], _ count: [Int]) throws(FormatError) -> Void
  ) throws(FormatError) {
    guard !shape.isEmpty else { return try body([], []) }
    guard !shape.contains(0) else { return }
    var start = [Int](repeating: 0, count: shape.count)
    while true {
      var count = shape
      for outer in 0..<axis { count[outer] = 1 }
      count[axis] = min(step, shape[axis] - start[axis])
      try body(start, count)
      start[axis] += count[axis]
      // Carry, as in counting, from the cut axis outwards.
      var place = axis
      while start[place] == shape[place] {
        if place == 0 { return }
        start[place] = 0
        place -= 1
        start[place] += 1
      }
    }
  }

  private static func innerByteCount(_ shape: [Int], after axis: Int, width: Int) -> Int {
    shape.dropFirst(axis + 1).reduce(width, *)
  }
}

extension HDF5File {
  /// Sends all elements of a dataset.
  ///
  /// - Throws: `h5.invalid`.
  func stream(_ dataset: Dataset, to channel: Channel) throws(FormatError) {
    let object = try object(dataset.path)
    // The file may have been written to since it was listed.
    guard H5Iget_type(object.id) == H5I_DATASET,
      try Dataset(object, path: dataset.path) == dataset
    else {
      throw FormatError(
        .hdf5Invalid, at: .tensor(dataset.path), found: "another dataset than before",
        expected: "a file that nobody writes to")
    }
    let fileType = try Handle(H5Dget_type(object.id), "read a data type", tensor: dataset.path)
    let type = try Handle(H5Tcopy(fileType.id), "copy a data type", tensor: dataset.path)
    if dataset.element.isBigEndian {
      try Library.check(H5Tset_order(type.id, H5T_ORDER_LE), "choose little-endian numbers")
    }
    let slabs = Slabs(dataset)
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: slabs.largestByteCount, alignment: 64)
    defer { unsafe buffer.deallocate() }
    let fileSpace = try Handle(
      H5Dget_space(object.id), "read a dataspace", tensor: dataset.path)
    let objectID = object.id
    let typeID = type.id
    let spaceID = fileSpace.id
    try slabs.forEach { start, count throws(FormatError) in
      let elements = count.reduce(1, *)
      let memory = try Handle(
        unsafe H5Screate_simple(1, [hsize_t(elements)], nil), "make a dataspace")
      if !count.isEmpty {
        try unsafe Library.check(
          H5Sselect_hyperslab(
            spaceID, H5S_SELECT_SET, start.map { hsize_t($0) }, nil, count.map { hsize_t($0) },
            nil),
          "select a part", tensor: dataset.path)
      }
      try unsafe Library.check(
        H5Dread(objectID, typeID, memory.id, spaceID, 0, buffer.baseAddress), "read data",
        tensor: dataset.path)
      let piece = unsafe UnsafeRawBufferPointer(
        rebasing: buffer[..<(elements * dataset.element.byteWidth)])
      unsafe channel.send(data: piece)
    }
  }
}
