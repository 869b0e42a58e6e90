import Glibc
import SextantBytes
import SextantReport

/// A folder for the results of a measurement: for programs, for spreadsheets and for people.
struct ResultFolder {
  /// The folder's path.
  let path: String
  private let replaces: Bool

  private static let (json, csv, page) = ("results.json", "results.csv", "index.html")

  /// Makes the folder, and refuses what could not be published there, before any work.
  init(_ path: String, replacing: Bool) throws(FormatError) {
    guard mkdir(path, 0o777) == 0 || errno == EEXIST else {
      throw FormatError(
        .fileCreate, file: path, found: String(cString: strerror(errno)), expected: "a folder")
    }
    self.path = path
    replaces = replacing
    try checkDestinations(
      [Self.json, Self.csv, Self.page].map { "\(path)/\($0)" }, replacing: replacing)
  }

  /// Publishes all files.
  func write(json: JSONObject, csv: String, page: HTMLPage) throws(FormatError) {
    for (name, text) in [
      (Self.json, JSONValue.object(json).prettyText + "\n"), (Self.csv, csv),
      (Self.page, page.html),
    ] {
      try FilePublisher.publish(Array(text.utf8), to: "\(path)/\(name)", replacing: replaces)
    }
  }
}
