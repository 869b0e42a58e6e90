import Glibc
import SextantTensor

/// The speed at which this machine reads memory that is in no cache. It limits decoding.
///
/// The reader is the C library's search for a byte that is not there, one part for each thread.
final class MemoryReader {
  private let base: UnsafeMutableRawPointer
  private let pool: WorkerPool
  private let parts: Int
  private static let byteCount = 1 << 30

  init(threads: Int) {
    pool = WorkerPool(threads: threads)
    parts = 16 * threads
    base = .allocate(byteCount: Self.byteCount, alignment: 1 << 21)
    madvise(base, Self.byteCount, MADV_HUGEPAGE)
    memset(base, 1, Self.byteCount)
  }

  deinit { base.deallocate() }

  /// Reads everything once.
  func gigabytesPerSecond() -> Double {
    nonisolated(unsafe) let base = base
    let size = Self.byteCount / parts
    let begin = now()
    pool.forEach(parts) { part in
      precondition(memchr(base + part * size, 0, size) == nil)
    }
    return Double(Self.byteCount) / 1e9 / (now() - begin)
  }
}
