#if SEXTANT_TSAN
  import Glibc

  /// A lock and the value that it guards, on a POSIX mutex.
  ///
  /// The thread sanitizer supports POSIX mutexes, and does not support `Mutex`.
  package struct Lock<Value: ~Copyable>: ~Copyable, @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let value: UnsafeMutablePointer<Value>

    /// A lock that guards `value`.
    package init(_ value: consuming sending Value) {
      mutex = .allocate(capacity: 1)
      pthread_mutex_init(mutex, nil)
      self.value = .allocate(capacity: 1)
      self.value.initialize(to: value)
    }

    deinit {
      value.deinitialize(count: 1)
      value.deallocate()
      pthread_mutex_destroy(mutex)
      mutex.deallocate()
    }

    /// Calls `body` with the value while no other thread can.
    package borrowing func withLock<Result: ~Copyable, Failure: Error>(
      _ body: (inout sending Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
      pthread_mutex_lock(mutex)
      defer { pthread_mutex_unlock(mutex) }
      return try body(&value.pointee)
    }

    /// As `withLock`, unless another thread has the lock: nil then.
    package borrowing func withLockIfAvailable<Result: ~Copyable, Failure: Error>(
      _ body: (inout sending Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result? {
      guard pthread_mutex_trylock(mutex) == 0 else { return nil }
      defer { pthread_mutex_unlock(mutex) }
      return try body(&value.pointee)
    }
  }
#else
  @_exported import Synchronization

  /// A lock and the value that it guards.
  ///
  /// The name is an alias of the type that the thread sanitizer supports in a build for it
  /// (`.ci/sanitize thread`), and of `Mutex` in every other build.
  package typealias Lock<Value: ~Copyable> = Mutex<Value>
#endif
