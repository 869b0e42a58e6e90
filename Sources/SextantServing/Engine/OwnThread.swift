import Glibc
import SextantBytes

/// Work on a thread of its own, beside the few threads that serve connections.
enum OwnThread {
  private final class Work: Sendable {
    let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }

  /// Starts a thread.
  ///
  /// - Throws: `system.memory` if the system refuses one.
  static func start(_ body: @escaping @Sendable () -> Void) throws(Refusal) {
    let work = Unmanaged.passRetained(Work(body))
    var thread = pthread_t()
    let status = pthread_create(
      &thread, nil,
      { argument in
        if let argument { Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().body() }
        return nil
      }, work.toOpaque())
    guard status == 0 else {
      work.release()
      throw Refusal(.systemMemory, found: "no further thread", expected: "one")
    }
    pthread_detach(thread)
  }

  /// The result of work that takes long.
  static func result<Value: Sendable>(
    of body: @escaping @Sendable () -> Result<Value, Refusal>
  ) async throws(Refusal) -> Value {
    let result = await withCheckedContinuation { waiting in
      do throws(Refusal) {
        try start { waiting.resume(returning: body()) }
      } catch {
        waiting.resume(returning: .failure(error))
      }
    }
    return try result.get()
  }
}
