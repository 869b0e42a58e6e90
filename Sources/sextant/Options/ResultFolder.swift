import Glibc
import SextantBytes

/// A folder that a command writes its results to.
struct ResultFolder {
  private let path: String
  private let replaces: Bool

  /// Makes the folder where it is not there.
  ///
  /// - Throws: `file.create`.
  init(_ path: String, replacing: Bool) throws(FormatError) {
    guard mkdir(path, 0o777) == 0 || errno == EEXIST else {
      throw FormatError(
        .fileCreate, file: path, found: String(cString: strerror(errno)), expected: "a folder")
    }
    self.path = path
    replaces = replacing
  }

  /// A folder inside.
  func folder(_ name: String) throws(FormatError) -> ResultFolder {
    try ResultFolder("\(path)/\(name)", replacing: replaces)
  }

  /// Publishes a text file.
  ///
  /// - Throws: `file.exists` unless replacing, `file.create`, `file.write`.
  func write(_ text: String, to name: String) throws(FormatError) {
    let file = try FilePublisher("\(path)/\(name)", replacing: replaces)
    try file.append(Array(text.utf8))
    try file.publish()
  }
}
