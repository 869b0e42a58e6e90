import Glibc

/// Files that are read, and must not be replaced meanwhile.
///
/// Files are compared and not paths, so that links and other spellings of a path are found too.
package struct ProtectedFiles: Sendable {
  private struct File: Hashable {
    let device: UInt
    let inode: UInt

    /// The file that a path leads to, through symbolic links; nil for none.
    init?(_ path: String) {
      var status = stat()
      guard unsafe stat(path, &status) == 0 else { return nil }
      device = UInt(status.st_dev)
      inode = UInt(status.st_ino)
    }
  }

  private var files: Set<File> = []
  /// Folders inside folders are followed so far.
  private static let depth = 4

  /// The files at some paths.
  ///
  /// In a folder, all files count except models of Sextant: a folder is an input if a checkpoint is
  /// read, and it often contains converted models. Paths without a file do not count.
  package init(_ paths: [String]) {
    for path in paths { add(path, depth: Self.depth) }
  }

  private mutating func add(_ path: String, depth: Int) {
    guard let file = File(path), files.insert(file).inserted, depth > 0 else { return }
    for name in Self.names(in: path) {
      let inside = "\(path)/\(name)"
      if (try? InputFile(inside)).flatMap({ try? FileKind(of: $0) }) == .store { continue }
      add(inside, depth: depth - 1)
    }
  }

  /// The names in a folder; none for a path that is not a folder.
  private static func names(in folder: String) -> [String] {
    guard let handle = unsafe opendir(folder) else { return [] }
    defer { unsafe closedir(handle) }
    var names: [String] = []
    while let entry = unsafe readdir(handle) {
      let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }

  /// Whether a path leads to one of the files.
  package func contains(_ path: String) -> Bool {
    File(path).map(files.contains) ?? false
  }

  /// Refuses a destination that is one of the files.
  ///
  /// - Throws: `file.same`.
  package func check(_ destination: String) throws(Refusal) {
    guard contains(destination) else { return }
    throw Refusal(
      .fileSame, file: destination, found: "a file that is read",
      expected: "a path that is not an input")
  }
}
