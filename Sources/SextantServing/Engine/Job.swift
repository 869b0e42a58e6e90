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
  /// The place in the queue that was told last.
  var toldPlace: Int?

  init(_ texts: [ServedText], _ lane: Lane, _ queue: EventQueue, isStream: Bool) {
    (self.texts, self.lane, self.queue, self.isStream) = (texts, lane, queue, isStream)
    waiting = texts
  }

  /// The texts of which one may start next.
  var candidates: ArraySlice<ServedText> {
    running.count < Self.togetherLimit ? waiting.prefix(Self.togetherLimit) : []
  }

  /// Whether the reader is told the place in the queue.
  var tellsPlace: Bool { texts.first?.branch != nil }

  /// Whether all texts are over.
  var isOver: Bool { waiting.isEmpty && running.isEmpty }
}
