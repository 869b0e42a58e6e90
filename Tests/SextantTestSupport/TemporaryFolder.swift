import Glibc

/// A fresh folder for one test, removed with everything in it when the object is freed.
///
/// Keep it alive for as long as its files are used: `withExtendedLifetime`, or a stored property
/// of the suite.
package final class TemporaryFolder: Sendable {
  /// The absolute path, without a trailing slash.
  package let path: String

  /// Makes a folder under `TMPDIR`, or `/tmp`.
  package init() {
    let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array("\(parent)/sextant-test-XXXXXX".utf8CString)
    let made: String? = template.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress, mkdtemp(base) != nil else { return nil }
      return String(cString: base)
    }
    guard let made else { fatalError("no temporary folder under \(parent)") }
    path = made
  }

  deinit { Self.remove(path) }

  /// One folder for all tests of a process, removed when it exits.
  package static let shared: TemporaryFolder = {
    atexit { TemporaryFolder.remove(TemporaryFolder.shared.path) }
    return TemporaryFolder()
  }()

  /// The path of an entry of the folder.
  package func path(_ name: String) -> String { "\(path)/\(name)" }

  /// Writes a file, replacing one of that name, and returns its path.
  @discardableResult
  package func write(_ bytes: [UInt8], to name: String) -> String {
    let file = path(name)
    guard let handle = fopen(file, "wb") else { fatalError("cannot write \(file)") }
    let written = bytes.withUnsafeBytes { fwrite($0.baseAddress, 1, $0.count, handle) }
    guard fclose(handle) == 0, written == bytes.count else { fatalError("cannot write \(file)") }
    return file
  }

  /// Writes a text file, replacing one of that name, and returns its path.
  @discardableResult
  package func write(_ text: String, to name: String) -> String {
    write(Array(text.utf8), to: name)
  }

  /// Makes a folder inside, and returns its path.
  @discardableResult
  package func makeFolder(_ name: String) -> String {
    let folder = path(name)
    guard mkdir(folder, 0o777) == 0 else { fatalError("cannot make \(folder)") }
    return folder
  }

  /// Makes a symbolic link to `target`, and returns its path.
  @discardableResult
  package func makeLink(_ name: String, to target: String) -> String {
    let link = path(name)
    guard symlink(target, link) == 0 else { fatalError("cannot link \(link)") }
    return link
  }

  /// The names of all entries, hidden ones too, sorted.
  package var entries: [String] { Self.entries(of: path).sorted() }

  /// The names of the entries of any folder.
  package static func entries(of folder: String) -> [String] {
    guard let handle = opendir(folder) else { return [] }
    defer { closedir(handle) }
    var names: [String] = []
    while let entry = readdir(handle) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names
  }

  private static func remove(_ path: String) {
    var status = stat()
    guard lstat(path, &status) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      unlink(path)
      return
    }
    // A test may have taken the permissions away.
    chmod(path, 0o700)
    for name in entries(of: path) { remove("\(path)/\(name)") }
    rmdir(path)
  }
}
