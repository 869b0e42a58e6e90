import ArgumentParser
import SextantBytes
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
    let removed = findings.filter { !$0.isBusy }
    let bytes = removed.reduce(0) { $0 + $1.byteCount }
    Report(
      title: removed.isEmpty
        ? "nothing to remove" : "removed \(counted(removed.count, "file")), \(Format.bytes(bytes))",
      facts: [],
      notes: findings.map {
        "\(printable($0.path)): \($0.isBusy ? "being written, not removed" : "removed")"
      },
      json: JSONObject([
        ("removed", .array(removed.map { .string($0.path) })), ("bytes", JSONValue(bytes)),
        ("busy", .array(findings.filter(\.isBusy).map { .string($0.path) })),
      ])
    ).print(asJSON: printing.json)
  }
}
