import Glibc
import SextantTensor

/// Log-probabilities of the next token, in f64 from the logits' f32.
public struct LogProbabilities: Sendable {
  /// log p by token, [V].
  public let values: [Double]

  /// Normalises logits, [V].
  public init(_ logits: some Collection<Float>) {
    let largest = Double(logits.max() ?? 0)
    let sum = logits.reduce(0.0) { $0 + exp(Double($1) - largest) }
    let shift = largest + log(sum)
    values = logits.map { Double($0) - shift }
  }

  /// The rows of logits, [.., V].
  public static func rows(_ logits: Tensor) -> [LogProbabilities] {
    logits.withFloats { values in
      (0..<logits.rowCount).map { row in
        LogProbabilities(values[row * logits.columnCount..<(row + 1) * logits.columnCount])
      }
    }
  }

  /// The Kullback-Leibler divergence of another distribution from this one, in nats: what a
  /// prediction by `other` costs where this one is right.
  public func divergence(of other: LogProbabilities) -> Double {
    var sum = 0.0
    for (p, q) in zip(values, other.values) where p > -.infinity { sum += exp(p) * (p - q) }
    return max(sum, 0)
  }
}
