import SextantArtifacts
import SextantBytes
import SextantEvaluation
import SextantGeneration
import SextantReport
import SextantStore

/// Collects what happened at each token that was read: as JSON lines, as a table for people, and as
/// colours on a terminal.
final class TokenTrace {
  private let applied: AppliedArtifacts
  private let paints: Bool
  private var records: [TokenRecord] = []

  /// - Parameter paints: write each generated token to standard output, marked by the first
  ///   reporter's tint.
  init(_ applied: AppliedArtifacts, paints: Bool = false) {
    self.applied = applied
    self.paints = paints
  }

  /// Takes the record of one token.
  func add(_ record: TokenRecord) {
    records.append(record)
    if paints, !record.isPrompt { StandardStreams.writeGenerated(record.text, tint: record.tint) }
  }

  // MARK: Trace

  /// One JSON object for each token that was read.
  var lines: [JSONObject] {
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
  var bytes: [UInt8] {
    Array(lines.map { JSONValue.object($0).canonicalText + "\n" }.joined().utf8)
  }

  private func report(_ report: JSONObject, of item: Int) -> JSONObject {
    JSONObject(
      [("file", .string(applied.files[item].path)), ("kind", .string(applied.kinds[item]))]
        + report.members.map { ($0.key, $0.value) })
  }

  private func edit(_ edit: EditRecord) -> JSONObject {
    JSONObject([
      ("files", .array(edit.items.map { .string(applied.files[$0].path) })),
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

  /// What one artifact did at one token.
  private struct Deed {
    let item: Int
    var sites: [String] = []
    var shut: GateReading?
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
  func explanation(unread: [(token: Int, text: String)]) -> Table {
    var table = Table(["#index", "#token", "text", "what happened"])
    for record in records {
      var parts = deeds(record).map { deed in
        let name = printable(applied.files[deed.item].name)
        if let shut = deed.shut, deed.sites.isEmpty {
          return "not edited by \(name): its gate is shut"
            + (shut.score.map { " (score \(Format.figure($0)))" } ?? " (no score)")
        }
        let verb = applied.kinds[deed.item] == SteeringVector.name ? "steered" : "erased"
        return "\(verb) by \(name) at \(Format.count(deed.sites.count, of: "site"))"
      }
      parts += record.reports.map { "read by \(printable(applied.files[$0.item].name))" }
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
  func explanationJSON(unread: [(token: Int, text: String)]) -> JSONValue {
    var rows = records.map { record -> JSONValue in
      [
        "index": JSONValue(record.position), "token": JSONValue(record.token),
        "text": .string(record.text), "prompt": .boolean(record.isPrompt), "read": true,
        "read_by": .array(
          record.reports.map { .string(applied.files[$0.item].path) }),
        "edited_by": .array(
          deeds(record).map { deed in
            [
              "file": .string(applied.files[deed.item].path),
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

extension AppliedFile {
  /// The file's name without its folders.
  var name: String { String(path.split(separator: "/").last ?? "") }
}

extension AppliedArtifacts {
  /// What was edited, for people: a line for each artifact that edits.
  func lines(_ summaries: [EditSummary]) -> [String] {
    summaries.map { summary in
      let file = files[summary.item]
      let verb = kinds[summary.item] == SteeringVector.name ? "steered" : "erased"
      return "\(verb) \(summary.tokens) tokens x \(summary.sites) sites "
        + "(\(printable(file.path)), strength \(file.strength.text)"
        + (file.strength.unit == .nats ? ", found at \(summary.strength))" : ")")
    }
  }

  /// A text and what was done to it, for programs.
  ///
  /// - Parameter notes: what probes and lenses report of its tokens.
  func json(_ text: GeneratedText, prompt: [Int], _ notes: TokenTrace) -> JSONObject {
    JSONObject([
      ("prompt_tokens", .array(prompt.map { JSONValue($0) })),
      ("tokens", .array(text.tokens.map { JSONValue($0) })), ("text", .string(text.text)),
      ("steered", json(text.edits)),
      ("reports", .array(hasReports ? notes.lines.map { .object($0) } : [])),
      ("stopped", .boolean(text.wasStopped)), ("ending", .string(text.ending.rawValue)),
      ("tokens_per_second", text.tokensPerSecond.map { JSONValue(finite: $0) } ?? .null),
    ])
  }

  /// What was edited, for programs.
  func json(_ summaries: [EditSummary]) -> JSONValue {
    .array(
      summaries.map { summary in
        let file = files[summary.item]
        return [
          "file": .string(file.path), "kind": .string(kinds[summary.item]),
          "asked": .string(file.strength.text),
          "strength": summary.layerStrengths == nil
            ? JSONValue(finite: Double(summary.strength)) : .null,
          "layer_strengths": summary.layerStrengths.map { strengths in
            .array(
              strengths.parts.map { part in
                [
                  "layers": .string(LayerSelection.text(part.layers)),
                  "strength": JSONValue(finite: Double(part.strength)),
                ]
              })
          } ?? .null,
          "unit": .string(file.strength.unit == .share ? "share" : "raw"),
          "positions": .array(summary.positions.map { JSONValue($0) }),
          "site_names": .array(summary.siteNames.map { .string($0) }),
          "tokens": JSONValue(summary.tokens), "sites": JSONValue(summary.sites),
        ]
      })
  }
}
