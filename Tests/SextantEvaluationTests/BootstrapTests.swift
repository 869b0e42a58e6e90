import Glibc
import SextantEvaluation
import SextantTestSupport
import Testing

/// The exponential function, for suites that need nothing else from the C library.
func exponential(_ x: Double) -> Double { exp(x) }

@Suite struct BootstrapTests {
  @Test func theIntervalOfAMeanIsThatOfTheNormalApproximation() {
    var random = SplitMix64(seed: 1)
    let values = random.floats(400).map(Double.init)
    let mean = values.reduce(0, +) / 400
    let deviation = (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 399).squareRoot()
    let interval = Bootstrap(count: 400, resamples: 4000, seed: 2).interval(ofMean: values)
    let half = 1.96 * deviation / 20
    #expect(abs(interval.low - (mean - half)) < 0.1 * half)
    #expect(abs(interval.high - (mean + half)) < 0.1 * half)
    #expect(interval.contains(mean) && !interval.contains(mean + 2 * half))
  }

  @Test func theSameSeedDrawsTheSameSamples() {
    let values = (0..<30).map { Double($0 * $0 % 17) }
    let (a, b) = (Bootstrap(count: 30, seed: 5), Bootstrap(count: 30, seed: 5))
    #expect(a.interval(ofMean: values) == b.interval(ofMean: values))
    #expect(
      Bootstrap(count: 30, seed: 6).interval(ofMean: values) != a.interval(ofMean: values))
    // A function of indices is resampled in the same way.
    let byIndex = a.interval { items in items.reduce(0) { $0 + values[$1] } / 30 }
    #expect(byIndex == a.interval(ofMean: values))
  }

  @Test func constantValuesHaveNoWidth() {
    #expect(Bootstrap(count: 5).interval(ofMean: [2, 2, 2, 2, 2]) == Interval(low: 2, high: 2))
  }

  @Test func fewerThanTwoItemsHaveNoInterval() {
    for interval in [
      Bootstrap(count: 0).interval(ofMean: []), Bootstrap(count: 1).interval(ofMean: [7]),
      Bootstrap(count: 1).interval { _ in 7 }, Bootstrap(count: 3).interval { _ in nil },
      Bootstrap(count: 2).interval(ofMean: [1, .nan]), Interval(of: []), Interval(of: [7]),
      Interval(low: 2, high: 1), Interval(low: 0, high: 1).scaled(by: .nan),
    ] {
      #expect(!interval.isKnown && interval.range == nil && !interval.contains(7))
    }
    #expect(SampleMean([3]).standardError.isNaN)
  }

  @Test func exchangedLabelsTellEffectsFromNoise() {
    let effects = [0.4, 0.5, 0.3, 0.6, 0.5, 0.4, 0.2, 0.5, 0.6, 0.4]
    // Two of 2^10 assignments are as extreme.
    #expect(abs(Bootstrap.labelPermutation(effects, rounds: 100_000) - 2.0 / 1024) < 6e-4)
    let noise = [0.4, -0.5, 0.3, -0.3, 0.5, -0.4, 0.2, -0.1, 0.6, -0.6]
    #expect(Bootstrap.labelPermutation(noise) > 0.5)
    #expect(Bootstrap.labelPermutation([0, 0, 0]) == 1)
  }
}
