import Glibc
import Synchronization

/// All bytes of the input that a path names, read once: a regular file, a pipe, a terminal, or
/// standard input.
///
/// A pipe can be read only once and has no size before its end, so that `InputFile` does not
/// support it.
package struct InputBytes: Sendable {
  /// The name of the source in refusals: the path, or "standard input".
  package let name: String
  /// The bytes, at least one.
  package let bytes: [UInt8]

  /// The paths that mean standard input.
  private static let standardInputPaths = ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"]
  private static let standardInputWasRead = Atomic(false)

  /// Reads a source to its end.
  ///
  /// - Parameters:
  ///   - path: a path; `-` is standard input.
  ///   - limit: bytes that the source may have.
  /// - Throws: `file.*`, `limit.file`; `usage.option` if standard input was read before.
  package init(reading path: String, limit: Int) throws(Refusal) {
    if Self.standardInputPaths.contains(path) {
      name = "standard input"
      guard !Self.standardInputWasRead.exchange(true, ordering: .relaxed) else {
        throw Refusal(
          .usageOption, file: name, found: "standard input in two places", expected: "it in one",
          remedy: "Write one of the two to a file.")
      }
      bytes = try Self.stream(STDIN_FILENO, name, limit)
    } else if Self.isStream(path) {
      name = path
      let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
      guard descriptor >= 0 else { throw openFailure(path) }
      defer { close(descriptor) }
      bytes = try Self.stream(descriptor, name, limit)
    } else {
      name = path
      bytes = try InputFile(path).readAll(limit: limit)
    }
  }

  /// Whether the path names something that is read from its start to its end: a pipe or a terminal.
  private static func isStream(_ path: String) -> Bool {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { return false }
    return [S_IFIFO, S_IFCHR].contains(status.st_mode & S_IFMT)
  }

  private static func stream(
    _ descriptor: Int32, _ name: String, _ limit: Int
  ) throws(Refusal) -> [UInt8] {
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 1 << 16)
    while bytes.count <= limit {
      let count = unsafe read(descriptor, &piece, piece.count)
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else {
        throw Refusal(
          errno == EISDIR ? .fileNotRegular : .fileRead, file: name, found: systemReason(),
          expected: "data that can be read")
      }
      if count == 0 {
        guard !bytes.isEmpty else {
          throw Refusal(
            .fileEmpty, file: name, found: "0 bytes", expected: "at least one",
            remedy: "Check the program that writes to it.")
        }
        return bytes
      }
      bytes += piece[..<count]
    }
    throw Refusal(
      .limitFile, file: name, found: "more than \(counted(limit, "byte"))",
      expected: "at most \(counted(limit, "byte"))")
  }
}
