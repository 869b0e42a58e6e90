import Glibc
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import ServiceLifecycle
import SextantBytes
import SextantLocks
import SextantServing

/// The shell around the service: it reads requests from connections, within limits, and writes answers.
struct Server: Sendable {
  /// What a client may use, and how long it may take.
  enum Limits {
    /// Bytes of all header fields of a request.
    static let headerBytes = 16 << 10
    /// Header fields of a request.
    static let headerFields = 100
    /// Bytes of a body.
    static let bodyBytes = 8 << 20
    /// Seconds for the first header of a connection.
    static let headerSeconds: Int64 = 10
    /// Seconds for a body.
    static let bodySeconds: Int64 = 30
    /// Seconds without a request, after which a connection is closed.
    static let idleSeconds: Int64 = 75
    /// Open connections at most. One that waits for its client is closed when another client connects.
    static let connections = 256
    /// Descriptors that are left for files.
    static let otherDescriptors = 48
    /// Seconds that a client may leave a piece of a stream unread.
    static let unreadSeconds: Int64 = 60
    /// Seconds from the signal to the end of the process.
    static let stopSeconds: UInt32 = 5
  }

  private let makeService: @Sendable (Int?) throws(Refusal) -> SextantServing.Service
  private let address: AddressArguments
  private let logsBodies: Bool
  private let service = Late<SextantServing.Service>()

  /// A server whose service is made when the port is known.
  ///
  /// - Parameters:
  ///   - makingService: makes the service for a port; nil for a socket in the file system.
  ///   - logsBodies: whether the log contains the bodies of requests.
  init(
    makingService: @escaping @Sendable (Int?) throws(Refusal) -> SextantServing.Service,
    at address: AddressArguments, logsBodies: Bool
  ) {
    makeService = makingService
    (self.address, self.logsBodies) = (address, logsBodies)
  }

  /// Serves until a signal ends the process.
  func run() async throws {
    var logger = Logger(label: "sextant serve")
    logger.logLevel = .critical
    let limit = Self.connectionLimit
    let connections = OpenConnections<any Channel>(limit: limit)
    let application = Application(
      responder: Responder(service: service, logsBodies: logsBodies),
      server: .http1(
        configuration: HTTP1Channel.Configuration(
          additionalChannelHandlers: [ConnectionWatch(connections)],
          idleTimeout: .seconds(Limits.idleSeconds),
          httpDecoderConfiguration: .init(
            maxHeaderFieldSize: Limits.headerBytes, maxHeaderListSize: Limits.headerBytes,
            maxHeaderFieldCount: Limits.headerFields))),
      configuration: ApplicationConfiguration(
        address: address.binding,
        availableConnectionsDelegate: MaximumAvailableConnections(limit)),
      onServerRunning: { channel in await begin(channel.localAddress?.port) },
      logger: logger)
    // The last one is stopped first: texts end, and then the connections.
    let group = ServiceGroup(
      configuration: ServiceGroupConfiguration(
        services: [
          .init(service: application, successTerminationBehavior: .gracefullyShutdownGroup),
          .init(service: Ending(service: service), successTerminationBehavior: .ignore),
        ], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
    let mask = address.unix.map { _ in umask(0o177) }
    do {
      try await group.run()
    } catch {
      throw address.refusal(error)
    }
    if let mask { _ = umask(mask) }
    if let path = address.unix { _ = unlink(path) }
  }

  /// The number of connections for which there are descriptors.
  private static var connectionLimit: Int {
    var limit = rlimit()
    guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
      return Limits.connections
    }
    let free = Int(clamping: limit.rlim_cur) - Limits.otherDescriptors
    return max(4, min(Limits.connections, free))
  }

  /// Makes the service, and prints the address.
  private func begin(_ port: Int?) async {
    do throws(Refusal) {
      service.set(try makeService(address.unix == nil ? port : nil))
    } catch {
      Console.printError("Error: \(error.withOptions)")
      exit(error.exitStatus)
    }
    Console.print(address.shown(port: port))
  }
}

/// A value that exists later.
final class Late<Value: Sendable>: Sendable {
  private let value = Lock<Value?>(nil)

  func set(_ new: Value) { value.withLock { $0 = new } }

  var current: Value? { value.withLock { $0 } }
}

/// Ends the texts that are generated, when the process gets a signal, and sees to it that the process ends.
struct Ending: ServiceLifecycle.Service {
  let service: Late<SextantServing.Service>

  func run() async throws {
    try await gracefulShutdown()
    // If a connection does not close, the process ends all the same.
    signal(SIGALRM) { _ in _exit(0) }
    alarm(Server.Limits.stopSeconds)
    await service.current?.stop(within: Double(Server.Limits.stopSeconds) - 2)
  }
}
