import Glibc
import SextantBytes
import SextantLocks

/// Ranks that are threads of one process: the twin of MPI with which tests run every distributed command.
package enum ThreadGroup {
  /// Runs `body` on each of some ranks at the same time.
  ///
  /// - Returns: the results, by rank.
  /// - Throws: the refusal of the rank that refused first. The other ranks then end at their next message.
  package static func run<Result: Sendable>(
    _ size: Int, _ body: @escaping @Sendable (any Collective) throws(Refusal) -> Result
  ) throws(Refusal) -> [Result] {
    let meeting = Meeting(size)
    let results = Lock<[Result?]>(Array(repeating: nil, count: size))
    let threads = (0..<size).map { rank in
      Thread {
        do throws(Refusal) {
          let result = try body(Member(rank: rank, meeting: meeting))
          results.withLock { $0[rank] = result }
        } catch {
          meeting.end(with: error)
        }
      }
    }
    for thread in threads { thread.join() }
    if let refusal = meeting.refusal { throw refusal }
    return results.withLock { $0 }.compactMap { $0 }
  }

  /// One rank.
  private struct Member: Collective {
    let rank: Int
    let meeting: Meeting
    var size: Int { meeting.size }

    func exchange(_ messages: [[UInt8]]) throws(Refusal) -> [[UInt8]] {
      precondition(messages.count == size)
      return try meeting.exchange(messages, from: rank)
    }
  }

  /// The place where the messages of all ranks meet.
  private final class Meeting: @unchecked Sendable {
    let size: Int
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private let change: UnsafeMutablePointer<pthread_cond_t>
    /// By sender; nil where the sender has not arrived.
    private var messages: [[[UInt8]]?]
    /// Ranks that have not yet taken the messages of a complete round; 0 while a round fills.
    private var leaving = 0
    private var first: Refusal?

    init(_ size: Int) {
      self.size = size
      messages = Array(repeating: nil, count: size)
      lock = .allocate(capacity: 1)
      change = .allocate(capacity: 1)
      pthread_mutex_init(lock, nil)
      pthread_cond_init(change, nil)
    }

    deinit {
      pthread_cond_destroy(change)
      pthread_mutex_destroy(lock)
      lock.deallocate()
      change.deallocate()
    }

    var refusal: Refusal? {
      pthread_mutex_lock(lock)
      defer { pthread_mutex_unlock(lock) }
      return first
    }

    /// Ends the job: ranks that wait, and those that will, are refused.
    func end(with refusal: Refusal) {
      pthread_mutex_lock(lock)
      if first == nil { first = refusal }
      pthread_cond_broadcast(change)
      pthread_mutex_unlock(lock)
    }

    func exchange(_ own: [[UInt8]], from rank: Int) throws(Refusal) -> [[UInt8]] {
      pthread_mutex_lock(lock)
      defer { pthread_mutex_unlock(lock) }
      try wait { leaving == 0 }  // the round before
      messages[rank] = own
      if messages.allSatisfy({ $0 != nil }) {
        leaving = size
        pthread_cond_broadcast(change)
      }
      try wait { leaving > 0 }
      let received = messages.map { $0?[rank] ?? [] }
      leaving -= 1
      if leaving == 0 {
        messages = Array(repeating: nil, count: size)
        pthread_cond_broadcast(change)
      }
      return received
    }

    private func wait(_ isReady: () -> Bool) throws(Refusal) {
      while first == nil && !isReady() { pthread_cond_wait(change, lock) }
      guard first == nil else {
        throw Refusal(
          .systemRanks, found: "a rank that refused", expected: "all ranks at work")
      }
    }
  }

  /// A thread with a stack for models.
  private struct Thread {
    private let handle: pthread_t

    init(_ body: @escaping @Sendable () -> Void) {
      final class Box {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
      }
      var attributes = pthread_attr_t()
      pthread_attr_init(&attributes)
      pthread_attr_setstacksize(&attributes, 8 << 20)
      var handle = pthread_t()
      let status = pthread_create(
        &handle, &attributes,
        { pointer in
          guard let pointer else { return nil }
          Unmanaged<Box>.fromOpaque(pointer).takeRetainedValue().body()
          return nil
        }, Unmanaged.passRetained(Box(body)).toOpaque())
      precondition(status == 0, "no thread")
      pthread_attr_destroy(&attributes)
      self.handle = handle
    }

    func join() { pthread_join(handle, nil) }
  }
}
