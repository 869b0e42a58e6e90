import Glibc
import SextantBytes
import SextantReport

/// Standard output and standard error, written without buffers.
package enum StandardStreams {
  /// Makes the standard descriptors safe to use, before anything is opened.
  ///
  /// A descriptor that the caller closed would be given to the next file opened, and a report
  /// would be written into a model: such descriptors are opened on something that refuses I/O.
  /// A reader that goes away (`| head`) is an error code here and not a signal.
  package static func prepare() {
    for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) < 0 {
      _ = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
    }
    signal(SIGPIPE, SIG_IGN)
    // A limit on the size of files is a write that fails, and not the end of the process.
    signal(SIGXFSZ, SIG_IGN)
    Interruption.prepare()
    OrderlyEnd.prepare { FilePublisher.removeUnpublishedName() }
  }

  /// Whether standard input is a terminal.
  package static var inputIsTerminal: Bool { isatty(STDIN_FILENO) == 1 }

  /// Whether standard error is a terminal.
  package static var errorIsTerminal: Bool { isatty(STDERR_FILENO) == 1 }

  /// Whether standard output is a terminal.
  package static var outputIsTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

  /// Columns of the terminal that standard output is; 100 if it is none.
  package static var outputWidth: Int {
    var size = winsize()
    guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 100 }
    return Int(size.ws_col)
  }

  /// Whether the command has no other output than the printed one.
  package nonisolated(unsafe) static var isNeeded = true
  private nonisolated(unsafe) static var readerIsGone = false
  /// Whether nothing is written, because another process of the same job writes it.
  package nonisolated(unsafe) static var isSilent = false

  /// Writes text to standard output, from the main thread.
  ///
  /// If the reader has closed the pipe, the process ends with success. A command that makes files
  /// too continues, and its text is dropped. Any other failure ends the process with status 74.
  package static func write(_ text: String) {
    if readerIsGone || isSilent { return }
    switch write(text, to: STDOUT_FILENO) {
    case 0: return
    case EPIPE where isNeeded: exit(0)
    case EPIPE: readerIsGone = true
    case let number:
      let refusal = Refusal(
        .fileWrite, file: "standard output", found: String(cString: strerror(number)),
        expected: "every byte written")
      printError("Error: \(refusal)")
      exit(refusal.exitStatus)
    }
  }

  /// Writes a line to standard output.
  package static func print(_ line: String) { write(line + "\n") }

  /// Writes generated text: on a terminal, without the control characters that it would act on.
  ///
  /// - Parameter tint: from -1 (blue) to 1 (red): marks the text on a terminal; nil for none.
  package static func writeGenerated(_ text: String, tint: Double? = nil) {
    guard outputIsTerminal else {
      write(text)
      return
    }
    let shown = TerminalText.harmless(text)
    guard let tint, tint.isFinite, getenv("NO_COLOR") == nil else { return write(shown) }
    write(TerminalText.tinted(shown, tint))
  }

  /// Writes a line to standard error; a failure is ignored.
  package static func printError(_ line: String) { _ = write(line + "\n", to: STDERR_FILENO) }

  /// Writes to standard error as it is.
  package static func writeError(_ text: String) { _ = write(text, to: STDERR_FILENO) }

  /// Writes all bytes; the error number of the failure, or 0.
  private static func write(_ text: String, to descriptor: Int32) -> Int32 {
    if isSilent { return 0 }
    var text = text
    return text.withUTF8 { bytes in
      var done = 0
      while done < bytes.count {
        let count = Glibc.write(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done)
        if count < 0 && errno == EINTR { continue }
        guard count >= 0 else { return errno }
        done += count
      }
      return 0
    }
  }
}
