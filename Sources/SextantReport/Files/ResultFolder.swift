import SextantBytes

/// A folder that a command writes its results to.
package struct ResultFolder: Sendable {
  /// The folder's path.
  package let path: String
  private let replaces: Bool

  /// The files of a measurement: for programs, for spreadsheets and for people.
  package static let measurement = ["results.json", "results.csv", "index.html"]

  /// The paths of a measurement's files in a folder.
  package static func measurement(in folder: String) -> [String] {
    measurement.map { "\(folder)/\($0)" }
  }

  /// A folder that is there: `CommandFiles.prepare` makes it.
  package init(_ path: String, replacing: Bool) {
    self.path = path
    replaces = replacing
  }

  /// A folder inside, which is there too.
  package func folder(_ name: String) -> ResultFolder {
    ResultFolder("\(path)/\(name)", replacing: replaces)
  }

  /// Publishes a text file.
  ///
  /// - Throws: `file.exists` unless replacing, `file.create`, `file.write`.
  package func write(_ text: String, to name: String) throws(Refusal) {
    try FilePublisher.publish(Array(text.utf8), to: "\(path)/\(name)", replacing: replaces)
  }

  /// Publishes the files of a measurement.
  package func write(json: JSONObject, csv: String, page: HTMLPage) throws(Refusal) {
    try write(JSONValue.object(json).prettyText + "\n", to: Self.measurement[0])
    try write(csv, to: Self.measurement[1])
    try write(page.html, to: Self.measurement[2])
  }
}
