/// Figures from the areas of probes at every block (elk-generalization).
package enum Transfer {
  /// The first block that is informative: whose area above chance is at least 95 percent of the best
  /// block's, on data like that of the training. Where no block is better than chance, the middle one.
  ///
  /// - Parameter areas: by block, on the distribution that the probes were trained on.
  package static func earliestInformativeLayer(_ areas: [Double]) -> Int? {
    guard let best = areas.max() else { return nil }
    guard best > 0.5 else { return areas.count / 2 }
    return areas.firstIndex { $0 - 0.5 >= 0.95 * (best - 0.5) }
  }

  /// The performance gap recovered, (area - floor) / (ceiling - floor): 0 for a probe that is as
  /// good as one trained in the untrustworthy context, 1 for a probe that is as good as one trained
  /// in trustworthy contexts; nil if the gap is empty.
  package static func gapRecovered(area: Double, floor: Double, ceiling: Double) -> Double? {
    ceiling > floor ? (area - floor) / (ceiling - floor) : nil
  }
}
