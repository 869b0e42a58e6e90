import SextantBytes

extension Service {
  /// A function that answers the requests of some paths; nil for other paths.
  typealias Route =
    @Sendable (Service, ServingRequest, Access.Grant) async throws -> ServingResponse?

  /// Routes of parts of the service that are not in this file.
  static let furtherRoutes: [Route] = [runRoute]

  /// Answers a request that was let in.
  func answer(
    _ request: ServingRequest, _ grant: Access.Grant
  ) async throws -> ServingResponse {
    if request.method == "OPTIONS" { return preflight(grant) }
    if request.method == "HEAD" {
      // The answer of GET; the connection leaves the body out.
      var own = request
      own.method = "GET"
      return try await answer(own, grant)
    }
    let path = Self.decoded(request.path)
    for route in Self.furtherRoutes {
      if let response = try await route(self, request, grant) { return response }
    }
    switch (request.method, path) {
    case ("GET", "/health"), ("GET", "/v1/health"): return .json(["status": "ok"])
    case ("GET", "/metrics"):
      return .text(engine.metrics.text, type: "text/plain; version=0.0.4; charset=utf-8")
    case ("GET", "/v1/models"): return models()
    case ("GET", "/tokenizer_info"): return tokenizerInfo()
    case ("GET", "/props"): return properties()
    case ("POST", "/v1/completions"): return try await completions(request, grant)
    case ("POST", "/v1/chat/completions"): return try await chatCompletions(request, grant)
    case ("POST", "/completion"): return try await llamaCompletion(request, grant)
    case ("POST", "/tokenize"): return try tokenize(request)
    case ("POST", "/detokenize"): return try detokenize(request)
    case ("GET", "/sextant/v1/artifacts"): return artifacts()
    case ("POST", "/sextant/v1/artifacts"):
      shelf.rescan()
      return artifacts()
    case ("GET", "/sextant/v1/presets"): return presets()
    default: break
    }
    if request.method == "GET", path.hasPrefix("/v1/models/") {
      return try model(String(path.dropFirst("/v1/models/".count)))
    }
    if request.method == "GET", let file = options.files[path] {
      return ServingResponse(
        status: 200, headers: [("Content-Type", file.type), ("Cache-Control", "no-cache")],
        body: .bytes(file.bytes))
    }
    if let methods = Self.methods[path] ?? (options.files[path] == nil ? nil : ["GET"]) {
      throw ServingError(
        .methodNotAllowed, "This path takes \(methods.joined(separator: " and ")).",
        headers: [("Allow", methods.joined(separator: ", "))])
    }
    throw ServingError(.notFound, "There is no such path.")
  }

  /// The methods of the paths of this service.
  package static let methods: [String: [String]] = [
    "/health": ["GET"], "/v1/health": ["GET"], "/metrics": ["GET"], "/v1/models": ["GET"],
    "/tokenizer_info": ["GET"], "/props": ["GET"], "/v1/completions": ["POST"],
    "/v1/chat/completions": ["POST"], "/completion": ["POST"], "/tokenize": ["POST"],
    "/detokenize": ["POST"], "/sextant/v1/artifacts": ["GET", "POST"],
    "/sextant/v1/presets": ["GET"],
  ]

  /// What a page of an allowed origin may send.
  private func preflight(_ grant: Access.Grant) -> ServingResponse {
    guard grant.origin != nil else { return ServingResponse(status: 204) }
    return ServingResponse(
      status: 204,
      headers: [
        ("Access-Control-Allow-Methods", "GET, POST, PATCH, DELETE"),
        (
          "Access-Control-Allow-Headers",
          "authorization, content-type, x-stainless-arch, x-stainless-async, x-stainless-helper-method, "
            + "x-stainless-lang, x-stainless-os, x-stainless-package-version, x-stainless-poll-helper, "
            + "x-stainless-retry-count, x-stainless-runtime, x-stainless-runtime-version, "
            + "x-stainless-timeout"
        ), ("Access-Control-Max-Age", "600"),
      ])
  }

  /// A path without percent signs that encode bytes; signs that encode none stay.
  static func decoded(_ path: String) -> String {
    guard path.utf8.contains(UInt8(ascii: "%")) else { return path }
    let bytes = Array(path.utf8)
    var (result, place): ([UInt8], Int) = ([], 0)
    while place < bytes.count {
      if bytes[place] == UInt8(ascii: "%"), place + 2 < bytes.count,
        let byte = UInt8(String(decoding: bytes[place + 1...place + 2], as: UTF8.self), radix: 16)
      {
        result.append(byte)
        place += 3
      } else {
        result.append(bytes[place])
        place += 1
      }
    }
    return String(decoding: result, as: UTF8.self)
  }
}
