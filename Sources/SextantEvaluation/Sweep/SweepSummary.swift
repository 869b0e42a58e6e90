import SextantGeneration
import SextantTensor

/// A figure with its interval.
public struct Figure: Sendable, Equatable {
  /// The figure.
  public let value: Double
  /// Its bootstrap interval; for controls, the range that contains 95% of them.
  public let interval: Interval

  /// The mean of some values, and the range that contains 95% of them.
  init(spreadOf values: [Double]) {
    value = values.reduce(0, +) / Double(max(values.count, 1))
    interval = Interval(of: values)
  }

  init(_ values: [Double], _ bootstrap: Bootstrap) {
    value = values.reduce(0, +) / Double(max(values.count, 1))
    interval = bootstrap.interval(ofMean: values)
  }
}

/// The figures of a sweep.
///
/// Effects are differences of the matching probability from the unsteered one, by item. A layer is
/// chosen on a random half of the items, by a seed, and reported on the other half, because the
/// best layer on a few items is partly the result of chance.
public struct SweepSummary: Sendable {
  /// One cell of the grid, on all items.
  public struct Row: Sendable {
    /// The layer.
    public let layer: Int
    /// The strength.
    public let multiplier: Float
    /// The steered sites.
    public let sites: SteeredSites
    /// The probability of the matching answer among the two.
    public let matching: Figure
    /// The probability of anything else.
    public let nonsense: Figure
    /// Matching minus unsteered matching.
    public let effect: Figure
    /// Nonsense minus unsteered nonsense.
    public let nonsenseEffect: Figure
    /// The mean divergence from the unsteered prediction, in nats.
    public let divergence: Double
  }

  /// The best layer at one strength.
  public struct Best: Sendable {
    /// The steered sites.
    public let sites: SteeredSites
    /// The strength.
    public let multiplier: Float
    /// The layer of the largest effect (the smallest for a negative strength) on the first half.
    public let layer: Int
    /// The effect there, on the second half.
    public let effect: Figure
    /// The probability of such an effect if each item's two answers were exchanged at random.
    public let labelProbability: Double
    /// The layer of the largest effect on all items.
    public let layerOnAll: Int
    /// The effect there on all items, as published: chosen and reported on the same items.
    public let effectOnAll: Double
  }

  /// The effect of a set of sites at the layer that was chosen for it.
  public struct Curve: Sendable {
    /// The steered sites.
    public let sites: SteeredSites
    /// The layer whose difference between the strongest strengths is largest on the first half.
    public let layer: Int
    /// By strength, ascending and with 0: matching on the second half.
    public let points: [(multiplier: Float, matching: Figure)]
    /// The strengths that are compared: the largest whose negative was measured too, and that.
    public let ends: (low: Float, high: Float)
    /// Matching at the high end minus matching at the low one, on the second half.
    public let contrast: Figure
    /// The same by item of the second half, for comparisons of sites on the same items.
    public let contrasts: [Double]
    /// Whether the points' means never fall.
    public let isMonotone: Bool
    /// The range metric of arXiv 2404.05971: the largest effect over layers and positive strengths
    /// minus the smallest over layers and negative ones, on all items.
    public let publishedRange: Double
    /// The same two cells chosen on the first half, on the second.
    public let heldOutRange: Figure
  }

  /// The unsteered probabilities.
  public let baseline: (matching: Figure, nonsense: Figure)
  /// Every cell.
  public let rows: [Row]
  /// The best layers by sites and strength.
  public let best: [Best]
  /// The chosen layers by sites.
  public let curves: [Curve]
  /// The items that layers are chosen on, and those that are reported.
  public let halves: (choosing: [Int], reporting: [Int])

  /// Computes the figures of a sweep.
  package init(_ result: SweepResult, seed: UInt64 = 0, resamples: Int = 2000) {
    let figures = SweepFigures(result, seed: seed, resamples: resamples)
    let all = Bootstrap(count: result.itemCount, resamples: resamples, seed: seed)
    let plain = result.baseline.compactMap { $0 }
    baseline = (Figure(plain.map(\.matching), all), Figure(plain.map(\.nonsense), all))
    halves = (figures.choosing, figures.reporting)
    var rows: [Row] = []
    var best: [Best] = []
    for sites in result.sites {
      for layer in result.layers {
        for multiplier in result.multipliers {
          guard let cell = result.cell(layer: layer, sites: sites, multiplier: multiplier) else {
            continue
          }
          rows.append(
            Row(
              layer: layer, multiplier: multiplier, sites: sites,
              matching: Figure(cell.map(\.matching), all),
              nonsense: Figure(cell.map(\.nonsense), all),
              effect: Figure(zip(cell, plain).map { $0.matching - $1.matching }, all),
              nonsenseEffect: Figure(zip(cell, plain).map { $0.nonsense - $1.nonsense }, all),
              divergence: cell.reduce(0) { $0 + $1.divergence } / Double(max(cell.count, 1))))
        }
      }
      best += result.multipliers.compactMap { figures.best(sites, $0) }
    }
    self.rows = rows
    self.best = best
    curves = result.sites.compactMap { figures.curve($0) }
  }
}

/// The layers that are chosen on one half of the items, and their results on the other half.
struct SweepFigures {
  private let result: SweepResult
  private let bootstrap: Bootstrap
  let choosing: [Int]
  let reporting: [Int]
  private let seed: UInt64

  init(_ result: SweepResult, seed: UInt64, resamples: Int) {
    self.result = result
    self.seed = seed
    let halves = Halves(of: result.itemCount, seed: seed)
    (choosing, reporting) = (halves.choosing.sorted(), halves.reporting.sorted())
    bootstrap = Bootstrap(count: reporting.count, resamples: resamples, seed: seed)
  }

  /// The effects of a cell, by item.
  private func effects(_ layer: Int, _ sites: SteeredSites, _ multiplier: Float) -> [Double]? {
    let plain = result.cell(layer: layer, sites: sites, multiplier: 0)
    guard let plain, let cell = result.cell(layer: layer, sites: sites, multiplier: multiplier)
    else { return nil }
    return zip(cell, plain).map { $0.matching - $1.matching }
  }

  private func mean(_ effects: [Double], of items: [Int]) -> Double {
    items.reduce(0) { $0 + effects[$1] } / Double(max(items.count, 1))
  }

  /// The layer with the largest value of a score; the first of equals.
  private func layer(_ score: (_ layer: Int) -> Double?) -> Int? {
    var best: (layer: Int, score: Double)?
    for layer in result.layers {
      guard let score = score(layer), score > best?.score ?? -.infinity else { continue }
      best = (layer, score)
    }
    return best?.layer
  }

  func best(_ sites: SteeredSites, _ multiplier: Float) -> SweepSummary.Best? {
    let sign: Double = multiplier < 0 ? -1 : 1
    func chosen(on items: [Int]) -> Int? {
      layer { layer in
        effects(layer, sites, multiplier).map { sign * mean($0, of: items) }
      }
    }
    let everything = Array(0..<result.itemCount)
    guard let layer = chosen(on: choosing), let onAll = chosen(on: everything),
      let own = effects(layer, sites, multiplier), let all = effects(onAll, sites, multiplier)
    else { return nil }
    let reported = reporting.map { own[$0] }
    return SweepSummary.Best(
      sites: sites, multiplier: multiplier, layer: layer, effect: Figure(reported, bootstrap),
      labelProbability: Bootstrap.labelPermutation(reported, seed: seed), layerOnAll: onAll,
      effectOnAll: mean(all, of: everything))
  }

  /// The strengths to compare: the largest with its negative, else the extremes.
  private var ends: (low: Float, high: Float) {
    let multipliers = result.multipliers
    if let high = multipliers.filter({ $0 > 0 && multipliers.contains(-$0) }).max() {
      return (-high, high)
    }
    return (min(multipliers.min() ?? 0, 0), max(multipliers.max() ?? 0, 0))
  }

  func curve(_ sites: SteeredSites) -> SweepSummary.Curve? {
    let ends = ends
    func difference(_ layer: Int) -> [Double]? {
      guard let high = effects(layer, sites, ends.high), let low = effects(layer, sites, ends.low)
      else { return nil }
      return zip(high, low).map { $0 - $1 }
    }
    let chosen = layer { layer in difference(layer).map { mean($0, of: choosing) } }
    guard let chosen, let own = difference(chosen) else { return nil }
    var points: [(multiplier: Float, matching: Figure)] = []
    for multiplier in Set(result.multipliers + [0]).sorted() {
      guard let cell = result.cell(layer: chosen, sites: sites, multiplier: multiplier) else {
        continue
      }
      points.append((multiplier, Figure(reporting.map { cell[$0].matching }, bootstrap)))
    }
    let everything = Array(0..<result.itemCount)
    let ranges = (range(sites, choosing: everything), range(sites, choosing: choosing))
    return SweepSummary.Curve(
      sites: sites, layer: chosen, points: points, ends: ends,
      contrast: Figure(reporting.map { own[$0] }, bootstrap),
      contrasts: reporting.map { own[$0] },
      isMonotone: zip(points, points.dropFirst()).allSatisfy {
        $0.matching.value <= $1.matching.value
      },
      publishedRange: mean(ranges.0, of: everything),
      heldOutRange: Figure(reporting.map { ranges.1[$0] }, bootstrap))
  }

  /// The largest effect over layers and positive strengths minus the smallest over layers and
  /// negative ones, item by item; both cells are chosen on some items.
  private func range(_ sites: SteeredSites, choosing items: [Int]) -> [Double] {
    var (high, low): ((Double, [Double])?, (Double, [Double])?) = (nil, nil)
    for layer in result.layers {
      for multiplier in result.multipliers {
        guard let effects = effects(layer, sites, multiplier) else { continue }
        let mean = mean(effects, of: items)
        if multiplier > 0, mean > high?.0 ?? -.infinity { high = (mean, effects) }
        if multiplier < 0, mean < low?.0 ?? .infinity { low = (mean, effects) }
      }
    }
    let nothing = [Double](repeating: 0, count: result.itemCount)
    return zip(high?.1 ?? nothing, low?.1 ?? nothing).map { $0 - $1 }
  }
}
