import Glibc
import SextantBytes
import SextantReport

/// A folder that a command writes its results to.
struct ResultFolder {
  /// The folder's path.
  let path: String
  private let replaces: Bool

  /// The files of a measurement: for programs, for spreadsheets and for people.
  static let measurement = ["results.json", "results.csv", "index.html"]

  /// Makes the folder where it is not there, and refuses what could not be published there, before
  /// any work.
  ///
  /// - Parameter names: files that will be written.
  /// - Throws: `file.create`, `file.exists`.
  init(_ path: String, replacing: Bool, holding names: [String] = []) throws(FormatError) {
    guard mkdir(path, 0o777) == 0 || errno == EEXIST else {
      throw FormatError(
        .fileCreate, file: path, found: String(cString: strerror(errno)), expected: "a folder")
    }
    self.path = path
    replaces = replacing
    try checkDestinations(names.map { "\(path)/\($0)" }, replacing: replacing)
  }

  /// A folder inside.
  func folder(_ name: String) throws(FormatError) -> ResultFolder {
    try ResultFolder("\(path)/\(name)", replacing: replaces)
  }

  /// Publishes a text file.
  ///
  /// - Throws: `file.exists` unless replacing, `file.create`, `file.write`.
  func write(_ text: String, to name: String) throws(FormatError) {
    try FilePublisher.publish(Array(text.utf8), to: "\(path)/\(name)", replacing: replaces)
  }

  /// Publishes the files of a measurement.
  func write(json: JSONObject, csv: String, page: HTMLPage) throws(FormatError) {
    try write(JSONValue.object(json).prettyText + "\n", to: Self.measurement[0])
    try write(csv, to: Self.measurement[1])
    try write(page.html, to: Self.measurement[2])
  }
}
