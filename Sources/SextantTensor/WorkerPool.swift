import CSextantKernels
import Glibc
import SextantLocks
import Synchronization

/// Threads that share the chunks of one loop at a time.
///
/// A forward pass is hundreds of short parallel loops with short serial pieces between them. Waking
/// a sleeping thread costs more than such a loop, so workers spin for a while before they sleep,
/// and chunks are claimed (`Shares`): the caller works too and never waits for a sleeper. The
/// thread of a chunk varies and its result does not, so that results do not depend on the thread
/// count.
///
/// A loop that starts inside a chunk, or while another thread uses the pool, runs on its own thread.
public final class WorkerPool: Sendable {
  private let crew: Crew
  private let threads: Lock<[pthread_t]>

  /// The threads that can run chunks at the same time, the caller's included.
  public let threadCount: Int

  /// A pool of `threads` threads. The caller of each loop is one of them.
  public init(threads count: Int) {
    let crew = Crew(slots: max(count, 1))
    var started: [pthread_t] = []
    for slot in 1..<max(count, 1) {
      guard let thread = crew.startWorker(slot: slot) else { break }
      started.append(thread)
    }
    self.crew = crew
    threadCount = started.count + 1
    threads = Lock(started)
  }

  deinit {
    crew.dismiss()
    threads.withLock { threads in
      for thread in threads { pthread_join(thread, nil) }
    }
  }

  // MARK: Loops

  /// Calls `body` once for each index below `count`, in any order, and returns when all are done.
  package func forEach(_ count: Int, _ body: @Sendable (Int) -> Void) {
    forEach(count) { index, _ in body(index) }
  }

  /// Calls `body` for the consecutive ranges of `grain` indices (the last may be shorter) of
  /// `0..<count`. The boundaries depend on nothing else.
  package func split(_ count: Int, by grain: Int, _ body: @Sendable (Range<Int>) -> Void) {
    let grain = max(grain, 1)
    forEach((count + grain - 1) / grain) { chunk, _ in
      body(chunk * grain..<min((chunk + 1) * grain, count))
    }
  }

  /// As `forEach`; the second argument, below `threadCount`, names the thread while the loop runs:
  /// the resources of a slot, such as scratch memory, are used by one chunk at a time.
  func forEach(_ count: Int, _ body: @Sendable (_ index: Int, _ slot: Int) -> Void) {
    if count > 1 && threadCount > 1 && crew.tryBegin() {
      withoutActuallyEscaping(body) { crew.run(count, $0) }
      crew.end()
    } else {
      for index in 0..<max(count, 0) { body(index, 0) }
    }
  }
}

// MARK: - The shared pool

extension WorkerPool {
  /// The size that `shared` has or will have: 0 while it is not set.
  private static let requestedThreadCount = Atomic<Int>(0)
  private static let sharedExists = Atomic<Bool>(false)

  /// The pool that everything uses by default, made on first use.
  ///
  /// Its size is the argument of `setSharedThreadCount`, else the environment variable
  /// `SEXTANT_THREADS`, else `ProcessorCount.available`.
  public static let shared: WorkerPool = {
    sharedExists.store(true, ordering: .sequentiallyConsistent)
    let requested = requestedThreadCount.load(ordering: .sequentiallyConsistent)
    return WorkerPool(threads: requested > 0 ? requested : defaultThreadCount)
  }()

  /// Sets the size of `shared`, for a command's `--threads`.
  ///
  /// - Returns: false, with no effect, when `count` is not positive or `shared` is already in use.
  @discardableResult
  public static func setSharedThreadCount(_ count: Int) -> Bool {
    guard count > 0, !sharedExists.load(ordering: .sequentiallyConsistent) else { return false }
    requestedThreadCount.store(count, ordering: .sequentiallyConsistent)
    return true
  }

  /// `SEXTANT_THREADS` when it is a number from 1 to 1024, else `ProcessorCount.available`.
  static var defaultThreadCount: Int {
    if let text = getenv("SEXTANT_THREADS"), let count = Int(String(cString: text)),
      (1...1024).contains(count)
    {
      return count
    }
    return ProcessorCount.available
  }
}
