import Glibc
import Synchronization

/// The memory of large tensors, kept when they are gone for the next ones of the same size.
///
/// A forward pass makes and drops the same few shapes block after block. Taking their memory from the
/// system each time costs a page fault for every 4 KiB: with half a gigabyte of activations for a
/// prompt, a third of all time. `malloc` would keep it, but cannot fill the hole that one aligned
/// block leaves with the next of its size, and grows. So large blocks are mapped, and kept here.
///
/// `@unchecked Sendable`: a block belongs to whoever took it, or to the list behind the mutex.
final class BlockCache: @unchecked Sendable {
  /// The one that all tensors share.
  static let shared = BlockCache(limit: 128 << 20)

  /// From how many bytes on a tensor's memory comes from here.
  static let smallestByteCount = 64 << 10

  private struct Block: @unchecked Sendable {
    let base: UnsafeMutableRawPointer
    let byteCount: Int

    func unmap() { munmap(base, byteCount) }
  }

  private struct Unused {
    /// The longest unused first.
    var blocks: [Block] = []
    var byteCount = 0
  }

  private let unused = Mutex(Unused())
  private let limit: Int

  /// A cache that keeps at most `limit` bytes.
  init(limit: Int) { self.limit = limit }

  deinit {
    unused.withLock { unused in
      for block in unused.blocks { block.unmap() }
    }
  }

  /// Bytes that are kept and not in use.
  var unusedByteCount: Int { unused.withLock { $0.byteCount } }

  /// Memory for `byteCount` bytes, undefined, that starts with a page.
  func take(_ byteCount: Int) -> UnsafeMutableRawPointer {
    let byteCount = Self.wholePages(byteCount)
    let kept = unused.withLock { unused -> Block? in
      guard let place = unused.blocks.lastIndex(where: { $0.byteCount == byteCount }) else {
        return nil
      }
      unused.byteCount -= byteCount
      return unused.blocks.remove(at: place)
    }
    if let kept { return kept.base }
    let flags = MAP_PRIVATE | MAP_ANONYMOUS
    guard let base = mmap(nil, byteCount, PROT_READ | PROT_WRITE, flags, -1, 0),
      base != MAP_FAILED
    else { fatalError("no memory for a tensor of \(byteCount) bytes") }
    adviseHugePages(base, byteCount)
    return base
  }

  /// Takes back what `take` gave for `byteCount` bytes.
  ///
  /// Beyond the limit, the blocks unused for longest go back to the system.
  func giveBack(_ base: UnsafeMutableRawPointer, _ byteCount: Int) {
    let block = Block(base: base, byteCount: Self.wholePages(byteCount))
    guard block.byteCount <= limit else { return block.unmap() }
    let dropped = unused.withLock { unused -> ArraySlice<Block> in
      unused.blocks.append(block)
      unused.byteCount += block.byteCount
      var count = 0
      while unused.byteCount > limit {
        unused.byteCount -= unused.blocks[count].byteCount
        count += 1
      }
      let dropped = unused.blocks.prefix(count)
      unused.blocks.removeFirst(count)
      return dropped
    }
    for block in dropped { block.unmap() }
  }

  private static func wholePages(_ byteCount: Int) -> Int {
    let page = 16 << 10  // a multiple of every page size that we meet
    return (byteCount + page - 1) / page * page
  }

  /// Asks for huge pages where they matter: walking weights in 4 KiB pages costs bandwidth.
  private func adviseHugePages(_ base: UnsafeMutableRawPointer, _ byteCount: Int) {
    // Advice only: without huge pages everything works the same.
    if byteCount >= 8 << 20 { _ = madvise(base, byteCount, MADV_HUGEPAGE) }
  }
}
