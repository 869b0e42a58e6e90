import Glibc
import SextantBytes

/// A running reader, and the socket that leads to it.
///
/// The reader works on a hostile file, so that its answers are not trusted. Each wait has a limit,
/// and an answer that breaks the rules of `HDF5ReaderMessage` is a refusal. The process is always
/// killed and reaped when this value is destroyed.
struct HDF5ReaderProcess: ~Copyable {
  /// The process's number, valid until this value is destroyed.
  let processID: pid_t
  private let socket: Int32
  private var isReaped = false

  private init(processID: pid_t, socket: Int32) {
    self.processID = processID
    self.socket = socket
  }

  deinit {
    close(socket)
    if !isReaped { _ = Self.killAndReap(processID) }
  }

  // MARK: Starting

  /// Starts `executable` on an open file: with an environment of our own, the socket as descriptors
  /// 0 and 1, /dev/null as 2 and the file as 3, and in a process group of its own.
  ///
  /// The reader closes other inherited descriptors at once.
  ///
  /// - Parameter window: the part of the file that is HDF5; nil for all of it.
  /// - Throws: `h5.reader.missing` when it cannot be started; `system.descriptors`.
  static func start(
    _ executable: String, on file: InputFile, window: Range<Int>? = nil
  ) throws(Refusal) -> Self {
    var arguments = window.map { ["\($0.lowerBound)", "\($0.count)"] } ?? []
    HDF5Confinement.noteReader()
    if HDF5Confinement.isOptional { arguments.append(HDF5ReaderMessage.unconfinedArgument) }
    return try file.withDescriptor { descriptor throws(Refusal) in
      try start(executable, arguments: arguments, descriptor: descriptor)
    }
  }

  /// Starts `executable` with these arguments on an open file.
  ///
  /// - Throws: `h5.reader.missing` when it cannot be started.
  static func start(
    _ executable: String, arguments: [String], descriptor: Int32
  ) throws(Refusal) -> Self {
    var pair: [Int32] = [-1, -1]
    guard unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | closeOnExec, 0, &pair) == 0
    else {
      throw startFailure(executable, errno)
    }
    defer { close(pair[1]) }
    do throws(Refusal) {
      // Above the numbers that the child uses, even if this process has closed some descriptors.
      let theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, 10)
      guard theirs >= 0 else { throw startFailure(executable, errno) }
      defer { close(theirs) }
      let file = fcntl(descriptor, F_DUPFD_CLOEXEC, 10)
      guard file >= 0 else { throw startFailure(executable, errno) }
      defer { close(file) }
      let processID = try spawn([executable] + arguments, socket: theirs, file: file)
      return HDF5ReaderProcess(processID: processID, socket: pair[0])
    } catch {
      close(pair[0])
      throw error
    }
  }

  private static let closeOnExec = Int32(SOCK_CLOEXEC.rawValue)

  private static func spawn(
    _ command: [String], socket: Int32, file: Int32
  ) throws(Refusal) -> pid_t {
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe _ = posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_adddup2(&actions, socket, 0)
    unsafe posix_spawn_file_actions_adddup2(&actions, socket, 1)
    unsafe posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
    unsafe posix_spawn_file_actions_adddup2(&actions, file, 3)

    var attributes = posix_spawnattr_t()
    unsafe posix_spawnattr_init(&attributes)
    defer { unsafe _ = posix_spawnattr_destroy(&attributes) }
    var signals = sigset_t()
    unsafe sigemptyset(&signals)
    unsafe posix_spawnattr_setsigmask(&attributes, &signals)
    unsafe sigfillset(&signals)
    unsafe posix_spawnattr_setsigdefault(&attributes, &signals)
    // A group of its own: the main process handles an interrupt from the terminal, and children of
    // the reader end with it.
    unsafe posix_spawnattr_setpgroup(&attributes, 0)
    unsafe posix_spawnattr_setflags(
      &attributes,
      Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))

    var environment = ["SWIFT_BACKTRACE=enable=no"]
    // The user, and not the file, sets the path of the user's libraries.
    if let path = HDF5ReaderLocation.environment("LD_LIBRARY_PATH") {
      environment.append("LD_LIBRARY_PATH=\(path)")
    }
    var processID: pid_t = 0
    let status = unsafe withCStrings(command) { arguments in
      unsafe withCStrings(environment) { environment in
        unsafe posix_spawn(&processID, command[0], &actions, &attributes, arguments, environment)
      }
    }
    guard status == 0 else { throw startFailure(command[0], status) }
    return processID
  }

  private static func startFailure(_ executable: String, _ number: Int32) -> Refusal {
    // A limit below the number that is asked for is an invalid argument.
    Refusal(
      number == EINVAL ? .systemDescriptors : .ofSystemCall(number, otherwise: .hdf5ReaderMissing),
      found: "\(executable) cannot be started: \(unsafe String(cString: strerror(number)))",
      expected: "an executable")
  }

  // MARK: Talking

  /// Asks for a tensor by its place in the reader's list.
  ///
  /// - Throws: `h5.reader.*`.
  mutating func request(_ index: UInt32) throws(Refusal) {
    let bytes = index.littleEndianBytes
    // MSG_NOSIGNAL: a write to an ended reader is a refusal here, not a SIGPIPE.
    let count = unsafe Glibc.send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    guard count == bytes.count else { throw ending() }
  }

  /// Sends a message.
  ///
  /// - Throws: `h5.reader.*`.
  mutating func send(_ message: HDF5ReaderMessage) throws(Refusal) {
    var rest = message.encoded()[...]
    while !rest.isEmpty {
      let count = unsafe rest.withUnsafeBytes { bytes in
        unsafe Glibc.send(socket, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
      }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { throw ending() }
      rest = rest.dropFirst(count)
    }
  }

  /// Receives the header of a message.
  ///
  /// - Throws: `h5.reader.*`.
  mutating func receiveHeader(
    within patience: inout Patience
  ) throws(Refusal) -> (kind: UInt8, payloadByteCount: Int) {
    let bytes = try receive(HDF5ReaderMessage.headerByteCount, within: &patience)
    let count = bytes[1...].reversed().reduce(0) { $0 << 8 | Int($1) }
    guard count <= HDF5ReaderMessage.maximumPayloadByteCount else {
      throw Refusal(
        .hdf5ReaderProtocol, found: "a message of \(counted(count, "byte"))",
        expected: "at most \(HDF5ReaderMessage.maximumPayloadByteCount)")
    }
    return (bytes[0], count)
  }

  /// Receives the payload of a message.
  ///
  /// - Throws: `h5.reader.*`.
  mutating func receive(
    _ count: Int, within patience: inout Patience
  ) throws(Refusal) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    try receive(count, into: &bytes, within: &patience)
    return bytes
  }

  /// Receives a payload into the front of `bytes`.
  ///
  /// - Precondition: `bytes` contains at least `count` bytes.
  /// - Throws: `h5.reader.*`.
  mutating func receive(
    _ count: Int, into bytes: inout [UInt8], within patience: inout Patience
  ) throws(Refusal) {
    precondition(bytes.count >= count)
    var done = 0
    while done < count {
      try waitForInput(within: &patience)
      let received = unsafe bytes.withUnsafeMutableBytes { buffer in
        let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[done..<count])
        return unsafe recv(socket, rest.baseAddress, rest.count, Int32(MSG_DONTWAIT))
      }
      if received < 0 && (errno == EAGAIN || errno == EINTR) { continue }
      guard received > 0 else { throw ending() }
      done += received
    }
  }

  private func waitForInput(within patience: inout Patience) throws(Refusal) {
    while true {
      var event = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
      let start = ContinuousClock.now
      let status = unsafe poll(&event, 1, patience.milliseconds)
      patience.left -= start.duration(to: .now)
      if status > 0 { return }
      if status < 0 && errno == EINTR && patience.left > .zero { continue }
      throw Refusal(
        .hdf5ReaderTimeout, found: "no answer in \(patience.total)", expected: "an answer")
    }
  }

  // MARK: Ending

  /// The refusal for a reader that closed the connection; the process has ended afterwards.
  private mutating func ending() -> Refusal {
    // The kernel closes a dying process's descriptors a moment before it is dead.
    var attempts = 0
    while !Self.hasEnded(processID) {
      attempts += 1
      guard attempts < 200 else {
        return Refusal(
          .hdf5ReaderProtocol, found: "a closed connection", expected: "an answer")
      }
      usleep(10_000)
    }
    let status = Self.killAndReap(processID) ?? 0
    isReaped = true
    let signal = status & 0x7F
    if signal == SIGXCPU {
      return Refusal(
        .hdf5ReaderTimeout, found: "more processor time than the reader's limit",
        expected: "an answer")
    }
    if signal != 0 {
      let name = unsafe strsignal(signal).map { unsafe String(cString: $0) } ?? "unknown"
      return Refusal(
        .hdf5ReaderCrashed, found: "signal \(signal) (\(name))", expected: "an answer")
    }
    let exitStatus = status >> 8 & 0xFF
    // The dynamic loader's own status.
    if exitStatus == 127 {
      return Refusal(
        .hdf5ReaderMissing, found: "sextant-hdf5 does not start",
        expected: "sextant-hdf5 with the libraries that it needs",
        remedy: "Install libhdf5 (Debian: libhdf5-103-1); ldd sextant-hdf5 lists missing libraries."
      )
    }
    return Refusal(
      .hdf5ReaderProtocol, found: "the reader's end, with status \(exitStatus)",
      expected: "an answer")
  }

  /// Whether a child has ended; it stays a zombie, so that its number cannot be another's yet.
  private static func hasEnded(_ processID: pid_t) -> Bool {
    var information = unsafe siginfo_t()
    let result = unsafe waitid(
      P_PID, id_t(processID), &information, WEXITED | WNOHANG | WNOWAIT)
    return unsafe result == 0 && information.si_signo == SIGCHLD
  }

  /// Ends a child and all that it started; returns the child's status.
  private static func killAndReap(_ processID: pid_t) -> Int32? {
    kill(-processID, SIGKILL)
    kill(processID, SIGKILL)
    while true {
      var status: Int32 = 0
      let result = unsafe waitpid(processID, &status, 0)
      if result == processID { return status }
      guard result < 0 && errno == EINTR else { return nil }
    }
  }
}

/// The time that is left to wait for the reader; time spent on its answers does not count.
struct Patience {
  /// The granted time.
  let total: Duration
  /// The remaining time.
  var left: Duration

  /// Grants a time.
  init(_ total: Duration) {
    self.total = total
    left = total
  }

  /// The remaining time, rounded up, for `poll`.
  var milliseconds: Int32 {
    let (seconds, attoseconds) = max(left, .zero).components
    let milliseconds = seconds * 1000 + attoseconds / 1_000_000_000_000_000 + 1
    return Int32(clamping: milliseconds)
  }
}

/// Calls `body` with a null-terminated array of C strings.
private func withCStrings<Result>(
  _ strings: [String],
  _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
  var pointers = unsafe strings.map { unsafe strdup($0) } + [nil]
  defer { unsafe pointers.forEach { unsafe free($0) } }
  return unsafe pointers.withUnsafeMutableBufferPointer { buffer in
    guard let base = buffer.baseAddress else { preconditionFailure("the array holds a nil") }
    return unsafe body(base)
  }
}
