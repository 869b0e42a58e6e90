import Synchronization

/// The chunks of one loop, divided among the threads. Each thread has a run of neighbours.
///
/// Neighbouring chunks are neighbours in memory. The processor prefetches for a thread that reads
/// one run of memory at a time, and not for threads that take every other chunk of the same run.
/// For weights in memory, this decides the speed of decoding. A thread without remaining work takes
/// chunks of others, so that a late or sleeping thread does not delay them.
///
/// `@unchecked Sendable`: the counters are atomic; `count` is guarded as `Crew.body` is.
final class Shares: @unchecked Sendable {
  private let slots: Int
  /// The next chunk of each share, one to a pair of cache lines, which are fetched together.
  private let counters: UnsafeMutableRawPointer
  private var count = 0

  private static let stride = 128

  /// Shares for this many threads, with no chunks yet.
  init(slots: Int) {
    self.slots = slots
    counters = .allocate(byteCount: slots * Self.stride, alignment: Self.stride)
    for slot in 0..<slots { counter(slot).initialize(to: Atomic(0)) }
  }

  deinit {
    for slot in 0..<slots { counter(slot).deinitialize(count: 1) }
    counters.deallocate()
  }

  private func counter(_ slot: Int) -> UnsafeMutablePointer<Atomic<Int>> {
    (counters + slot * Self.stride).assumingMemoryBound(to: Atomic<Int>.self)
  }

  /// The first chunk of a slot's share, and the end of the one before.
  private func start(_ slot: Int) -> Int { slot * count / slots }

  /// Shares out a loop of `count` chunks. Only while no thread claims any.
  func reset(to count: Int) {
    self.count = count
    for slot in 0..<slots { counter(slot).pointee.store(start(slot), ordering: .relaxed) }
  }

  /// Calls `body` for chunks that no other thread has, first of the slot's own share, until none is
  /// left.
  func claim(_ slot: Int, _ body: (Int) -> Void) {
    for distance in 0..<slots {
      let owner = slot + distance < slots ? slot + distance : slot + distance - slots
      let (counter, end) = (counter(owner), start(owner + 1))
      // The check before the exchange leaves the owner its cache line if there is nothing to take.
      while counter.pointee.load(ordering: .relaxed) < end {
        let index = counter.pointee.add(1, ordering: .sequentiallyConsistent).oldValue
        if index >= end { break }
        body(index)
      }
    }
  }
}
