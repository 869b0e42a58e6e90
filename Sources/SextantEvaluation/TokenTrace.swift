import SextantArtifacts
import SextantBytes
import SextantGeneration
import SextantReport
import SextantStore

/// The events at each token: as JSON lines, and as a table for people.
package struct TokenTrace: Sendable {
  /// An artifact that acts on a run.
  package struct Source: Sendable {
    /// Its file.
    package let file: String
    /// Its kind, such as `steering-vector`.
    package let kind: String

    /// An artifact of a file.
    package init(file: String, kind: String) {
      (self.file, self.kind) = (file, kind)
    }

    /// The file's name without its folders.
    package var name: String { String(file.split(separator: "/").last ?? "") }
  }

  private let applied: [Source]
  private var records: [TokenRecord] = []

  /// A trace without tokens.
  ///
  /// - Parameter applied: the artifacts, in the order of the interventions.
  package init(_ applied: [Source]) {
    self.applied = applied
  }

  /// Takes the record of one token.
  package mutating func add(_ record: TokenRecord) {
    records.append(record)
  }

  // MARK: Trace

  /// One JSON object for each token that was read.
  package var lines: [JSONObject] {
    records.map { record in
      JSONObject([
        ("position", JSONValue(record.position)), ("token", JSONValue(record.token)),
        ("text", .string(record.text)), ("prompt", .boolean(record.isPrompt)),
        ("reports", .array(record.reports.map { .object(report($0.report, of: $0.item)) })),
        ("edits", .array(record.edits.map { .object(edit($0)) })),
      ])
    }
  }

  /// The lines as the bytes of a file.
  package var bytes: [UInt8] {
    Array(lines.map { JSONValue.object($0).canonicalText + "\n" }.joined().utf8)
  }

  /// A line for each report on the last token: the scores of a probe, or the JSON object of a lens.
  package var lastReports: [String] {
    (records.last?.reports ?? []).map { item, report in
      let name = printable(applied[item].name)
      guard case .object(let scores)? = report["scores"] else {
        return "\(name): \(JSONValue.object(report).canonicalText)"
      }
      let shown = scores.members.map { key, score -> String in
        guard case .number(let score) = score else { return "\(printable(key)) -" }
        return "\(printable(key)) \(Format.fixed(score, 3))"
      }
      return "\(name): \(shown.joined(separator: ", "))"
    }
  }

  private func report(_ report: JSONObject, of item: Int) -> JSONObject {
    JSONObject(
      [("file", .string(applied[item].file)), ("kind", .string(applied[item].kind))]
        + report.members.map { ($0.key, $0.value) })
  }

  private func edit(_ edit: EditRecord) -> JSONObject {
    JSONObject([
      ("files", .array(edit.items.map { .string(applied[$0].file) })),
      ("site", .string(edit.site.name)), ("edited", .boolean(edit.isEdited)),
      (
        "gate",
        edit.gate.map {
          [
            "open": .boolean($0.isOpen), "score": $0.score.map { JSONValue(finite: $0) } ?? .null,
          ]
        } ?? .null
      ),
      ("norm_before", JSONValue(finite: edit.norms.before)),
      ("norm_after", JSONValue(finite: edit.norms.after)),
    ])
  }

  // MARK: Explanation

  /// The action of one artifact at one token.
  private struct Deed {
    let item: Int
    var sites: [String] = []
    var shut: EditRecord.Gate?
  }

  private func deeds(_ record: TokenRecord) -> [Deed] {
    var deeds: [Deed] = []
    for edit in record.edits {
      for item in edit.items {
        let place = deeds.firstIndex { $0.item == item } ?? deeds.count
        if place == deeds.count { deeds.append(Deed(item: item)) }
        if edit.isEdited { deeds[place].sites.append(edit.site.name) }
        if let gate = edit.gate, !gate.isOpen { deeds[place].shut = gate }
      }
    }
    return deeds.filter { !$0.sites.isEmpty || $0.shut != nil }
  }

  /// One line for each token: which artifacts edited it, and which read it.
  ///
  /// - Parameter unread: the tokens that were chosen last and not read, with their texts.
  package func explanation(unread: [(token: Int, text: String)]) -> Table {
    var table = Table(["#index", "#token", "text", "what happened"])
    for record in records {
      var parts = deeds(record).map { deed in
        let name = printable(applied[deed.item].name)
        if let shut = deed.shut, deed.sites.isEmpty {
          return "not edited by \(name): its gate is shut"
            + (shut.score.map { " (score \(Format.figure($0)))" } ?? " (no score)")
        }
        let verb = applied[deed.item].kind == SteeringVector.name ? "steered" : "erased"
        return "\(verb) by \(name) at \(counted(deed.sites.count, "site"))"
      }
      parts += record.reports.map { "read by \(printable(applied[$0.item].name))" }
      table.add([
        "\(record.position)", "\(record.token)", LensText.shown(record.text),
        (record.isPrompt ? "prompt: " : "")
          + (parts.isEmpty ? "read" : parts.joined(separator: "; ")),
      ])
    }
    for (offset, (token, text)) in unread.enumerated() {
      let position = (records.last?.position ?? -1) + 1 + offset
      table.add(["\(position)", "\(token)", LensText.shown(text), "chosen, not read"])
    }
    return table
  }

  /// The same for programs.
  package func explanationJSON(unread: [(token: Int, text: String)]) -> JSONValue {
    var rows = records.map { record -> JSONValue in
      [
        "index": JSONValue(record.position), "token": JSONValue(record.token),
        "text": .string(record.text), "prompt": .boolean(record.isPrompt), "read": true,
        "read_by": .array(
          record.reports.map { .string(applied[$0.item].file) }),
        "edited_by": .array(
          deeds(record).map { deed in
            [
              "file": .string(applied[deed.item].file),
              "sites": .array(deed.sites.map { .string($0) }),
              "gate_shut": .boolean(deed.shut != nil),
            ]
          }),
      ]
    }
    for (offset, (token, text)) in unread.enumerated() {
      rows.append([
        "index": JSONValue((records.last?.position ?? -1) + 1 + offset),
        "token": JSONValue(token), "text": .string(text), "prompt": false, "read": false,
        "read_by": [], "edited_by": [],
      ])
    }
    return .array(rows)
  }
}
