/// A request to the service, as a server read it from a connection.
package struct ServingRequest: Sendable {
  /// The method in capital letters, such as `POST`.
  package var method: String
  /// The path, without the query: `/v1/completions`.
  package var path: String
  /// The text behind `?`, without it; empty for none.
  package var query: String
  /// Names and values, in the order of the request.
  package var headers: [(name: String, value: String)]
  /// The body; empty for none.
  package var body: [UInt8]

  /// A request from its parts.
  package init(
    _ method: String, _ path: String, query: String = "",
    headers: [(name: String, value: String)] = [], body: [UInt8] = []
  ) {
    (self.method, self.path, self.query) = (method, path, query)
    (self.headers, self.body) = (headers, body)
  }

  /// The values of a header, whose name is compared without regard to case.
  package func values(of name: String) -> [String] {
    headers.filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
  }
}
