import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantStore

/// The result of a transfer experiment.
public struct TransferResult: Sendable {
  /// One probe on one part.
  public struct Row: Sendable {
    /// The part that the probe was trained on.
    public let source: QuirkySubset
    /// The part that it was measured on.
    public let target: QuirkySubset
    /// The probe.
    public let probe: ProbeEntry
    /// How well it reads the label.
    public let measured: ProbeMeasurement

    init(
      source: QuirkySubset, target: QuirkySubset, probe: ProbeEntry, _ measured: ProbeMeasurement
    ) {
      (self.source, self.target, self.probe) = (source, target, probe)
      self.measured = measured
    }

    /// The area under the curve; NaN if the part has only one label.
    public var area: Double { measured.roc?.area ?? .nan }
  }

  /// A method at one kind of site, across blocks.
  public struct Summary: Sendable {
    /// The part that probes were trained on.
    public let source: QuirkySubset
    /// The part that they were measured on.
    public let target: QuirkySubset
    /// The site without its block, such as `output` or `state.ssm`.
    public let family: String
    /// How the probes were trained.
    public let method: String
    /// The earliest informative block.
    public let layer: Int
    /// The site there.
    public let site: SiteReference
    /// The area there on the target.
    public let roc: ROC
    /// The share of the gap between floor and ceiling; nil if those were not measured.
    public internal(set) var recovered: Double?
    /// The same at the ends of the area's interval.
    public internal(set) var recoveredInterval: Interval?
  }

  /// How well distances of scores detect the speaker.
  public struct Anomaly: Sendable {
    /// The site without its block.
    public let family: String
    /// How the probes were trained.
    public let method: String
    /// The area under the curve of the distances, Bob's contexts against Alice's.
    public let roc: ROC
  }

  /// The blocks of the model.
  public let layerCount: Int
  /// The area on the targets, against the truth.
  public internal(set) var rows: [Row] = []
  /// The area on held-out examples of the source's own part, against its own labels.
  public internal(set) var within: [Row] = []
  /// The model's own output on the targets.
  public internal(set) var outputs: [(target: QuirkySubset, measured: ProbeMeasurement)] = []
  /// Each method at each kind of site, at its earliest informative block.
  public internal(set) var summaries: [Summary] = []
  /// The areas of floor and ceiling, of logistic regressions at the last block.
  public internal(set) var bounds: (floor: Double?, ceiling: Double?) = (nil, nil)
  /// The contexts in which the distance of scores detects the speaker.
  public internal(set) var anomalies: [Anomaly] = []
  /// Random directions on the targets, if they were asked for.
  public internal(set) var chance: [(target: QuirkySubset, measured: ProbeEvaluation.Chance)] = []
  /// The probes of each source.
  public internal(set) var probes: [(source: QuirkySubset, probes: [ProbeEntry])] = []
  /// The probes that were left out, in words.
  public internal(set) var skipped: [String] = []

  init(layerCount: Int) {
    self.layerCount = layerCount
  }

  /// The rows of a method at one kind of site, by block.
  public func curve(
    _ source: QuirkySubset, _ target: QuirkySubset, _ family: String, _ method: String,
    in rows: [Row]? = nil
  ) -> [Row] {
    (rows ?? self.rows).filter {
      $0.source == source && $0.target == target && $0.probe.family == family
        && $0.probe.method == method
    }
  }

  /// Picks each method's earliest informative block, and measures the gap that is recovered there.
  mutating func summarise(
    floor: (source: String, target: String), ceiling: (source: String, target: String)
  ) {
    let last = { [rows] (part: (source: String, target: String)) -> Double? in
      let own = rows.filter {
        $0.source.description == part.source && $0.target.description == part.target
          && $0.probe.family == "output" && $0.probe.method == "lr"
      }
      return own.last?.measured.roc?.area
    }
    bounds = (last(floor), last(ceiling))
    for (source, own) in probes {
      for (family, method) in own.families {
        let areas = curve(source, source, family, method, in: within).map(\.area)
        guard let place = Transfer.earliestInformativeLayer(areas) else { continue }
        for target in Set(rows.map(\.target)).sorted(by: { $0.description < $1.description }) {
          let curve = curve(source, target, family, method)
          guard curve.indices.contains(place), let roc = curve[place].measured.roc else {
            continue
          }
          var summary = Summary(
            source: source, target: target, family: family, method: method,
            layer: curve[place].probe.layer ?? place, site: curve[place].probe.site, roc: roc)
          if let floor = bounds.floor, let ceiling = bounds.ceiling,
            target.description == "BH"
          {
            let share = { Transfer.gapRecovered(area: $0, floor: floor, ceiling: ceiling) }
            summary.recovered = share(roc.area)
            if let low = share(roc.interval.low), let high = share(roc.interval.high) {
              summary.recoveredInterval = Interval(low: low, high: high)
            }
          }
          summaries.append(summary)
        }
      }
    }
  }

  /// The summary of one transfer; nil if it was not measured.
  public func summary(
    _ source: String, _ target: String, _ family: String, _ method: String
  ) -> Summary? {
    summaries.first {
      $0.source.description == source && $0.target.description == target && $0.family == family
        && $0.method == method
    }
  }
}
