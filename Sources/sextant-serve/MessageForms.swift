import NIOCore
import NIOHTTP1
import SextantServing

/// Forms of messages that the server above does not know: HTTP/1.0, `HEAD`, and clients that ask before they send a body.
/// It also counts the requests of the connection.
final class MessageForms: ChannelDuplexHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias InboundOut = HTTPServerRequestPart
  typealias OutboundIn = HTTPServerResponsePart
  typealias OutboundOut = HTTPServerResponsePart

  /// A request that was read and not answered to its end.
  private struct Pending {
    var isOld: Bool
    var isHead: Bool
    var mustClose = false
  }

  /// The oldest first: a client may send further requests before the first one is answered.
  private var pending: CircularBuffer<Pending> = []
  private let connections: OpenConnections<any Channel>
  private let number: UInt64

  /// - Parameter number: the connection's place in `connections`.
  init(_ connections: OpenConnections<any Channel>, _ number: UInt64) {
    (self.connections, self.number) = (connections, number)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let part = unwrapInboundIn(data)
    if case .end = part { connections.beginRequest(number) }
    guard case .head(var head) = part else {
      context.fireChannelRead(data)
      return
    }
    // In HTTP/1.0 a connection ends with the answer unless the client asks for more.
    if !head.isKeepAlive { head.headers.replaceOrAdd(name: "connection", value: "close") }
    let isOld = head.version.major == 1 && head.version.minor == 0
    if !isOld, pending.isEmpty, Self.asksBeforeTheBody(head) {
      let answer = HTTPResponseHead(version: .http1_1, status: .continue)
      context.writeAndFlush(wrapOutboundOut(.head(answer)), promise: nil)
    }
    pending.append(Pending(isOld: isOld, isHead: head.method == .HEAD))
    context.fireChannelRead(wrapInboundOut(.head(head)))
  }

  /// Whether the client waits for the word to send its body. One that is too large is refused instead.
  private static func asksBeforeTheBody(_ head: HTTPRequestHead) -> Bool {
    guard head.headers["expect"].contains(where: { $0.lowercased() == "100-continue" }) else {
      return false
    }
    let length = head.headers.first(name: "content-length").flatMap { Int($0) }
    return length ?? 0 <= Server.Limits.bodyBytes
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    guard let own = pending.first else {
      context.write(data, promise: promise)
      return
    }
    switch unwrapOutboundIn(data) {
    case .head(var head):
      if own.isOld {
        head.version = .http1_0
        // Without a length, the end of the connection is that of the body.
        if !head.headers.contains(name: "content-length") {
          head.headers.replaceOrAdd(name: "connection", value: "close")
          pending[pending.startIndex].mustClose = true
        } else if !head.headers.contains(name: "connection") {
          head.headers.add(name: "connection", value: "keep-alive")
        }
      }
      context.write(wrapOutboundOut(.head(head)), promise: promise)
    case .body:
      if own.isHead { promise?.succeed() } else { context.write(data, promise: promise) }
    case .end:
      pending.removeFirst()
      connections.endRequest(number)
      let channel = context.channel
      let written = promise ?? context.eventLoop.makePromise()
      if own.mustClose { written.futureResult.whenComplete { _ in channel.close(promise: nil) } }
      context.write(data, promise: written)
    }
  }
}
