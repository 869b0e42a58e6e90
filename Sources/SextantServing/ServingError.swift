import SextantBytes

/// An answer that refuses: a status, and the error body that clients of OpenAI's API know.
package struct ServingError: Error, Sendable {
  /// The status of HTTP.
  package var status: Int
  /// The kind of the error: `invalid_request_error`, `server_error` and so on.
  package var type: String
  /// A sentence for people.
  package var message: String
  /// The field that caused it, such as `steering.vectors[0].scale`; nil for none.
  package var parameter: String?
  /// A stable word for programs: the code of a refusal, or a word of this service.
  package var code: String?
  /// Further headers.
  package var headers: [(name: String, value: String)] = []

  /// The errors of the service itself. The codes of refusals come in addition.
  package enum Word: String, Sendable, CaseIterable {
    case option = "usage.option"
    case promptTooLong = "prompt_too_long"
    case invalidKey = "invalid_api_key"
    case originRefused = "origin_refused"
    case notFound = "not_found"
    case modelNotFound = "model_not_found"
    case artifactNotFound = "artifact_not_found"
    case methodNotAllowed = "method_not_allowed"
    case slowReader = "slow_reader"
    case bodyTooLarge = "body_too_large"
    case contentEncoding = "content_encoding"
    case contentType = "content_type"
    case hostRefused = "host_refused"
    case artifactKind = "artifact.kind"
    case fileChanged = "file.changed"
    case queueFull = "queue_full"
    case cancelled
    case `internal`
    case deadline
    case shuttingDown = "shutting_down"

    /// The status of HTTP.
    package var status: Int {
      switch self {
      case .option, .promptTooLong: 400
      case .invalidKey: 401
      case .originRefused: 403
      case .notFound, .modelNotFound, .artifactNotFound: 404
      case .methodNotAllowed: 405
      case .slowReader: 408
      case .bodyTooLarge: 413
      case .contentEncoding, .contentType: 415
      case .hostRefused: 421
      case .artifactKind, .fileChanged: 422
      case .queueFull: 429
      case .cancelled: 499
      case .internal: 500
      case .deadline, .shuttingDown: 503
      }
    }
  }

  /// An error of the service.
  package init(
    _ word: Word, _ message: String, parameter: String? = nil,
    headers: [(name: String, value: String)] = []
  ) {
    self.init(word.status, word.rawValue, message, parameter: parameter, headers: headers)
  }

  /// An error from its parts.
  package init(
    _ status: Int, _ code: String, _ message: String, parameter: String? = nil,
    headers: [(name: String, value: String)] = []
  ) {
    (self.status, self.code, self.message) = (status, code, message)
    (self.parameter, self.headers) = (parameter, headers)
    type =
      switch status {
      case 401: "authentication_error"
      case 403, 421: "permission_error"
      case 404: "not_found_error"
      case 429: "rate_limit_error"
      case 500...: "server_error"
      default: "invalid_request_error"
      }
    // Clients try some failures again by themselves. These would fail again.
    if status == 500 || code == "deadline" {
      self.headers.append(("x-should-retry", "false"))
    }
  }

  /// The answer to a refusal. Paths of files are not told.
  package init(_ refusal: Refusal, parameter: String? = nil) {
    var message = refusal.code.summary + ": found \(printable(refusal.found))"
    message += ", expected \(printable(refusal.expected)). \(refusal.remedy)"
    self.init(
      Self.status(of: refusal.code), refusal.code.rawValue, message,
      parameter: parameter ?? Self.parameter(of: refusal.place))
  }

  /// The answer to a refusal while a text was made. Steering that is too strong is the request's fault.
  init(_ refusal: Refusal, isSteered: Bool) {
    self.init(refusal)
    guard refusal.code == .modelNonfinite, isSteered else { return }
    self.init(422, refusal.code.rawValue, message, parameter: "steering")
  }

  /// Any error of this package.
  package init(any error: any Error) {
    switch error {
    case let error as ServingError: self = error
    case let refusal as Refusal: self.init(refusal)
    default: self.init(.internal, "an unexpected error")
    }
  }

  /// The body.
  package var body: JSONValue {
    [
      "error": [
        "message": .string(message), "type": .string(type),
        "param": parameter.map { .string($0) } ?? .null, "code": code.map { .string($0) } ?? .null,
      ]
    ]
  }

  /// The status of a refusal: 400 for a request that is wrong in itself, 422 for artifacts that do not fit
  /// or have no effect, 5xx for what the request is not to blame for.
  private static func status(of code: Refusal.Code) -> Int {
    switch code {
    case .jsonTooLong: 413
    case .usageNothingSteered: 422
    case .usageOption, .modelToken, .modelTextLength, .chatMessages, .chatTemplate, .dataRecord,
      .dataEmpty:
      400
    case .systemMemory, .systemDescriptors: 503
    default:
      code.rawValue.hasPrefix("json.")
        ? 400 : code.rawValue.hasPrefix("artifact.") || code.rawValue.hasPrefix("st.") ? 422 : 500
    }
  }

  /// The field that a refusal's place names: `/steering/0` is `steering[0]`.
  private static func parameter(of place: Refusal.Place?) -> String? {
    switch place {
    case .parameter(let name): return name
    case .pointer(let pointer):
      var path = ""
      for part in pointer.split(separator: "/") {
        if part.allSatisfy(\.isNumber), !path.isEmpty {
          path += "[\(part)]"
        } else {
          path += (path.isEmpty ? "" : ".") + part
        }
      }
      return path.isEmpty ? nil : path
    default: return nil
    }
  }
}
