import Glibc
import SextantBytes

/// The files that a command reads and writes, as its arguments name them.
///
/// They are checked in one place before the command runs: no command replaces a file that it
/// reads, and what cannot be written is refused before the work.
package struct CommandFiles: Sendable {
  /// Files that are read, and folders whose files are read. Names that lead nowhere do no harm.
  package var inputs: [String] = []
  /// Whether an input may be a folder. If not, the command refuses a folder when it reads it.
  package var readsFolders = false
  /// Folders that are made for outputs if they are absent, outer folders first.
  package var folders: [String] = []
  /// Files that are published when the work is done.
  package var outputs: [String] = []
  /// Files that the command writes again and again while it runs, and reads at the start to
  /// continue. The command decides whether an existing one may be replaced.
  package var updated: [String] = []
  /// Files of other names that may be written too. They are only compared with the inputs.
  package var possible: [String] = []
  /// Whether existing outputs are replaced.
  package var replaces = false

  /// The files of a command.
  package init(
    inputs: [String] = [], readsFolders: Bool = false, folders: [String] = [],
    outputs: [String] = [], updated: [String] = [], possible: [String] = [], replaces: Bool = false
  ) {
    (self.inputs, self.folders, self.outputs) = (inputs, folders, outputs)
    self.readsFolders = readsFolders
    (self.updated, self.possible, self.replaces) = (updated, possible, replaces)
  }

  /// Refuses outputs that are inputs, that are given twice or that could not be published; makes the
  /// folders.
  ///
  /// - Throws: `file.same`, `file.exists`, `file.create`, `system.descriptors`; `usage.option` for replacing
  ///   outputs if there are none.
  package func prepare() throws(Refusal) {
    guard !replaces || !(folders + outputs + updated + possible).isEmpty else {
      throw Refusal(
        .usageOption, at: .parameter("replacing"), found: "no output to replace",
        expected: "an option that names an output", remedy: "Leave `replacing` out.")
    }
    try check()
    for folder in folders {
      guard mkdir(folder, 0o777) == 0 || errno == EEXIST else {
        throw Refusal(
          .fileCreate, file: folder, found: String(cString: strerror(errno)), expected: "a folder")
      }
    }
    for output in outputs { _ = try FilePublisher(output, replacing: replaces) }
    for output in updated { _ = try FilePublisher(output, replacing: true) }
  }

  /// Refuses outputs that are inputs, or that are given twice.
  ///
  /// - Throws: `file.same`; `usage.option` for `-`, the standard output to other programs: files are published
  ///   under their names when they are complete.
  package func check() throws(Refusal) {
    for output in folders + outputs + updated + possible
    where output == "-" || output.hasPrefix("-/") {
      throw Refusal(
        .usageOption, file: "-", found: "- as the path of an output",
        expected: "the path of a file or folder",
        remedy: "Name a path. Outputs are files and folders: - does not mean standard output here. "
          + "For a file or folder with this name, write ./-")
    }
    // A path that begins with a slash is also what an empty folder and a name in it make.
    guard !(folders + outputs + updated + possible).contains("") else {
      throw Refusal(
        .fileCreate, file: "", found: "an empty path for an output",
        expected: "the path of a file or folder", remedy: "Name the output.")
    }
    let inputs = ProtectedFiles(readsFolders ? inputs : inputs.filter { !Self.isFolder($0) })
    var seen: Set<ExactString> = []
    for output in outputs + updated + possible {
      try inputs.check(output)
      guard seen.insert(ExactString(Self.place(of: output))).inserted else {
        throw Refusal(
          .fileSame, file: output, found: "one path for two files", expected: "a path for each")
      }
    }
  }

  private static func isFolder(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// One spelling for all paths of a file: links followed as far as the file system has the path.
  private static func place(of path: String) -> String {
    func resolved(_ path: String) -> String? {
      guard let found = realpath(path, nil) else { return nil }
      defer { free(found) }
      return String(cString: found)
    }
    if let whole = resolved(path) { return whole }
    let slash = path.lastIndex(of: "/")
    let folder = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    let name = slash.map { String(path[path.index(after: $0)...]) } ?? path
    return resolved(folder).map { "\($0)/\(name)" } ?? path
  }
}
