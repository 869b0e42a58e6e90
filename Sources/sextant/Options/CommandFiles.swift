import ArgumentParser
import Glibc
import SextantBytes

/// A command that writes files.
protocol WritingCommand: ParsableCommand {
  /// The files that it reads and writes.
  var fileUse: CommandFiles { get }
}

/// The files that a command reads and writes, as its arguments name them.
///
/// They are checked in one place before the command runs (`Main`): no command replaces a file that
/// it reads, and destinations that cannot be written are refused before the work.
struct CommandFiles {
  /// Files that are read, and folders whose files are read. Names that lead nowhere do no harm.
  var inputs: [String] = []
  /// Folders that are made for outputs if they are absent, outer folders first.
  var folders: [String] = []
  /// Files that are published when the work is done.
  var outputs: [String] = []
  /// Files that the command writes again and again while it runs, and reads at the start to
  /// continue. The command decides whether an existing one may be replaced.
  var updated: [String] = []
  /// Files of other names that may be written too. They are only compared with the inputs.
  var possible: [String] = []
  /// Whether existing outputs are replaced.
  var replaces = false

  /// Refuses outputs that are inputs, that are given twice or that could not be published; makes the
  /// folders.
  ///
  /// - Throws: `file.same`, `file.exists`, `file.create`, `system.descriptors`.
  func prepare() throws(FormatError) {
    try check()
    for folder in folders {
      guard mkdir(folder, 0o777) == 0 || errno == EEXIST else {
        throw FormatError(
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
  func check() throws(FormatError) {
    for output in folders + outputs + updated + possible
    where output == "-" || output.hasPrefix("-/") {
      throw FormatError(
        .usageOption, file: output, found: "- as the path of an output",
        expected: "the path of a file",
        remedy: "Name a file. Outputs are files: - does not mean standard output here. "
          + "For a file with this name, write ./-")
    }
    let inputs = ProtectedFiles(inputs)
    var seen: Set<ExactString> = []
    for output in outputs + updated + possible {
      try inputs.check(output)
      guard seen.insert(ExactString(Self.place(of: output))).inserted else {
        throw FormatError(
          .fileSame, file: output, found: "one path for two files", expected: "a path for each")
      }
    }
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

// MARK: - The inputs that groups of options name

extension ModelOptions {
  /// The files that are read.
  var inputs: [String] { [model] }
}

extension PromptArgument {
  /// The files that are read.
  var inputs: [String] { file.map { [$0] } ?? [] }
}

extension ManyTextsArguments {
  /// The files that are read.
  var inputs: [String] { [prompts].compactMap { $0 } }
}

extension AppliedFile {
  /// The files that may be read: in `FILE#NAME` the part before the mark, too.
  var inputs: [String] { [path] + (ProbeFile(argument: path).map { [$0.path] } ?? []) }
}

extension SteeringArguments {
  /// The files that are read.
  var inputs: [String] {
    apply.flatMap(\.inputs) + [when?.path, stopWhen?.path].compactMap { $0 }
  }
}

extension ContrastArguments {
  /// The files that are read.
  var inputs: [String] { [pairs, positive, negative, personas].compactMap { $0 } }
}

extension CorpusArguments {
  /// The files that are read.
  var inputs: [String] { text }
}

extension RecordArguments {
  /// The files that are read.
  var inputs: [String] { [data] }
}
