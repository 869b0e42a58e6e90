import CProcessEnd
import Glibc

/// A file mapped read-only into memory.
///
/// Only for files that are never written in place: published stores are immutable. A file that is
/// truncated while it is mapped loses pages, and the system sends SIGBUS to a process that touches
/// one. A program that calls `OrderlyEnd.prepare` ends with `file.changed` then. Slices are
/// checked; memory from a slice may be used as long as this object lives.
@safe
package final class MappedFile: @unchecked Sendable {
  /// The path as the user gave it.
  package let path: String
  /// Bytes mapped.
  package let byteCount: Int
  private let base: UnsafeMutableRawPointer

  init(path: String, descriptor: Int32, byteCount: Int) throws(Refusal) {
    let base = unsafe mmap(nil, byteCount, PROT_READ, MAP_PRIVATE, descriptor, 0)
    guard let base = unsafe base, unsafe base != MAP_FAILED else {
      let number = errno
      throw Refusal(
        .ofSystemCall(number, otherwise: .fileRead), file: path, found: systemReason(number),
        expected: "a file that can be mapped")
    }
    self.path = path
    self.byteCount = byteCount
    unsafe self.base = base
    unsafe sextant_remember_mapping(base, byteCount, printable(path))
  }

  deinit {
    unsafe sextant_forget_mapping(base)
    unsafe munmap(base, byteCount)
  }

  /// The bytes `offset ..< offset + count`, in place.
  ///
  /// - Throws: `file.too-short` when the file is not that long.
  package func slice(at offset: Int, count: Int) throws(Refusal) -> UnsafeRawBufferPointer {
    let (end, overflow) = offset.addingReportingOverflow(count)
    guard offset >= 0, count >= 0, !overflow, end <= byteCount else {
      throw Refusal(
        .fileTooShort, file: path, at: .offset(offset),
        found: "a file of \(counted(byteCount, "byte"))",
        expected: "\(counted(count, "byte")) from here")
    }
    return unsafe UnsafeRawBufferPointer(start: base + offset, count: count)
  }

  /// Reads the whole file now, so that its first use does not wait for the disk.
  package func populate() {
    // MADV_POPULATE_READ of Linux 5.14; before, reading ahead has to do.
    if unsafe madvise(base, byteCount, 22) != 0 { prefetch(at: 0, count: byteCount) }
  }

  /// Asks the kernel to read these bytes ahead.
  package func prefetch(at offset: Int, count: Int) {
    let page = Int(getpagesize())
    let start = offset / page * page
    guard start >= 0, offset + count <= byteCount else { return }
    unsafe _ = madvise(base + start, offset + count - start, MADV_WILLNEED)
  }
}
