import SextantBytes

/// A result as a report: the same facts as text for people and as one JSON document for programs.
package struct Report: Sendable {
  /// The first line for people.
  package var title: String
  /// Facts in one line each.
  package var facts: [(name: String, value: String)]
  /// Tables, each under a line of its own.
  package var tables: [(title: String, table: Table)]
  /// Sentences at the end.
  package var notes: [String]
  /// The whole for programs.
  package var json: JSONObject

  /// A report of these parts.
  package init(
    title: String, facts: [(name: String, value: String)] = [],
    tables: [(title: String, table: Table)] = [], notes: [String] = [], json: JSONObject
  ) {
    (self.title, self.facts, self.tables) = (title, facts, tables)
    (self.notes, self.json) = (notes, json)
  }

  /// The text for people, without a newline at the end.
  package var text: String {
    var lines = [title]
    let width = facts.map(\.name.count).max() ?? 0
    for (name, value) in facts {
      lines.append("  \(name)\(String(repeating: " ", count: width - name.count))  \(value)")
    }
    for (title, table) in tables {
      lines.append("")
      lines.append(title)
      lines += table.lines.map { "  \($0)" }
    }
    lines += notes.map { "note: \($0)" }
    return lines.joined(separator: "\n")
  }
}
