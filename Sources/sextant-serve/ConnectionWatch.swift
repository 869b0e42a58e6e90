import NIOCore
import NIOHTTP1
import SextantLocks
import SextantServing

/// Watches a connection: it closes one that sends no header, or that waits while others want its place, and tells
/// when the client has left.
final class ConnectionWatch: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = Any

  /// Tells when the client has left.
  let departure = Departure()
  private var timer: Scheduled<Void>?
  private let connections: OpenConnections<any Channel>
  private var number: UInt64 = 0

  init(_ connections: OpenConnections<any Channel>) { self.connections = connections }

  func handlerAdded(context: ChannelHandlerContext) {
    let channel = context.channel
    timer = context.eventLoop.scheduleTask(in: .seconds(Server.Limits.headerSeconds)) {
      channel.close(promise: nil)
    }
    let (number, surplus) = connections.add(channel)
    self.number = number
    surplus?.close(promise: nil)
    addForms(context.pipeline.syncOperations)
  }

  /// Puts `MessageForms` next to the parser. The server's own list of handlers begins behind it.
  private func addForms(_ pipeline: ChannelPipeline.SynchronousOperations) {
    guard
      let parser = try? pipeline.handler(type: ByteToMessageHandler<HTTPRequestDecoder>.self),
      (try? pipeline.addHandler(MessageForms(connections, number), position: .after(parser))) != nil
    else { preconditionFailure("a pipeline without a parser") }
  }

  func handlerRemoved(context: ChannelHandlerContext) { connections.remove(number) }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    timer?.cancel()
    timer = nil
    context.fireChannelRead(data)
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case ChannelEvent.inputClosed? = event as? ChannelEvent { departure.tell() }
    context.fireUserInboundEventTriggered(event)
  }

  func channelInactive(context: ChannelHandlerContext) {
    timer?.cancel()
    departure.tell()
    context.fireChannelInactive()
  }
}

/// Whether the client of a connection has left, and what is then to be done.
final class Departure: Sendable {
  private struct State {
    var hasLeft = false
    var action: (@Sendable () -> Void)?
  }
  private let state = Lock(State())

  /// Whether the client has left.
  var hasLeft: Bool { state.withLock { $0.hasLeft } }

  /// Sets what is done when the client leaves; at once if it has left. Nil for nothing.
  func whenTold(_ action: (@Sendable () -> Void)?) {
    let hasLeft = state.withLock { state in
      state.action = action
      return state.hasLeft
    }
    if hasLeft { action?() }
  }

  /// The client has left.
  func tell() {
    let action = state.withLock { state in
      state.hasLeft = true
      return state.action
    }
    action?()
  }
}
