import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantModels
import SextantReport
import SextantStore
import SextantTokenizers

/// How well new probes predict a label on held-out examples, before and after erasing it.
public struct EraserCertificate: Sendable {
  /// One site.
  public struct Row: Sendable {
    /// The site.
    public let site: SiteReference
    /// The area of a probe that was trained on the original activations; nil unless both labels
    /// occur.
    public let before: ROC?
    /// The area of a probe that was trained on erased activations; nil unless both labels occur.
    public let after: ROC?
  }

  /// The sites, in their order.
  public let rows: [Row]
  /// Held-out examples.
  public let heldOutCount: Int

  /// Measures the results of `EraserTrainer`.
  ///
  /// - Parameter labels: of the held-out examples.
  package init(of tried: [EraserTrainer.Trained], labels: [Bool]) {
    heldOutCount = labels.count
    rows = tried.map {
      Row(site: $0.site, before: ROC($0.before, labels), after: ROC($0.after, labels))
    }
  }

  /// The figures for programs, site by site.
  public var json: [JSONValue] {
    rows.map { row in
      let area = { (roc: ROC?) -> JSONValue in roc.map { JSONValue(finite: $0.area) } ?? .null }
      return [
        "site": .string(row.site.name), "auroc_before": area(row.before),
        "auroc_after": area(row.after), "auroc_before_ci": row.before.map(\.interval.json) ?? .null,
        "auroc_after_ci": row.after.map(\.interval.json) ?? .null,
      ]
    }
  }

  /// A row for each site.
  package var table: Table {
    var table = Table(["site", "#before", "interval", "#after", "interval"])
    for row in rows {
      table.add(
        [row.site.name]
          + [row.before, row.after].flatMap { roc in
            [roc.map { Format.fixed($0.area, 3) } ?? "-", roc?.interval.text() ?? ""]
          })
    }
    return table
  }

  /// The short report of an eraser of some records.
  package func report(
    of records: SelectedRecords, to output: String
  ) -> Report {
    Report(
      title: "\(printable(output)): erasers of \(records.label) at \(counted(rows.count, "site"))",
      tables: [
        ("the area under the curve of a new probe on \(heldOutCount) held-out examples", table)
      ],
      notes: [records.classes],
      json: JSONObject([
        ("output", .string(output)), ("label", .string(records.label)),
        ("held_out", JSONValue(heldOutCount)), ("sites", .array(json)),
      ]))
  }
}

extension EraserTrainer {
  /// Learns the erasers of records at some sites, and measures them on the records that are held out.
  ///
  /// - Parameters:
  ///   - positions, pooling: the tokens that are read, and whether several of a text are an example each.
  ///   - applied: the tokens to erase at by default.
  ///   - progress: receives records read and in all.
  /// - Returns: the eraser, with the areas in its statistics, and the certificate.
  /// - Throws: as `train`; `data.*`, `model.*`.
  package static func certifiedEraser(
    on records: SelectedRecords, _ model: any LanguageModel, _ tokenizer: any Tokenizer,
    sites: [SiteDescription], positions: PositionSelection = .last, pooling: Probe.Pooling = .each,
    applied: PositionSelection = PositionSelection([.all]), heldOut: HeldOut = HeldOut(),
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(Refusal) -> (eraser: ConceptEraser, certificate: EraserCertificate) {
    let examples = try ProbeExamples(
      of: records, model, tokenizer, sites: sites, positions: positions, pooling: pooling,
      progress: progress)
    return try certifiedEraser(
      of: examples.records, examples.activations,
      model: model.description.reference(tokenizer: tokenizer.digest),
      positions: positions, pooling: pooling, applied: applied, heldOut: heldOut)
  }

  /// Learns the erasers of records, and measures them on the records that are held out.
  ///
  /// - Parameters:
  ///   - positions, pooling: how `activations` were read.
  ///   - applied: the tokens to erase at by default.
  /// - Returns: the eraser, with the areas in its statistics, and the certificate.
  /// - Throws: as `train`.
  package static func certifiedEraser(
    of records: SelectedRecords, _ activations: Activations, model: ModelReference,
    positions: PositionSelection, pooling: Probe.Pooling,
    applied: PositionSelection = PositionSelection([.all]), heldOut: HeldOut = HeldOut()
  ) throws(Refusal) -> (eraser: ConceptEraser, certificate: EraserCertificate) {
    let (eraser, tried, labels) = try eraser(
      of: records, activations, model: model, positions: positions, pooling: pooling,
      applied: applied, heldOut: heldOut, area: { ROC($0, $1)?.area })
    return (eraser, EraserCertificate(of: tried, labels: labels))
  }
}
