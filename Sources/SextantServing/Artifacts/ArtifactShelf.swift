import Glibc
import SextantArtifacts
import SextantBytes
import SextantLocks

/// The artifacts that requests can name: the files of one folder, by name.
///
/// A request never contains a path. Names are looked up in a list that is made at the start and on request;
/// links are not followed.
package final class ArtifactShelf: Sendable {
  /// An artifact of the folder.
  package struct Entry: Sendable {
    /// The name in requests.
    package let name: String
    /// The name of the file, which is accepted as a name, too.
    package let fileName: String
    /// The number of the scan that found the file as it is now; it is part of the keys of caches.
    fileprivate let scan: Int
    fileprivate let stamp: [Int]
  }

  private struct Content {
    var entries: [Entry] = []
    var scan = 0
    var loaded: [String: Artifact] = [:]
  }

  private let folder: String?
  private let content = Lock(Content())

  /// Lists a folder.
  ///
  /// - Throws: `file.*` for a folder that cannot be listed.
  package init(_ folder: String?) throws(Refusal) {
    self.folder = folder
    if let folder {
      guard let directory = opendir(folder) else {
        throw Refusal(
          errno == ENOENT ? .fileMissing : .fileRead, file: folder, at: .parameter("artifacts"),
          found: String(cString: strerror(errno)), expected: "a folder that can be listed",
          remedy: "Name the folder of the artifacts.")
      }
      closedir(directory)
    }
    rescan()
  }

  /// The artifacts, by name.
  package var entries: [Entry] { content.withLock { $0.entries } }

  /// Lists the folder again. Files that have not changed stay loaded.
  package func rescan() {
    guard let folder else { return }
    let files = Self.files(of: folder)
    let names = Self.names(of: files.map(\.name))
    content.withLock { content in
      content.scan += 1
      let (scan, known) = (content.scan, content.entries)
      content.entries = zip(files, names).map { file, name in
        let same = known.first { $0.fileName == file.name && $0.stamp == file.stamp }
        return Entry(
          name: name, fileName: file.name, scan: same?.scan ?? scan, stamp: file.stamp)
      }
      let kept = Set(content.entries.filter { $0.scan < scan }.map(\.fileName))
      content.loaded = content.loaded.filter { kept.contains($0.key) }
    }
  }

  /// Whether a text can be a name.
  package static func isName(_ text: String) -> Bool {
    (1...64).contains(text.utf8.count) && !text.hasPrefix(".")
      && text.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"),
          UInt8(ascii: "-"):
          true
        default: false
        }
      }
  }

  /// The artifact of a name.
  ///
  /// - Throws: `ServingError` 400 for what is no name, 404 for an unknown one; a refusal of the file, which
  ///   names the artifact.
  package func artifact(_ name: String, parameter: String) throws -> (
    artifact: Artifact, key: String
  ) {
    guard Self.isName(name) else {
      throw ServingError(
        .option,
        "\"\(printable(name, limit: 80))\" is not the name of an artifact: a name has 1 to 64 letters, "
          + "digits, dots, hyphens and underscores. Paths are not accepted.", parameter: parameter)
    }
    guard let folder, let entry = entries.first(where: { $0.name == name || $0.fileName == name })
    else {
      throw ServingError(
        .artifactNotFound,
        "There is no artifact \"\(name)\". `GET /sextant/v1/artifacts` lists them.",
        parameter: parameter)
    }
    let key = "\(entry.fileName)#\(entry.scan)"
    if let loaded = content.withLock({ $0.loaded[entry.fileName] }) { return (loaded, key) }
    let path = "\(folder)/\(entry.fileName)"
    guard Self.stamp(of: path) == entry.stamp else {
      throw ServingError(
        .fileChanged, "The file of \"\(name)\" has changed. List the artifacts again.",
        parameter: parameter)
    }
    do throws(Refusal) {
      let artifact = try Artifact(reading: path)
      content.withLock { $0.loaded[entry.fileName] = artifact }
      return (artifact, key)
    } catch {
      var error = ServingError(error, parameter: parameter)
      error.message = "artifact \"\(name)\": \(error.message)"
      if error.status >= 500 { error.status = 422 }
      throw error
    }
  }

  // MARK: The folder

  /// Regular files that may be artifacts, in the order of their names.
  private static func files(of folder: String) -> [(name: String, stamp: [Int])] {
    guard let directory = opendir(folder) else { return [] }
    defer { closedir(directory) }
    var files: [(name: String, stamp: [Int])] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      guard isName(name), name.hasSuffix(".safetensors"),
        let stamp = stamp(of: "\(folder)/\(name)")
      else { continue }
      files.append((name, stamp))
    }
    return files.sorted { ExactString($0.name) < ExactString($1.name) }
  }

  /// What changes when a file does; nil for anything but a regular file.
  private static func stamp(of path: String) -> [Int]? {
    var info = stat()
    guard lstat(path, &info) == 0, info.st_mode & S_IFMT == S_IFREG else { return nil }
    return [
      Int(info.st_ino), Int(info.st_size), Int(info.st_mtim.tv_sec), Int(info.st_mtim.tv_nsec),
    ]
  }

  /// The names of files: the part before the first dot if no other file has it, else all but the ending.
  private static func names(of files: [String]) -> [String] {
    let short = files.map { String($0.split(separator: ".").first ?? "") }
    return files.enumerated().map { index, file in
      short.count { $0 == short[index] } == 1 && !short[index].isEmpty
        ? short[index] : String(file.dropLast(".safetensors".count))
    }
  }
}
