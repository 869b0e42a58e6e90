import Glibc
import SextantBytes

/// A folder that contains a checkpoint and its side files.
struct Folder {
  /// The path, without a trailing slash; `.` for the current folder.
  let path: String

  /// The folder of `path`'s last component.
  init(of path: String) {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else {
      self.path = "."
      return
    }
    self.path = slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// A folder by its own path.
  init(_ path: String) {
    var trimmed = path
    while trimmed.utf8.count > 1, trimmed.utf8.last == UInt8(ascii: "/") { trimmed.removeLast() }
    self.path = trimmed
  }

  /// The path of an entry.
  func path(_ name: String) -> String {
    if path == "." { return name }
    return path == "/" ? "/\(name)" : "\(path)/\(name)"
  }

  /// Whether `path` names a folder.
  static func exists(_ path: String) -> Bool {
    var status = stat()
    return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// The path of an entry; nil if there is none. Whether it can be read is seen when it is read, so that a
  /// link that leads to no file is refused, and not taken for an absent file.
  func entry(_ name: String) -> String? { hasEntry(path(name)) ? path(name) : nil }

  /// The names of all entries that are not hidden and not folders, sorted.
  ///
  /// - Throws: `file.permission`, `file.read`.
  func files() throws(Refusal) -> [String] {
    try entries().filter { !$0.hasPrefix(".") && !Self.exists(path($0)) }
  }

  /// The names of all entries, sorted.
  ///
  /// - Throws: `file.permission`, `file.read`.
  func entries() throws(Refusal) -> [String] {
    guard let handle = unsafe opendir(path) else {
      let reason = unsafe String(cString: strerror(errno))
      throw Refusal(
        errno == EACCES ? .filePermission : .fileRead, file: path, found: reason,
        expected: "a folder that can be listed")
    }
    defer { unsafe closedir(handle) }
    var names: [String] = []
    while let entry = unsafe readdir(handle) {
      let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  /// The paths of folders inside this one, up to three levels deep, that have weights: `checkpoint-500` of a
  /// training run, `models--org--name/snapshots/<commit>` of the hub's cache.
  func innerFoldersWithWeights() -> [String] {
    var found: [String] = []
    var level = [self]
    for _ in 0..<3 {
      level = level.flatMap { folder in folder.innerFolders().map { Folder(folder.path($0)) } }
      level = Array(level.prefix(Self.innerLimit))
      found += level.filter(\.hasWeights).map(\.path)
    }
    return found
  }

  /// Folders of one level that are looked into, at most.
  private static let innerLimit = 200

  private func innerFolders() -> [String] {
    let names = ((try? entries()) ?? []).filter { !$0.hasPrefix(".") && Self.exists(path($0)) }
    // Among checkpoints, the one with the smaller number comes first.
    return names.sorted { ($0.utf8.count, $0) < ($1.utf8.count, $1) }
  }

  private var hasWeights: Bool {
    ((try? files()) ?? []).contains { WeightsFile.format(of: $0) != nil }
  }

  /// Refuses a folder into which a download was not finished, of a file that matters.
  ///
  /// - Parameter checkpoint: the name of the file or index that is read; nil if there is none.
  /// - Throws: `index.incomplete-download`.
  func checkDownloadsComplete(reading checkpoint: String?) throws(Refusal) {
    let unfinished = try entries().filter {
      WeightsFile.isUnfinishedDownload($0, reading: checkpoint)
    }
    guard unfinished.isEmpty else {
      throw Refusal(
        .indexIncompleteDownload, file: path, found: listing(unfinished),
        expected: "finished downloads only")
    }
  }

  /// The target of an entry that is a link out of the folder: the absolute path without links; nil
  /// for any other entry.
  func targetOutside(_ name: String) -> String? {
    guard let target = Self.resolved(path(name)), let root = Self.resolved(path) else { return nil }
    return target.hasPrefix(root == "/" ? root : root + "/") ? nil : target
  }

  /// Whether an entry is a link into a folder `blobs`, as the cache of the Hugging Face hub has them.
  func isLinkToBlob(_ name: String) -> Bool {
    var target = [CChar](repeating: 0, count: Int(PATH_MAX))
    let length = unsafe readlink(path(name), &target, target.count)
    let bytes = target.prefix(max(length, 0)).map { UInt8(bitPattern: $0) }
    return String(decoding: bytes, as: UTF8.self).split(separator: "/").dropLast().last == "blobs"
  }

  /// The absolute path without links; nil if the file does not exist.
  private static func resolved(_ path: String) -> String? {
    guard let resolved = unsafe realpath(path, nil) else { return nil }
    defer { unsafe free(resolved) }
    return unsafe String(cString: resolved)
  }
}

/// Up to ten of `names` and how many there are more, for a refusal.
func listing(_ names: some Collection<String>) -> String {
  let shown = names.prefix(10).map { "\"\($0)\"" }.joined(separator: ", ")
  return names.count > 10 ? "\(shown) and \(names.count - 10) more" : shown
}
