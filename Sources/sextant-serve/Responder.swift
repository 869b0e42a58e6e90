import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import SextantBytes
import SextantServing

/// What a request is answered with: its connection is needed to see that the client has left.
struct ConnectionContext: InitializableFromSource, Sendable {
  let channel: any Channel

  init(source: ApplicationRequestContextSource) { channel = source.channel }
}

/// Passes requests to the service, and its answers to the connections.
struct Responder: HTTPResponder {
  let service: Late<SextantServing.Service>
  /// Whether the log contains the bodies of requests.
  let logsBodies: Bool

  func respond(to request: Request, context: ConnectionContext) async throws -> Response {
    guard let service = service.current else { return refusal(.serviceUnavailable, "starting") }
    let body: [UInt8]
    switch try await read(request, within: .seconds(Server.Limits.bodySeconds)) {
    case .complete(let bytes): body = bytes
    case .tooLarge:
      return closing(
        refusal(.contentTooLarge, "a body over \(Server.Limits.bodyBytes) bytes"), context.channel)
    case .tooSlow:
      return closing(refusal(.requestTimeout, "a body that takes too long"), context.channel)
    }
    // What is only read out is not worth watching.
    let departure =
      request.method == .get
      ? Departure()
      : try await context.channel.pipeline.handler(type: ConnectionWatch.self).map(\.departure)
        .get()
    let work = Task { await service.respond(to: ServingRequest(request, body)) }
    departure.whenTold { work.cancel() }
    let answer = await work.value
    log(request, body, answer.status)
    switch answer.body {
    case .bytes(let bytes):
      departure.whenTold(nil)
      return Response(answer, body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    case .pieces(let pieces):
      let stream = PieceStream(pieces, departure, context.channel)
      return Response(answer, body: ResponseBody { writer in try await stream.write(to: &writer) })
    }
  }

  /// Writes a line for a request that computes or changes something.
  private func log(_ request: Request, _ body: [UInt8], _ status: Int) {
    guard request.method != .get else { return }
    Console.printError("\(request.method) \(printable(request.uri.path, limit: 200)) \(status)")
    if logsBodies {
      Console.printError(printable(String(decoding: body, as: UTF8.self), limit: 4000))
    }
  }

  // MARK: Bodies

  private enum Reading: Sendable {
    case complete([UInt8])
    case tooLarge, tooSlow
  }

  /// Reads the body of a request.
  private func read(_ request: Request, within limit: Duration) async throws -> Reading {
    if let length = request.headers[.contentLength].flatMap(Int.init) {
      if length == 0 { return .complete([]) }
      if length > Server.Limits.bodyBytes { return .tooLarge }
    } else if request.headers[.transferEncoding] == nil {
      return .complete([])
    }
    return try await withThrowingTaskGroup(of: Reading.self) { group in
      group.addTask {
        do {
          let buffer = try await request.body.collect(upTo: Server.Limits.bodyBytes)
          return .complete(Array(buffer.readableBytesView))
        } catch is NIOTooManyBytesError {
          return .tooLarge
        }
      }
      group.addTask {
        try await Task.sleep(for: limit)
        return .tooSlow
      }
      defer { group.cancelAll() }
      return try await group.next() ?? .tooSlow
    }
  }

  // MARK: Refusals of the shell

  /// An answer in the form that OpenAI's clients read.
  private func refusal(_ status: HTTPResponse.Status, _ found: String) -> Response {
    let text =
      #"{"error":{"message":"\#(found)","type":"invalid_request_error","param":null,"code":"request.limit"}}"#
    return Response(
      status: status, headers: [.contentType: "application/json", .connection: "close"],
      body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
  }

  /// The answer, after which the connection is closed, so that the rest of the request is not read.
  private func closing(_ response: Response, _ channel: any Channel) -> Response {
    // A client that still sends must get the answer before its connection is reset.
    channel.eventLoop.scheduleTask(in: .seconds(2)) { channel.close(promise: nil) }
    return response
  }
}

extension ServingRequest {
  /// The request that a connection sent.
  init(_ request: Request, _ body: [UInt8]) {
    let parts = (request.head.path ?? "/").split(
      separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    var headers = request.headers.map { (name: $0.name.rawName, value: $0.value) }
    // The parser keeps the header `Host` apart from the others.
    if let host = request.head.authority { headers.insert((name: "Host", value: host), at: 0) }
    self.init(
      request.method.rawValue, String(parts[0]), query: parts.count > 1 ? String(parts[1]) : "",
      headers: headers, body: body)
  }
}

extension Response {
  /// The answer of the service.
  init(_ answer: ServingResponse, body: ResponseBody) {
    var fields = HTTPFields()
    for (name, value) in answer.headers {
      guard let name = HTTPField.Name(name) else { continue }
      fields.append(HTTPField(name: name, value: value))
    }
    self.init(status: HTTPResponse.Status(code: answer.status), headers: fields, body: body)
  }
}
