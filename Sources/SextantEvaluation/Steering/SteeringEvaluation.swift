import Glibc
import SextantArtifacts
import SextantBytes
import SextantReport
import SextantStore

/// The effects of a steering vector at every layer and strength, with controls.
public struct SteeringEvaluation {
  /// The side effects of steering at a chosen layer.
  public struct SideEffect: Sendable {
    /// The steered sites.
    public let sites: SteeredSites
    /// The block that was steered.
    public let layer: Int
    /// The strength; 0: the model as it is.
    public let multiplier: Float
    /// Nats per token of the text.
    public internal(set) var loss: Double?
    /// Indexed by file: whether each item was right, 1 or 0.
    public internal(set) var accuracies: [(file: String, right: [Double])] = []
  }

  /// A prompt, continued.
  public struct Continuation: Sendable {
    /// The prompt.
    public let prompt: String
    /// The steered sites.
    public let sites: SteeredSites
    /// The strength.
    public let multiplier: Float
    /// The text that follows the prompt.
    public let text: String
  }

  /// The model that was steered.
  public let model: ModelReference
  /// The vector.
  public let vector: SteeringVector
  /// The prompts with their two answers.
  public let test: ChoiceTest
  /// The name of the template for the questions; nil for none.
  public let template: String?
  /// The figures of every cell, and the chosen blocks.
  public let summary: SweepSummary
  /// Random directions at the chosen blocks.
  public let controls: SteeringEvaluation.Controls
  /// The seed of controls, halves and intervals.
  public let seed: UInt64
  /// The unit of strengths.
  public let unit: SteeringExperiment.Unit
  /// The tokens that were steered.
  public let positions: PositionSelection
  /// The tokens before which the state was edited; nil for those of `positions`.
  public let statePositions: PositionSelection?
  /// The side effects of steering.
  public internal(set) var sideEffects: [SideEffect] = []
  /// Prompts, continued without and with steering.
  public internal(set) var continuations: [Continuation] = []
  /// See `ModelDescription.untouchedByStateEdits`.
  var untouchedByStateEdits: String?
  /// Seconds of the sweep, and of everything.
  public internal(set) var seconds: (sweep: Double, all: Double) = (0, 0)

  /// A multiplier with its sign.
  package static func signed(_ value: Float) -> String {
    (value > 0 ? "+" : "") + Format.plain(value)
  }

  /// A figure with its interval, as people read it.
  package static func text(_ figure: Figure, digits: Int = 3) -> String {
    let ends = [figure.interval.low, figure.interval.high].map { Format.fixed($0, digits) }
    return Format.fixed(figure.value, digits)
      + (figure.interval.isKnown ? " [\(ends.joined(separator: ", "))]" : " [unknown]")
  }

  /// The controls of a curve's sites; nil for none.
  public func control(of curve: SweepSummary.Curve) -> SteeringEvaluation.Controls.Curve? {
    controls.count > 0 ? controls.curves.first { $0.sites == curve.sites } : nil
  }
}

// MARK: For people

extension SteeringEvaluation {
  /// The short report.
  ///
  /// - Parameter folder: the folder of the page, for a note; nil for none.
  package func report(folder: String? = nil) -> Report {
    Report(
      title: "\(counted(test.items.count, "prompt")), \(counted(summary.rows.count, "cell")) in "
        + "\(Format.fixed(seconds.sweep, 2)) s; unsteered matching "
        + "\(Self.text(summary.baseline.matching)), nonsense "
        + Self.text(summary.baseline.nonsense),
      tables: tables, notes: notes(folder: folder), json: json)
  }

  /// The tables of report and page.
  package var tables: [(title: String, table: Table)] {
    var tables = [
      (
        "best block for each strength: chosen on \(counted(summary.halves.choosing.count, "prompt")), effect on the "
          + "other \(summary.halves.reporting.count)", bestTable
      ),
      (
        "matching at one block for all strengths, the one with the largest difference between the ends, on the "
          + "reported half; p of the random directions: "
          + controlProbabilities, curveTable
      ),
      ("range of matching over blocks and strengths", rangeTable),
    ]
    if !sideEffects.isEmpty { tables.append(("side effects at the chosen blocks", effectTable)) }
    return tables
  }

  /// The share of random directions with at least the same effect, by sites.
  private var controlProbabilities: String {
    let texts = summary.curves.compactMap { curve in
      control(of: curve).map { "\(curve.sites) \(Format.fixed($0.probability, 3))" }
    }
    return texts.isEmpty ? "none" : texts.joined(separator: ", ")
  }

  private func notes(folder: String?) -> [String] {
    var notes = [
      "blocks were chosen on one half of the prompts; intervals of random directions contain 95% of them"
    ]
    if let note = SmallSample.note(summary.halves.reporting.count, "reported prompt") {
      notes.append(note)
    }
    if summary.curves.contains(where: { $0.sites != .residual }), let untouchedByStateEdits {
      notes.append(untouchedByStateEdits)
    }
    if let folder { notes.append("\(printable(folder))/index.html has the figures") }
    return notes
  }

  private var bestTable: Table {
    var table = Table([
      "sites", "#strength", "#block", "#effect [95%]", "#p, labels exchanged",
      "#block on all", "#effect on all",
    ])
    for best in summary.best {
      table.add([
        best.sites.description, Self.signed(best.multiplier), String(best.layer),
        Self.text(best.effect), Format.figure(best.labelProbability), String(best.layerOnAll),
        Format.fixed(best.effectOnAll, 3),
      ])
    }
    return table
  }

  private var curveTable: Table {
    var table = Table(
      ["sites", "#block", "#strength", "#matching [95%]"]
        + (controls.count > 0
          ? ["#\(counted(controls.count, "random direction")) [95% of them]"] : []))
    for curve in summary.curves {
      let control = control(of: curve)
      for (place, point) in curve.points.enumerated() {
        table.add(
          [
            curve.sites.description, String(curve.layer), Self.signed(point.multiplier),
            Self.text(point.matching),
          ] + (control.map { [Self.text($0.points[place].matching)] } ?? []))
      }
      table.add(
        [
          curve.sites.description, String(curve.layer),
          "\(Self.signed(curve.ends.high)) − \(Self.signed(curve.ends.low))",
          Self.text(curve.contrast),
        ] + (control.map { [Self.text($0.contrast)] } ?? []))
    }
    return table
  }

  private var rangeTable: Table {
    var table = Table(["sites", "#as published", "#held out [95%]", "monotone in strength"])
    for curve in summary.curves {
      table.add([
        curve.sites.description, Format.fixed(curve.publishedRange, 3),
        Self.text(curve.heldOutRange), curve.isMonotone ? "yes" : "no",
      ])
    }
    return table
  }

  private var effectTable: Table {
    let files = sideEffects.first?.accuracies.map(\.file) ?? []
    var table = Table(
      ["sites", "#block", "#strength", "#perplexity"] + files.map { "#right: \(printable($0))" })
    for effect in sideEffects {
      let isPlain = effect.multiplier == 0
      table.add(
        [
          isPlain ? "none" : effect.sites.description, isPlain ? "" : String(effect.layer),
          Self.signed(effect.multiplier), effect.loss.map { Format.figure(exp($0)) } ?? "",
        ]
          + effect.accuracies.map { accuracy in
            let share = accuracy.right.reduce(0, +) / Double(max(accuracy.right.count, 1))
            return "\(Format.fixed(share * 100, 1))%"
          })
    }
    return table
  }

  /// Every cell, for programs that read tables.
  package var cellTable: Table {
    var table = Table([
      "layer", "multiplier", "sites", "matching", "matching_low", "matching_high", "nonsense",
      "nonsense_low", "nonsense_high", "effect", "effect_low", "effect_high", "kl",
    ])
    for row in summary.rows {
      let figures = [row.matching, row.nonsense, row.effect].flatMap {
        [$0.value, $0.interval.low, $0.interval.high]
      }
      table.add(
        [String(row.layer), String(row.multiplier), row.sites.description]
          + (figures + [row.divergence]).map { $0.isFinite ? "\($0)" : "" })
    }
    return table
  }
}
