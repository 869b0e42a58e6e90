import SextantLocks

/// The length of the texts that a model was trained for, and the handler that is told of a longer
/// text.
///
/// Models with rotated or looked-up positions also compute values beyond that length, which mean
/// little. Recurrent models have no such limit, for any length of training texts.
package final class ContextLimit: Sendable {
  /// Tokens of the longest text: `max_position_embeddings` of a published configuration.
  package let length: Int
  private let listener = Lock<(@Sendable () -> Void)?>(nil)

  /// A limit of this number of tokens.
  package init(_ length: Int) { self.length = length }

  /// Calls `body` once, when a run first reads a token beyond the limit, before that token is computed.
  package func whenExceeded(_ body: @escaping @Sendable () -> Void) {
    listener.withLock { $0 = body }
  }

  /// Notes that a run reads up to a position, exclusive.
  func reads(to position: Int) {
    guard position > length else { return }
    let body = listener.withLock { listener in
      defer { listener = nil }
      return listener
    }
    body?()
  }
}
