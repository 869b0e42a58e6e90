/// The answer of the service to a request.
package struct ServingResponse: Sendable {
  /// What is sent after the headers.
  package enum Body: Sendable {
    /// All bytes at once.
    case bytes([UInt8])
    /// Pieces of bytes that a running text makes. The server sends each piece before it asks for the
    /// next one. If it stops asking, because the client left, the text is cancelled.
    case pieces(ServingPieces)
  }

  /// The status code of HTTP.
  package var status: Int
  /// Names and values, in this order.
  package var headers: [(name: String, value: String)]
  /// What follows the headers.
  package var body: Body

  /// An answer from its parts.
  package init(
    status: Int, headers: [(name: String, value: String)] = [], body: Body = .bytes([])
  ) {
    (self.status, self.headers, self.body) = (status, headers, body)
  }
}

/// Pieces of an answer, one after another, as `ServingResponse.Body.pieces` describes.
package protocol ServingPieces: Sendable {
  /// The next piece; nil at the end. If the task is cancelled, it returns nil and the text is cancelled.
  func next() async -> [UInt8]?
  /// The receiver has left: the text is cancelled. Calling it twice, or after the end, has no effect.
  func cancel()
}
