import CHDF5
import SextantBytes

/// Reads chunks and puts them together to rows.
struct ChunkReader {
  let path: String
  let chunks: Chunks
  let object: hid_t
  let fileByteCount: Int

  /// The rows that the chunks of one row of the grid cover, complete.
  ///
  /// - Throws: `h5.filter.size`, `h5.chunk`, `h5.invalid`.
  func band(_ row: Int) throws(Refusal) -> [UInt8] {
    let (shape, chunk, width) = (chunks.shape, chunks.chunk, chunks.width)
    let rows = min(chunk[0], shape[0] - row * chunk[0])
    let bandShape = [rows] + shape.dropFirst()
    var band = [UInt8](repeating: 0, count: bandShape.reduce(width, *))
    let (bandStrides, chunkStrides) = (strides(bandShape), strides(chunk))

    for place in Indices([1] + chunks.grid.dropFirst()) {
      var start = zip(place, chunk).map { $0 * $1 }
      // The position of the chunk in the band, and its part that is inside the dataset.
      let inner = zip(zip(chunk, bandShape), start).map { min($0.0, $0.1 - $1) }
      let bandStart = zip(start, bandStrides).reduce(0) { $0 + $1.0 * $1.1 }
      start[0] = row * chunk[0]
      let bytes = try unpacked(at: start)
      let run = (inner.last ?? 0) * width
      unsafe band.withUnsafeMutableBytes { target in
        unsafe bytes.withUnsafeBytes { source in
          for index in Indices(inner.dropLast() + [1]) {
            let from = zip(index, chunkStrides).reduce(0) { $0 + $1.0 * $1.1 }
            let to = zip(index, bandStrides).reduce(bandStart) { $0 + $1.0 * $1.1 }
            unsafe UnsafeMutableRawBufferPointer(rebasing: target[to..<to + run])
              .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[from..<from + run]))
          }
        }
      }
    }
    return band
  }

  /// Bytes from one index of each axis to the next.
  private func strides(_ shape: [Int]) -> [Int] {
    var strides = [Int](repeating: chunks.width, count: shape.count)
    for axis in shape.indices.dropLast().reversed() {
      strides[axis] = strides[axis + 1] * shape[axis + 1]
    }
    return strides
  }

  /// The elements of the chunk that starts at this index of the dataset.
  private func unpacked(at start: [Int]) throws(Refusal) -> [UInt8] {
    let start = start.map { hsize_t($0) }
    var stored: hsize_t = 0
    try unsafe Library.check(
      H5Dget_chunk_storage_size(object, start, &stored), "find a chunk", tensor: path)
    guard stored > 0 else {
      throw Refusal(
        .hdf5Chunk, at: .tensor(path), found: "no chunk at \(start)", expected: "every chunk")
    }
    // Deflate and a checksum make incompressible data a little larger, no more.
    let limit = chunks.byteCount + chunks.byteCount / 512 + 1024
    guard stored <= min(limit, fileByteCount) else {
      throw Refusal(
        .hdf5FilterSize, at: .tensor(path), found: "a chunk of \(stored) stored bytes",
        expected: "at most \(limit) for \(chunks.byteCount) bytes of elements")
    }
    var bytes = [UInt8](repeating: 0, count: Int(stored))
    var skipped: UInt32 = 0
    try unsafe Library.check(
      H5Dread_chunk(object, 0, start, &skipped, &bytes), "read a chunk", tensor: path)
    return try Unpacking(path: path, chunks: chunks, skipped: skipped).elements(of: bytes)
  }
}

/// All indices of an array of some shape, in row-major order.
struct Indices: Sequence, IteratorProtocol {
  private let shape: [Int]
  private var current: [Int]?

  init(_ shape: some Sequence<Int>) {
    self.shape = Array(shape)
    current = self.shape.contains(0) ? nil : self.shape.map { _ in 0 }
  }

  mutating func next() -> [Int]? {
    guard let result = current else { return nil }
    var following = result
    for axis in shape.indices.reversed() {
      following[axis] += 1
      if following[axis] < shape[axis] {
        current = following
        return result
      }
      following[axis] = 0
    }
    current = nil
    return result
  }
}
