import SextantGeneration
import SextantLocks

/// What happened to a text of a request.
enum TextEvent: Sendable {
  /// The request waits. The place is 1 for the one that starts next. Only runs of the page are told.
  case waiting(place: Int)
  /// So many tokens of its prompt were read. Only runs of the page are told.
  case reading(text: Int, read: Int)
  /// Its prompt was read: the scores of its tokens if they were asked for, and tokens that came from the
  /// cache.
  case prompt(text: Int, tokens: [ScoredToken], records: [TokenRecord], cached: Int)
  /// A token was generated.
  case token(text: Int, GeneratedToken)
  /// It ended; the last text may still be added.
  case end(text: Int, EndedText)
  /// Nothing happened for a while.
  case silence
}

/// A generated token as answers need it.
struct GeneratedToken: Sendable {
  /// The id.
  var id: Int
  /// The text that it adds.
  var text: String
  /// Its score, if asked for.
  var score: ScoredToken?
  /// The reports of it, if asked for.
  var record: TokenRecord?
}

/// A text that has ended.
struct EndedText: Sendable {
  /// Text that was held back until the end.
  var rest: String
  /// Why it ended.
  var ending: Generation.Ending
  /// Tokens that were generated.
  var count: Int
  /// Its edits.
  var edits: [EditedTokens]
}

/// What an edit did to a text, whether all of it was read for this text or not.
struct EditedTokens: Sendable {
  /// The place of the edit among those of the request.
  var item: Int
  /// The strength; the result of the search for one in nats.
  var strength: Float
  /// The number of edited tokens.
  var count: Int
}

/// The events of a request's texts, on their way from the engine to the one reader of the answer.
///
/// The engine never waits: while the queue is full, the request's texts rest.
final class EventQueue: Sendable {
  private struct Content {
    var events: [TextEvent] = []
    var ending: Result<Void, ServingError>?
    var reader: CheckedContinuation<Void, Never>?
    var isCancelled = false
    var lastChange = ContinuousClock.now

    mutating func takeReader() -> CheckedContinuation<Void, Never>? {
      defer { reader = nil }
      return reader
    }
  }

  private let content = Lock(Content())
  private let limit: Int
  /// Tells the engine that there is room again, or that the reader left.
  private let wake: @Sendable () -> Void

  init(limit: Int, wake: @escaping @Sendable () -> Void) { (self.limit, self.wake) = (limit, wake) }

  /// Whether the request's texts must rest.
  var isFull: Bool { content.withLock { $0.events.count >= limit } }
  /// Whether the reader left.
  var isCancelled: Bool { content.withLock { $0.isCancelled } }
  /// When something was last added or taken.
  var lastChange: ContinuousClock.Instant { content.withLock { $0.lastChange } }

  /// Adds an event.
  func push(_ event: TextEvent) {
    let reader = content.withLock { content in
      content.lastChange = .now
      if content.ending == nil { content.events.append(event) }
      return content.takeReader()
    }
    reader?.resume()
  }

  /// No event follows.
  func finish(_ ending: Result<Void, ServingError> = .success(())) {
    let reader = content.withLock { content in
      if content.ending == nil { content.ending = ending }
      return content.takeReader()
    }
    reader?.resume()
  }

  /// The reader leaves.
  func cancel() {
    let reader = content.withLock { content in
      content.isCancelled = true
      content.events = []
      return content.takeReader()
    }
    reader?.resume()
    wake()
  }

  /// The events since the last call, at least one; nil at the end, and if the task is cancelled.
  ///
  /// - Throws: what ended the texts too early.
  func next() async throws(ServingError) -> [TextEvent]? {
    while true {
      let (events, ending, wasFull) = content.withLock { content in
        let taken = content.events
        content.events = []
        if !taken.isEmpty { content.lastChange = .now }
        return (
          taken, content.isCancelled ? .success(()) : content.ending, taken.count >= limit
        )
      }
      if wasFull { wake() }
      if !events.isEmpty { return events }
      if let ending {
        try ending.get()
        return nil
      }
      if Task.isCancelled {
        cancel()
        return nil
      }
      await withTaskCancellationHandler {
        await withCheckedContinuation { reader in
          let isReady = content.withLock { content in
            if !content.events.isEmpty || content.ending != nil || content.isCancelled {
              return true
            }
            content.reader = reader
            return false
          }
          if isReady { reader.resume() }
        }
      } onCancel: {
        cancel()
      }
    }
  }
}
