import Glibc
import SextantBytes

/// How well the scores of a probe, or the output of a model, predict a label.
public struct ProbeMeasurement: Sendable {
  /// Examples.
  public let count: Int
  /// The area under the curve, with its interval; nil unless both labels occur.
  public let roc: ROC?
  /// The share of examples whose score is on the label's side of the threshold.
  public let accuracy: Double
  /// The expected calibration error: the mean difference of probabilities and frequencies.
  public let calibrationError: Double
  /// The share of examples in which the score and the model's output are on the same side; nil
  /// without an output.
  public let agreement: Double?
  /// The share of examples in which the score is right and the model's output is wrong: its
  /// unexpressed knowledge; nil without an output.
  public let unsaid: Double?

  /// Measures log-odds.
  ///
  /// - Parameters:
  ///   - scores: log-odds of the label, by example.
  ///   - threshold: scores at or above it predict the label.
  ///   - outputs: the log-odds that the model itself gives, by example.
  public init(
    _ scores: [Double], _ labels: [Bool], threshold: Double = 0, outputs: [Double]? = nil
  ) {
    precondition(scores.count == labels.count && (outputs.map { $0.count == scores.count } ?? true))
    count = scores.count
    roc = ROC(scores, labels)
    let share = { (isRight: (Int) -> Bool) -> Double in
      Double(scores.indices.count(where: isRight)) / Double(max(scores.count, 1))
    }
    let says = scores.map { $0 >= threshold }
    accuracy = share { says[$0] == labels[$0] }
    calibrationError = Self.calibrationError(scores, labels)
    agreement = outputs.map { outputs in share { says[$0] == (outputs[$0] >= 0) } }
    unsaid = outputs.map { outputs in
      share { says[$0] == labels[$0] && (outputs[$0] >= 0) != labels[$0] }
    }
  }

  /// The mean, over the examples, of |mean probability - frequency| of the one of ten equal bins that
  /// each is in.
  private static func calibrationError(_ scores: [Double], _ labels: [Bool]) -> Double {
    var bins = [(count: Double, probability: Double, positives: Double)](
      repeating: (0, 0, 0), count: 10)
    for (score, label) in zip(scores, labels) {
      let probability = 1 / (1 + exp(-score))
      let bin = min(Int(clamping: probability * 10), 9)
      bins[bin].count += 1
      bins[bin].probability += probability
      bins[bin].positives += label ? 1 : 0
    }
    let total = bins.reduce(0) { $0 + abs($1.probability - $1.positives) }
    return total / Double(max(scores.count, 1))
  }
}
