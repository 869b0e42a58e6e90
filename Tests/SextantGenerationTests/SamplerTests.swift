import Glibc
import SextantBytes
import SextantGeneration
import SextantTensor
import SextantTestSupport
import Testing

@Suite struct SamplerTests {
  /// Probabilities 1/15, 2/15, 4/15 and 8/15.
  static let doubling: [Float] = [0, log(2), log(4), log(8)]

  private func draws(
    _ count: Int, of logits: [Float], temperature: Float = 1, topK: Int = 0, topP: Float = 1,
    seed: UInt64 = 1
  ) throws -> [Int] {
    var sampler = Sampler(
      try SamplingOptions(temperature: temperature, topK: topK, topP: topP, seed: seed))
    return try (0..<count).map { _ in try sampler.choose(logits) }
  }

  @Test(
    arguments: [
      ([1, 3, 2], 1), ([1, 3, 3, 2], 1), ([0, 0, 0], 0), ([-5, -.infinity, -5], 0), ([7], 0),
      ([-.infinity, -3e38], 1), ([3e38, -3e38, 3e38], 0),
    ] as [([Float], Int)])
  func temperatureZeroChoosesTheFirstOfTheLargest(logits: [Float], expected: Int) throws {
    #expect(try draws(3, of: logits, temperature: 0) == [expected, expected, expected])
    #expect(
      try draws(3, of: logits, temperature: 0, topK: 2, topP: 0.5).allSatisfy { $0 == expected })
  }

  /// Exactly the tokens that may be drawn are drawn.
  @Test(
    arguments: [
      (0, 1, [0, 1, 2, 3]), (1, 1, [3]), (2, 1, [2, 3]), (3, 1, [1, 2, 3]), (4, 1, [0, 1, 2, 3]),
      (99, 1, [0, 1, 2, 3]), (0, 0.0001, [3]), (0, 0.5, [3]), (0, 0.6, [2, 3]), (0, 0.79, [2, 3]),
      (0, 0.81, [1, 2, 3]), (0, 0.95, [0, 1, 2, 3]),
      // Top-p counts the mass that top-k left: 8 of 12.
      (2, 0.6, [3]), (2, 0.7, [2, 3]), (3, 0.9, [1, 2, 3]), (1, 0.1, [3]),
    ] as [(Int, Float, [Int])])
  func topKAndTopPLeaveTheseTokens(topK: Int, topP: Float, expected: [Int]) throws {
    let drawn = Set(try draws(2000, of: Self.doubling, topK: topK, topP: topP))
    #expect(drawn.sorted() == expected)
    // The same numbers in another order, far from zero.
    let shifted = Self.doubling.reversed().map { $0 - 80 }
    let other = Set(try draws(2000, of: shifted, topK: topK, topP: topP))
    #expect(other.sorted() == expected.map { 3 - $0 }.sorted())
  }

  /// Probabilities 1/15, 2/15, 4/15 and 8/15: the floor is a share of 8/15.
  @Test(
    arguments: [
      (0, 1, 0, [0, 1, 2, 3]), (0, 1, 0.1, [0, 1, 2, 3]), (0, 1, 0.2, [1, 2, 3]),
      (0, 1, 0.4, [2, 3]), (0, 1, 0.6, [3]), (0, 1, 1, [3]),
      // Each of the three may be the narrowest.
      (3, 1, 0.4, [2, 3]), (1, 1, 0.2, [3]), (0, 0.6, 0.2, [2, 3]), (0, 0.95, 0.6, [3]),
    ] as [(Int, Float, Float, [Int])])
  func minPLeavesTokensNearTheMostProbable(
    topK: Int, topP: Float, minP: Float, expected: [Int]
  ) throws {
    var sampler = Sampler(
      try SamplingOptions(temperature: 1, topK: topK, topP: topP, minP: minP, seed: 3))
    let drawn = Set(try (0..<2000).map { _ in try sampler.choose(Self.doubling) })
    #expect(drawn.sorted() == expected)
  }

  /// The logits after the penalty by hand: positive ones divided, negative ones multiplied, once for
  /// each token however often it occurs.
  @Test func theRepetitionPenaltyConcernsPromptAndChosenTokens() throws {
    let options = try SamplingOptions(temperature: 0, repetitionPenalty: 2)
    var sampler = Sampler(options, continuing: [0, 0, 9])
    // 0 is in the prompt: 4 becomes 2. Then 1 and 2 are chosen, and 3 becomes 1.5, 2.5 becomes 1.25.
    let logits: [Float] = [4, 3, 2.5, -1]
    #expect(try (0..<4).map { _ in try sampler.choose(logits) } == [1, 2, 0, 0])
    var negative = Sampler(options, continuing: [0])
    #expect(try negative.choose([-1, -1.5, -3]) == 1)
    var free = Sampler(try SamplingOptions(temperature: 0), continuing: [0])
    #expect(try free.choose(logits) == 0)
  }

  @Test(
    arguments: [
      (-0.1, 1), (1.1, 1), (.nan, 1), (0, 0), (0, -1), (0, .infinity), (0, .nan),
    ] as [(Float, Float)])
  func aMinPOrPenaltyOutOfRangeIsRefused(minP: Float, penalty: Float) {
    expectRefusal(.usageOption) {
      try SamplingOptions(minP: minP, repetitionPenalty: penalty)
    }
  }

  @Test func tiesAtTheCutGoToTheLowerIds() throws {
    let equal = [Float](repeating: 2, count: 6)
    #expect(Set(try draws(500, of: equal, topK: 2)) == [0, 1])
    #expect(Set(try draws(500, of: equal, topP: 0.49)) == [0, 1, 2])
    #expect(Set(try draws(500, of: [0, 5, 0, 0, 5], topK: 3)).isSubset(of: [0, 1, 4]))
  }

  @Test func aTokenWithoutAChanceIsNeverChosen() throws {
    let logits: [Float] = [-.infinity, 0, -1e30, -.infinity]
    for (topK, topP) in [(0, 1), (3, 1), (0, 0.999)] as [(Int, Float)] {
      #expect(Set(try draws(500, of: logits, topK: topK, topP: topP)) == [1])
    }
  }

  @Test func theSeedDecides() throws {
    let first = try draws(200, of: Self.doubling, seed: 5)
    #expect(try draws(200, of: Self.doubling, seed: 5) == first)
    #expect(try draws(200, of: Self.doubling, seed: 6) != first)
  }

  /// Pearson's statistic of 20,000 draws stays below the value that chance exceeds once in a
  /// million times (7 degrees of freedom).
  @Test(arguments: [0.25, 0.8, 1, 3] as [Float])
  func frequenciesFollowTheSoftmax(temperature: Float) throws {
    let logits: [Float] = [0.5, -1, 2, 0, 1.5, -0.25, 1, 0.75]
    let weights = logits.map { exp(Double($0) / Double(temperature)) }
    let total = weights.reduce(0, +)
    let count = 20_000
    var observed = [Double](repeating: 0, count: logits.count)
    for token in try draws(count, of: logits, temperature: temperature, seed: 11) {
      observed[token] += 1
    }
    var statistic = 0.0
    for (found, weight) in zip(observed, weights) {
      let expected = Double(count) * weight / total
      statistic += (found - expected) * (found - expected) / expected
    }
    #expect(statistic < 40.6, "\(observed)")
  }

  @Test(arguments: [0, 1] as [Float])
  func logitsThatAreNotFiniteAreRefused(temperature: Float) throws {
    for place in 0..<4 {
      var logits = Self.doubling
      logits[place] = .nan
      expectRefusal(.modelNonfinite) { try draws(1, of: logits, temperature: temperature) }
      logits[place] = .infinity
      expectRefusal(.modelNonfinite) { try draws(1, of: logits, temperature: temperature) }
    }
    for logits in [[], [-.infinity], [.nan, .nan], [-.infinity, -.infinity]] as [[Float]] {
      expectRefusal(.modelNonfinite) { try draws(1, of: logits, temperature: temperature) }
    }
  }

  @Test func optionsThatMeanNothingAreRefused() {
    for temperature in [-1, .nan, .infinity] as [Float] {
      let refusal = expectRefusal(.usageOption) { try SamplingOptions(temperature: temperature) }
      #expect(refusal?.place == .parameter("temperature"))
    }
    expectRefusal(.usageOption) { try SamplingOptions(topK: -1) }
    for topP in [0, -0.5, 1.01, .nan] as [Float] {
      let refusal = expectRefusal(.usageOption) { try SamplingOptions(topP: topP) }
      #expect(refusal?.place == .parameter("topP"))
    }
  }
}

@Test func splitMixGivesThePublishedNumbers() {
  var generator = SeededRandom(seed: 1_234_567)
  let numbers = (0..<5).map { _ in generator.next() }
  #expect(
    numbers == [
      6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
      4_593_380_528_125_082_431, 16_408_922_859_458_223_821,
    ])
}
