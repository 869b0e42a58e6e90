import SextantGeneration

/// The area under the receiver operating characteristic: how often an example with the label scores
/// higher than one without it, equal scores counting half.
public struct ROC: Sendable {
  /// The area.
  public let area: Double
  /// The variance of the area by DeLong, DeLong and Clarke-Pearson (1988); 0 if every score has the
  /// same share of the other class below it, for example for separated classes.
  public let variance: Double
  /// The interval that covers the area with a probability of 95 percent, in [0, 1]; unknown for fewer
  /// than two scores of a class.
  ///
  /// By DeLong's variance. The variance is 0 if the area is at an end of its range, and the area is
  /// still uncertain then: the interval is the one of `Self.score`.
  public let interval: Interval

  /// The area and its interval.
  package var figure: Figure { Figure(area, interval) }

  /// Measures scores against labels; nil unless both labels occur and every score is a number.
  public init?(_ scores: [Double], _ labels: [Bool]) {
    precondition(scores.count == labels.count)
    let positives = zip(scores, labels).filter(\.1).map(\.0)
    let negatives = zip(scores, labels).filter { !$0.1 }.map(\.0)
    guard !positives.isEmpty, !negatives.isEmpty, scores.allSatisfy({ !$0.isNaN }) else {
      return nil
    }
    // Mid-ranks among all and among one's own give each score's share of the other class below it
    // (Sun and Xu, 2014).
    let all = Self.midRanks(positives + negatives)
    let (own, other) = (Self.midRanks(positives), Self.midRanks(negatives))
    let (m, n) = (Double(positives.count), Double(negatives.count))
    let above = positives.indices.map { (all[$0] - own[$0]) / n }
    let below = negatives.indices.map { 1 - (all[positives.count + $0] - other[$0]) / m }
    area = above.reduce(0, +) / m
    variance = Self.variance(above) / m + Self.variance(below) / n
    if m < 2 || n < 2 {
      interval = .unknown
    } else if variance > 0 {
      let margin = Self.quantile * variance.squareRoot()
      interval = Interval(low: max(area - margin, 0), high: min(area + margin, 1))
    } else {
      interval = Self.score(area, m, n)
    }
  }

  /// The normal quantile of intervals of 95 percent.
  private static let quantile = 1.959963984540054

  /// The areas whose own variance leaves the measured one within the quantile (Newcombe, "Confidence
  /// intervals for an effect size measure based on the Mann-Whitney statistic. Part 2", Statistics in
  /// Medicine 25, 2006, method 5): as Wilson's interval of a share. The variance is that of Hanley and
  /// McNeil (1982) with the mean of the counts:
  ///
  ///     θ (1 - θ) (1 + N ((1 - θ) / (2 - θ) + θ / (1 + θ))) / (m n),   N = (m + n) / 2 - 1
  private static func score(_ area: Double, _ m: Double, _ n: Double) -> Interval {
    let mean = (m + n) / 2 - 1
    let isInside = { (theta: Double) -> Bool in
      let spread = 1 + mean * ((1 - theta) / (2 - theta) + theta / (1 + theta))
      let variance = theta * (1 - theta) * spread / (m * n)
      return abs(theta - area) <= quantile * variance.squareRoot()
    }
    // Between the area, which is inside, and an end of [0, 1].
    let edge = { (end: Double) -> Double in
      if isInside(end) { return end }
      var (inside, outside) = (area, end)
      for _ in 0..<60 {
        let middle = (inside + outside) / 2
        if isInside(middle) { inside = middle } else { outside = middle }
      }
      return inside
    }
    return Interval(low: edge(0), high: edge(1))
  }

  private static func variance(_ values: [Double]) -> Double {
    // Equal values have no spread, even if rounding changes their mean.
    guard let first = values.first, values.contains(where: { $0 != first }) else { return 0 }
    let mean = values.reduce(0, +) / Double(values.count)
    return values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count - 1)
  }

  /// Ranks from 1; equal values share the mean of theirs.
  private static func midRanks(_ values: [Double]) -> [Double] {
    let order = values.indices.sorted { values[$0] < values[$1] }
    var ranks = [Double](repeating: 0, count: values.count)
    var start = 0
    while start < order.count {
      var end = start
      while end < order.count, values[order[end]] == values[order[start]] { end += 1 }
      for place in start..<end { ranks[order[place]] = Double(start + end + 1) / 2 }
      start = end
    }
    return ranks
  }
}
