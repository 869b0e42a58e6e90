import ArgumentParser
import SextantBytes
import SextantInspection
import SextantReport

/// `sextant clean`: removes the unfinished files of killed processes.
struct Clean: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Remove unfinished files that killed processes left.",
    discussion: """
      A file appears under its name only when it is complete. Until then it has no name. If the \
      file system does not support files without a name, it has the name \
      .<name>.<process>.partial. A process that is killed can leave such a file: this command \
      removes it, and does not remove files that are being written.
      """)

  @Argument(help: "The folders to search.")
  var folders = ["."]

  @OptionGroup var printing: OutputOptions

  func run() throws {
    let findings = try folders.flatMap { try Leftovers.remove(from: $0) }
    Report(leftovers: findings).print(asJSON: printing.json)
  }
}
