import SextantBytes

/// Decides who may use the service, before anything is computed.
struct Access: Sendable {
  /// What a request may have, once it was let in.
  struct Grant: Sendable {
    /// The origin that the answer is for, if it is that of another page.
    var origin: String?
    /// Separates the caches of different keys; empty without keys.
    var salt = ""
  }

  /// Bytes of a body at most.
  static let bodyLimit = 8 << 20

  private let hosts: Set<String>?
  private let origins: Set<String>
  private let keys: [Digest]

  /// - Throws: `usage.option` for a host or an origin that no request can have.
  init(_ options: ServiceOptions) throws(Refusal) {
    try Self.check(options.hosts ?? [], options.origins)
    hosts = options.hosts.map { Set($0.map { $0.lowercased() }) }
    origins = Set(options.origins.map { $0.lowercased() })
    keys = options.keys.map { SHA256.digest(Array($0.utf8)) }
  }

  /// Browsers send an origin without a path, and a host without a scheme.
  private static func check(_ hosts: [String], _ origins: [String]) throws(Refusal) {
    for host in hosts where host.isEmpty || host.contains(where: { "/@, \t".contains($0) }) {
      throw Refusal(
        .usageOption, at: .parameter("allowedHost"), found: "\"\(printable(host, limit: 80))\"",
        expected: "a name, or a name with a port, such as lab.example:8080",
        remedy: "Leave out what is not part of the header Host.")
    }
    for origin in origins {
      let parts = origin.split(separator: "://", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty,
        !origin.contains(where: { "@?#*, \t".contains($0) }), !parts[1].contains("/")
      else {
        throw Refusal(
          .usageOption, at: .parameter("corsOrigin"),
          found: "\"\(printable(origin, limit: 80))\"",
          expected: "an origin without a path, such as http://localhost:3000",
          remedy: "Write it as the browser sends it in the header Origin.")
      }
    }
  }

  /// Lets a request in, or refuses it.
  func check(_ request: ServingRequest) throws(ServingError) -> Grant {
    try checkHost(request)
    var grant = Grant(origin: try checkOrigin(request))
    if request.method == "OPTIONS" { return grant }
    try checkBody(request)
    if !keys.isEmpty, !["/health", "/v1/health"].contains(request.path) {
      grant.salt = try checkKey(request)
    }
    return grant
  }

  /// A page whose name was rebound to this address has another Host.
  private func checkHost(_ request: ServingRequest) throws(ServingError) {
    guard let hosts else { return }
    let own = request.values(of: "host").map { $0.lowercased() }
    guard own.count == 1, hosts.contains(own[0]) else {
      throw ServingError(
        .hostRefused,
        "The header Host is not one of this server's names. `--allowed-host NAME` allows one.")
    }
  }

  /// Returns the origin if it is that of another page that may use the service.
  private func checkOrigin(_ request: ServingRequest) throws(ServingError) -> String? {
    let refusal = ServingError(
      .originRefused,
      "Pages of other origins may not use this server. `--cors-origin URL` allows one.")
    let own = request.values(of: "origin").map { $0.lowercased() }
    guard own.count < 2 else { throw refusal }
    if let origin = own.first {
      if origins.contains(origin) { return origin }
      guard isOwn(origin, request) else { throw refusal }
    }
    let site = request.values(of: "sec-fetch-site").map { $0.lowercased() }
    guard site.allSatisfy({ $0 == "same-origin" || $0 == "none" }) else { throw refusal }
    return nil
  }

  /// Whether an origin is the address of this server, as the request's Host names it.
  private func isOwn(_ origin: String, _ request: ServingRequest) -> Bool {
    guard let host = request.values(of: "host").first?.lowercased() else { return false }
    return origin == "http://\(host)" || origin == "https://\(host)"
  }

  private func checkBody(_ request: ServingRequest) throws(ServingError) {
    let coding = request.values(of: "content-encoding").map { $0.lowercased() }
    guard coding.allSatisfy({ $0 == "identity" || $0.isEmpty }) else {
      throw ServingError(.contentEncoding, "Send the body without a Content-Encoding.")
    }
    guard request.body.count <= Self.bodyLimit else {
      throw ServingError(.bodyTooLarge, "A body has at most \(Self.bodyLimit) bytes.")
    }
    guard request.method == "POST", !request.values(of: "origin").isEmpty else { return }
    // A form of another page is sent without a question to the server; JSON is not.
    let type = request.values(of: "content-type").first?.lowercased().split(separator: ";").first
    guard type.map({ $0.split(separator: " ").joined() }) == "application/json" else {
      throw ServingError(
        .contentType, "A request of a page must have the Content-Type application/json.")
    }
  }

  /// Compares the request's key with each of ours, in a time that does not depend on them.
  ///
  /// - Returns: a text that is different for each key.
  private func checkKey(_ request: ServingRequest) throws(ServingError) -> String {
    let given = request.values(of: "authorization").first.flatMap(Self.key) ?? ""
    let digest = SHA256.digest(Array(given.utf8))
    var isKnown = false
    for key in keys {
      var difference: UInt8 = 0
      for (a, b) in zip(key.bytes, digest.bytes) { difference |= a ^ b }
      if difference == 0 { isKnown = true }
    }
    guard isKnown, !given.isEmpty else {
      throw ServingError(
        .invalidKey, "A key is missing or wrong: send `Authorization: Bearer KEY`.",
        headers: [("WWW-Authenticate", "Basic realm=\"sextant\", charset=\"UTF-8\"")])
    }
    return digest.description
  }

  /// The key of `Bearer KEY`, or the password of `Basic`, which browsers ask their user for.
  private static func key(_ header: String) -> String? {
    let parts = header.split(separator: " ", maxSplits: 1)
    guard parts.count == 2 else { return nil }
    switch parts[0].lowercased() {
    case "bearer": return parts[1].split(separator: " ").joined()
    case "basic":
      guard let bytes = Base64.decoded(parts[1]),
        let colon = bytes.firstIndex(of: UInt8(ascii: ":"))
      else { return nil }
      return String(decoding: bytes[(colon + 1)...], as: UTF8.self)
    default: return nil
    }
  }
}

/// The encoding of RFC 4648, section 4.
enum Base64 {
  /// The bytes of a text; nil for another text.
  static func decoded(_ text: some StringProtocol) -> [UInt8]? {
    var (bytes, buffer, count): ([UInt8], UInt32, Int) = ([], 0, 0)
    for character in text.utf8 {
      let value: UInt8
      switch character {
      case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = character - 65
      case UInt8(ascii: "a")...UInt8(ascii: "z"): value = character - 71
      case UInt8(ascii: "0")...UInt8(ascii: "9"): value = character + 4
      case UInt8(ascii: "+"): value = 62
      case UInt8(ascii: "/"): value = 63
      case UInt8(ascii: "="): continue
      default: return nil
      }
      buffer = buffer << 6 | UInt32(value)
      count += 6
      if count >= 8 {
        count -= 8
        bytes.append(UInt8(truncatingIfNeeded: buffer >> UInt32(count)))
      }
    }
    return bytes
  }
}
