import CSextantKernels
import Glibc
import Synchronization

/// The shared values of a `WorkerPool`'s threads: the running loop, and how they wait for the next
/// one.
///
/// One loop runs at a time (`busy`). Its owner writes `body` and `shares`, opens the loop, works,
/// and closes it. A worker counts itself in (`inside`) before it checks whether the loop is open,
/// and out when it finds no chunk. All of these operations are sequentially consistent. If an owner
/// has closed the loop and then reads 0 in `inside`, no worker has a chunk, and no later worker
/// reads the two values, so that they may be written again.
///
/// `@unchecked Sendable`: `body` and `shares` are guarded as described; the mutex and the condition are
/// used as POSIX asks, at addresses that do not move.
final class Crew: @unchecked Sendable {
  /// The work of the loop for a chunk, by its index and the slot of the thread.
  private var body: @Sendable (Int, Int) -> Void = { _, _ in }
  private let shares: Shares
  private let busy = Atomic<Bool>(false)
  private let isOpen = Atomic<Bool>(false)
  private let inside = Atomic<Int>(0)

  /// Counts the loops, so that a waiting worker notices a new one.
  private let generation = Atomic<UInt64>(0)
  private let sleepers = Atomic<Int>(0)
  private let isDismissed = Atomic<Bool>(false)
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  /// How often a worker looks for a new loop before it sleeps: some tens of microseconds.
  private static let spins = 4000

  /// A crew with room for this many threads, the owner of a loop included.
  init(slots: Int) {
    shares = Shares(slots: slots)
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(condition, nil)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  // MARK: The owner's side

  /// Claims the crew for one loop; false while another loop runs.
  func tryBegin() -> Bool {
    !busy.exchange(true, ordering: .sequentiallyConsistent)
  }

  /// Runs the loop to its end. Only between `tryBegin` and `end`.
  func run(_ count: Int, _ body: @escaping @Sendable (Int, Int) -> Void) {
    self.body = body
    shares.reset(to: count)
    isOpen.store(true, ordering: .sequentiallyConsistent)
    generation.add(1, ordering: .sequentiallyConsistent)
    if sleepers.load(ordering: .sequentiallyConsistent) > 0 { wakeAll() }

    work(slot: 0)

    isOpen.store(false, ordering: .sequentiallyConsistent)
    var looks = 0
    while inside.load(ordering: .sequentiallyConsistent) > 0 {
      looks += 1
      // A worker that lost its processor within a chunk needs ours.
      if looks % Self.spins == 0 { sched_yield() } else { sxk_pause() }
    }
    self.body = { _, _ in }
  }

  func end() {
    busy.store(false, ordering: .sequentiallyConsistent)
  }

  /// Makes all workers return.
  func dismiss() {
    isDismissed.store(true, ordering: .sequentiallyConsistent)
    generation.add(1, ordering: .sequentiallyConsistent)
    wakeAll()
  }

  private func wakeAll() {
    pthread_mutex_lock(mutex)
    pthread_cond_broadcast(condition)
    pthread_mutex_unlock(mutex)
  }

  // MARK: The workers' side

  /// Starts a thread; nil when the system refuses one.
  func startWorker(slot: Int) -> pthread_t? {
    let start = Unmanaged.passRetained(Start(crew: self, slot: slot))
    var thread = pthread_t()
    let status = pthread_create(&thread, nil, workerMain, start.toOpaque())
    guard status == 0 else {
      start.release()
      return nil
    }
    return thread
  }

  fileprivate final class Start {
    let crew: Crew
    let slot: Int

    init(crew: Crew, slot: Int) {
      self.crew = crew
      self.slot = slot
    }
  }

  fileprivate func serve(slot: Int) {
    var seen: UInt64 = 0
    while true {
      seen = waitForLoop(after: seen)
      if isDismissed.load(ordering: .sequentiallyConsistent) { return }
      inside.add(1, ordering: .sequentiallyConsistent)
      if isOpen.load(ordering: .sequentiallyConsistent) { work(slot: slot) }
      inside.subtract(1, ordering: .sequentiallyConsistent)
    }
  }

  /// Claims chunks until none is left.
  private func work(slot: Int) {
    let body = body
    shares.claim(slot) { body($0, slot) }
  }

  private func waitForLoop(after seen: UInt64) -> UInt64 {
    for _ in 0..<Self.spins {
      let now = generation.load(ordering: .acquiring)
      if now != seen { return now }
      sxk_pause()
    }
    // The owner reads `sleepers` after it raises `generation`, and this thread reads them in the
    // other order, so that one of the two threads sees the other.
    pthread_mutex_lock(mutex)
    sleepers.add(1, ordering: .sequentiallyConsistent)
    var now = generation.load(ordering: .sequentiallyConsistent)
    while now == seen {
      pthread_cond_wait(condition, mutex)
      now = generation.load(ordering: .sequentiallyConsistent)
    }
    sleepers.subtract(1, ordering: .sequentiallyConsistent)
    pthread_mutex_unlock(mutex)
    return now
  }
}

/// The body of a worker's thread.
private func workerMain(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard let argument else { return nil }
  let start = Unmanaged<Crew.Start>.fromOpaque(argument).takeRetainedValue()
  start.crew.serve(slot: start.slot)
  return nil
}
