import Glibc

/// Files that killed processes left before they were published: `.<name>.<process>.partial`.
///
/// Most file systems have none, because unpublished files have no name there. A locked file is
/// being written, and is not a leftover.
package enum Leftovers {
  /// The outcome for a file.
  package struct Finding: Sendable, Equatable {
    /// The file's path.
    package let path: String
    /// Its size in bytes.
    package let byteCount: Int
    /// Whether a process still writes it, or may: it is left alone then.
    package let isBusy: Bool
  }

  /// Removes the leftovers in a folder.
  ///
  /// - Returns: the files, ordered by path.
  /// - Throws: `file.missing`, `file.permission`, `file.read` for a folder that cannot be listed;
  ///   `file.write` for a file that cannot be removed.
  package static func remove(from folder: String) throws(Refusal) -> [Finding] {
    guard let handle = unsafe opendir(folder) else { throw openFailure(folder) }
    defer { unsafe closedir(handle) }
    var names: [String] = []
    while let entry = unsafe readdir(handle) {
      let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if isLeftover(name) { names.append(name) }
    }
    var findings: [Finding] = []
    for name in names.sorted() {
      if let finding = try removeOne("\(folder == "/" ? "" : folder)/\(name)") {
        findings.append(finding)
      }
    }
    return findings
  }

  /// Whether a name is one that `FilePublisher` gives.
  private static func isLeftover(_ name: String) -> Bool {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count >= 4, parts[0].isEmpty, !parts[1].isEmpty, parts.last == "partial" else {
      return false
    }
    let process = parts[parts.count - 2]
    return !process.isEmpty && process.allSatisfy { $0.isASCII && $0.isNumber }
  }

  private static func removeOne(_ path: String) throws(Refusal) -> Finding? {
    let descriptor = unsafe open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      return nil
    }
    let byteCount = Int(status.st_size)
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      return Finding(path: path, byteCount: byteCount, isBusy: true)
    }
    guard unsafe unlink(path) == 0 else { throw writeFailure(path) }
    return Finding(path: path, byteCount: byteCount, isBusy: false)
  }
}
