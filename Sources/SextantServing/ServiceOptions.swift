import SextantBytes

/// Everything that the command line of a server decides.
package struct ServiceOptions: Sendable {
  /// A file that is sent as it is, such as one of the page.
  package struct File: Sendable {
    /// The value of the header Content-Type.
    package var type: String
    /// The content.
    package var bytes: [UInt8]

    /// A file from its parts.
    package init(type: String, bytes: [UInt8]) { (self.type, self.bytes) = (type, bytes) }
  }

  /// The name of the model in requests and answers.
  package var modelName: String
  /// The folder whose artifacts requests can name; nil for none.
  package var artifactsFolder: String?
  /// The steering of requests that name none, each in the form of the command line: `joy:2`.
  package var steering: [String] = []
  /// Steerings that are listed as models of their own, such as `joy:2` or `joy:2+calm:-1`.
  package var presets: [String] = []
  /// The chat template, by name or file; nil for the model's own.
  package var chatTemplate: String?

  /// Texts that are continued together at most.
  package var parallel = 8
  /// Requests that wait at most.
  package var queueLimit = 64
  /// Bytes of the prefix cache; 0 for none.
  package var cacheBytes = 512 << 20
  /// Tokens of a prompt at most.
  package var maximumPrompt = 1_000_000
  /// Seconds that a request may take.
  package var secondsPerRequest = 600.0
  /// Seconds that a reader may leave a full buffer unread.
  package var secondsOfRest = 60.0
  /// Pieces that wait for a reader before its texts rest.
  package var bufferedPieces = 256
  /// Seconds of silence after which a stream gets a comment.
  package var secondsOfSilence = 15.0

  /// The values of the header Host that are accepted, such as `localhost:8080`; nil for any, which only
  /// a socket that no browser reaches may have.
  package var hosts: [String]? = []
  /// Origins of other pages that may use the service, such as `http://localhost:3000`.
  package var origins: [String] = []
  /// Keys, one of which each request must have; none for no check.
  package var keys: [String] = []
  /// What `GET` returns, by path.
  package var files: [String: File] = [:]
  /// Receives a line for each notable event. Lines contain no prompts.
  package var log: @Sendable (String) -> Void = { _ in }

  /// Options with the usual limits.
  package init(modelName: String) { self.modelName = modelName }
}
