import ArgumentParser
import Glibc
import SextantArtifacts
import SextantBytes
import SextantServing

/// The server: it answers clients over HTTP, and has a page.
@main
struct SextantServe: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sextant serve",
    abstract: "Serve a model over HTTP: OpenAI's API, llama.cpp's, and a live page.",
    discussion: """
      The address is written to standard output when the server is ready. Clients of OpenAI's API \
      use ADDRESS/v1; a browser shows the page at ADDRESS. A model name such as demo+joy:2 steers.

      Only this machine can connect, unless --host names another address; that needs a key. The \
      server ends at SIGTERM or Ctrl-C, within 5 seconds.
      """,
    version: ToolVersion.current)

  @OptionGroup var served: ServedArguments
  @OptionGroup(title: "Address") var address: AddressArguments
  @OptionGroup(title: "Safety") var safety: SafetyArguments

  func validate() throws {
    try address.check(hasKey: safety.hasKey)
  }

  static func main() async {
    signal(SIGPIPE, SIG_IGN)
    OrderlyEnd.prepare {}
    do {
      var command = try Self.parseAsRoot()
      if var server = command as? Self { try await server.run() } else { try command.run() }
    } catch let refusal as Refusal {
      Console.printError("Error: \(refusal.withOptions)")
      Glibc.exit(refusal.exitStatus)
    } catch {
      exit(withError: error)
    }
  }

  mutating func run() async throws {
    var options = served.options
    options.keys = try safety.keys()
    options.origins = safety.corsOrigin
    let model = try served.open()
    let server = Server(
      makingService: { [address, safety, options] port throws(Refusal) in
        var options = options
        options.hosts = address.hosts(port: port, allowed: safety.allowedHost)
        return try Service(model, options)
      }, at: address, logsBodies: served.logPrompts)
    try await server.run()
  }
}

extension Refusal {
  /// The options that set what the library calls parameters.
  private static let options = [
    "allowedHost": "--allowed-host", "apply": "--apply", "artifacts": "--artifacts",
    "chatTemplate": "--chat-template", "corsOrigin": "--cors-origin", "preset": "--preset",
  ]

  /// The refusal as the command line shows it: with options instead of parameters.
  var withOptions: Refusal {
    var shown = self
    if case .parameter(let name) = place, let option = Self.options[name] {
      shown.place = .option(option)
    }
    for (name, option) in Self.options {
      shown.expected = shown.expected.replacing("`\(name)`", with: option)
      shown.remedy = shown.remedy.replacing("`\(name)`", with: option)
    }
    return shown
  }
}

/// Standard output and standard error.
enum Console {
  /// Writes a line to standard output.
  static func print(_ line: String) { write(line, to: STDOUT_FILENO) }

  /// Writes a line to standard error.
  static func printError(_ line: String) { write(line, to: STDERR_FILENO) }

  private static func write(_ line: String, to descriptor: Int32) {
    let bytes = Array("\(line)\n".utf8)
    var start = 0
    while start < bytes.count {
      let count = unsafe bytes[start...].withUnsafeBytes { part in
        unsafe Glibc.write(descriptor, part.baseAddress, part.count)
      }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { return }
      start += count
    }
  }
}
