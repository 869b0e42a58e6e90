import SextantGeneration

/// The area under the receiver operating characteristic: how often an example with the label scores
/// higher than one without it, equal scores counting half.
public struct ROC: Sendable {
  /// The area.
  public let area: Double
  /// The variance of the area by DeLong, DeLong and Clarke-Pearson (1988).
  public let variance: Double

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
  }

  /// The interval that covers the area with a probability of 95 percent, in [0, 1].
  public var interval: Interval {
    let margin = 1.959963984540054 * variance.squareRoot()
    return Interval(low: max(area - margin, 0), high: min(area + margin, 1))
  }

  private static func variance(_ values: [Double]) -> Double {
    guard values.count > 1 else { return 0 }
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
