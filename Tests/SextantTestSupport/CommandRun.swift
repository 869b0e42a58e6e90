import Glibc
import SextantBytes

/// How a process ended and what it wrote.
package struct CommandRun: Sendable {
  /// How it ended.
  package enum End: Sendable, Equatable {
    /// With this exit status.
    case exited(Int32)
    /// By this signal.
    case signalled(Int32)
  }

  /// The destination of its standard output.
  package enum Output: Sendable {
    /// Into `output`.
    case captured
    /// Into a pipe that nobody reads.
    case brokenPipe
    /// Nowhere: the descriptor is closed.
    case closed
    /// Into a file, which must exist.
    case file(String)
  }

  /// How it ended.
  package let end: End
  /// Its standard output, if that was captured.
  package let output: String
  /// Its standard error.
  package let errors: String

  /// Runs the package's own `sextant`, which is beside the test bundle, to its end.
  ///
  /// - Parameters:
  ///   - program: another program of the package to run in its place.
  ///   - input: what it reads from standard input.
  ///   - through: a command that gets its path and arguments after its own, such as `strace`.
  ///   - killedAfter: milliseconds after which it gets a signal, if it still runs then.
  ///   - signal: which one.
  package static func sextant(
    _ arguments: [String], program: String = "sextant",
    input: String = "", output: Output = .captured,
    through wrapper: [String] = [], killedAfter milliseconds: Int? = nil,
    with signal: Int32 = SIGKILL
  ) -> CommandRun {
    let folder = TemporaryFolder()
    let (inputFile, outputFile) = (folder.write(input, to: "in"), folder.write("", to: "out"))
    let errorFile = folder.write("", to: "err")
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, inputFile, O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 2, errorFile, O_WRONLY, 0)
    var pipes: [Int32] = [-1, -1]
    switch output {
    case .captured: posix_spawn_file_actions_addopen(&actions, 1, outputFile, O_WRONLY, 0)
    case .file(let path): posix_spawn_file_actions_addopen(&actions, 1, path, O_WRONLY, 0)
    case .closed: posix_spawn_file_actions_addclose(&actions, 1)
    case .brokenPipe:
      guard pipe(&pipes) == 0 else { fatalError("no pipe") }
      for end in pipes { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
      close(pipes[0])
      posix_spawn_file_actions_adddup2(&actions, pipes[1], 1)
    }
    let process = spawn(wrapper + [executable(program)] + arguments, &actions)
    if pipes[1] >= 0 { close(pipes[1]) }
    if let milliseconds {
      usleep(useconds_t(milliseconds * 1000))
      kill(process, signal)
    }
    var status: Int32 = 0
    while waitpid(process, &status, 0) < 0 && errno == EINTR {}
    let ending = status & 0x7F
    return CommandRun(
      end: ending == 0 ? .exited(status >> 8 & 0xFF) : .signalled(ending),
      output: text(of: outputFile), errors: text(of: errorFile))
  }

  /// Starts a process with the caller's environment.
  private static func spawn(
    _ arguments: [String], _ actions: inout posix_spawn_file_actions_t
  ) -> pid_t {
    let copies: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
    defer { for copy in copies { free(copy) } }
    // Threads of a test may have all signals blocked, which a child would inherit.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    sigfillset(&signals)
    posix_spawnattr_setsigdefault(&attributes, &signals)
    posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
    var process: pid_t = 0
    let failure = posix_spawn(&process, arguments[0], &actions, &attributes, copies, environ)
    guard failure == 0 else { fatalError("cannot start \(arguments[0]): \(failure)") }
    return process
  }

  private static func text(of path: String) -> String {
    // An empty file is refused, and means that nothing was written.
    guard let bytes = try? InputFile(path).readAll(limit: 1 << 28) else { return "" }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The path of a program: in the folder of the test bundle, which is the running executable or
  /// the one that its arguments name.
  private static func executable(_ name: String) -> String {
    let paths = [resolved("/proc/self/exe")] + CommandLine.arguments
    for path in paths {
      guard let slash = path.lastIndex(of: "/") else { continue }
      let candidate = path[..<slash] + "/" + name
      if access(String(candidate), X_OK) == 0 { return String(candidate) }
    }
    fatalError("no executable \(name) beside \(paths)")
  }

  private static func resolved(_ path: String) -> String {
    guard let resolved = realpath(path, nil) else { return path }
    defer { free(resolved) }
    return String(cString: resolved)
  }
}
