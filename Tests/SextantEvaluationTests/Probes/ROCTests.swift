import SextantEvaluation
import SextantTensor
import SextantTestSupport
import Testing

@Suite struct ROCTests {
  /// The area by its definition.
  private func area(_ scores: [Double], _ labels: [Bool]) -> Double {
    var (right, all) = (0.0, 0.0)
    for (a, first) in zip(scores, labels) where first {
      for (b, second) in zip(scores, labels) where !second {
        all += 1
        right += a > b ? 1 : a == b ? 0.5 : 0
      }
    }
    return right / all
  }

  @Test(arguments: 0..<20 as Range<UInt64>)
  func theAreaIsTheShareOfPairsInOrder(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    // Few different scores: many ties.
    let scores = random.floats(60).map { Double(($0 * 3).rounded()) }
    var labels = random.floats(60).map { $0 > 0 }
    (labels[0], labels[1]) = (true, false)
    let roc = try #require(ROC(scores, labels))
    #expect(abs(roc.area - area(scores, labels)) < 1e-12)
    let turned = try #require(ROC(scores.map { -$0 }, labels))
    #expect(abs(turned.area + roc.area - 1) < 1e-12)
    #expect(abs(turned.variance - roc.variance) < 1e-12)
  }

  @Test func theVarianceIsThatOfDeLong() throws {
    // Computed by hand: the shares of the other class below each positive are 3/3 and 1/3, and
    // above each negative 1, 1/2 and 1/2.
    let roc = try #require(
      ROC([4, 1.5, 1, 2, 3], [true, true, false, false, false]))
    #expect(abs(roc.area - 2.0 / 3) < 1e-12)
    let (above, below) = (2.0 / 9, 1.0 / 12)
    #expect(abs(roc.variance - (above / 2 + below / 3)) < 1e-12)
    #expect(roc.interval.low >= 0 && roc.interval.high <= 1 && roc.interval.contains(roc.area))
  }

  @Test func perfectScoresHaveAnAreaOfOneAndEqualOnesAHalf() throws {
    let labels = [false, false, true, true]
    #expect(try #require(ROC([1, 2, 3, 4], labels)).area == 1)
    #expect(try #require(ROC([5, 5, 5, 5], labels)).area == 0.5)
    #expect(ROC([1, 2], [true, true]) == nil)
    #expect(ROC([.nan, 2], [true, false]) == nil)
  }

  @Test func scoresThatAreApartHaveAnIntervalWithWidth() throws {
    // The limits of Newcombe's method 5, found by trying two million areas.
    for (area, m, n, low, high) in [
      (1, 2, 2, 0.385636, 1), (1, 30, 30, 0.933024, 1), (0, 5, 40, 0, 0.215003),
      (0.5, 2, 2, 0.112243, 0.887757),
    ] as [(Double, Int, Int, Double, Double)] {
      let labels = (0..<m + n).map { $0 < m }
      let scores = labels.map { $0 ? area : 0.5 }
      let roc = try #require(ROC(scores, labels))
      #expect(roc.area == area && roc.variance == 0)
      #expect(abs(roc.interval.low - low) < 1e-6 && abs(roc.interval.high - high) < 1e-6)
    }
  }

  @Test func fewerThanTwoScoresOfAClassHaveNoInterval() throws {
    for positives in [1, 9] {
      let labels = (0..<10).map { $0 < positives }
      let roc = try #require(ROC((0..<10).map { Double(-$0) }, labels))
      #expect(roc.area == 1 && !roc.interval.isKnown)
    }
  }

  @Test func intervalsCoverTheTruthAsOftenAsTheySay() throws {
    // Normal scores, one standard deviation apart: the true area is Φ(1/√2).
    let truth = 0.7602499
    var (random, covered) = (SplitMix64(seed: 3), 0)
    for _ in 0..<400 {
      let labels = (0..<80).map { $0 < 40 }
      let scores = zip(labels, random.normals(80)).map { ($0 ? 1 : 0) + $1 }
      let interval = try #require(ROC(scores, labels)).interval
      if interval.contains(truth) { covered += 1 }
    }
    #expect((0.91...0.985).contains(Double(covered) / 400))
  }

  @Test func randomDirectionsFindNothingInNoise() {
    var random = SplitMix64(seed: 1)
    let rows = Tensor(random.floats(400 * 6), shape: [400, 6])
    let areas = RandomBaseline.areas(rows, (0..<400).map { $0 % 2 == 0 }, count: 50, seed: 2)
    #expect(areas.count == 50 && areas == areas.sorted())
    #expect(areas.allSatisfy { (0.5...0.62).contains($0) })
    #expect(areas == RandomBaseline.areas(rows, (0..<400).map { $0 % 2 == 0 }, count: 50, seed: 2))
  }
}

extension SplitMix64 {
  /// About normal: sums of twelve uniform numbers.
  fileprivate mutating func normals(_ count: Int) -> [Double] {
    (0..<count).map { _ in
      (0..<12).reduce(-6.0) { sum, _ in sum + Double(next() >> 11) * 0x1p-53 }
    }
  }
}
