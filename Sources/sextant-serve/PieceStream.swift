import Hummingbird
import NIOCore
import SextantServing

/// Writes the pieces of an answer to a connection, each after the connection has taken the last one.
struct PieceStream: Sendable {
  private let pieces: any ServingPieces
  private let departure: Departure
  private let channel: any Channel

  init(_ pieces: any ServingPieces, _ departure: Departure, _ channel: any Channel) {
    (self.pieces, self.departure, self.channel) = (pieces, departure, channel)
  }

  /// Writes all pieces. If the client leaves, or reads nothing for too long, the text is cancelled.
  func write(to writer: inout any ResponseBodyWriter) async throws {
    departure.whenTold { [pieces] in pieces.cancel() }
    defer {
      departure.whenTold(nil)
      pieces.cancel()
    }
    while !departure.hasLeft, let piece = await pieces.next() {
      // An empty chunk would end the body.
      guard !piece.isEmpty else { continue }
      try await write(piece, to: &writer)
    }
    try await writer.finish(nil)
  }

  /// Writes bytes, and waits until the connection has taken them.
  private func write(_ bytes: [UInt8], to writer: inout any ResponseBodyWriter) async throws {
    let timer = channel.eventLoop.scheduleTask(in: .seconds(Server.Limits.unreadSeconds)) {
      [channel] in channel.close(promise: nil)
    }
    defer { timer.cancel() }
    try await writer.write(ByteBuffer(bytes: bytes))
    // The writer gives bytes to the event loop and returns. After this turn of the loop, the socket
    // has them, or the connection counts as full: then the next write waits.
    try await channel.eventLoop.submit {}.get()
  }
}
