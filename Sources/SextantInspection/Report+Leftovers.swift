import SextantBytes
import SextantReport

extension Report {
  /// What was found of files that killed processes left.
  package init(leftovers findings: [Leftovers.Finding]) {
    let removed = findings.filter { !$0.isBusy }
    let bytes = removed.reduce(0) { $0 + $1.byteCount }
    self.init(
      title: removed.isEmpty
        ? "nothing to remove" : "removed \(counted(removed.count, "file")), \(Format.bytes(bytes))",
      notes: findings.map {
        "\(printable($0.path)): \($0.isBusy ? "being written, not removed" : "removed")"
      },
      json: JSONObject([
        ("removed", .array(removed.map { .string($0.path) })), ("bytes", JSONValue(bytes)),
        ("busy", .array(findings.filter(\.isBusy).map { .string($0.path) })),
      ]))
  }
}
