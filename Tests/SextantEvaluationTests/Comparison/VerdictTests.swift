import SextantEvaluation
import Testing

/// When a claim holds, when it does not, and when the data cannot tell.
@Suite struct VerdictTests {
  @Test(
    arguments: [
      (0.1, 0.3, 0.0, Verdict.holds), (-0.3, -0.1, 0, .fails), (-0.1, 0.3, 0, .unclear),
      (0.1, 0.3, 0.2, .unclear), (0.1, 0.3, 0.4, .fails), (0.1, 0.3, 0.05, .holds),
      // An end that touches the limit is on neither side.
      (0, 0.3, 0, .unclear), (-0.3, 0, 0, .unclear), (0, 0, 0, .unclear),
      // Nothing is known without an interval or without a limit.
      (.nan, .nan, 0, .unclear), (0.3, 0.1, 0, .unclear), (0.1, 0.3, .nan, .unclear),
      (0.1, .infinity, 0, .holds), (-.infinity, .infinity, 0, .unclear),
    ] as [(Double, Double, Double, Verdict)])
  func theWholeIntervalIsOnOneSideOfTheLimit(
    _ low: Double, _ high: Double, _ limit: Double, _ verdict: Verdict
  ) {
    #expect(Verdict(of: Interval(low: low, high: high), above: limit) == verdict)
  }

  @Test func aClaimOfSeveralPartsFailsWithOneOfThem() {
    #expect(Verdict(ofAll: [.holds, .holds]) == .holds)
    #expect(Verdict(ofAll: [.holds, .unclear]) == .unclear)
    #expect(Verdict(ofAll: [.unclear, .fails, .holds]) == .fails)
    #expect(Verdict(ofAll: []) == .unclear)
  }

  @Test func aDifferenceIsAsUncertainAsBothFigures() {
    let difference = Interval(Interval(low: 0.5, high: 0.6), minus: Interval(low: 0.25, high: 0.5))
    #expect(difference == Interval(low: 0, high: 0.35))
    #expect(!Interval(Interval(low: 0, high: 1), minus: Interval(low: .nan, high: 1)).isKnown)
  }

  @Test func aResultShowsItsFigureOrItsDepths() {
    let figure = { (low: Double, high: Double) in
      Figure((low + high) / 2, Interval(low: low, high: high))
    }
    let one = Claim.Result([figure(0.125, 0.375)])
    #expect(one.verdict == .holds && one.text == "holds: 0.250 [0.125, 0.375]")
    let both = Claim.Result([figure(0.1, 0.3), figure(-0.1, 0.3)])
    #expect(both.verdict == .unclear && both.text == "cannot be told: at 1 of 2 depths")
    let reversed = Claim.Result([figure(-0.375, -0.125)])
    #expect(reversed.text == "does not hold: -0.250 [-0.375, -0.125]")
  }

  @Test func verdictsBecomeASentence() {
    #expect(
      Claim.sentence([(1, .holds), (2, .fails), (3, .holds), (4, .unclear), (5, .holds)])
        == "claims 1, 3 and 5 hold here; claim 2 does not hold; claim 4 cannot be told")
    #expect(Claim.sentence([(8, .fails), (9, .fails)]) == "claims 8 and 9 do not hold")
    #expect(Claim.sentence([]) == "")
  }
}
