import Glibc

/// A regular file opened for reading with `pread`: never mapped, so that a file that shrinks while
/// it is read is a refusal and not a signal.
///
/// Size and modification time are taken at opening; `checkUnchanged` compares them at the end.
package final class InputFile: Sendable {
  /// The path as the user gave it.
  package let path: String
  /// The size at opening, in bytes.
  package let byteCount: Int
  private let descriptor: Int32
  private let identity: Identity

  /// The values that identify one state of a file.
  struct Identity: Sendable, Equatable {
    var device: UInt
    var inode: UInt
    var size: Int
    var modifiedSeconds: Int
    var modifiedNanoseconds: Int

    init(_ status: stat) {
      device = UInt(status.st_dev)
      inode = UInt(status.st_ino)
      size = Int(status.st_size)
      modifiedSeconds = Int(status.st_mtim.tv_sec)
      modifiedNanoseconds = Int(status.st_mtim.tv_nsec)
    }
  }

  /// Opens a file.
  ///
  /// - Throws: `file.missing`, `file.permission`, `file.not-regular`, `file.empty`, `file.read`.
  package init(_ path: String) throws(Refusal) {
    // O_NONBLOCK: opening a FIFO must not wait for a writer; it changes nothing on regular files.
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw openFailure(path) }
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else {
      let failure = openFailure(path)
      close(descriptor)
      throw failure
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      close(descriptor)
      throw Refusal(
        .fileNotRegular, file: path, found: Self.kind(of: status), expected: "a regular file")
    }
    guard status.st_size > 0 else {
      close(descriptor)
      throw Refusal(.fileEmpty, file: path, found: "0 bytes", expected: "a non-empty file")
    }
    self.path = path
    self.descriptor = descriptor
    byteCount = Int(status.st_size)
    identity = Identity(status)
  }

  deinit { close(descriptor) }

  private static func kind(of status: stat) -> String {
    switch status.st_mode & S_IFMT {
    case S_IFDIR: "a folder"
    case S_IFIFO: "a pipe"
    case S_IFSOCK: "a socket"
    case S_IFCHR, S_IFBLK: "a device"
    default: "something else"
    }
  }

  /// Fills `buffer` with the bytes from `offset` on.
  ///
  /// - Throws: `file.too-short` when the file ends before, `file.read`.
  package func read(
    at offset: Int, into buffer: UnsafeMutableRawBufferPointer
  ) throws(Refusal) {
    var done = 0
    while done < buffer.count {
      let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
      let count = unsafe pread(descriptor, rest.baseAddress, rest.count, off_t(offset + done))
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else {
        throw Refusal(
          .fileRead, file: path, at: .offset(offset + done), found: systemReason(),
          expected: "readable data")
      }
      guard count > 0 else {
        throw Refusal(
          .fileTooShort, file: path, at: .offset(offset + done),
          found: "the end of the file", expected: "\(buffer.count - done) more bytes")
      }
      done += count
    }
  }

  /// The bytes `offset ..< offset + count`.
  ///
  /// - Throws: `file.too-short` before anything is allocated when the file is not that long.
  package func read(at offset: Int, count: Int) throws(Refusal) -> [UInt8] {
    let (end, overflow) = offset.addingReportingOverflow(count)
    guard offset >= 0, count >= 0, !overflow, end <= byteCount else {
      throw Refusal(
        .fileTooShort, file: path, at: .offset(offset),
        found: "a file of \(counted(byteCount, "byte"))",
        expected: "\(counted(count, "byte")) from here")
    }
    var bytes = [UInt8](repeating: 0, count: count)
    // A closure cannot pass a typed error out of `withUnsafeMutableBytes` in all toolchains.
    var failure: Refusal?
    unsafe bytes.withUnsafeMutableBytes { buffer in
      do throws(Refusal) { unsafe try read(at: offset, into: buffer) } catch { failure = error }
    }
    if let failure { throw failure }
    return bytes
  }

  /// The whole file, when it is no longer than `limit` bytes.
  package func readAll(limit: Int) throws(Refusal) -> [UInt8] {
    guard byteCount <= limit else {
      throw Refusal(
        .limitFile, file: path, found: counted(byteCount, "byte"),
        expected: "at most \(counted(limit, "byte"))")
    }
    return try read(at: 0, count: byteCount)
  }

  /// Refuses when the file was changed since it was opened.
  ///
  /// - Throws: `file.changed`.
  package func checkUnchanged() throws(Refusal) {
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0, Identity(status) == identity else {
      throw Refusal(
        .fileChanged, file: path, found: "another size or modification time",
        expected: "the file as it was opened (\(counted(byteCount, "byte")))")
    }
  }

  /// Lends the descriptor, to hand it to another process.
  package func withDescriptor<Result: ~Copyable>(
    _ body: (Int32) throws(Refusal) -> Result
  ) throws(Refusal) -> Result {
    try body(descriptor)
  }

  /// Whether `path` names this very file.
  package func isSameFile(as path: String) -> Bool {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { return false }
    return UInt(status.st_dev) == identity.device && UInt(status.st_ino) == identity.inode
  }

  /// Maps the file read-only.
  ///
  /// - Throws: `file.read`.
  package func map() throws(Refusal) -> MappedFile {
    try MappedFile(path: path, descriptor: descriptor, byteCount: byteCount)
  }
}
