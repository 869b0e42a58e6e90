import SextantAnalysis
import SextantArtifacts
import SextantBytes
import SextantEvaluation

/// What a transfer experiment found.
struct TransferResult {
  /// One probe on one part.
  struct Row {
    var source: QuirkySubset
    var target: QuirkySubset
    var probe: ProbeEntry
    var measured: ProbeMeasurement

    init(
      source: QuirkySubset, target: QuirkySubset, probe: ProbeEntry, _ measured: ProbeMeasurement
    ) {
      (self.source, self.target, self.probe) = (source, target, probe)
      self.measured = measured
    }

    var area: Double { measured.roc?.area ?? .nan }
  }

  /// A method at one kind of site, across blocks.
  struct Summary {
    var source: QuirkySubset
    var target: QuirkySubset
    /// The site without its block, such as `output` or `state.ssm`.
    var family: String
    var method: String
    /// The earliest informative block.
    var layer: Int
    /// The area there on the target.
    var roc: ROC
    /// The share of the gap between floor and ceiling; nil where those were not measured.
    var recovered: Double?
    /// The same at the ends of the area's interval.
    var recoveredInterval: Interval?
  }

  /// How well distances of scores tell who speaks.
  struct Anomaly {
    var family: String
    var method: String
    var roc: ROC
  }

  let layerCount: Int
  /// On the targets, against the truth.
  var rows: [Row] = []
  /// On held-out examples of the source's own part, against its own labels.
  var within: [Row] = []
  /// The model's own output on the targets.
  var outputs: [(target: QuirkySubset, measured: ProbeMeasurement)] = []
  var summaries: [Summary] = []
  /// The areas of floor and ceiling, of logistic regressions at the last block.
  var bounds: (floor: Double?, ceiling: Double?) = (nil, nil)
  var anomalies: [Anomaly] = []
  var probes: [(source: QuirkySubset, probes: [ProbeEntry])] = []
  var statistics: [(source: QuirkySubset, figures: JSONObject)] = []
  var skipped: [String] = []

  init(layerCount: Int) {
    self.layerCount = layerCount
  }

  /// A probe's site without its block.
  static func family(of probe: ProbeEntry) -> String {
    let fields = probe.site.name.split(separator: ".")
    let name = fields.count > 2 ? fields.dropFirst(2).joined(separator: ".") : probe.site.name
    return name + (probe.head.map { " head \($0)" } ?? "")
  }

  /// The kinds of sites with their methods, each once, in order.
  static func families(of probes: [ProbeEntry]) -> [(family: String, method: String)] {
    var seen: Set<String> = []
    return probes.compactMap { probe in
      let family = family(of: probe)
      return seen.insert("\(family) \(probe.method)").inserted ? (family, probe.method) : nil
    }
  }

  /// The rows of a method at one kind of site, by block.
  func curve(
    _ source: QuirkySubset, _ target: QuirkySubset, _ family: String, _ method: String,
    in rows: [Row]? = nil
  ) -> [Row] {
    (rows ?? self.rows).filter {
      $0.source == source && $0.target == target && Self.family(of: $0.probe) == family
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
          && Self.family(of: $0.probe) == "output" && $0.probe.method == "lr"
      }
      return own.last?.measured.roc?.area
    }
    bounds = (last(floor), last(ceiling))
    for (source, own) in probes {
      for (family, method) in Self.families(of: own) {
        let areas = curve(source, source, family, method, in: within).map(\.area)
        guard let place = Transfer.earliestInformativeLayer(areas) else { continue }
        for target in Set(rows.map(\.target)).sorted(by: { $0.description < $1.description }) {
          let curve = curve(source, target, family, method)
          guard curve.indices.contains(place), let roc = curve[place].measured.roc else {
            continue
          }
          var summary = Summary(
            source: source, target: target, family: family, method: method,
            layer: curve[place].probe.layer ?? place, roc: roc)
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

  /// The summary of one transfer.
  func summary(
    _ source: String, _ target: String, _ family: String, _ method: String
  ) -> Summary? {
    summaries.first {
      $0.source.description == source && $0.target.description == target && $0.family == family
        && $0.method == method
    }
  }
}
