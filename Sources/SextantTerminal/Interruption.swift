import Glibc
import SextantBytes
import Synchronization

/// The reaction to a termination request of the user or the system.
package enum Interruption {
  /// The message on interruption: a C string that is never freed, or 0.
  private static let message = Atomic<UInt>(0)

  /// Handles termination signals: unpublished files are removed, and the process still ends by the
  /// signal, as its parent expects.
  package static func prepare() {
    // Not to be initialised inside a handler.
    _ = message.load(ordering: .relaxed)
    FilePublisher.removeUnpublishedName()
    for number in [SIGINT, SIGTERM, SIGHUP] {
      // A signal that the parent ignores (nohup) stays ignored.
      let before = unsafeBitCast(signal(number, SIG_IGN) as sighandler_t?, to: Int.self)
      if before == unsafeBitCast(SIG_IGN as sighandler_t?, to: Int.self) { continue }
      signal(number) { number in
        FilePublisher.removeUnpublishedName()
        if let text = UnsafePointer<CChar>(
          bitPattern: Interruption.message.load(ordering: .relaxed))
        {
          _ = write(STDERR_FILENO, text, strlen(text))
        }
        signal(number, SIG_DFL)
        raise(number)
      }
    }
  }

  /// Whether Ctrl-C was pressed during work that it does not end.
  private static let isMarked = Atomic<Bool>(false)

  /// Runs work during which Ctrl-C only sets a mark.
  package static func marking<Result>(
    _ work: (_ isMarked: () -> Bool) throws(Refusal) -> Result
  ) throws(Refusal) -> Result {
    isMarked.store(false, ordering: .relaxed)
    let before = signal(SIGINT) { _ in Interruption.isMarked.store(true, ordering: .relaxed) }
    defer { signal(SIGINT, before) }
    return try work { isMarked.load(ordering: .relaxed) }
  }

  /// What Ctrl-C shows at a prompt that it does not end.
  private static let hint: StaticString = "\n/quit or Ctrl-D ends the session.\n> "

  /// Waits for a line of a session: Ctrl-C discards what was typed, and shows how to end the session.
  package static func declining<Result>(_ wait: () -> Result) -> Result {
    // Not to be initialised inside a handler.
    _ = hint.utf8CodeUnitCount
    let before = signal(SIGINT) { _ in
      let hint = Interruption.hint
      _ = write(STDERR_FILENO, hint.utf8Start, hint.utf8CodeUnitCount)
    }
    defer { signal(SIGINT, before) }
    return wait()
  }

  /// Sets the message about the files that an interruption leaves.
  package static func promise(_ text: String) {
    let copy = UInt(bitPattern: strdup("\nInterrupted; \(text).\n"))
    message.store(copy, ordering: .relaxed)
  }
}
