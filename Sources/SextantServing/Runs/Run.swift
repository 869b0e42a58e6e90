import SextantBytes
import SextantLocks

/// A run of the page: branches that are made together, and the events that told of them.
final class Run: Sendable {
  /// The name in paths: `r` and a number.
  let id: String
  /// The branches.
  let branches: [Branch]
  /// What the events came through.
  let queue: EventQueue
  private let events = Lock<[RunEvent]>([])

  init(_ id: String, _ branches: [Branch], _ queue: EventQueue) {
    (self.id, self.branches, self.queue) = (id, branches, queue)
  }

  /// Whether a branch is still made.
  var isLive: Bool { branches.contains(where: \.isLive) }
  /// Bytes of the states that are kept.
  var byteCount: Int { branches.reduce(0) { $0 + $1.byteCount } }
  /// The events so far.
  var told: [RunEvent] { events.withLock { $0 } }

  /// Takes note of events that were sent.
  func note(_ new: [RunEvent]) { events.withLock { $0 += new } }

  /// The branch of that name.
  func branch(_ name: String) throws(ServingError) -> Branch {
    guard let branch = branches.first(where: { $0.name == name }) else {
      throw ServingError(
        404, "branch_not_found", "Run \(id) has no branch \"\(printable(name, limit: 80))\".",
        parameter: "branch")
    }
    return branch
  }

  /// Ends all branches.
  func stop() {
    queue.cancel()
    for branch in branches { branch.stop() }
  }
}

/// The runs that the page can go back to.
final class RunShelf: Sendable {
  /// Runs that are kept at most.
  static let limit = 64

  private struct Content {
    /// The oldest first.
    var runs: [Run] = []
    var number = 0
  }

  private let content = Lock(Content())
  private let byteLimit: Int

  /// - Parameter byteLimit: bytes of states, beyond which the oldest runs are dropped.
  init(byteLimit: Int) { self.byteLimit = byteLimit }

  /// Bytes of the states of all runs.
  var byteCount: Int { content.withLock { $0.runs.reduce(0) { $0 + $1.byteCount } } }

  /// A name for a new run.
  func newName() -> String {
    content.withLock { content in
      content.number += 1
      return "r\(content.number)"
    }
  }

  /// Keeps a run. The oldest ones that have ended make room.
  ///
  /// - Throws: 429 if all runs are still made.
  func add(_ run: Run) throws(ServingError) {
    let isFull = content.withLock { content in
      while content.runs.count >= Self.limit
        || content.runs.reduce(0, { $0 + $1.byteCount }) > byteLimit,
        let place = content.runs.firstIndex(where: { !$0.isLive })
      {
        content.runs.remove(at: place)
      }
      guard content.runs.count < Self.limit else { return true }
      content.runs.append(run)
      return false
    }
    guard isFull else { return }
    throw ServingError(
      429, "runs_full", "\(Self.limit) runs are open, and none has ended.",
      headers: [("Retry-After", "2")])
  }

  /// The run of that name.
  func run(_ id: String) throws(ServingError) -> Run {
    guard let run = content.withLock({ content in content.runs.first { $0.id == id } }) else {
      throw ServingError(
        404, "run_not_found",
        "There is no run \"\(printable(id, limit: 80))\". Old runs are dropped.", parameter: "run")
    }
    return run
  }

  /// Drops a run, and ends it.
  func remove(_ id: String) throws(ServingError) {
    let run = try run(id)
    content.withLock { content in content.runs.removeAll { $0 === run } }
    run.stop()
  }
}
