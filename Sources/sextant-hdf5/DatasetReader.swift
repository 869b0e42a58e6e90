import CHDF5
import Glibc
import SextantBytes

/// Reads elements.
///
/// Bytes come from the file directly, at addresses that libhdf5 found and this program checked: the
/// library's own reading makes up data if a file is damaged.
enum DatasetReader {
  /// Sends all elements of a dataset, row-major and little-endian.
  ///
  /// - Throws: `h5.filter.size`, `h5.chunk`, `h5.invalid`.
  static func send(
    _ dataset: Dataset, of file: borrowing HDF5File, to channel: Channel
  ) throws(Refusal) {
    let object = try file.object(dataset.path)
    // The file may have been written to since it was listed.
    guard H5Iget_type(object.id) == H5I_DATASET,
      let now = try Dataset(object, path: dataset.path, fileByteCount: file.byteCount),
      now.isStored(like: dataset)
    else {
      throw Refusal(
        .hdf5Invalid, at: .tensor(dataset.path), found: "another dataset than before",
        expected: "a file that nobody writes to")
    }
    guard dataset.byteCount > 0 else { return }
    switch dataset.layout {
    case .compact:
      channel.send(dataset.element.littleEndian(try compactBytes(object, dataset)))
    case .contiguous(let offset):
      let step = HDF5ReaderMessage.maximumPayloadByteCount
      for start in stride(from: 0, to: dataset.byteCount, by: step) {
        let count = min(step, dataset.byteCount - start)
        let bytes = try bytes(
          at: file.window.start + (offset ?? 0) + start, count: count, of: dataset.path)
        channel.send(dataset.element.littleEndian(bytes))
      }
    case .chunked(let chunks):
      let reader = ChunkReader(
        path: dataset.path, chunks: chunks, object: object.id, fileByteCount: file.byteCount)
      for row in 0..<chunks.grid[0] {
        channel.send(dataset.element.littleEndian(try reader.band(row)))
      }
    }
  }

  /// The bytes `offset ..< offset + count` of the file behind the descriptor.
  ///
  /// - Throws: `h5.invalid` when the file became shorter.
  private static func bytes(
    at offset: Int, count: Int, of path: String
  ) throws(Refusal) -> [UInt8] {
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, done in
      while done < count {
        let rest = unsafe UnsafeMutableRawBufferPointer(
          UnsafeMutableBufferPointer(rebasing: buffer[done...]))
        let read = unsafe pread(
          Confinement.fileDescriptor, rest.baseAddress, rest.count, off_t(offset + done))
        if read < 0 && errno == EINTR { continue }
        guard read > 0 else { return }
        done += read
      }
    }
    guard bytes.count == count else {
      throw Refusal(
        .hdf5Invalid, at: .tensor(path), found: "data that cannot be read",
        expected: "a file that nobody writes to")
    }
    return bytes
  }

  private static func compactBytes(
    _ object: borrowing Handle, _ dataset: Dataset
  ) throws(Refusal) -> [UInt8] {
    let type = try Handle(H5Dget_type(object.id), "read a data type", tensor: dataset.path)
    var bytes = [UInt8](repeating: 0, count: dataset.byteCount)
    // The file's own type in memory, too: the library converts nothing.
    try unsafe Library.check(
      H5Dread(object.id, type.id, 0, 0, 0, &bytes), "read data", tensor: dataset.path)
    return bytes
  }
}

extension Element {
  /// The same elements, least significant byte first.
  func littleEndian(_ bytes: consuming [UInt8]) -> [UInt8] {
    guard isBigEndian else { return bytes }
    var bytes = bytes
    unsafe bytes.withUnsafeMutableBytes { buffer in
      for start in stride(from: 0, to: buffer.count, by: byteWidth) {
        unsafe buffer[start..<start + byteWidth].reverse()
      }
    }
    return bytes
  }
}
