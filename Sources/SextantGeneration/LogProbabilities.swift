import Glibc
import SextantBytes
import SextantModels
import SextantTensor

/// Log-probabilities of the next token, in f64 from the logits' f32.
package struct LogProbabilities: Sendable {
  /// log p by token, [V].
  package let values: [Double]
  /// p by token, [V].
  package let probabilities: [Double]

  /// Normalises logits, [V].
  package init(_ logits: [Float]) {
    self = logits.withUnsafeBufferPointer { LogProbabilities($0) }
  }

  /// Normalises logits, [V].
  package init(_ logits: UnsafeBufferPointer<Float>) {
    var largest = -Float.infinity
    for logit in logits where logit > largest { largest = logit }
    let shift = largest.isFinite ? Double(largest) : 0
    var sum = 0.0
    var exponentials = [Double](repeating: 0, count: logits.count)
    for (index, logit) in logits.enumerated() {
      let value = exp(Double(logit) - shift)
      exponentials[index] = value
      sum += value
    }
    let (scale, logarithm) = (1 / sum, shift + log(sum))
    for index in exponentials.indices { exponentials[index] *= scale }
    probabilities = exponentials
    values = logits.map { Double($0) - logarithm }
  }

  /// The rows of logits, [.., V].
  package static func rows(_ logits: Tensor) -> [LogProbabilities] {
    let width = logits.columnCount
    return logits.withFloats { values in
      (0..<logits.rowCount).map { row in
        LogProbabilities(UnsafeBufferPointer(rebasing: values[row * width..<(row + 1) * width]))
      }
    }
  }

  /// The rows of logits, [.., V], that are finite.
  ///
  /// - Throws: `model.nonfinite` if an edit made values overflow.
  package static func finiteRows(_ logits: Tensor) throws(Refusal) -> [LogProbabilities] {
    guard logits.withFloats({ $0.allSatisfy(\.isFinite) }) else {
      throw Refusal.nonfinite("logits")
    }
    return rows(logits)
  }

  /// The Kullback-Leibler divergence of another distribution from this one, in nats: the cost of
  /// predicting with `other` if this one is right.
  package func divergence(of other: LogProbabilities) -> Double {
    var sum = 0.0
    for index in values.indices where probabilities[index] > 0 {
      sum += probabilities[index] * (values[index] - other.values[index])
    }
    return max(sum, 0)
  }

  /// The divergence of the distribution of some logits, [V], without storing it; infinite if a logit is
  /// not finite.
  package func divergence(ofLogits logits: UnsafeBufferPointer<Float>) -> Double {
    var largest = -Float.infinity
    for logit in logits {
      guard logit.isFinite else { return .infinity }
      if logit > largest { largest = logit }
    }
    let shift = Double(largest)
    // Σ p (log p - log q) with log q = logit - shift - log Σ exp(logit - shift).
    var (sum, total) = (0.0, 0.0)
    for (index, logit) in logits.enumerated() {
      let own = Double(logit) - shift
      total += exp(own)
      if probabilities[index] > 0 { sum += probabilities[index] * (values[index] - own) }
    }
    return max(sum + log(total), 0)
  }
}
