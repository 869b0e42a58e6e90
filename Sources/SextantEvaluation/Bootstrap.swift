import SextantBytes
import SextantGeneration
import SextantTensor

/// The ends of an interval that covers a figure with some probability.
public struct Interval: Sendable, Equatable {
  /// The lower end.
  public let low: Double
  /// The upper end.
  public let high: Double

  /// An interval between two ends.
  public init(low: Double, high: Double) {
    self.low = low
    self.high = high
  }

  /// The interval of a figure whose variation is unknown: both ends are NaN.
  package static let unknown = Interval(low: .nan, high: .nan)

  /// Whether the ends are known.
  public var isKnown: Bool { range != nil }

  /// Between symmetric quantiles, interpolated; unknown for fewer than two values, or if one is
  /// NaN.
  package init(holding share: Double = 0.95, of values: [Double]) {
    let sorted = values.sorted()
    guard sorted.count > 1, !values.contains(where: \.isNaN) else {
      self = .unknown
      return
    }
    let last = sorted.count - 1
    let quantile = { (share: Double) -> Double in
      let place = share * Double(last)
      let below = Int(clamping: place)
      let above = min(below + 1, last)
      return sorted[below] + (place - Double(below)) * (sorted[above] - sorted[below])
    }
    (low, high) = (quantile((1 - share) / 2), quantile((1 + share) / 2))
  }

  /// The ends as a range; nil if one is not a number, or if they are the wrong way around.
  public var range: ClosedRange<Double>? { low <= high ? low...high : nil }

  /// Both ends times a number that is not negative.
  package func scaled(by factor: Double) -> Interval {
    Interval(low: low * factor, high: high * factor)
  }

  /// Whether a value is between the ends, both included.
  public func contains(_ value: Double) -> Bool { low <= value && value <= high }
}

/// How far a figure would move on other samples of the same kind: the percentile bootstrap (Efron
/// 1979).
///
/// The resamples are drawn once, from a seed. Figures of the same items share them: the interval of a
/// difference of two paired measurements is that of the items' differences.
package struct Bootstrap: Sendable {
  /// Items that are resampled.
  package let count: Int
  /// [resample][draw], indices of items.
  private let draws: [[Int32]]
  /// The probability that intervals cover.
  package let level: Double

  /// Draws `resamples` samples of `count` items, with replacement.
  package init(count: Int, resamples: Int = 2000, level: Double = 0.95, seed: UInt64 = 0) {
    precondition(count >= 0 && resamples > 0 && level > 0 && level < 1)
    var random = SeededRandom(seed: seed)
    self.count = count
    self.level = level
    draws = (0..<resamples).map { _ in
      (0..<count).map { _ in Int32(random.next() % UInt64(max(count, 1))) }
    }
  }

  /// The interval of the mean of one number per item; unknown for fewer than two items, which show
  /// no variation.
  package func interval(ofMean values: [Double]) -> Interval {
    precondition(values.count == count)
    guard count > 1 else { return .unknown }
    return interval(
      of: draws.map { draw in
        draw.reduce(0) { $0 + values[Int($1)] } / Double(max(count, 1))
      })
  }

  /// The interval of the ratio of two sums over the items; unknown for fewer than two items.
  package func interval(ofRatio parts: [Double], to wholes: [Double]) -> Interval {
    precondition(parts.count == count && wholes.count == count)
    guard count > 1 else { return .unknown }
    return interval(
      of: draws.map { draw in
        var (part, whole) = (0.0, 0.0)
        for item in draw {
          part += parts[Int(item)]
          whole += wholes[Int(item)]
        }
        return part / whole
      })
  }

  /// The interval of any figure of a sample, given as indices of items; resamples for which there is
  /// none are left out.
  package func interval(of figure: (_ items: [Int]) -> Double?) -> Interval {
    guard count > 1 else { return .unknown }
    return interval(of: draws.compactMap { figure($0.map(Int.init)) })
  }

  private func interval(of figures: [Double]) -> Interval { Interval(holding: level, of: figures) }

  /// The share of random signs of the items with which their mean is at least as far from zero: the
  /// probability of such an effect if the two labels of each item had no meaning.
  ///
  /// - Parameter rounds: random assignments of signs.
  package static func labelPermutation(
    _ effects: [Double], rounds: Int = 10_000, seed: UInt64 = 0
  ) -> Double {
    var random = SeededRandom(seed: seed)
    let observed = abs(effects.reduce(0, +))
    var extreme = 0
    for _ in 0..<rounds {
      var (sum, bits, left) = (0.0, UInt64(0), 0)
      for effect in effects {
        if left == 0 { (bits, left) = (random.next(), 64) }
        sum += bits & 1 == 0 ? effect : -effect
        bits >>= 1
        left -= 1
      }
      if abs(sum) >= observed * (1 - 1e-12) { extreme += 1 }
    }
    return Double(extreme + 1) / Double(rounds + 1)
  }
}
