import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantModels
import SextantReport

/// How answers change when activations are moved through the hyperplanes of probes, probe by probe.
package struct ProbeInterventionResult: Sendable {
  /// The answers with one probe.
  package struct Row: Sendable {
    /// The probe.
    package let entry: ProbeEntry
    /// The answers.
    package let answers: ProbeIntervention.Answers
    /// The share of answers that change: by the probe, and by the control.
    package let flips: [Double]
    /// The mean change of the log-odds: by the probe, and by the control.
    package let changes: [Double]
    /// The area under the curve of the answers: as they are, by the probe, and by the control; NaN
    /// unless both labels occur.
    package let areas: [Double]

    init(_ entry: ProbeEntry, _ answers: ProbeIntervention.Answers, _ labels: [Bool]) {
      (self.entry, self.answers) = (entry, answers)
      let turned = [answers.after, answers.control]
      flips = turned.map { ProbeIntervention.Answers.flips(answers.before, $0) }
      changes = turned.map { turned in
        zip(turned, answers.before).reduce(0) { $0 + abs($1.0 - $1.1) }
          / Double(max(turned.count, 1))
      }
      areas = [answers.before, answers.after, answers.control].map {
        ROC($0, labels)?.area ?? .nan
      }
    }
  }

  /// The probes that read one activation and have a direction.
  package let rows: [Row]

  /// Intervenes with each probe that reads one activation and has a direction.
  ///
  /// - Parameters:
  ///   - records: the records that the model answers; each has choices.
  ///   - seed: of the random direction.
  ///   - file: the file of the records, for refusals.
  ///   - progress: receives records done and in all, of each probe.
  /// - Throws: `data.record` for records without choices; `artifact.*`, `model.*`.
  package init(
    of entries: [ProbeEntry], _ model: any LanguageModel, tokenizer: Digest?,
    on prompts: ChoicePrompts, labels: [Bool], seed: UInt64 = 0, probeFile: String? = nil,
    file: String? = nil, progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) {
    guard let choices = prompts.choices else {
      throw Refusal(
        .dataRecord, file: file, found: "records without choices",
        expected: "\"choices\" in every record")
    }
    var rows: [Row] = []
    for entry in entries
    where entry.input == .single && entry.direction.contains(where: { $0 != 0 }) && entry.scale != 0
    {
      let answers = try ProbeIntervention(model, entry, seed: seed).run(
        prompts.prompts, choices: choices, tokenizer: tokenizer, file: probeFile,
        progress: progress)
      rows.append(Row(entry, answers, labels))
    }
    self.rows = rows
  }

  /// The figures for programs, probe by probe.
  package var json: [JSONValue] {
    rows.map { row in
      .object(
        row.entry.identity.with(
          JSONObject([
            ("flips", JSONValue(finite: row.flips[0])),
            ("flips_control", JSONValue(finite: row.flips[1])),
            ("change", JSONValue(finite: row.changes[0])),
            ("change_control", JSONValue(finite: row.changes[1])),
            ("auroc_before", JSONValue(finite: row.areas[0])),
            ("auroc_after", JSONValue(finite: row.areas[1])),
            ("auroc_control", JSONValue(finite: row.areas[2])),
          ])))
    }
  }

  /// A row for each probe.
  package var table: Table {
    var table = Table([
      "probe", "#flips", "#control", "#mean change", "#control", "#AUROC", "#after", "#control",
    ])
    for row in rows {
      table.add(
        [row.entry.name] + (row.flips + row.changes + row.areas).map { Format.fixed($0, 3) })
    }
    return table
  }

  /// The short report.
  ///
  /// - Parameter probes: the file of the probes.
  package func report(of records: SelectedRecords, probes: String) -> Report {
    let count = records.records.count
    return Report(
      title: "\(printable(probes)): reflected at the last token of \(counted(count, "record"))",
      tables: [
        (
          "the share of answers that change, the change of the log-odds, and the output's AUROC",
          table
        )
      ],
      notes: [records.classes],
      json: JSONObject([
        ("records", JSONValue(count)), ("label", .string(records.label)), ("rows", .array(json)),
      ]))
  }
}
