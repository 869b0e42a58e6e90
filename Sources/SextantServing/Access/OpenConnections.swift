import SextantLocks

/// The open connections of a server.
///
/// A connection that waits for its client makes room for a new one, so that clients that only connect keep nobody
/// out.
package final class OpenConnections<Connection: Sendable>: Sendable {
  private struct Entry {
    let connection: Connection
    /// Requests that were read completely and not answered to their end.
    var requestCount = 0
    /// When the connection began to wait for its client, in the order of all such moments.
    var waitingSince: UInt64
  }

  private struct Content {
    var entries: [UInt64: Entry] = [:]
    /// Moments so far.
    var clock: UInt64 = 0
  }

  private let limit: Int
  private let content = Lock(Content())

  /// A list of at most this number of connections; at least 2.
  package init(limit: Int) { self.limit = limit }

  /// Adds a connection, which waits for its first request.
  ///
  /// - Returns: its number, and the connection that is to be closed for it. One place is kept free for the next
  ///   connection. Nil if there is room, or if all other connections have requests.
  package func add(_ connection: Connection) -> (number: UInt64, surplus: Connection?) {
    content.withLock { content in
      content.clock += 1
      let number = content.clock
      var surplus: Connection?
      if content.entries.count >= limit - 1 {
        let waiting = content.entries.filter { $0.value.requestCount == 0 }
        if let oldest = waiting.min(by: { $0.value.waitingSince < $1.value.waitingSince }) {
          surplus = oldest.value.connection
          content.entries[oldest.key] = nil
        }
      }
      content.entries[number] = Entry(connection: connection, waitingSince: number)
      return (number, surplus)
    }
  }

  /// A request of the connection was read to its end.
  package func beginRequest(_ number: UInt64) {
    content.withLock { $0.entries[number]?.requestCount += 1 }
  }

  /// A request of the connection was answered to its end.
  package func endRequest(_ number: UInt64) {
    content.withLock { content in
      content.clock += 1
      guard let count = content.entries[number]?.requestCount else { return }
      content.entries[number]?.requestCount = max(count - 1, 0)
      content.entries[number]?.waitingSince = content.clock
    }
  }

  /// The connection is closed.
  package func remove(_ number: UInt64) { content.withLock { $0.entries[number] = nil } }

  /// The number of connections.
  package var count: Int { content.withLock { $0.entries.count } }
}
