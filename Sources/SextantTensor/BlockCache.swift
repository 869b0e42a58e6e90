import CProcessEnd
import Glibc
import SextantLocks

/// The memory of tensors, kept after they are freed for new ones of the same size.
///
/// A forward pass makes and drops the same few shapes block after block. Taking their memory from
/// the system each time costs a page fault for every 4 KiB: with half a gigabyte of activations for
/// a prompt, a third of all time. `malloc` would keep it, but cannot reuse the gap of one aligned
/// block for the next of its size, and grows. So large blocks are mapped, and kept here; small ones
/// come from `malloc` once, so that decoding, which makes hundreds of them for a token, asks it for
/// none.
///
/// `@unchecked Sendable`: a block belongs to its taker, or to the list behind the mutex.
final class BlockCache: @unchecked Sendable {
  /// The one that all tensors share.
  static let shared = BlockCache(limit: 128 << 20)

  /// The smallest size of blocks that are mapped.
  static let smallestMapping = 64 << 10
  /// Small blocks are multiples of this.
  private static let smallStep = 1 << 10
  /// Unused bytes of small blocks of one size.
  private static let smallLimit = 256 << 10

  private struct Block: @unchecked Sendable {
    let base: UnsafeMutableRawPointer
    let byteCount: Int

    func unmap() { munmap(base, byteCount) }
    func free() { base.deallocate() }
  }

  private struct Unused {
    /// The longest unused first.
    var blocks: [Block] = []
    var byteCount = 0
  }

  private let unused = Lock(Unused())
  /// Unused small blocks, those of n steps at n.
  private let small = Lock([[Block]](repeating: [], count: smallestMapping / smallStep + 1))
  private let limit: Int

  /// A cache that keeps at most `limit` bytes.
  init(limit: Int) { self.limit = limit }

  deinit {
    unused.withLock { unused in
      for block in unused.blocks { block.unmap() }
    }
    small.withLock { lists in
      for block in lists.joined() { block.free() }
    }
  }

  /// Bytes that are kept and not in use.
  var unusedByteCount: Int {
    unused.withLock { $0.byteCount }
      + small.withLock { lists in lists.joined().reduce(0) { $0 + $1.byteCount } }
  }

  /// Memory for `byteCount` bytes, undefined, with the alignment of `TensorStorage.alignment`.
  func take(_ byteCount: Int) -> UnsafeMutableRawPointer {
    if byteCount < Self.smallestMapping {
      let steps = Self.steps(byteCount)
      if let kept = small.withLock({ $0[steps].popLast() }) { return kept.base }
      return .allocate(byteCount: steps * Self.smallStep, alignment: TensorStorage.alignment)
    }
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
    else {
      sextant_end_without_memory(byteCount)
      fatalError("no memory for a tensor of \(byteCount) bytes")
    }
    adviseHugePages(base, byteCount)
    return base
  }

  /// Takes back the memory that `take` returned for `byteCount` bytes.
  ///
  /// Beyond the limit, the blocks unused for longest go back to the system.
  func giveBack(_ base: UnsafeMutableRawPointer, _ byteCount: Int) {
    if byteCount < Self.smallestMapping {
      let steps = Self.steps(byteCount)
      let block = Block(base: base, byteCount: steps * Self.smallStep)
      let isKept = small.withLock { lists in
        guard (lists[steps].count + 1) * block.byteCount <= Self.smallLimit else { return false }
        lists[steps].append(block)
        return true
      }
      if !isKept { block.free() }
      return
    }
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

  private static func steps(_ byteCount: Int) -> Int {
    max((byteCount + smallStep - 1) / smallStep, 1)
  }

  private static func wholePages(_ byteCount: Int) -> Int {
    let page = 16 << 10  // a multiple of every page size that we meet
    return (byteCount + page - 1) / page * page
  }

  /// Requests huge pages for large blocks: reading weights in 4 KiB pages costs bandwidth.
  private func adviseHugePages(_ base: UnsafeMutableRawPointer, _ byteCount: Int) {
    // Advice only: without huge pages everything works the same.
    if byteCount >= 8 << 20 { _ = madvise(base, byteCount, MADV_HUGEPAGE) }
  }
}
