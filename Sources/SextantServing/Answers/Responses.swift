import SextantBytes

extension ServingResponse {
  /// An answer of JSON.
  static func json(_ value: JSONValue, status: Int = 200) -> ServingResponse {
    ServingResponse(
      status: status, headers: [("Content-Type", "application/json")],
      body: .bytes(value.canonicalBytes))
  }

  /// An answer of text.
  static func text(_ text: String, type: String = "text/plain; charset=utf-8") -> ServingResponse {
    ServingResponse(
      status: 200, headers: [("Content-Type", type)], body: .bytes(Array(text.utf8)))
  }

  /// A stream of events.
  static func events(_ pieces: any ServingPieces) -> ServingResponse {
    ServingResponse(
      status: 200,
      headers: [
        ("Content-Type", "text/event-stream; charset=utf-8"), ("X-Accel-Buffering", "no"),
      ], body: .pieces(pieces))
  }

  /// The answer of an error.
  static func error(_ error: ServingError) -> ServingResponse {
    var response = json(error.body, status: error.status)
    response.headers += error.headers
    return response
  }

  /// The headers that every answer has.
  mutating func addCommonHeaders(_ grant: Access.Grant?, id: String) {
    headers += [
      ("x-request-id", id), ("X-Content-Type-Options", "nosniff"),
      ("Cross-Origin-Resource-Policy", "same-origin"), ("Referrer-Policy", "no-referrer"),
      ("Content-Security-Policy", Self.policy),
    ]
    if !headers.contains(where: { $0.name == "Cache-Control" }) {
      headers.append(("Cache-Control", "no-store"))
    }
    guard let origin = grant?.origin else { return }
    headers += [("Access-Control-Allow-Origin", origin), ("Vary", "Origin")]
  }

  /// What the page may load: its own files, and nothing else.
  static let policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    + "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

/// Lines of a stream of events.
enum EventLines {
  /// One chunk of JSON. Lines with `id:` are never sent, because some clients then fail.
  static func chunk(_ value: JSONValue) -> [UInt8] {
    Array("data: \(value.canonicalText)\n\n".utf8)
  }

  /// The end of a stream of OpenAI's API.
  static let done = Array("data: [DONE]\n\n".utf8)
  /// A comment, which keeps a silent connection open.
  static let ping = Array(": ping\n\n".utf8)
}
