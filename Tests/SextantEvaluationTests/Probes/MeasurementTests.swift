import SextantEvaluation
import Testing

@Suite struct MeasurementTests {
  @Test func accuracyAgreementAndWhatIsUnsaidAreShares() throws {
    let measured = ProbeMeasurement(
      [2, -1, 3, -2], [true, false, false, true], outputs: [-1, 1, -1, -1])
    #expect(measured.accuracy == 0.5)
    // The signs of the scores are + - + -, those of the outputs - + - -.
    #expect(measured.agreement == 0.25)
    // The probe is right and the output wrong in the first two.
    #expect(measured.unsaid == 0.5)
    #expect(ProbeMeasurement([1], [true]).agreement == nil)
    #expect(ProbeMeasurement([1], [true]).roc == nil)
  }

  @Test func scoresThatAreNoNumbersAreMeasuredAsSuch() {
    let measured = ProbeMeasurement([.nan, .infinity, -.infinity], [true, true, false])
    #expect(measured.calibrationError.isNaN && measured.roc == nil)
    #expect(ProbeMeasurement([], []).calibrationError == 0)
  }

  @Test func aThresholdMovesTheAccuracyOnly() {
    let (scores, labels) = ([1.0, 2, 3], [false, false, true])
    #expect(ProbeMeasurement(scores, labels).accuracy == 1.0 / 3)
    #expect(ProbeMeasurement(scores, labels, threshold: 2.5).accuracy == 1)
  }

  @Test func calibrationIsTheMeanGapOfTheBins() {
    // Log-odds of 0 are a probability of a half. Three of the four examples are true.
    let measured = ProbeMeasurement([0, 0, 0, 0], [true, true, true, false])
    #expect(abs(measured.calibrationError - 0.25) < 1e-12)
    // Certain, and right.
    #expect(ProbeMeasurement([40, -40], [true, false]).calibrationError < 1e-12)
    #expect(abs(ProbeMeasurement([40, -40], [false, true]).calibrationError - 1) < 1e-12)
  }

  @Test(
    arguments: [
      ([0.5, 0.6, 0.74, 0.75, 0.7], 2), ([0.9, 0.91], 0), ([0.4, 0.3, 0.45], 1), ([0.5, 0.99], 1),
      ([0.737, 0.75], 1), ([0.738, 0.75], 0),
    ] as [([Double], Int)])
  func theEarliestInformativeLayerIsTheFirstNearTheBest(areas: [Double], layer: Int) {
    #expect(Transfer.earliestInformativeLayer(areas) == layer)
  }

  @Test func theGapIsRecoveredBetweenFloorAndCeiling() throws {
    #expect(Transfer.earliestInformativeLayer([]) == nil)
    let half = try #require(Transfer.gapRecovered(area: 0.6, floor: 0.3, ceiling: 0.9))
    #expect(abs(half - 0.5) < 1e-12)
    #expect(Transfer.gapRecovered(area: 0.6, floor: 0.9, ceiling: 0.9) == nil)
  }

  @Test func whatIsUnlikeTheNormalExamplesIsFar() throws {
    // Correlated: [1, 1] is common, and [1, -1] does not occur.
    let normal = (0..<100).map { index -> [Double] in
      let x = Double(index) / 50 - 1
      return [x, x + (index % 2 == 0 ? 0.05 : -0.05)]
    }
    let detector = try #require(AnomalyDetector(normal: normal))
    #expect(detector.distance([0.8, 0.8]) < 10 && detector.distance([0.5, -0.5]) > 100)
    let plain = try #require(AnomalyDetector(normal: normal, ignoresCorrelation: true))
    #expect(plain.distance([0.5, -0.5]) < 10)
    #expect(AnomalyDetector(normal: [[1]]) == nil)
    #expect(AnomalyDetector(normal: [[.nan], [1]]) == nil)
  }
}
