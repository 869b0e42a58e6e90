import SextantBytes
import SextantLocks

extension ModelStore {
  /// Reads the whole file, and compares every tensor with its digest and padding with zero.
  ///
  /// The file is read and not mapped, so that one that shrinks meanwhile is refused.
  ///
  /// - Parameter progress: called after each piece with the bytes done and those in all.
  /// - Throws: `store.tensor-digest` naming the first tensor or attachment that differs,
  ///   `store.padding`, `store.header-digest`, `file.changed`, `file.too-short`, `file.read`.
  public func verify(
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) {
    try file.checkUnchanged()
    let (header, digest) = try StoreHeader.read(from: file)
    guard digest == headerDigest else {
      throw Refusal(
        .storeHeaderDigest, file: path, found: "SHA-256 \(digest)",
        expected: "SHA-256 \(headerDigest), as when the file was opened")
    }
    let extents = header.tensors.map(\.extent) + header.attachments.map(\.extent)
    let footer = fileByteCount - StoreFooter.byteCount
    // The header and its padding are done.
    var position = extents.first?.range.lowerBound ?? footer
    let digests = try digests(of: extents.map(\.range), from: position, progress)
    for (extent, digest) in zip(extents, digests) {
      try checkZero(position..<extent.range.lowerBound)
      try checkDigest(digest, extent.digest, of: extent.name)
      position = extent.range.upperBound
    }
    try checkZero(position..<footer)
    try file.checkUnchanged()
    progress(fileByteCount, fileByteCount)
  }

  /// The digests of parts of the file; `start` bytes are done before.
  private func digests(
    of ranges: [Range<Int>], from start: Int, _ progress: (_ done: Int, _ total: Int) -> Void
  ) throws(Refusal) -> [Digest] {
    let done = Lock(start)
    // Called while the lock is locked.
    return try withoutActuallyEscaping(progress) { progress throws(Refusal) in
      nonisolated(unsafe) let progress = progress
      let total = fileByteCount
      return try unsafe FileParts(parts: ranges.map { FilePart(file, $0) }).digest(.shared) {
        _, _, piece, _ in
        done.withLock { done in
          done += piece.count
          unsafe progress(done, total)
        }
        return true
      }
    }
  }

  /// Refuses padding that is not zero; the range is shorter than the alignment.
  private func checkZero(_ range: Range<Int>) throws(Refusal) {
    let bytes = try file.read(at: range.lowerBound, count: range.count)
    if let place = bytes.firstIndex(where: { $0 != 0 }) {
      throw Refusal(
        .storePadding, file: path, at: .offset(range.lowerBound + place),
        found: "a byte that is not 0", expected: "zeros")
    }
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
