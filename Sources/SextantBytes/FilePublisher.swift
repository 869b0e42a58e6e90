import CLinux
import Glibc
import SextantLocks
import Synchronization

/// `O_TMPFILE` of <fcntl.h>, a macro that the importer does not see.
private let temporaryFile: Int32 = 0o20_000_000 | O_DIRECTORY

/// Writes a file that is absent or complete: nothing appears under its name before `publish`.
///
/// The bytes go to a temporary file without a name in the destination's folder (`O_TMPFILE`), so
/// that even a killed process leaves nothing behind. If the file system does not support this, the
/// file has the name `.<name>.<process>.partial` until it is published, and a lock: `Leftovers`
/// finds files of killed processes, and the lock distinguishes them from files that are being
/// written. The steps of publishing are: fsync of the file, link or rename to the destination,
/// fsync of the folder.
///
/// `@unchecked Sendable`: the descriptor does not change before `publish`, and `write(_:at:)` and
/// `writeIfFree` are the only functions that other threads may call.
package final class FilePublisher: @unchecked Sendable {
  /// The path that will appear.
  package let destination: String
  /// Whether an existing destination is replaced.
  package let replaces: Bool
  private let folder: String
  private let partialPath: String
  private var descriptor: Int32
  /// Whether the bytes are under `partialPath` now.
  private var isNamed = false
  private var position = 0
  /// Locked while bytes are written: a file system admits one thread at a time to a file, and the
  /// other threads would busy-wait. The guarded value counts the bytes since the last write-back
  /// started.
  private let turn = Lock<Int>(0)
  /// Bytes after which the disk is set to work, so that publishing does not wait for all of them.
  private static let flushByteCount = 16 << 20
  /// The largest number of bytes in one call. The kernel needs contiguous memory for them, and
  /// moves other memory away if there is none: with 512 KiB and more this took several times as
  /// long as the writing itself.
  private static let callByteCount = 256 << 10

  /// Starts a file.
  ///
  /// - Parameters:
  ///   - destination: the path to publish.
  ///   - replacing: replace an existing file; otherwise an existing destination is refused, both
  ///     now and when publishing.
  /// - Throws: `file.exists`, `file.create`.
  package init(_ destination: String, replacing: Bool = false) throws(Refusal) {
    self.destination = destination
    self.replaces = replacing
    let slash = destination.utf8.lastIndex(of: UInt8(ascii: "/"))
    if let slash {
      folder = slash == destination.startIndex ? "/" : String(destination[..<slash])
    } else {
      folder = "."
    }
    let name = slash.map { String(destination[destination.utf8.index(after: $0)...]) }
    partialPath = "\(folder)/.\(name ?? destination).\(getpid()).partial"
    descriptor = -1

    try checkName()
    var status = stat()
    // A link among the system's files, such as /dev/stdout, must stay, wherever it leads.
    if unsafe lstat(destination, &status) == 0, status.st_mode & S_IFMT == S_IFLNK,
      destination.hasPrefix("/dev/") || destination.hasPrefix("/proc/")
    {
      throw Refusal(
        .fileCreate, file: destination, found: "a device of that name",
        expected: "a path for a new file")
    }
    if unsafe stat(destination, &status) == 0 {
      guard status.st_mode & S_IFMT == S_IFREG else {
        throw Refusal(
          .fileCreate, file: destination, found: "a folder or device of that name",
          expected: "a path for a new file")
      }
      if !replacing { throw existing() }
    }
    descriptor = unsafe open(folder, temporaryFile | O_RDWR | O_CLOEXEC, 0o666)
    if descriptor < 0 {
      descriptor = unsafe open(partialPath, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0o666)
      if descriptor < 0 && errno == EEXIST { throw leftover() }
      setNamed(descriptor >= 0)
    }
    // Some file systems have no locks: then the file is never taken for a leftover.
    if descriptor >= 0 { _ = flock(descriptor, LOCK_EX | LOCK_NB) }
    guard descriptor >= 0 else {
      let number = errno
      throw Refusal(
        .ofSystemCall(number, otherwise: .fileCreate), file: destination,
        found: systemReason(number),
        expected: "a folder that exists and can be written")
    }
  }

  /// Refuses a name that cannot be given to the file at the end.
  private func checkName() throws(Refusal) {
    guard !destination.isEmpty else {
      throw Refusal(
        .fileCreate, file: destination, found: "an empty path", expected: "a path for a new file")
    }
    var status = stat()
    for path in replaces ? [destination, partialPath] : [destination] {
      let isThere = unsafe lstat(path, &status) == 0
      guard isThere || errno == ENOENT else {
        throw Refusal(
          .fileCreate, file: destination, found: systemReason(), expected: "a path for a new file")
      }
    }
    guard !replaces, let link = brokenLink(destination) else { return }
    throw Refusal(.fileExists, file: destination, found: link, expected: "no file of that name")
  }

  deinit {
    if descriptor >= 0 { close(descriptor) }
    if isNamed { unsafe unlink(partialPath) }
    setNamed(false)
  }

  private func leftover() -> Refusal {
    Refusal(
      .fileCreate, file: destination, found: "\(partialPath), left by a killed process",
      expected: "no such file", remedy: "Run sextant clean \(folder) and try again.")
  }

  // MARK: Interruption

  /// The name of unpublished bytes, as a C string; 0 for none.
  private static let unpublishedName = Atomic<UInt>(0)

  private func setNamed(_ isNamed: Bool) {
    guard isNamed != self.isNamed else { return }
    self.isNamed = isNamed
    let new = unsafe isNamed ? UInt(bitPattern: strdup(partialPath)) : 0
    let old = Self.unpublishedName.exchange(new, ordering: .sequentiallyConsistent)
    unsafe free(UnsafeMutableRawPointer(bitPattern: old))
  }

  /// Removes the name that a file has before it is published, if one has a name now.
  ///
  /// For handlers of signals that end the process: it only makes calls that are safe there.
  package static func removeUnpublishedName() {
    let name = unpublishedName.load(ordering: .sequentiallyConsistent)
    guard let name = unsafe UnsafePointer<CChar>(bitPattern: name) else { return }
    unsafe unlink(name)
  }

  private func existing() -> Refusal {
    Refusal(.fileExists, file: destination, found: "a file", expected: "no file of that name")
  }

  /// Bytes written so far by `append`.
  package var byteCount: Int { position }

  /// Adds bytes at the end.
  ///
  /// - Throws: `disk.full`, `file.write`.
  package func append(_ bytes: UnsafeRawBufferPointer) throws(Refusal) {
    unsafe try write(bytes, at: position)
    position += bytes.count
  }

  /// Adds bytes at the end.
  package func append(_ bytes: [UInt8]) throws(Refusal) {
    try write(bytes, at: position)
    position += bytes.count
  }

  /// Adds zeros until the length is a multiple of `alignment`.
  package func pad(to alignment: Int) throws(Refusal) {
    let rest = position % alignment
    if rest != 0 { try append([UInt8](repeating: 0, count: alignment - rest)) }
  }

  /// Allocates the file's blocks before it is written, so that a full disk is reported at once, and
  /// writing is faster. Does nothing if the file system does not support it.
  ///
  /// - Throws: `disk.full`, `file.write`.
  package func reserve(_ byteCount: Int) throws(Refusal) {
    guard byteCount > 0 else { return }
    while fallocate(descriptor, 0, 0, off_t(byteCount)) != 0 {
      let number = errno
      if number == EINTR { continue }
      if [EOPNOTSUPP, ENOSYS, EINVAL].contains(number) { return }
      throw writeFailure(destination, number)
    }
  }

  /// Takes the bytes up to `byteCount`, written by position, as the beginning of the file.
  package func extend(to byteCount: Int) { position = max(position, byteCount) }

  /// Overwrites bytes that were already written, such as a header reserved earlier.
  package func write(_ bytes: [UInt8], at offset: Int) throws(Refusal) {
    var failure: Refusal?
    unsafe bytes.withUnsafeBytes { buffer in
      do throws(Refusal) { unsafe try write(buffer, at: offset) } catch { failure = error }
    }
    if let failure { throw failure }
  }

  /// Calls `body` with the descriptor of the file, for other ways of writing.
  package func withDescriptor<Result: ~Copyable>(
    _ body: (Int32) throws(Refusal) -> Result
  ) throws(Refusal) -> Result {
    try body(descriptor)
  }

  /// The length of the file, for any writer.
  ///
  /// - Throws: `file.read`.
  package func fileByteCount() throws(Refusal) -> Int {
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else {
      throw Refusal(
        .fileRead, file: destination, found: systemReason(), expected: "an open file")
    }
    return Int(status.st_size)
  }

  /// Writes bytes at a position, from any thread. Bytes that are never written are zero.
  ///
  /// - Throws: `disk.full`, `file.write`.
  package func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(Refusal) {
    nonisolated(unsafe) let bytes = unsafe bytes
    let isMuch = try turn.withLock { unflushed throws(Refusal) in
      unsafe try write(bytes, at: offset, &unflushed)
    }
    if isMuch { flush() }
  }

  /// As `write(_:at:)`, unless another thread is writing: a thread with other work does that first.
  ///
  /// - Returns: whether the bytes were written.
  /// - Throws: `disk.full`, `file.write`.
  package func writeIfFree(
    _ bytes: UnsafeRawBufferPointer, at offset: Int
  ) throws(Refusal) -> Bool {
    nonisolated(unsafe) let bytes = unsafe bytes
    let isMuch = try turn.withLockIfAvailable { unflushed throws(Refusal) in
      unsafe try write(bytes, at: offset, &unflushed)
    }
    if isMuch == true { flush() }
    return isMuch != nil
  }

  /// Writes bytes, and returns whether write-back should start now.
  private func write(
    _ bytes: UnsafeRawBufferPointer, at offset: Int, _ unflushed: inout Int
  ) throws(Refusal) -> Bool {
    var done = 0
    while done < bytes.count {
      let end = min(done + Self.callByteCount, bytes.count)
      let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[done..<end])
      let count = unsafe pwrite(descriptor, rest.baseAddress, rest.count, off_t(offset + done))
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { throw writeFailure(destination, count == 0 ? ENOSPC : errno) }
      done += count
    }
    unflushed += bytes.count
    guard unflushed >= Self.flushByteCount else { return false }
    unflushed = 0
    return true
  }

  /// Starts write-back. This is a hint: `publish` waits for the disk and reports failures.
  private func flush() {
    _ = sync_file_range(descriptor, 0, 0, UInt32(CLINUX_SYNC_FILE_RANGE_WRITE))
  }

  /// Makes the file appear under its name, complete and synchronised.
  ///
  /// - Throws: `disk.fsync`, `disk.full`, `file.exists` if another process published the name
  ///   meanwhile, `file.create`.
  package func publish() throws(Refusal) {
    guard fsync(descriptor) == 0 else {
      let number = errno
      throw Refusal(
        number == ENOSPC || number == EDQUOT ? .diskFull : .diskSync, file: destination,
        found: systemReason(number), expected: "data on the disk")
    }
    if replaces {
      if !isNamed {
        do throws(Refusal) {
          try link(to: partialPath)
        } catch {
          throw error.code == .fileExists ? leftover() : error
        }
        setNamed(true)
      }
      guard unsafe rename(partialPath, destination) == 0 else { throw publishFailure() }
      setNamed(false)
    } else if isNamed {
      // `link` fails if the destination exists; `rename` would replace it.
      guard unsafe Glibc.link(partialPath, destination) == 0 else { throw publishFailure() }
      unsafe unlink(partialPath)
      setNamed(false)
    } else {
      try link(to: destination)
    }
    try syncFolder()
    close(descriptor)
    descriptor = -1
  }

  /// Gives the nameless file a name.
  private func link(to path: String) throws(Refusal) {
    let source = "/proc/self/fd/\(descriptor)"
    guard unsafe linkat(AT_FDCWD, source, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0 else {
      throw publishFailure()
    }
  }

  private func publishFailure() -> Refusal {
    let number = errno
    if number == EEXIST { return existing() }
    return Refusal(
      .fileCreate, file: destination, found: systemReason(number), expected: "a published file")
  }

  private func syncFolder() throws(Refusal) {
    let handle = unsafe open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if handle < 0, errno == EMFILE || errno == ENFILE {
      throw Refusal(
        .systemDescriptors, file: destination, found: systemReason(),
        expected: "the name on the disk")
    }
    guard handle >= 0 else { return }
    defer { close(handle) }
    guard fsync(handle) == 0 || errno == EINVAL else {
      throw Refusal(
        .diskSync, file: destination, found: systemReason(), expected: "the name on the disk")
    }
  }

  /// Writes and publishes a whole file.
  package static func publish(
    _ bytes: [UInt8], to destination: String, replacing: Bool = false
  ) throws(Refusal) {
    let file = try FilePublisher(destination, replacing: replacing)
    try file.append(bytes)
    try file.publish()
  }
}
