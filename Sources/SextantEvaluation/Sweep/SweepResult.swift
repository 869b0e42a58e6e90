import Glibc
import SextantGeneration

/// The model's predictions after one prompt.
///
/// The log-probability of a continuation is the sum of those of its tokens, each predicted from the
/// prompt and the tokens of the continuation before it.
package struct ChoiceOutcome: Sendable, Equatable {
  /// p(matching) / (p(matching) + p(other)).
  package var matching: Double
  /// 1 - (p(matching) + p(other)): the probability of all other continuations.
  package var nonsense: Double
  /// The divergence from the unsteered prediction of the first token after the prompt, in nats.
  package var divergence: Double

  /// The outcome of a prediction.
  ///
  /// - Parameters:
  ///   - prediction: of the first token after the prompt.
  ///   - later: of each continuation, the summed log-probabilities of the tokens after its first;
  ///     nil if every continuation is one token.
  init(
    _ prediction: LogProbabilities, later: [Double]?, _ item: ChoiceTest.Tokens,
    _ baseline: LogProbabilities
  ) {
    if let later {
      // Probabilities of long continuations can be too small for a number: logarithms are compared.
      let logs = zip(item.continuations, later).map { prediction.values[$0[0]] + $1 }
      let matching = Self.logSum(logs.prefix(item.matching.count))
      let other = Self.logSum(logs.dropFirst(item.matching.count))
      // Two impossible sides are equally likely.
      self.matching = matching.isFinite || other.isFinite ? 1 / (1 + exp(other - matching)) : 0.5
      nonsense = max(1 - (exp(matching) + exp(other)), 0)
    } else {
      let sum = { (tokens: [[Int]]) in tokens.reduce(0) { $0 + prediction.probabilities[$1[0]] } }
      let (matching, other) = (sum(item.matching), sum(item.other))
      let total = matching + other
      self.matching = total > 0 ? matching / total : 0.5
      nonsense = max(1 - total, 0)
    }
    divergence = baseline.divergence(of: prediction)
  }

  /// The numbers of an outcome, for another rank.
  var numbers: [Double] { [1, matching, nonsense, divergence] }

  /// The numbers of no outcome.
  static let noNumbers: [Double] = [0, 0, 0, 0]

  /// The outcome of these numbers; nil for those of none.
  init?(numbers: ArraySlice<Double>) {
    let numbers = Array(numbers)
    guard numbers[0] == 1 else { return nil }
    (matching, nonsense, divergence) = (numbers[1], numbers[2], numbers[3])
  }

  /// log Σ exp, without overflow or underflow.
  private static func logSum(_ logs: ArraySlice<Double>) -> Double {
    guard let largest = logs.max(), largest.isFinite else { return -.infinity }
    return largest + log(logs.reduce(0) { $0 + exp($1 - largest) })
  }
}

/// The outcomes of every cell of a sweep, item by item.
package struct SweepResult: Sendable, Equatable {
  /// The layers, ascending.
  package let layers: [Int]
  /// The strengths except 0, in the requested order.
  package let multipliers: [Float]
  /// The sets of sites.
  package let sites: [SteeredSites]
  /// Items.
  package let itemCount: Int
  /// The unsteered outcomes, [item].
  package private(set) var baseline: [ChoiceOutcome?]
  /// [sites][layer][multiplier][item].
  private var outcomes: [ChoiceOutcome?]

  init(layers: [Int], multipliers: [Float], sites: [SteeredSites], itemCount: Int) {
    self.layers = layers
    self.multipliers = multipliers
    self.sites = sites
    self.itemCount = itemCount
    baseline = Array(repeating: nil, count: itemCount)
    outcomes = Array(
      repeating: nil, count: sites.count * layers.count * multipliers.count * itemCount)
  }

  private func place(_ layer: Int, _ sites: Int, _ multiplier: Int) -> Int? {
    layers.firstIndex(of: layer).map {
      ((sites * layers.count + $0) * multipliers.count + multiplier) * itemCount
    }
  }

  mutating func setBaseline(_ outcome: ChoiceOutcome, _ item: Int) { baseline[item] = outcome }

  mutating func set(
    _ outcome: ChoiceOutcome, layer: Int, sites: Int, multiplier: Int, item: Int
  ) {
    if let place = place(layer, sites, multiplier) { outcomes[place + item] = outcome }
  }

  /// The outcomes of a cell, [item]; nil if the vector has no part for it.
  ///
  /// - Parameter multiplier: 0 gives the unsteered outcomes.
  package func cell(
    layer: Int, sites: SteeredSites, multiplier: Float
  ) -> [ChoiceOutcome]? {
    let found: [ChoiceOutcome?]
    if multiplier == 0 {
      found = baseline
    } else {
      guard let set = self.sites.firstIndex(of: sites),
        let index = multipliers.firstIndex(of: multiplier), let place = place(layer, set, index)
      else { return nil }
      found = Array(outcomes[place..<place + itemCount])
    }
    let complete = found.compactMap { $0 }
    return complete.count == itemCount ? complete : nil
  }
}
