import ArgumentParser
import Glibc
import SextantBytes

/// The server, which is an executable of its own.
struct Serve: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Serve a model over HTTP: OpenAI's API, llama.cpp's, and a live page.",
    discussion: """
      This starts sextant-serve, which must be in the folder of sextant: `make serve` builds it and \
      serves the demo model. `sextant serve --help` lists its options once it is built; docs/serve.md \
      describes them. An example: `sextant serve -m model.sxt --artifacts folder/`.
      """)

  /// The server lists its own help.
  @Argument(parsing: .captureForPassthrough, help: "The options of the server.")
  var options: [String] = []

  func run() throws {
    let path = "\(ExecutableFolder.path ?? ".")/sextant-serve"
    guard access(path, X_OK) == 0 else {
      throw Refusal(
        .fileMissing, file: path, found: "no executable", expected: "the server, beside sextant",
        remedy: "Build it with `make serve`.")
    }
    var arguments = ([path] + options).map { strdup($0) }
    arguments.append(nil)
    execv(path, arguments)
    let reason = String(cString: strerror(errno))
    throw Refusal(
      .fileRead, file: path, found: reason, expected: "an executable that starts",
      remedy: "Build it again with `make serve`.")
  }
}
