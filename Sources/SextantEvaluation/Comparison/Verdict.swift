/// Whether measurements confirm a claim.
package enum Verdict: String, Sendable {
  /// They do.
  case holds
  /// They show the contrary.
  case fails = "does not hold"
  /// They are too uncertain for an answer.
  case unclear = "cannot be told"

  /// Of the claim that a figure is above a limit: the whole of its interval must be above, or below.
  package init(of interval: Interval, above limit: Double = 0) {
    if interval.isKnown, interval.low > limit {
      self = .holds
    } else if interval.isKnown, interval.high < limit {
      self = .fails
    } else {
      self = .unclear
    }
  }

  /// Of a claim that has several parts: it fails with one of them.
  package init(ofAll parts: [Verdict]) {
    if parts.contains(.fails) {
      self = .fails
    } else if !parts.isEmpty, parts.allSatisfy({ $0 == .holds }) {
      self = .holds
    } else {
      self = .unclear
    }
  }
}

extension Interval {
  /// An interval of the difference of two figures, from their own intervals. It is wider than one
  /// that knows how the figures vary together.
  package init(_ first: Interval, minus second: Interval) {
    self.init(low: first.low - second.high, high: first.high - second.low)
  }
}
