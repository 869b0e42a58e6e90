import SextantBytes
import SextantReport

/// What a command has to say: the same facts for people and for programs.
struct Report {
  /// The first line for people.
  var title: String
  /// Facts in one line each.
  var facts: [(name: String, value: String)] = []
  /// Tables, each under a line of its own.
  var tables: [(title: String, table: Table)] = []
  /// Sentences at the end.
  var notes: [String] = []
  /// The whole for programs.
  var json: JSONObject

  /// Prints one JSON document, or the text for people.
  func print(asJSON: Bool) {
    StandardStreams.print(asJSON ? JSONValue.object(json).prettyText : text)
  }

  /// The text for people, without a newline at the end.
  var text: String {
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
