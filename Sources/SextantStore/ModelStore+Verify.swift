import SextantBytes

extension ModelStore {
  /// Reads the whole file and holds every byte against its digest, or against zero for padding.
  ///
  /// The file is read and not mapped, so that one that shrinks meanwhile is refused.
  ///
  /// - Parameter progress: called after each piece with the bytes done and those in all.
  /// - Throws: `store.tensor-digest` naming the first tensor or attachment that differs,
  ///   `store.padding`, `store.header-digest`, `file.changed`, `file.too-short`, `file.read`.
  public func verify(
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(FormatError) {
    try file.checkUnchanged()
    let (header, digest) = try StoreHeader.read(from: file)
    guard digest == headerDigest else {
      throw FormatError(
        .storeHeaderDigest, file: path, found: "SHA-256 \(digest)",
        expected: "SHA-256 \(headerDigest), as when the file was opened")
    }
    let extents = header.tensors.map(\.extent) + header.attachments.map(\.extent)
    let footer = fileByteCount - StoreFooter.byteCount
    // The header and its padding are done.
    var position = extents.first?.range.lowerBound ?? footer
    var buffer = [UInt8](repeating: 0, count: min(Self.pieceByteCount, fileByteCount))
    for extent in extents {
      try checkZero(position..<extent.range.lowerBound)
      position = extent.range.lowerBound
      var hash = SHA256()
      while position < extent.range.upperBound {
        let count = min(buffer.count, extent.range.upperBound - position)
        try fill(&buffer, count, at: position)
        hash.update(buffer[..<count])
        position += count
        progress(position, fileByteCount)
      }
      try checkDigest(hash.finalize(), extent.digest, of: extent.name)
    }
    try checkZero(position..<footer)
    try file.checkUnchanged()
    progress(fileByteCount, fileByteCount)
  }

  private static let pieceByteCount = 4 << 20

  /// Refuses padding that is not zero; the range is shorter than the alignment.
  private func checkZero(_ range: Range<Int>) throws(FormatError) {
    let bytes = try file.read(at: range.lowerBound, count: range.count)
    if let place = bytes.firstIndex(where: { $0 != 0 }) {
      throw FormatError(
        .storePadding, file: path, at: .offset(range.lowerBound + place),
        found: "a byte that is not 0", expected: "zeros")
    }
  }

  private func fill(
    _ buffer: inout [UInt8], _ count: Int, at offset: Int
  ) throws(FormatError) {
    var failure: FormatError?
    unsafe buffer.withUnsafeMutableBytes { bytes in
      let piece = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[..<count])
      do throws(FormatError) { unsafe try file.read(at: offset, into: piece) } catch {
        failure = error
      }
    }
    if let failure { throw failure }
  }
}

/// Bytes of a store that have a digest.
private struct Extent {
  let name: String
  let range: Range<Int>
  let digest: Digest
}

extension StoredTensor {
  fileprivate var extent: Extent {
    Extent(name: name, range: offset..<offset + byteCount, digest: digest)
  }
}

extension StoredAttachment {
  fileprivate var extent: Extent {
    Extent(name: name, range: offset..<offset + byteCount, digest: digest)
  }
}
