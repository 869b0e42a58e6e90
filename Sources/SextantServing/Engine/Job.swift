import SextantGeneration

/// Where a request came from. The page is not kept waiting by a flood of others.
package enum Lane: Sendable, CaseIterable {
  case page
  case api
}

/// A request's texts in the engine.
final class Job: @unchecked Sendable {
  /// Texts of one request that run together at most.
  static let togetherLimit = 8

  /// The texts, in their order.
  let texts: [ServedText]
  /// The lane.
  let lane: Lane
  /// The way to the reader.
  let queue: EventQueue
  /// Whether a comment is sent when nothing happens for a while.
  let isStream: Bool
  /// When the request came.
  let arrival = ContinuousClock.now
  /// The texts that have not started, in their order.
  var waiting: [ServedText]
  /// The texts that run or rest, with their runs.
  var running: [(text: ServedText, run: GenerationRun)] = []
  /// Whether a text has started.
  var hasStarted = false

  init(_ texts: [ServedText], _ lane: Lane, _ queue: EventQueue, isStream: Bool) {
    (self.texts, self.lane, self.queue, self.isStream) = (texts, lane, queue, isStream)
    waiting = texts
  }

  /// The next text that can start; nil if none can.
  var next: ServedText? {
    guard running.count < Self.togetherLimit else { return nil }
    return waiting.first { $0.canStart }
  }

  /// Whether all texts are over.
  var isOver: Bool { waiting.isEmpty && running.isEmpty }
}
