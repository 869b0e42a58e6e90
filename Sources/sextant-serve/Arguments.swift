import ArgumentParser
import Glibc
import Hummingbird
import NIOCore
import Sextant
import SextantBytes
import SextantServing

/// What is served, and how much of the machine it may use.
struct ServedArguments: ParsableArguments {
  @Option(
    name: .shortAndLong,
    help: ArgumentHelp("The model, a file made by `sextant convert`.", valueName: "model.sxt"))
  var model: String

  @Option(
    help: ArgumentHelp(
      "The model's name in requests. Default: the file's name without its ending.",
      valueName: "name"))
  var name: String?

  @Option(
    help: ArgumentHelp(
      "The folder of the vectors, lenses, probes and states that requests may name.",
      valueName: "folder"))
  var artifacts: String?

  @Option(
    help: ArgumentHelp(
      "Steer every request that does not steer itself, such as joy:2. Repeatable.",
      valueName: "name:strength"))
  var apply: [String] = []

  @Option(
    help: ArgumentHelp(
      "List MODEL+PRESET among the models, such as joy:2. Repeatable.", valueName: "name:strength"))
  var preset: [String] = []

  @Option(
    help: ArgumentHelp("The number of texts that are generated together.", valueName: "count"))
  var parallel = 8

  @Option(
    name: .customLong("cache-mb"),
    help: ArgumentHelp("Memory for the states of prompts that were read.", valueName: "megabytes"))
  var cacheMegabytes = 512

  @Option(help: ArgumentHelp("The longest prompt that is read.", valueName: "tokens"))
  var maxPrompt = 1_000_000

  @Option(
    help: ArgumentHelp(
      """
      The form of conversations: a name such as chatml or plain, or a file. Default: the model's own.
      """, valueName: "name|file"))
  var chatTemplate: String?

  @Option(
    help: ArgumentHelp(
      "The number of threads. Default: the number of processors.", valueName: "n"))
  var threads: Int?

  @Flag(help: "Write the prompts of requests to standard error, too.")
  var logPrompts = false

  func validate() throws {
    for (name, value, range) in [
      ("--parallel", parallel, 1...256), ("--cache-mb", cacheMegabytes, 0...1_000_000),
      ("--max-prompt", maxPrompt, 1...1_000_000), ("--threads", threads ?? 1, 1...1024),
    ] where !range.contains(value) {
      throw ValidationError(
        "\(name) is \(value); it must be between \(range.lowerBound) and \(range.upperBound).")
    }
  }

  /// Opens the model.
  func open() throws(Refusal) -> LoadedModel {
    if let threads { WorkerPool.setSharedThreadCount(threads) }
    return try LoadedModel(model)
  }

  /// What the service needs to know of this.
  var options: ServiceOptions {
    let file = model.split(separator: "/").last.map(String.init) ?? model
    var options = ServiceOptions(
      modelName: name ?? (file.hasSuffix(".sxt") ? String(file.dropLast(4)) : file))
    options.artifactsFolder = artifacts
    options.steering = apply
    options.presets = preset
    options.chatTemplate = chatTemplate
    options.parallel = parallel
    options.cacheBytes = cacheMegabytes << 20
    options.maximumPrompt = maxPrompt
    options.files = Page.files
    options.log = Console.printError
    return options
  }
}

/// Where the server listens.
struct AddressArguments: ParsableArguments, Sendable {
  @Option(help: ArgumentHelp("The port; 0 for any that is free.", valueName: "n"))
  var port = 8970

  @Option(
    help: ArgumentHelp(
      "The address. Another one than 127.0.0.1, ::1 and localhost needs a key.",
      valueName: "address"))
  var host = "127.0.0.1"

  @Option(
    help: ArgumentHelp(
      "Listen on a socket in the file system instead, which only your user can open.",
      valueName: "path"))
  var unix: String?

  /// Refuses an address that others can reach, if there is no key.
  func check(hasKey: Bool) throws {
    guard (0...65535).contains(port) else {
      throw ValidationError("--port is \(port); it must be between 0 and 65535.")
    }
    if unix != nil, host != "127.0.0.1" || port != 8970 {
      throw ValidationError("--unix has no use for --host and --port.")
    }
    if unix != nil || isLocal || hasKey { return }
    throw ValidationError(
      "--host \(host) lets other machines connect. Give --api-key-file, or set SEXTANT_API_KEY.")
  }

  /// Whether only this machine can connect.
  private var isLocal: Bool {
    host == "localhost" || host == "::1" || host == "127.0.0.1"
  }

  var binding: BindAddress {
    if let unix { .unixDomainSocket(path: unix) } else { .hostname(host, port: port) }
  }

  /// The values of the header `Host` that name this address; nil for any.
  func hosts(port: Int?, allowed: [String]) -> [String]? {
    // No browser can send a request to a socket in the file system.
    guard unix == nil else { return nil }
    let port = port ?? self.port
    var names = ["localhost", "127.0.0.1", "[::1]"]
    if !isLocal { names.append(host.contains(":") ? "[\(host)]" : host) }
    return names.map { "\($0):\(port)" } + allowed.flatMap { [$0, "\($0):\(port)"] }
  }

  /// The refusal of an address where the server cannot listen.
  func refusal(_ error: any Error) -> Refusal {
    let reason = (error as? IOError).map { unsafe String(cString: strerror($0.errnoCode)) }
    let found = reason ?? "\(error)"
    if let unix {
      return Refusal(
        .fileCreate, file: unix, found: found, expected: "a path where no file is",
        remedy: "Choose another path with --unix.")
    }
    return Refusal(
      .usageOption, at: .option("--host, --port"), found: "\(host):\(port): \(found)",
      expected: "an address that is free, and that this process may use",
      remedy: "Choose another one, such as --port 0 for any port that is free.")
  }

  /// The address as people copy it.
  func shown(port: Int?) -> String {
    if let unix { return "listening on \(unix)" }
    let name = host.contains(":") ? "[\(host)]" : host
    return "http://\(name):\(port ?? self.port)/"
  }
}

/// Who may ask.
struct SafetyArguments: ParsableArguments, Sendable {
  @Option(
    help: ArgumentHelp(
      """
      A file with the keys that requests may carry, one in a line. The environment variable \
      SEXTANT_API_KEY is a key, too. Default: no key is needed.
      """, valueName: "file"))
  var apiKeyFile: String?

  @Option(
    help: ArgumentHelp(
      "Accept this name in the header Host, beside the address. Repeatable.",
      valueName: "name[:port]"))
  var allowedHost: [String] = []

  @Option(
    help: ArgumentHelp(
      "Let pages of this origin ask, such as http://localhost:3000. Repeatable.",
      valueName: "origin"))
  var corsOrigin: [String] = []

  /// Whether a key is set.
  var hasKey: Bool { apiKeyFile != nil || environmentKey != nil }

  private var environmentKey: String? {
    guard let value = unsafe getenv("SEXTANT_API_KEY") else { return nil }
    let text = unsafe String(cString: value)
    return text.isEmpty ? nil : text
  }

  /// The keys; empty for none.
  func keys() throws(Refusal) -> [String] {
    var keys = [environmentKey].compactMap { $0 }
    guard let apiKeyFile else { return keys }
    let bytes = try InputFile(apiKeyFile).readAll(limit: 1 << 16)
    let text = String(decoding: bytes, as: UTF8.self)
    let lines = text.split { $0.isNewline }.map { $0.trimmingBlanks }.filter { !$0.isEmpty }
    guard !lines.isEmpty else {
      throw Refusal(
        .usageOption, file: apiKeyFile, at: .option("--api-key-file"), found: "no key",
        expected: "a key in each line")
    }
    keys += lines
    return keys
  }
}

extension Substring {
  /// The text without blanks at its ends.
  fileprivate var trimmingBlanks: String {
    String(drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
  }
}
